"""Weak statements of a choice ("It's B.", "That leaves B.", "B fits best"): they count where no anchored one is."""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.choice_names import Named, joined
from pytest_thinkslm.scoring.answers.optiontext import Options

# A letter alone, and what says beside it that it is the answer.
_LETTER_ALONE = re.compile(r"[A-Z](?<![A-Za-z'’].)(?![A-Za-z'’])")
_CALLED = r"(?:(?:the|option|choice|answer|letter|ending)\s+){0,2}[(\"']?$"
_WEAK_BEFORE = re.compile(
    r"(?:(?:^|(?<=\W))(?:(?:it|this|that)(?:\s+(?:is|(?:must|should|could|would|may|might|has\s+to)\s+be)|'s)"
    r"|(?:must|should|could|may|might|has\s+to)\s+be"
    r"|(?:only\s+)?leaves(?:\s+us)?(?:\s+with)?(?:\s+only)?|left\s+with(?:\s+only)?|(?:right|correct|best)\s+one\s+is"
    r"|going\s+with|I\s+(?:think|believe|guess)(?:\s+that)?|(?:final|correct|best)\s+(?:answer|option|choice)"
    r"|(?:final|solution|result|correct|pick|guess|conclusion|decision|verdict)\s*:"
    r"|(?:by|through)\s+(?:process\s+of\s+)?elimination,?|down\s+to)\s+"
    r"|(?:^|[.!?\n]\s{0,3})(?:most\s+)?(?:probably|likely|definitely|clearly|obviously|surely|perhaps),?\s+)"
    rf"{_CALLED}",
    re.IGNORECASE,
)
_ENDS_THERE = re.compile(r"[)\"']?(?:[.,;:!)]|\s*\n|\s*$|\s(?:because|since|as|but|with)\b|\s\()", re.IGNORECASE)
_APT = (
    r"(?:(?:most\s+)?(?:likely|plausible|suitable|appropriate|reasonable|logical|fitting|accurate|probable|sensible|natural)\b"
    r"|only\s+(?:correct|right|possible|valid|option|choice|one|answer)\b)"
)
_WEAK_AFTER = re.compile(
    r"[)\"']?(?:\s?\([^()\n]{1,80}\))?\s(?:"
    r"(?:seems|looks|appears|sounds|feels)\s+(?:to\s+be\s+)?(?:the\s+)?(?:most\s+)?(?:right|correct|best|likely|plausible)"
    r"|(?:fits|works|matches|answers|suits)\s+(?:\w+\s+){0,3}best|makes\s+(?:the\s+most\s+)?sense"
    rf"|it\s+is\b|is\s+(?:the\s+)?(?:{_APT}|best\b))",
    re.IGNORECASE,
)
_ONLY_BEFORE = re.compile(rf"\b(?:only|just)\s+{_CALLED}", re.IGNORECASE)
_ONLY_AFTER = re.compile(
    rf"[)\"']?(?:\s?\([^()\n]{{1,80}}\))?\s(?:remains|works|fits|applies|matches|holds|is\s+(?:left|true|correct|right|possible|valid|{_APT}))",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(rf"\b(?:not|nor|neither|than|or|and)\s+{_CALLED}", re.IGNORECASE)
_SUPPOSING = re.compile(r"\b(?:if|whether|suppose|assume|unless|why|had)\b[^.!?\n]*$", re.IGNORECASE)
_LETTERS_READ = 256
_BEFORE = 50


def weakly_stated(text: str, options: Options) -> Answer | None:
    """The one option that weak statements name: "It's B.", "only B remains", "D works best"."""
    named: dict[str, str] = {}
    for match in list(_LETTER_ALONE.finditer(text))[-_LETTERS_READ:]:
        letter, end = match[0], match.end()
        if letter not in options.letters or letter in named:
            continue
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        if (
            (_ENDS_THERE.match(text, end) and _WEAK_BEFORE.search(before))
            or (_WEAK_AFTER.match(text, end) and not _DENIED_BEFORE.search(before))
            or (_ONLY_AFTER.match(text, end) and _ONLY_BEFORE.search(before))
        ):
            if _SUPPOSING.search(before):
                continue
            if joined(text, Named(letter, end, letter), options).letter is None:
                return Answer(None, "several")
            named[letter] = text[max(0, match.start() - 30) : end + 30]
    if not named:
        return None
    if len(named) > 1:
        return Answer(None, "several")
    (letter, said), *_ = named.items()
    return Answer(letter, "weak-statement", detail=said)
