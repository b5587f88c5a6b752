r"""Boxes that stand together: ``$\boxed{1}$ and $\boxed{2}$`` is one statement of two values, not the value 2.

A model that boxes again after more reasoning corrects itself, and the last box counts. Two boxes in one breath, with
nothing between them but a joining word, a comma, spacing and the name of what is boxed, are both meant; to grade one
of them would mark whoever lists every candidate as right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_thinkslm.scoring.answers.region import Box

_BETWEEN_LIMIT = 120
_WORDS_LIMIT = 6
_DECORATION = re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{|\\[,;:! ]|\\q?quad|\\[()\[\]]|[\s$*_{}&~]|\\\\")
_JOINS = re.compile(r"[,;&]|\b(?:and|or|und|oder|et|ou|y|o|e|и|или)\b|[和或、与]|또는|または", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。]\s|[.!?。]$|\n\s*\n|(?<!\\)[=≈]\s*[-\d]")
_WORD = re.compile(r"[^\W\d_]+")
#: Words of a new step or a correction: what follows them replaces what was boxed before.
_MOVES_ON = frozenset(
    {
        *(
            "wait",
            "no",
            "not",
            "never",
            "actually",
            "so",
            "then",
            "therefore",
            "hence",
            "thus",
            "but",
            "which",
            "giving",
        ),
        *("gives", "gave", "we", "get", "gets", "getting", "instead", "rather", "correct", "corrected", "correction"),
        *("final", "finally", "answer", "wrong", "now", "check", "checking", "verify", "simplify", "simplifies", "if"),
        *("recall", "because", "since", "adding", "subtracting", "multiplying", "dividing", "substituting", "however"),
    }
)
_EITHER = re.compile(r"\beither\b[^.\n]{0,40}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BoxGroup:
    """Boxes that are one statement, in order; ``either`` where they are alternatives without a choice."""

    boxes: tuple[Box, ...]
    either: bool = False

    @property
    def end(self) -> int:
        """Where the last of them ends."""
        return self.boxes[-1].end


def box_groups(text: str, boxes: list[Box]) -> list[BoxGroup]:
    """The boxes of a text in groups, in order. Linear in the number of boxes."""
    groups: list[list[Box]] = []
    for box in boxes:
        if (
            groups
            and groups[-1][-1].closed
            and _stand_together(text[groups[-1][-1].end : min(box.start, groups[-1][-1].end + 400)])
        ):
            groups[-1].append(box)
        else:
            groups.append([box])
    return [
        BoxGroup(
            tuple(group), len(group) > 1 and bool(_EITHER.search(text[max(0, group[0].start - 80) : group[0].start]))
        )
        for group in groups
    ]


def _stand_together(between: str) -> bool:
    if len(between) > _BETWEEN_LIMIT or _SENTENCE_END.search(between):
        return False
    bare = _DECORATION.sub(" ", between)
    if not bare.strip():
        return True
    words = [word.lower() for word in _WORD.findall(bare)]
    if len(words) > _WORDS_LIMIT or not _MOVES_ON.isdisjoint(words):
        return False
    return bool(_JOINS.search(bare))
