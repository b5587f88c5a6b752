"""What compression does to the lengths of outputs, and to right values that were reached: item by item. Pure.

Lengths are output tokens, thoughts included; those of a thought alone are by its share of the output's characters.
Positions are fractions of an output's characters, its thought first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import AnswerJson, ItemLine, group_key
from pytest_thinkslm.runs.cuts import loops
from pytest_thinkslm.runs.types import Change, LengthsJson, ReachedJson
from pytest_thinkslm.statistics.intervals import Interval, wilson
from pytest_thinkslm.statistics.ratios import paired_ratio

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_IN_TEXT = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]|[.,]\d)")


@dataclass(slots=True)
class ItemLengths:
    """The outcomes of one item, one a repeat; ``reached`` are positions of the right value, None where it is not.

    Attributes:
        checked: whether the right value can be looked for (``value_position``).
        error: whether an outcome is an error: the item is then not compared.
    """

    cluster: str = ""
    tokens: list[int] = field(default_factory=list)
    thought: list[float] = field(default_factory=list)
    solved: int = 0
    outcomes: int = 0
    loops: int = 0
    cut: int = 0
    checked: bool = False
    error: bool = False
    reached: list[float | None] = field(default_factory=list)


def lengths(lines: Iterable[ItemLine]) -> dict[GroupKey, dict[str, ItemLengths]]:
    """What is kept of whole item records (role ``item``), by group and item."""
    found: dict[GroupKey, dict[str, ItemLengths]] = {}
    for line in lines:
        item = found.setdefault(group_key(line), {}).setdefault(line["item"], ItemLengths(line.get("cluster") or ""))
        item.outcomes += 1
        item.error |= line["verdict"] == "error"
        item.solved += line["verdict"] == "correct"
        item.loops += loops(line)
        item.cut += line.get("finish_reason") == "length" and not loops(line)
        if isinstance(tokens := line.get("output_tokens"), int):
            item.tokens.append(tokens)
            thought = len(line.get("reasoning") or "")
            item.thought.append(tokens * thought / max(1, thought + len(line.get("output") or "")))
        item.checked = can_be_looked_for(line.get("gold"), question_of(line))
        if item.checked:
            text = text_of(line)
            place = value_position(text, line["gold"])
            item.reached.append(None if place is None else place / len(text))
    return found


def length_change(
    before: Mapping[str, ItemLengths], now: Mapping[str, ItemLengths], lost: Collection[str] = ()
) -> LengthsJson | None:
    """What changed in a group, over the items that both have without an error; None where none has a token count.

    Args:
        lost: names of the items whose score fell.
    """
    shared = [item for item in before if item in now and not before[item].error and not now[item].error]
    counted = [item for item in shared if _whole(before[item]) and _whole(now[item])]
    pairs = [(_mean(before[item].tokens), _mean(now[item].tokens)) for item in counted]
    clusters = [now[item].cluster or f"item {item}" for item in counted]
    ratio = paired_ratio(pairs, clusters)
    if ratio is None:
        return None
    sides = [before[item] for item in counted], [now[item] for item in counted]
    value: LengthsJson = {
        "n": ratio.n,
        "tokens": {"before": _round(ratio.before), "now": _round(ratio.now)},
        "ratio": _round(ratio.ratio),
        "ratio_ci95": _ends(ratio.interval),
        "median_ratio": _round(ratio.median),
        "median_ratio_ci95": _ends(ratio.median_interval),
        "loops": _change([_share(side, "loops") for side in sides]),
        "cut": _change([_share(side, "cut") for side in sides]),
        "tokens_per_solved": _change([_per_solved(side) for side in sides]),
    }
    thoughts = [(_mean(before[item].thought), _mean(now[item].thought)) for item in counted]
    if (thought := paired_ratio(thoughts, clusters)) is not None:
        value["thought"] = {
            "tokens": {"before": _round(thought.before), "now": _round(thought.now)},
            "ratio": _round(thought.ratio),
            "ratio_ci95": _ends(thought.interval),
            "median_ratio": _round(thought.median),
            "median_ratio_ci95": _ends(thought.median_interval),
        }
    checked = [item for item in shared if before[item].checked and now[item].checked]
    if checked:
        value["reached"] = _reached(before, now, checked, lost)
    return value


def text_of(line: ItemLine) -> str:
    """What a model wrote, its thought first."""
    return (line.get("reasoning") or "") + "\n" + (line.get("output") or "")


def question_of(line: ItemLine) -> str:
    """The last turn of the user."""
    return next((turn["content"] for turn in reversed(line.get("messages") or ()) if turn["role"] == "user"), "")


def can_be_looked_for(gold: AnswerJson, question: str) -> bool:
    """Whether an output that has the right value has worked it out: numbers that do not stand in the question.

    A letter of options, which every output names when it goes through them, tells nothing.
    """
    if not isinstance(gold, str) or not NUMBER.fullmatch(gold):
        return False
    return value_position(question, gold) is None


def value_position(text: str, gold: AnswerJson) -> int | None:
    """Where a number first stands in a text, in characters, however it is written (1,200.0 for 1200); None: nowhere."""
    return next((start for start, _ in value_spans(text, str(gold))), None)


def value_spans(text: str, number: str) -> Iterator[tuple[int, int]]:
    """Where a number stands in a text, from which character to which, however it is written."""
    wanted = float(number.replace(",", ""))
    for match in _IN_TEXT.finditer(text):
        if float(match.group().replace(",", "")) == wanted:
            yield match.span()


def _reached(
    before: Mapping[str, ItemLengths], now: Mapping[str, ItemLengths], checked: Sequence[str], lost: Collection[str]
) -> ReachedJson:
    fallen = [item for item in checked if item in lost]
    had = sum(any(place is not None for place in now[item].reached) for item in fallen)
    both = [item for item in checked if _place(before[item]) is not None and _place(now[item]) is not None]
    positions = [[place for item in both if (place := _place(side[item])) is not None] for side in (before, now)]
    return {
        "checked": len(checked),
        "both": len(both),
        "position": _change([median(places) if places else None for places in positions]),
        "lost": len(fallen),
        "lost_had_it": had,
        "lost_had_it_ci95": _ends(wilson(had, len(fallen))) if fallen else None,
    }


def _place(item: ItemLengths) -> float | None:
    """Where an item's right value first stands: the mean over the repeats that have it."""
    places = [place for place in item.reached if place is not None]
    return _mean(places) if places else None


def _whole(item: ItemLengths) -> bool:
    return 0 < item.outcomes == len(item.tokens)


def _share(side: Sequence[ItemLengths], name: str) -> float:
    return float(sum(getattr(item, name) for item in side) / sum(item.outcomes for item in side))


def _per_solved(side: Sequence[ItemLengths]) -> float | None:
    solved = sum(item.solved for item in side)
    return sum(map(sum, (item.tokens for item in side))) / solved if solved else None


def _change(values: Sequence[float | None]) -> Change:
    before, now = (None if value is None else _round(value) for value in values)
    return {"before": before, "now": now}


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [_round(end) for end in interval]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _round(value: float) -> float:
    return round(value, 6)
