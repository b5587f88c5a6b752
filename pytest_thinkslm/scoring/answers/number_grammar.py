r"""The one number grammar, for gold and prediction alike: text -> exact ``Fraction`` -> canonical string.

Reads signs (also U+2212), thousands (``1,200``, ``1 200``, ``1{,}200``), decimals, ``1.2e3`` and ``1.2 \times 10^3``,
``3/4``, ``\frac{3}{4}``, mixed numbers (``1 1/2``, ``1\frac{1}{2}``), percents (``50%`` is 50), currency, units,
``1.2 million``, ``1 dollar and 2 cents`` and spelled-out numbers (``forty-two``). Linear time; raises for no text.
Whether a text *is* a number is asked in ``whole_number``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

#: Longer digit strings are no answer to any question here, and converting them is not linear.
MAX_DIGITS = 400

#: Only the last characters of a text are searched for numbers; callers pass sentences.
SEARCH_LIMIT = 3_000


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: its exact value, where it stands, and whether it was spelled out."""

    value: Fraction
    start: int
    end: int
    spelled: bool = False


def canonical(value: Fraction) -> str:
    """The number as a plain string: ``120000``, ``-3.5``, and ``1/3`` only where no decimal terminates."""
    numerator, denominator = value.numerator, value.denominator
    twos, rest = _divide_out(denominator, 2)
    fives, rest = _divide_out(rest, 5)
    places = max(twos, fives)
    if rest != 1:
        return f"{numerator}/{denominator}"
    if not places:
        return str(numerator)
    digits = str(abs(numerator) * 10**places // denominator).rjust(places + 1, "0")
    return f"{'-' if numerator < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def find_numbers(text: str, *, spelled: bool = False) -> Iterator[Number]:
    """Every number in a text (see ``plain``), in order; exponents, indices and digits inside words are none.

    Spelled-out numbers ("twelve") are found only with ``spelled``, and never "one" in front of another word.
    """
    words = list(_spelled_numbers(text)) if spelled else []
    position, done = max(0, len(text) - SEARCH_LIMIT), 0
    while candidate := _CANDIDATE.search(text, position):
        match = _START.search(text, max(position, candidate.start() - 12))
        if match is None:
            break
        number = _read(text, match)
        position = max(match.end(), number.end if number else match.start() + 1)
        if number is None:
            continue
        while done < len(words) and words[done].start < number.start:
            yield words[done]
            done += 1
        while done < len(words) and words[done].start < number.end:
            done += 1
        yield number
    yield from words[done:]


_SAME_LENGTH = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–﹣－", "-"),
        **dict.fromkeys("\u00a0\u2009\u202f\u2007\u2002\u2003\u3000\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", " "),
        **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", " "),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        "％": "%",
        "，": ",",
        "：": ":",
        "。": "\n",
        "≈": "=",
        "＝": "=",
        "≃": "=",
    }
)
_MARK = (
    r"(?:\*\*|__|`|\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|boldsymbol|underline|operatorname)\s?\{"
    r"|\\[()\[\]]|\\(?=[$%€£])|\\(?:left|right|displaystyle|quad|qquad|bf|rm)(?![a-zA-Z])"
    r"|</?(?:answer|strong|em|b|i|u|p|span)>)"
)
# Once, then any number of times: a search for "one or more" does not skip to the characters that a mark begins with.
_MARKUP = re.compile(f"{_MARK}{_MARK}*")
_SAME_LENGTH_MACROS = ((r"\dfrac", r" \frac"), (r"\tfrac", r" \frac"), (r"\cfrac", r" \frac"), (r"\approx", "      ="))


def plain(text: str) -> str:
    """The text without Markdown and LaTeX decoration, of the same length, so that positions stay valid."""
    if not text.isascii():
        text = text.translate(_SAME_LENGTH)
    if "\\" in text:
        for macro, same_length in _SAME_LENGTH_MACROS:
            text = text.replace(macro, same_length)
    return _MARKUP.sub(lambda match: " " * len(match[0]), text)


_SEPARATOR = r"(?:,|\{,\}|\\,|,\\!|\\[ ]|[ '_])"
_INTEGER = (
    rf"(?:[0-9]{{1,3}}(?P<sep>{_SEPARATOR})[0-9]{{3}}(?:(?P=sep)[0-9]{{3}}){{0,40}}(?![0-9])"
    r"|[0-9]{1,3}(?:\.[0-9]{3}){2,40}(?![0-9])"
    r"|[0-9]{1,2}(?:,[0-9]{2}){1,5},[0-9]{3}(?![0-9,])|[0-9]+)"
)
_TEN_TO = r"10\s?\^\s?\{?\s?(?P<power>[+-]?[0-9]{1,4})(?![0-9])\s?\}?"
_VULGAR = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅙": (1, 6), "⅛": (1, 8)}
_VULGAR |= {"⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5), "⅚": (5, 6), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8)}

# Where a number starts. A minus is a sign only where it cannot be an operator, a range or a bullet.
_START = re.compile(
    rf"""
    (?P<sign>(?:(?<![\w)\]}}%.!])(?<![0-9)%]\ )[-+](?=(?:[$€£¥₹]\s?)?[0-9.\\{"".join(_VULGAR)}])
              |(?<==)\s?-\s?|\b(?:minus|negative)\s))?
    (?:[$€£¥₹]\s?)?(?P<inner>(?<=[$€£¥₹])-)?
    (?:
      (?<![0-9A-Za-z_^\\])(?<!\^\{{)(?<!_\{{)(?<![0-9]\.)(?<!\^-)(?:{_TEN_TO}|(?P<whole>{_INTEGER})|(?P<point>\.[0-9]+))
      |(?=\\frac|[{"".join(_VULGAR)}])
    )
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_CANDIDATE = re.compile(rf"[0-9{''.join(_VULGAR)}]")
_DECIMAL = re.compile(r"\.[0-9]+")
_EXPONENT = re.compile(rf"[eE](?P<e>[+-]?[0-9]{{1,4}})(?![0-9A-Za-z])|\s?(?:\\times|\\cdot|[x×*·])\s?{_TEN_TO}")
_SLASH = re.compile(r"/(?P<bottom>[0-9]{1,60}(?:\.[0-9]{1,60})?)(?![0-9/])")
_HALF = re.compile(r"\s(?:and\s)?an?\s(?P<part>half|quarter|third)(?![A-Za-z])", re.IGNORECASE)
_PARTS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4), "third": Fraction(1, 3)}
_MIXED = re.compile(r"\s(?:and\s)?(?P<top>[0-9]{1,6})/(?P<bottom>[0-9]{1,6})(?![0-9/])")
_LATEX = re.compile(
    r"(?:\s|\\[,;:! ]){0,6}\\frac\s?(?:\{\s?(?P<top>-?[0-9]{1,60}(?:[.][0-9]{1,60})?)\s?\}|(?P<top1>[0-9]))\s?"
    r"(?:\{\s?(?P<bottom>[0-9]{1,60}(?:[.][0-9]{1,60})?)\s?\}|(?P<bottom1>[0-9]))"
)
_GLYPH = re.compile(rf"\s?(?P<glyph>[{''.join(_VULGAR)}])")
_MULTIPLES = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
# "1.2\text{ million}" has blanks for its macro.
_MULTIPLE = re.compile(rf"\s{{0,9}}(?P<word>{'|'.join(_MULTIPLES)})(?![A-Za-z])", re.IGNORECASE)
_CENTS = re.compile(r"\sdollars?,?(?:\sand)?\s(?P<cents>[0-9]{1,2})\scents?(?![A-Za-z])", re.IGNORECASE)


def _read(text: str, start: re.Match[str]) -> Number | None:
    """The whole number that begins with ``start``: base, then the first suffix that fits, then a multiple."""
    end = start.end()
    if start["power"]:
        value = _ten_to(start["power"])
    elif start["whole"] or start["point"]:
        value = _decimal(start["whole"] or start["point"])
        if start["whole"]:
            if decimals := _DECIMAL.match(text, end):
                end = decimals.end()
                value = _decimal(start["whole"], decimals[0][1:])
            if value is not None:
                value, end = _with_suffix(text, end, value, whole=decimals is None)
    else:
        value, end = _fraction(text, end)
    if value is None:
        return None
    if multiple := _MULTIPLE.match(text, end):
        value, end = value * _MULTIPLES[multiple["word"].lower()], multiple.end()
    elif cents := _CENTS.match(text, end):
        value, end = value + Fraction(int(cents["cents"]), 100), cents.end()
    sign = (start["sign"] or "").strip().lower()
    negative = sign in {"-", "minus", "negative"} or start["inner"]
    return Number(-value if negative else value, start.start(), end)


def _with_suffix(text: str, end: int, value: Fraction, *, whole: bool) -> tuple[Fraction, int]:
    """The value and end with an exponent, a denominator or a proper fraction behind the digits, if any."""
    if exponent := _EXPONENT.match(text, end):
        scale = _ten_to(exponent["e"] or exponent["power"])
        return (value, end) if scale is None else (value * scale, exponent.end())
    if (slash := _SLASH.match(text, end)) and (bottom := _decimal(slash["bottom"])):
        return value / bottom, slash.end()
    if not whole:
        return value, end
    if mixed := _MIXED.match(text, end):
        upper, lower = int(mixed["top"]), int(mixed["bottom"])
        return (value + Fraction(upper, lower), mixed.end()) if 0 < upper < lower else (value, end)
    if half := _HALF.match(text, end):
        return value + _PARTS[half["part"].lower()], half.end()
    part, part_end = _fraction(text, end)
    return (value + part, part_end) if part is not None and 0 < part < 1 else (value, end)


def _fraction(text: str, position: int) -> tuple[Fraction | None, int]:
    r"""A ``\frac`` or a glyph such as ½ at ``position``, and where it ends."""
    if glyph := _GLYPH.match(text, position):
        return Fraction(*_VULGAR[glyph["glyph"]]), glyph.end()
    if latex := _LATEX.match(text, position):
        top, bottom = _decimal(latex["top"] or latex["top1"]), _decimal(latex["bottom"] or latex["bottom1"])
        if top is not None and bottom:
            return top / bottom, latex.end()
    return None, position


_NOT_DIGIT = re.compile(r"[^0-9-]")


def _decimal(whole: str, decimals: str = "") -> Fraction | None:
    """Digits (with separators) and decimal places as an exact number; None where they are too many."""
    if len(whole) + len(decimals) > MAX_DIGITS:
        return None
    if whole.count(".") > 1:
        whole = whole.replace(".", "")
    if "." in whole:
        whole, decimals = whole.split(".", 1)
    digits = whole if whole.isdecimal() else _NOT_DIGIT.sub("", whole)
    return Fraction(int(digits + decimals), 10 ** len(decimals)) if decimals else Fraction(int(digits))


def _ten_to(power: str) -> Fraction | None:
    return Fraction(10) ** int(power) if abs(int(power)) <= MAX_DIGITS else None


def _divide_out(number: int, prime: int) -> tuple[int, int]:
    times = 0
    while number % prime == 0:
        number, times = number // prime, times + 1
    return times, number


_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_UNITS += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORD_VALUES = {word: value for value, word in enumerate(_UNITS)}
_WORD_VALUES |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
#: The word of every number that has one of its own.
NUMBER_WORDS = {value: word for word, value in _WORD_VALUES.items()}
_WORD = "|".join([*_TENS, *sorted(_UNITS, key=len, reverse=True)])
_SCALE = "|".join(_MULTIPLES)
_WORDS = re.compile(
    rf"(?<![A-Za-z0-9-])(?P<sign>(?:minus|negative)\s)?"
    rf"(?P<words>(?:(?:a\s)(?={_SCALE})|(?:{_WORD})(?![A-Za-z]))"
    rf"(?:(?:\s|-|,\s)?(?:and\s)?(?:{_WORD}|{_SCALE})(?![A-Za-z])){{0,12}})",
    re.IGNORECASE,
)


def _spelled_numbers(text: str) -> Iterator[Number]:
    for match in _WORDS.finditer(text, max(0, len(text) - SEARCH_LIMIT)):
        words = [word for word in re.findall(r"[a-z]+", match["words"].lower()) if word != "and"]
        value = _count(words)
        if value is None:
            continue
        if words == ["one"] and text[match.end() : match.end() + 20].strip(" \t\r.!)}]*$\"'"):
            continue
        yield Number(Fraction(-value if match["sign"] else value), match.start(), match.end(), spelled=True)


def _count(words: list[str]) -> int | None:
    """The value of number words (``two hundred forty two``), or None where they do not make one number."""
    total = group = 0
    last = 1000
    for word in words:
        if word == "a":
            group = 1
        elif word == "hundred":
            group, last = max(group, 1) * 100, 100
        elif word in _MULTIPLES:
            total, group, last = total + max(group, 1) * _MULTIPLES[word], 0, 1000
        else:
            value = _WORD_VALUES[word]
            if not (last >= 100 or (last >= 20 and 0 < value < 10)):
                return None
            group, last = group + value, max(value, 1) if value < 20 else value
    return total + group
