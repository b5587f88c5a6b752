"""Correction of p-values for the number of tests in a family."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Holm's (1979) adjusted p-values: rejecting those of at most alpha keeps the chance of any false alarm at alpha.

    It holds under any dependence between the tests. Where *all* tests of a family must reject for a decision
    (non-inferiority of every task), no correction is needed: Berger's (1982) intersection-union test.
    """
    # Not statsmodels' multipletests: it collects all garbage on each call, which takes seconds beside a large run.
    adjusted, largest = {}, 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}


def holm_levels(p_values: Mapping[K, float], alpha: float) -> dict[K, float]:
    """The level at which Holm's procedure tests each: alpha / (size - rank), rank from 0 by rising p.

    A one-sided bound at confidence 1 - level matches the decision.
    """
    ranked = sorted(p_values, key=lambda key: p_values[key])
    return {key: alpha / (len(ranked) - rank) for rank, key in enumerate(ranked)}
