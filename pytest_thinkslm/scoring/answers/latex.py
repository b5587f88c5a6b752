r"""One spelling for LaTeX answers: ``normalise`` and the exact readers that work on normalised text.

What is dropped, as MATH's answers use it: spacing, ``\left``/``\right``, currency and degree signs, units in ``\text``
or in words, and ``\%`` (the benchmark's gold ``10\%`` accepts ``10\%`` and ``10``, never ``0.1``).
"""

from __future__ import annotations

import re
from fractions import Fraction

from pytest_thinkslm.scoring.answers.units import is_unit

_UNICODE = str.maketrans(
    {
        **dict.fromkeys("−–‐‑﹣－", "-"),
        **dict.fromkeys("\u00a0\u202f\u2009", " "),
        **dict.fromkeys("·⋅", r"\cdot "),
        "×": r"\times ",
        "÷": "/",
        "°": "",
        "π": r"\pi ",
        "θ": r"\theta ",
        "√": r"\sqrt ",
        "∞": r"\infty ",
        "≤": r"\leq ",
        "≥": r"\geq ",
        "≠": r"\neq ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "±": r"\pm ",
        "∈": r"\in ",
        "²": "^2",
        "³": "^3",
        "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}",
        "¾": r"\frac{3}{4}",
        "ℝ": r"\mathbb{R}",
    }
)
_SIZES = r"left|right|[bB]ig{1,2}[lrm]?|displaystyle|textstyle|limits|nolimits|boldsymbol|bf|rm|it"
_AM_PM = re.compile(r"\b([ap])\.?\s?m\b\.?", re.IGNORECASE)
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mbox|hbox|math(?:rm|bf|it|sf)|operatorname)\s*\{([^{}]*)\}(\s*\^\s*\{?\d\}?)?"
)
_JOINING = re.compile(r"\s*,?\s*(?:and|or)\s*,?\s*|\s*,\s*", re.IGNORECASE)
_PLAIN_JOINING = re.compile(r"\s(?:and|or)\s")
_DOUBLED_COMMA = re.compile(r",(?:\s*,)+")
# A number or a group, then words: units. Words that are mathematics or times of day are not.
_PLAIN_UNIT = re.compile(
    r"(?<=[\d})])\s+(?!(?:and|or|am|pm|mod|base|log|ln|sin|cos|tan|sec|csc|cot|sqrt|pi|if|is|for|when|where)\b)"
    r"(?:[A-Za-z]{3,}|cm|mm|km|in|ft|yd|mi|kg|mg|lb|oz|ml|hr|sq)\.?(?:\s+[A-Za-z]{2,}\.?)*(?:\s*\^\s*\{?[23]\}?)?\s*$"
)

# "sqrt(3)", "2pi": as in a program; inside words they are none.
_PLAIN_FUNCTION = re.compile(r"(?<![\\a-zA-Z])(sqrt|sin|cos|tan|log|ln|pi|exp)(?![a-zA-Z])\s*")
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALE = re.compile(
    rf"(?<=\d)\s*(?:\\(?:text|mathrm|mbox)\s*\{{\s*)?\b({'|'.join(_SCALES)})s?\b(?:\s*\}})?", re.IGNORECASE
)
# 1.250.000 and 1'250'000; "1.250" may be a decimal.
_OTHER_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:(?:\.\d{3}){2,}|(?:'\d{3})+)")

#: Applied in this order.
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\{,\}|,\s*\\!"), ","),
    (re.compile(rf"\\(?:{_SIZES})(?![a-zA-Z])"), " "),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|\\(?:degree|deg)(?![a-zA-Z])"), ""),
    (re.compile(r"\\?%|\\?\$"), ""),
    (re.compile(r"\\le(?![a-zA-Z])|\\leqslant(?![a-zA-Z])|<="), r"\\leq "),
    (re.compile(r"\\ge(?![a-zA-Z])|\\geqslant(?![a-zA-Z])|>="), r"\\geq "),
    (re.compile(r"\\lt(?![a-zA-Z])"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])"), ">"),
    (re.compile(r"\\ne(?![a-zA-Z])"), r"\\neq "),
    (re.compile(r"\\(begin|end)\s*\{(?:[bBvV]?matrix|smallmatrix|array)\}(?:\s*\{[lcr|\s]*\})?"), r"\\\1{pmatrix}"),
    (re.compile(r"\\varnothing(?![a-zA-Z])|\\\{\s*\\\}|∅"), r"\\emptyset"),
    (re.compile(r"\\(?:mathbb|mathbf)\s*\{?\s*R\s*\}?|\\R(?![a-zA-Z])"), r"(-\\infty,\\infty)"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac\s*\{[^{}]*\})\s*(\w)"), r"\1{\2}"),
    (re.compile(r"\\sqrt\s*(\w|\\pi(?![a-zA-Z]))"), r"\\sqrt{\1}"),
    (re.compile(r"([_^])\s*\{\s*(\w)\s*\}"), r"\1\2"),
    (re.compile(r"(?<!log)_\s*\{\s*(\d+)\s*\}"), r"_\1"),
)
_SPACES = re.compile(r"(\\[a-zA-Z]+)\s+(?=[a-zA-Z])|\s+")
_ROW_OR_SPACE = re.compile(r"\\\\|\\[!,;: ]|\\q?quad(?![a-zA-Z])|~")
_WRAPPING = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))
_BARE_DECIMAL = re.compile(r"(?<![\d.])\.(?=\d)")


def normalise(latex: str) -> str:
    """The one spelling of an answer; never raises. Meant for at most a few thousand characters."""
    text = latex.strip().rstrip(" .")
    if text.isdigit() and text.isascii():
        return text
    for start, end in _WRAPPING:
        if len(text) > len(start + end) and text.startswith(start) and text.endswith(end):
            text = text[len(start) : -len(end)].strip()
    text = _ROW_OR_SPACE.sub(lambda found: found[0] if found[0] in ("\\\\", r"\!") else " ", text)
    text = text.translate(_UNICODE).rstrip(" .;,").strip()
    text = _PLAIN_FUNCTION.sub(r"\\\1 ", text)
    text = _SCALE.sub(lambda found: rf"\times 10^{{{_SCALES[found[1].lower()]}}}", text)
    if _OTHER_THOUSANDS.fullmatch(text):
        text = re.sub(r"[.']", "", text)
    text = _AM_PM.sub(lambda found: found[1].lower() + "m", text)
    for pattern, replacement in _REWRITES[:1]:
        text = pattern.sub(replacement, text)
    text = _without_text(text.replace(r"\!", ""))
    for pattern, replacement in _REWRITES[1:]:
        text = pattern.sub(replacement, text)
    text = _PLAIN_UNIT.sub(lambda found: "" if is_unit(found[0]) else found[0], text.strip())
    text = _SPACES.sub(lambda found: f"{found[1]} " if found[1] else "", text)
    text = _BARE_DECIMAL.sub("0.", text)
    if text.startswith(r"[\begin{pmatrix}") and text.endswith(r"\end{pmatrix}]") and text.count(r"\begin") == 1:
        text = text[1:-1]
    return _without_group(text.rstrip(".,;"))


def split_top(text: str, separator: str = ",") -> list[str]:
    """Split at separators outside every bracket. Brackets need not match: an interval is ``[0,1)``."""
    if separator not in text:
        return [text]
    parts: list[str] = []
    depth = start = position = 0
    while position < len(text):
        character = text[position]
        # The separator comes first: it may itself begin with a backslash.
        if depth <= 0 and text.startswith(separator, position):
            parts.append(text[start:position])
            position = start = position + len(separator)
            continue
        if text.startswith((r"\begin", r"\end"), position):
            depth += 1 if character + text[position + 1] == r"\b" else -1
            position += 4
            continue
        if character == "\\" and text[position + 1 : position + 2] not in ("{", "}"):
            position += 2
            continue
        depth += (character in "([{") - (character in ")]}")
        position += 1
    parts.append(text[start:])
    return parts


_INTEGER = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_PLAIN = re.compile(rf"([-+]?)({_INTEGER})(?:\.(\d*))?")
_SLASHED = re.compile(rf"([-+]?)({_INTEGER})/({_INTEGER})")
_FRACTION = re.compile(rf"([-+]?)(\d*)\\frac\{{(-?{_INTEGER})\}}\{{(-?{_INTEGER})\}}")
_SCIENTIFIC = re.compile(r"([-+]?\d+(?:\.\d+)?)(?:\\times|\\cdot)10\^(?:\{(-?\d{1,3})\}|(\d))")
_REPEATING = re.compile(r"([-+]?)(\d*)\.(\d*)\\overline\{?(\d+)\}?")
_SPACED = re.compile(r"[-+]?\d{1,3}(?: \d{3})+")


def as_fraction(text: str) -> Fraction | None:
    r"""The exact value of a normalised number: integer, decimal, ``a/b``, ``\frac``, mixed, ``a \times 10^n``."""
    if match := _PLAIN.fullmatch(text):
        sign, whole, decimals = match.groups()
        return _signed(sign, Fraction(f"{whole.replace(',', '')}.{decimals or 0}"))
    if match := _SLASHED.fullmatch(text):
        return _signed(match[1], _ratio(match[2], match[3]))
    if match := _FRACTION.fullmatch(text):
        ratio = _ratio(match[3], match[4])
        # "6\frac{3}{4}" is a mixed number, not a product.
        return None if ratio is None else _signed(match[1], int(match[2] or 0) + ratio)
    if match := _SCIENTIFIC.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2] or match[3])
    if match := _REPEATING.fullmatch(text):
        sign, whole, decimals, period = match.groups()
        tail = Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(decimals))
        return _signed(sign, Fraction(f"{whole or 0}.{decimals or 0}") + tail)
    return None


def _signed(sign: str, value: Fraction | None) -> Fraction | None:
    return None if value is None else -value if sign == "-" else value


def _ratio(above: str, below: str) -> Fraction | None:
    divisor = int(below.replace(",", ""))
    return Fraction(int(above.replace(",", "")), divisor) if divisor else None


def _without_text(text: str) -> str:
    r"""Unwrap ``\text``: units go, "and" and "or" become commas, anything else stays as words."""

    def replace(found: re.Match[str]) -> str:
        words = found[1]
        if _JOINING.fullmatch(words):
            return ","
        before = text[: found.start()].rstrip()
        if before[-1:].isalnum() or before[-1:] in tuple("})]$%"):
            rest = text[found.end() :].lstrip()
            unit = not _AM_PM.search(words) and is_unit(f" {words}")
            if unit and (not rest or rest[0] in ",)]}" or rest.startswith(r"\text")):
                return ""
        return f" {words} {found[2] or ''}"

    if _SPACED.fullmatch(text):
        return text.replace(" ", "")
    text = _TEXT.sub(replace, text)
    if re.search(r"\d", text):
        text = _PLAIN_JOINING.sub(",", text)
    return _DOUBLED_COMMA.sub(",", text)


def _without_group(text: str) -> str:
    """Drop one pair of brackets around a whole value: ``{5}``, ``(x+1)``; tuples keep theirs."""
    while len(text) > 2 and text[0] + text[-1] in ("{}", "()"):
        inner = text[1:-1]
        depth = 0
        for character in inner:
            depth += (character in "([{") - (character in ")]}")
            if depth < 0:
                return text
        if depth or len(split_top(inner)) > 1:
            return text
        text = inner
    return text
