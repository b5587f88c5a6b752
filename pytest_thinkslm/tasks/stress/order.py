"""The order of a list that is to be sorted, and of sentences that do not depend on each other."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import is_plain, sentences

# What a sentence begins with that is about a single, named person; and words that begin sentences without being names.
_SUBJECT = re.compile(r"([A-Z][a-z]+) [a-z]")
_NO_NAMES = frozenset(
    """
    A An The If On In At For From To Of By With How What When Where Which Who Why Is Are Was Were Do Does Did Can
    Could Each Every Some Many Most Two Three Four Five Six Seven Eight Nine Ten Half Calculate Find Suppose Assume
    Assuming Given Let Today Yesterday Tomorrow Monday Tuesday Wednesday Thursday Friday Saturday Sunday January
    February March April May June July August September October November December Christmas Only About Over
    People Students Children Apples No Not My Our Your
    """.split()
)
# A single person or thing that a sentence after the pair may speak of: the last one that was named.
_SINGULAR = re.compile(r"\b(?:he|she|it|him|her|hers|his|its|this|that|former|latter)\b", re.IGNORECASE)
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
    able = [
        place
        for place in range(len(parts) - 2)
        if _apart(parts[place], parts[place + 1])
        and not _SINGULAR.search(parts[place + 2])
        and not (place == 0 and re.search(r"\bthe\b", parts[1]))  # "of the fruit": of what the first one introduces
    ]
    if not able:
        return None
    place = rng.choice(able)
    first, second = parts[place], parts[place + 1]
    blanks = first[len(first.rstrip()) :]
    parts[place : place + 2] = [second.rstrip() + blanks, first.rstrip() + second[len(second.rstrip()) :]]
    return replace(case, question="".join(parts))


def _apart(first: str, second: str) -> bool:
    """Both say something of one person each, of two different ones, in no word that refers to anything else."""
    if any(_TIED.search(sentence) for sentence in (first, second)):
        return False
    subjects = [_SUBJECT.match(sentence) for sentence in (first, second)]
    named = [set(re.findall(r"\b[A-Z][a-z]+", sentence)) for sentence in (first, second)]
    names = [subject[1] for subject in subjects if subject is not None and subject[1] not in _NO_NAMES]
    return len(set(names)) == 2 and all(found == {name} for name, found in zip(names, named, strict=True))


def _shuffled(case: Case, rng: random.Random) -> Case | None:
    shown = ", ".join(map(str, case.given))
    if case.question.count(shown) != 1 or len(set(case.given)) < 3:
        return None
    given = list(case.given)
    while tuple(given) == case.given or given == sorted(given):
        rng.shuffle(given)
    question = case.question.replace(shown, ", ".join(map(str, given)))
    return replace(case, question=question, given=tuple(given))
