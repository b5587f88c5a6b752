"""Numbers in other words: twelve for 12, 1,200 for 1200, and back."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import inside, outside

#: "one" is left out: it is a pronoun as often as a number.
WORDS = {
    word: number
    for number, word in enumerate(
        """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
    """.split(),
        2,
    )
}
_SPELLED = {number: word for word, number in WORDS.items()}
# Not within other numbers, words, money, percentages, fractions, dates, times, ordinals or signs.
_ALONE = r"(?<![\w$€£%./:,°#+*=^(\-–−'])(?<!\bx )"
_THEN = (
    r"(?![\w%./:°*=^)'\-–−$€£]|,\d|\s*(?:[%/:*=^+×÷°$€£]|x\s+\w|"
    r"(?:st|nd|rd|th|am|pm|a\.m|p\.m|o'clock|percent|hundred|thousand|million|billion|dozen|and a half)\b))"
)
_DIGITS = re.compile(_ALONE + r"(\d{1,3}(?:,\d{3})+|\d{1,7})(?:(?=[.,](?:\s|\Z))|" + _THEN + ")")
_WORD = re.compile(_ALONE + r"(" + "|".join(WORDS) + r")" + r"(?=[.,](?:\s|\Z)|" + _THEN + ")")
# In front of a word, a unit or another number word it is one number of several words, or a name.
_COMPOSED = re.compile(
    r"(?:hundred|thousand|million|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|and|"
    r"number|page|chapter|room|grade|exercise|class|bus|route|level|no\.)[\s-]+\Z",
    re.IGNORECASE,
)
# After a capitalised word within a sentence it is a part of a name: "Apollo 13", "Team 2", "May 5".
_NAMED = re.compile(
    r"[a-z,;]\s+[A-Z]\w*\s+\Z|\b(?:January|February|March|April|May|June|July|August|September|October|"
    r"November|December)\s+\Z"
)


def respell(case: Case, rng: random.Random) -> Case | None:
    """Some numbers (at least one) in their other form. None: there is no number that has one."""
    text, free = case.question, outside(case.question)
    places: list[tuple[int, int, str]] = []
    for match in _DIGITS.finditer(text):
        new = _other_digits(match[1])
        if new and inside(match.start(1), free) and _free_before(text[: match.start(1)]):
            places.append((match.start(1), match.end(1), new))
    for match in _WORD.finditer(text):
        if inside(match.start(1), free) and _free_before(text[: match.start(1)]):
            places.append((match.start(1), match.end(1), str(WORDS[match[1]])))
    if not places:
        return None
    chosen = sorted(rng.sample(places, rng.randint(1, len(places))), reverse=True)
    for begin, end, new in chosen:
        text = text[:begin] + new + text[end:]
    return replace(case, question=text)


def _other_digits(digits: str) -> str:
    value = int(digits.replace(",", ""))
    if str(value) != digits.replace(",", ""):
        return ""  # leading zeros: no plain number
    if "," in digits:
        return str(value)
    if value >= 10_000 or (value >= 1000 and not 1500 <= value <= 2199):  # four digits may be a year
        return f"{value:,}"
    return _SPELLED.get(value, "")


def _free_before(before: str) -> bool:
    """A number that begins a sentence, belongs to a longer one or numbers a thing keeps its form."""
    return bool(before) and not re.search(r"[.!?:\n][\"'\s]*\Z", before) and not (
        _COMPOSED.search(before[-20:]) or _NAMED.search(before[-30:])
    )  # fmt: skip


def values(text: str) -> list[int]:
    """The numbers of a text, as ``respell`` knows them, in order: the same before and after."""
    tokens = re.findall(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+|" + "|".join(rf"\b{word}\b" for word in WORDS), text)
    return [WORDS[token] if token in WORDS else int(token.replace(",", "")) for token in tokens]
