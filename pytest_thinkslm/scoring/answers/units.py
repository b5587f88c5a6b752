r"""What may stand beside a number without changing it: units, currencies, and words such as "about".

A reader that takes the number and drops the rest of what was written grades another value than the one that was given:
``1.25\text{ million}`` is not 1.25, ``5\text{ or }6`` and ``5x`` are not 5. So whatever stands beside a number is
either known to leave the value as it is, or the whole is not read as that number.
"""

from __future__ import annotations

import re

_SCALES = ("hundred", "thousand", "million", "billion", "trillion", "hundreds", "thousands", "millions", "billions")
_CHANGES_VALUE = frozenset(
    {
        *("or", "and", "not", "nor", "to", "but", "if", "when", "unless", "except", "than", "versus", "vs", "is"),
        *("are", "was", "were", "equals", "plus", "minus", "times", "over", "divided", "multiplied", "squared"),
        *("cubed", "root", "factorial", "power", "exponent", "mod", "modulo", "base", "half", "halves", "third"),
        *("thirds", "point", "double", "twice", "triple", "remainder", "st", "nd", "rd", "th", "oder", "und", "ou"),
        *("et", "no", "either", "wait", "actually", "maybe", "between", "through", "until", "then", "so", "pi", "e"),
        *("i", *_SCALES),
    }
)
# A single letter behind a number is a variable unless it is one of these.
_LETTERS = frozenset("mgslhtLJNWVACFKTd")
_PAIRS = frozenset(
    {
        *("cm", "mm", "km", "kg", "mg", "ft", "in", "yd", "mi", "oz", "lb", "ml", "mL", "kL", "hr", "hm", "dm", "cL"),
        *("dL", "kW", "kJ", "Hz", "pm", "am", "kB", "MB", "GB", "sq", "cc", "pt", "qt", "gm", "cs"),
    }
)
_WORD = r"[^\W\d_]+(?:['’][a-z]{1,2})?\.?"
_MARK = r"(?:\\?%|°\s?[CF]?|[$€£¥₹¢₩₽])"
_POWER = r"(?:\s?\^\s?\{?\s?[23]\s?\}?|[²³])?"
_UNIT = re.compile(
    rf"\s*(?:{_MARK}\s*)?(?:[-\s]*(?P<words>{_WORD}{_POWER}(?:(?:\s*[/·.-]\s*|\s+){_WORD}{_POWER}){{0,11}}))?"
    rf"(?:\s*{_MARK})?(?:\s*\((?P<aside>[^()\d=+*/×÷]{{0,40}})\))?\s*[.,;:]*\s*"
)
_SPLIT = re.compile(r"[^\W\d_]+(?:['’][a-z]{1,2})?")
_FAR_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_FAR_SCALE = re.compile(r"[万萬亿億千百十만억천백]|不|或|和|到|至|以上|以下|または|또는|与|與|多|余|분의|分之|割|半")


def is_unit(text: str) -> bool:
    """Whether what follows a number only says what was counted; true for nothing at all.

    ``text`` is without LaTeX commands. A letter or two glued to the number must be a known unit: ``5x`` is a product.
    """
    if len(text) > 160:
        return False
    match = _UNIT.fullmatch(text)
    if match is None:
        return False
    words = _SPLIT.findall(match["words"] or "") + _SPLIT.findall(match["aside"] or "")
    glued = bool(match["words"]) and text[:1] == match["words"][0]
    for position, word in enumerate(words):
        if _FAR_EAST.search(word):
            if _FAR_SCALE.search(word) or len(word) > 12:
                return False
        elif word.lower().strip("'’") in _CHANGES_VALUE:
            return False
        elif len(word) == 1:
            before = words[position - 1].lower() if position else ""
            if word not in _LETTERS and word not in ("a", "à") and before not in ("per", "vitamin", "type", "grade"):
                return False
        elif glued and position == 0 and len(word) == 2 and word not in _PAIRS:
            return False
    return True


_QUALIFIER = (
    r"about|approximately|approx\.?|roughly|around|circa|exactly|only|just|simply|precisely|almost|nearly|a\s+total\s+of"
    r"|in\s+total|total|totaling|equal\s+to|equals|is|are|was|were|would\s+be|will\s+be|of|Rs\.?|USD|US|EUR|GBP|INR|INR\.?|CAD|AUD"
    r"|environ|etwa|ungefähr|rund|circa|aproximadamente|unos|unas|约|大约|约为|共|一共|总共|約|약"
)
_LEAD = re.compile(rf"\s*(?:(?:{_QUALIFIER})(?![a-z])\s*|[~≈≃$€£¥₹₩₽]\s*|\\approx\s*|\\sim\s*)*", re.IGNORECASE)
_LABEL = re.compile(
    r"\s*(?:[^\W\d_][\w'’%$#./() -]{0,80}?"
    r"(?:[:：]|\b(?:is|are|was|equals|est|ist|es|son|beträgt|lautet)(?:\s|$)|[是为は]|은|는)\s*"
    r"|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,24}[:：])",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:not|no|never|n't|isn't|wasn't|than|least|most|between|either)\b|n't\b|不", re.IGNORECASE)


def is_lead(text: str) -> bool:
    """Whether what stands before a number only introduces it: a label with its colon or verb, a currency, "about"."""
    if not text.strip():
        return True
    if len(text) > 200 or _NEGATED.search(text):
        return False
    label = _LABEL.match(text)
    position = label.end() if label else 0
    lead = _LEAD.match(text, position)
    if lead is not None and not text[lead.end() :].strip():
        return True
    lead = _LEAD.match(text)
    return lead is not None and not text[lead.end() :].strip()
