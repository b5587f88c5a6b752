"""Slips of the keyboard in words that carry neither numbers nor names."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import content_words, outside

#: At most so many letters change places, and at most one in so many words.
MOST, ONE_IN = 4, 8
_WORD = re.compile(r"(?<![\w'$\\-])[a-z]{5,}(?![\w'\-])")
_OF_NUMBERS = re.compile(
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
    r"(?:teen|ty|s|th)?|(?:thir|four|fif|six|seven|eigh|nine)teen|hundred|thousand|million|billion|dozen|half|halves|"
    r"third|fourth|fifth|quarter|double|doubled|triple|tripled|twice|thrice|percent|couple|single|first|second"
)

#: A slip must not make another word: pairs of words that differ by two neighbouring inner letters.
_ANOTHER_WORD = frozenset(
    """
    angel angle angels angles bared braed barking braking brunt burnt carve crave casual causal clots colts dairy diary
    farming framing files flies fired fried fires fries marital martial quiet quite sacred scared signed singed silver
    sliver spilt split tired tried tires tries trail trial trails trials united untied
    """.split()
)


def mistype(case: Case, rng: random.Random) -> Case | None:
    """Two inner neighbouring letters exchanged in some words. None: no word can bear it."""
    text = case.question
    known = content_words(" ".join(case.options))
    able = [
        place + match.start()
        for place, end in outside(text)
        for match in _WORD.finditer(text[place:end])
        if not _OF_NUMBERS.fullmatch(match[0].removesuffix("s"))
        and not _OF_NUMBERS.fullmatch(match[0])
        and match[0].rstrip("s") not in known
        and match[0] not in _ANOTHER_WORD
        and _slips(match[0])
    ]
    if not able:
        return None
    number = max(1, min(MOST, len(text.split()) // ONE_IN, len(able)))
    letters = list(text)
    for begin in rng.sample(able, number):
        word = _WORD.match(text, begin)
        assert word is not None
        place = begin + rng.choice(_slips(word[0]))
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return replace(case, question="".join(letters))


def _slips(word: str) -> list[int]:
    """Inner places whose letter differs from the next one; the outer letters stay, so that a word can be recognized."""
    return [place for place in range(1, len(word) - 2) if word[place] != word[place + 1]]
