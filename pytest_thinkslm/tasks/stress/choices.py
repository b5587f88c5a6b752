"""The order and the labels of choices."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case

# An option that speaks of others stays where it is: "all of the above", "both A and C", "neither", "the first two".
_OF_OTHERS = re.compile(
    r"\b(?:above|below|both|either|neither|none|all|any) (?:of )?"
    r"(?:these|those|the|them|above|answers|options|choices|[A-H]\b)"
    r"|\b(?:above|below|previous|preceding|following)\b|^(?:both|neither|none|all|either)\b|\bnone of\b"
    r"|\b(?:options?|choices?|answers?) [A-H1-8]\b|^[A-H](?:,? (?:and|or|&) [A-H])+\b"
    r"|\b(?:the )?(?:first|last|former|latter) (?:two|three|option|choice|answer)s?\b",
    re.IGNORECASE,
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPOKEN_OF = re.compile(r"\b(?:option|choice|answer|statement)s? \(?[A-H]\b|\([A-H]\)", re.IGNORECASE)


def reorder(case: Case, rng: random.Random) -> Case | None:
    """The options in another order, the gold's letter with its option. None: an option or the question names others."""
    if any(_OF_OTHERS.search(option) for option in case.options) or _SPOKEN_OF.search(case.question):
        return None
    if len(set(case.options)) < 2 or not isinstance(case.gold, str):
        return None
    places = list(range(len(case.options)))
    while places == sorted(places):
        rng.shuffle(places)
    gold = places.index(_LETTERS.index(case.gold))
    options = tuple(case.options[place] for place in places)
    return replace(case, options=options, gold=_LETTERS[gold], places=tuple(places))


#: The forms of labels by name; the n-th option's, n from 0.
FORMS = {"digits": "{number}.", "lower": "({lower})", "bullets": "-"}


def relabel(case: Case, rng: random.Random) -> Case | None:
    """Other labels. None: an option speaks of others by their letters, or has no text to answer with under bullets."""
    if any(_OF_OTHERS.search(option) for option in case.options) or _SPOKEN_OF.search(case.question):
        return None
    # A number as an option's text cannot be told from a number as its label.
    numeric = any(re.fullmatch(r"[\W\d]*", option) for option in case.options)
    distinct = len({option.casefold() for option in case.options}) == len(case.options)
    bare = any(not option[:1].isalnum() for option in case.options)  # "- - 30"
    single = any(len(option.strip()) == 1 and option.strip().isalpha() for option in case.options)  # "(a) b"
    unfit = {"digits": numeric, "lower": single, "bullets": bare or not distinct}
    able = [name for name in FORMS if not unfit[name]]
    if not able:
        return None
    form = FORMS[rng.choice(able)]
    labels = (form.format(number=place + 1, lower=_LETTERS[place].lower()) for place in range(len(case.options)))
    return replace(case, labels=tuple(labels))
