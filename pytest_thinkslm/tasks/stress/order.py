"""The order of a list that is to be sorted, and of sentences that do not depend on each other."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.names import PEOPLE
from pytest_thinkslm.tasks.stress.text import is_plain, sentences

_NAMES = frozenset(name for names in PEOPLE for name in names)
# Words that tie a sentence to another, or to a moment in a story.
_TIED = re.compile(
    r"\b(?:he|she|it|they|him|her|hers|his|its|their|them|this|that|these|those|there|such|same|other|others|another|rest|"
    r"then|next|after|afterwards|before|later|earlier|now|finally|first|second|third|last|again|also|too|both|each|either|"
    r"however|but|so|thus|therefore|instead|while|when|until|if|remaining|remainder|left|more|less|fewer|than|twice|half|"
    r"times|as|all|total|altogether|together|combined|everyone|we|you|I|one|ones|who|which|total)\b",
    re.IGNORECASE,
)


def reorder(case: Case, rng: random.Random) -> Case | None:
    """The list in another order; two neighbouring sentences exchanged where neither depends on the other."""
    if case.kind == "list":
        return _shuffled(case, rng)
    if not is_plain(case.question):
        return None
    parts = sentences(case.question)
    able = [place for place in range(len(parts) - 2) if _apart(parts[place], parts[place + 1])]
    if not able:
        return None
    place = rng.choice(able)
    first, second = parts[place], parts[place + 1]
    blanks = first[len(first.rstrip()) :]
    parts[place : place + 2] = [second.rstrip() + blanks, first.rstrip() + second[len(second.rstrip()) :]]
    return replace(case, question="".join(parts))


def _apart(first: str, second: str) -> bool:
    """Both say something of one person each, of two different ones, in no word that refers to anything else."""
    subjects = [sentence.split(maxsplit=1)[0] for sentence in (first, second)]
    people = [_NAMES & set(re.findall(r"[A-Z]\w+", sentence)) for sentence in (first, second)]
    if any(_TIED.search(sentence) for sentence in (first, second)):
        return False
    return all(subject in _NAMES for subject in subjects) and all(len(found) == 1 for found in people) and (
        subjects[0] != subjects[1]
    )  # fmt: skip


def _shuffled(case: Case, rng: random.Random) -> Case | None:
    shown = ", ".join(map(str, case.given))
    if case.question.count(shown) != 1 or len(set(case.given)) < 3:
        return None
    given = list(case.given)
    while tuple(given) == case.given or given == sorted(given):
        rng.shuffle(given)
    question = case.question.replace(shown, ", ".join(map(str, given)))
    return replace(case, question=question, given=tuple(given))
