"""How far a variant's next-token distributions are from another's, along that one's own outputs. Pure.

Divergences are KL(before || now) in nats a token. An item is one observation: the mean over its tokens; intervals are
over items, of whole clusters.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum
from statistics import median
from typing import Protocol

from pytest_thinkslm.core.item_record import AnswerJson
from pytest_thinkslm.runs.lengths import NUMBER, value_spans
from pytest_thinkslm.runs.types import Change, DriftClass, DriftJson
from pytest_thinkslm.statistics.clusters import ClusterSums


class Token(Protocol):
    """What is known of a token (``engines.scoring.TokenScore``)."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def kl(self) -> float: ...  # noqa: D102
    @property
    def kl_most(self) -> float: ...  # noqa: D102
    @property
    def agrees(self) -> bool: ...  # noqa: D102
    @property
    def log_probability_before(self) -> float: ...  # noqa: D102
    @property
    def log_probability(self) -> float: ...  # noqa: D102
    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def end_before(self) -> float: ...  # noqa: D102
    @property
    def end_now(self) -> float: ...  # noqa: D102
    @property
    def thought(self) -> tuple[float, float] | None: ...  # noqa: D102


@dataclass(slots=True)
class _Sums:
    tokens: int = 0
    kl: float = 0.0
    agree: int = 0


@dataclass(frozen=True, slots=True)
class ItemDrift:
    """One item's text, summed up; means over its tokens.

    ``diverges_at`` is the first token of the text at which the likeliest tokens differ, None where they never do.
    ``end`` are the probabilities of the end of the turn where the text ends; None where it was cut. ``thought`` are
    those of the end of the thought where the text ends one; None where it ends none by a token of its own.
    """

    cluster: Hashable
    tokens: int
    kl: float
    kl_most: float
    agreement: float
    surprise: tuple[float, float]
    rank: float
    diverges_at: int | None
    end: tuple[float, float] | None
    thought: tuple[float, float] | None = None
    kinds: Mapping[str, _Sums] = field(default_factory=dict)


def answer_span(text: str, answer: AnswerJson) -> tuple[int, int] | None:
    """From which character to which the answer that was read stands in an output: its last place; None: nowhere.

    A number however it is written, a letter of options that stands alone, a list's numbers one after the other, a
    judgement's word, anything else as it is.
    """
    match answer:
        case None | "" | []:
            return None
        case str() if NUMBER.fullmatch(answer):
            return max(value_spans(text, answer), default=None)
        case str() if len(answer) == 1:
            pattern = rf"(?<![^\W_]){re.escape(answer)}(?![^\W_])"
        case str():
            pattern = re.escape(answer)
        case list():
            pattern = r"(?<!\d)" + r"[\s,;]+".join(re.escape(str(number)) for number in answer) + r"(?!\d)"
        case _:
            pattern = r"(?i)\bcorrect\b" if answer["judgement"] == "correct" else r"(?i)\b(?:wrong|incorrect)\b"
    return max((match.span() for match in re.finditer(pattern, text)), default=None)


def item_drift(tokens: Sequence[Token], cluster: Hashable, *, ended: bool) -> ItemDrift:
    """Sum up the scores of one text (at least one token).

    Args:
        ended: whether the last token is the end of the turn.
    """
    kinds: dict[str, _Sums] = {}
    for token in tokens:
        own = kinds.setdefault(token.kind, _Sums())
        own.tokens += 1
        own.kl += token.kl
        own.agree += token.agrees
    last = tokens[-1]
    return ItemDrift(
        cluster,
        len(tokens),
        _mean([token.kl for token in tokens]),
        _mean([token.kl_most for token in tokens]),
        _mean([token.agrees for token in tokens]),
        (-_mean([token.log_probability_before for token in tokens]), -_mean([t.log_probability for t in tokens])),
        _mean([token.rank for token in tokens]),
        next((place for place, token in enumerate(tokens) if not token.agrees), None),
        (last.end_before, last.end_now) if ended else None,
        next((token.thought for token in tokens if token.thought is not None), None),
        kinds,
    )


def drift_figures(items: Sequence[ItemDrift]) -> DriftJson:
    """The figures of one group (at least one item)."""
    low, high = _interval([item.kl for item in items], [item.cluster for item in items])
    ends = [item.end for item in items if item.end is not None]
    diverged = [item.diverges_at for item in items if item.diverges_at is not None]
    kinds: dict[str, _Sums] = {}
    for item in items:
        for name, sums in item.kinds.items():
            own = kinds.setdefault(name, _Sums())
            own.tokens, own.kl, own.agree = own.tokens + sums.tokens, own.kl + sums.kl, own.agree + sums.agree
    figures: DriftJson = {
        "items": len(items),
        "tokens": sum(item.tokens for item in items),
        "kl_mean": _figure(_mean([item.kl for item in items])),
        "kl_low": low,
        "kl_high": high,
        "kl_most": _figure(_mean([item.kl_most for item in items])),
        "top1_agreement": _figure(_mean([item.agreement for item in items])),
        "perplexity": _change([exp(_mean([item.surprise[side] for item in items])) for side in (0, 1)]),
        "rank": _figure(_mean([item.rank for item in items])),
        "diverged": _figure(len(diverged) / len(items)),
        "first_divergence": float(median(diverged)) if diverged else None,
        "end_probability": _change([_mean([end[side] for end in ends]) if ends else None for side in (0, 1)]),
        "classes": {name: _class(sums) for name, sums in sorted(kinds.items())},
    }
    if thoughts := [item.thought for item in items if item.thought is not None]:
        figures["thought_end_probability"] = _change([_mean([end[side] for end in thoughts]) for side in (0, 1)])
    return figures


def _class(sums: _Sums) -> DriftClass:
    return {
        "tokens": sums.tokens,
        "kl_mean": _figure(sums.kl / sums.tokens),
        "top1_agreement": _figure(sums.agree / sums.tokens),
    }


def _interval(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[float | None, float | None]:
    """Student's, of a mean over clusters; a divergence is not negative. None where one cluster is all there is."""
    sums = ClusterSums.of(values, clusters)
    if sums.count < 2:
        return None, None
    mean, reach = _mean(values), sums.reach()
    return _figure(max(0.0, mean - reach)), _figure(mean + reach)


def _change(values: Sequence[float | None]) -> Change:
    before, now = (None if value is None else _figure(value) for value in values)
    return {"before": before, "now": now}


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _figure(value: float) -> float:
    return float(f"{value:.6g}")
