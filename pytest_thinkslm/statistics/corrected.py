"""An accuracy corrected for the errors of whoever read the outputs, from a sample that people labelled. Fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from pytest_thinkslm.statistics.counts import mean_interval
from pytest_thinkslm.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Reading:
    """The outputs that were read alike (as correct, or as incorrect), and what people say of some of them.

    Attributes:
        share: what part of the accuracy's weight they have.
        outputs: how many they are.
        labelled: how many of them people labelled.
        n_effective: how many independent labels of equal weight would tell as much (Kish).
        right: share of the labelled that people call correct, each weighted by what it stands for.
    """

    share: float
    outputs: int
    labelled: int
    n_effective: float
    right: float


def corrected_accuracy(
    readings: Sequence[Reading], n_effective: float, confidence: float = 0.95
) -> tuple[float, Interval]:
    """The accuracy that people would give all outputs, and its two-sided interval.

    The estimate is the sum over the readings of share x right: what the reader called correct and people do not is
    taken off, what it called incorrect and people call correct is added. With the reader's verdicts as predictions this
    is the prediction-powered estimate, mean(prediction) + mean(label - prediction) (Angelopoulos et al. 2023, Science
    382:669), post-stratified by the prediction; it is what Rogan and Gladen (1978) correct a prevalence by where
    sensitivity and specificity are those of the same outputs. Labels may be drawn at other rates from each reading.

    Its uncertainty has three independent parts: each reading's share of right outputs (Wilson's interval on
    ``n_effective`` labels, narrowed by the part of its outputs that is labelled), and the items themselves, a sample of
    questions (Wilson's on the accuracy's own effective n): two-phase sampling (Cochran 1977, sec. 12.2). They are
    joined by MOVER (Zou and Donner 2008, Statistics in Medicine 27:1693), which keeps an interval away from a point
    where no error was seen. Coverage by simulation: docs/audit.md.

    Args:
        readings: whose shares add up to at most 1; the rest of the weight is wrong whoever looks (errors).
        n_effective: independent items of which the accuracy tells as much.
        confidence: two-sided.
    """
    estimate = min(1.0, max(0.0, sum(reading.share * reading.right for reading in readings)))
    below = above = 0.0
    for reading in readings:
        ends = wilson(reading.right * reading.n_effective, reading.n_effective, confidence)
        unseen = max(0.0, 1 - reading.labelled / reading.outputs) if reading.outputs else 0.0
        below += unseen * (reading.share * (reading.right - ends.low)) ** 2
        above += unseen * (reading.share * (ends.high - reading.right)) ** 2
    ends = wilson(estimate * n_effective, n_effective, confidence)
    below += (estimate - ends.low) ** 2
    above += (ends.high - estimate) ** 2
    return estimate, Interval(max(0.0, estimate - sqrt(below)), min(1.0, estimate + sqrt(above)))


def mean_of(parts: Sequence[tuple[float, Interval]]) -> tuple[float, Interval]:
    """The unweighted mean of independent estimates with its interval (`mean_interval`); at least one."""
    estimates, intervals = zip(*parts, strict=True)
    interval = mean_interval(estimates, intervals)
    assert interval is not None  # each part has one
    return sum(estimates) / len(estimates), interval


def difference_of(first: tuple[float, Interval], second: tuple[float, Interval]) -> tuple[float, Interval]:
    """The first estimate less the second, taken as independent, by MOVER (Newcombe 1998, method 10)."""
    (one, ends), (other, others) = first, second
    below = sqrt((one - ends.low) ** 2 + (others.high - other) ** 2)
    above = sqrt((ends.high - one) ** 2 + (other - others.low) ** 2)
    return one - other, Interval(one - other - below, one - other + above)
