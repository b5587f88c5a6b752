r"""Whether a text *is* one number, whatever its spelling: read whole, or not at all.

The number in a box, and every gold, is read here. What stands beside the figures must be known to leave their value
as it is (``units``); a root, a power or a factorial in a box is worked out exactly; anything else makes it no number.
A reader that took the figures out of ``\sqrt{25}``, ``5^2``, ``3!`` or ``5 \text{ or } 6`` would grade another answer
than the one that was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from pytest_thinkslm.scoring.answers.evaluate import value_of
from pytest_thinkslm.scoring.answers.latex import normalise, split_top
from pytest_thinkslm.scoring.answers.number_grammar import MAX_DIGITS, find_numbers, plain
from pytest_thinkslm.scoring.answers.units import is_lead, is_unit
from pytest_thinkslm.scoring.answers.written import clean

_LIMIT = 4 * MAX_DIGITS
_LARGEST = 10**MAX_DIGITS
_PLAIN = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?", re.ASCII)


def parse_number(text: str) -> Fraction | None:
    """The value of a text that is one number, with currency, unit, label or ``x =`` around it; else None.

    >>> parse_number("$120,000"), parse_number("x = -3.5 cm"), parse_number("5 and 6")
    (Fraction(120000, 1), Fraction(-7, 2), None)
    """
    if _PLAIN.fullmatch(text) and len(text) <= MAX_DIGITS:
        return Fraction(text)
    if len(text) > _LIMIT:
        return None
    body = _bare(text)
    if _OTHER_RELATION.search(body):
        return None
    sides = [side for side in split_top(body, "=") if side.strip()]
    if not sides:
        return None
    side = sides[-1]
    if len(sides) == 2 and _NAME.fullmatch(side.strip()):
        side = sides[0]
    return _one_number(side)


_OTHER_RELATION = re.compile(r"[<>≤≥≠]|\\(?:le|ge|leq|geq|ne|neq|lt|gt|pm|mp|equiv|in|cup|to)(?![a-zA-Z])|!=|±")
_NAME = re.compile(r"[A-Za-z](?:_\w)?")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mathit|mbox|operatorname|boldsymbol|bm)\s*\{([^{}]*)\}"
)


def _continental(found: re.Match[str]) -> str:
    """1.234,50, where both separators leave no doubt."""
    return f"{found[1].replace('.', '')}.{found[2]}"


_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\(?:degrees?|deg)(?![a-zA-Z])"), "°"),
    (re.compile(r"\\(?:pounds|euro|yen)(?![a-zA-Z])\s*"), "£"),
    (re.compile(r"\\minus(?![a-zA-Z])"), "-"),
    (re.compile(r"\\(?=[%$€£])"), ""),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|(?<![0-9])\\[,;:! ]|\\[,;:! ](?![0-9])"), " "),
    (re.compile(r"\^\s*\{?\s*(?:st|nd|rd|th)\s*\}?|(?<=[0-9])\s?(?:st|nd|rd|th)(?![A-Za-z])"), ""),
    (re.compile(r"\b([0-9]{1,3}(?:\.[0-9]{3})+),([0-9]{1,2})(?![0-9.,])"), _continental),
    (re.compile(r"\b([0-9]{1,2}):00(?![0-9:])"), r"\1"),
)
_SHORT_SCALE = re.compile(r"(?<=[0-9])\s?([MKkB])(?![A-Za-z0-9])\s*$")
_SHORT_SCALES = {"K": "thousand", "k": "thousand", "M": "million", "B": "billion"}
_EAST_SCALE = re.compile(r"(?<=[0-9])\s*([万萬亿億])")
_EAST_SCALES = {"万": r"\\times10^{4}", "萬": r"\\times10^{4}", "亿": r"\\times10^{8}", "億": r"\\times10^{8}"}
_LONE_SIGN = re.compile(r"^([\s${(\[]*)-\s+(?=[$\d\\.])")
_GROUP = re.compile(r"\{([^{}]*)\}")


def _bare(text: str) -> str:
    """The text without what only decorates it, its macros for words undone."""
    text = clean(text)
    if "\\" in text:
        text = _TEXT.sub(lambda found: found[1] if found[1].strip() in ("-", "+") else f" {found[1]} ", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    if not text.isascii():
        text = _EAST_SCALE.sub(lambda found: _EAST_SCALES[found[1]].replace("\\\\", "\\"), text)
    text = _SHORT_SCALE.sub(lambda found: " " + _SHORT_SCALES[found[1]], text.strip())
    return plain(text)


def _one_number(side: str) -> Fraction | None:
    r"""The value where one number, and nothing that changes it, is all that the text holds."""
    side = _LONE_SIGN.sub(r"\1-", clean(side), count=1)
    while len(side) > 2 and side[0] + side[-1] in ("{}", "()", "[]") and not set(side[1:-1]) & set("{}()[]"):
        side = side[1:-1].strip()
    found = list(find_numbers(side, spelled=True))
    if (
        len(found) == 2
        and found[0].value == found[1].value
        and re.fullmatch(r"\s*\(", side[found[0].end : found[1].start])
    ):
        return _one_number(side[: found[0].end])  # 5 (five)
    if len(found) != 1:
        return None
    number = found[0]
    before, after = side[: number.start].rstrip(), side[number.end :]
    while before.endswith("{") and after.lstrip().startswith("}"):
        before, after = before[:-1].rstrip(), after.lstrip()[1:]
    if "{" in after and "}" in after:
        after = _GROUP.sub(r"\1", after)
    before, after = before.rstrip("{( "), after.rstrip("}!.,;: ") if "!" not in after[:1] else after
    glued = side[max(0, number.start - 2) : number.start].rstrip("{")[-1:].isalnum()
    if glued or before.endswith(("^", "_", "\\", "/")):
        return None
    return number.value if is_lead(before) and is_unit(after) else None


def worked_out(text: str) -> Fraction | None:
    """The value of a computation with a rational result: ``5^2``, ``3!``, ``2 + 1/2``, a root that comes out."""
    if not re.search(r"[0-9]", text) or len(text) > 200:
        return None
    body = normalise(_bare(text))
    if _OTHER_RELATION.search(body):
        return None
    value = value_of(split_top(body, "=")[-1])
    if not isinstance(value, Fraction) or max(abs(value.numerator), value.denominator) >= _LARGEST:
        return None
    return value
