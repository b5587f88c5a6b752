"""A true sentence that has nothing to do with the question."""

from __future__ import annotations

import random
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import REFERRING, content_words, sentences

#: True, without numbers and names of people, each about a thing of its own.
DISTRACTORS = (
    "The public library downtown lends films as well as novels.",
    "Violins are usually made of spruce and maple.",
    "Many lighthouses were painted in stripes to be seen by day.",
    "Bamboo is a grass and not a tree.",
    "Some museums close for renovation in winter.",
    "Sailors used to navigate by the stars.",
    "Crossword puzzles appear in newspapers around the world.",
    "Velvet feels smoother in one direction than in the other.",
    "Porcelain was first made in China.",
    "Carrier pigeons delivered messages before the telegraph.",
    "Opera singers train their voices for years.",
    "Old maps often show sea monsters at their edges.",
)


def distract(case: Case, rng: random.Random) -> Case | None:
    """One of ``DISTRACTORS`` before a word problem's last sentence, else in front of the text. None: each is related.

    In front, too, where the last sentence points back at what is before it and could be taken to mean the distractor.
    """
    related = content_words(" ".join((case.context, case.question, *case.options)))
    able = [sentence for sentence in DISTRACTORS if not content_words(sentence) & related]
    if not able:
        return None
    parts = sentences(case.question)
    place = len(parts) - 1 if case.kind == "number" and not REFERRING.search(parts[-1]) else 0
    parts.insert(place, rng.choice(able) + " ")
    return replace(case, question="".join(parts))
