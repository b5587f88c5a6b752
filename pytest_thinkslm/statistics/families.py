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
    if not p_values:
        return {}
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {key: float(p) for key, p in zip(p_values, adjusted, strict=True)}


def holm_levels(p_values: Mapping[K, float], alpha: float) -> dict[K, float]:
    """The level at which Holm's procedure tests each: alpha / (size - rank), rank from 0 by rising p.

    A one-sided bound at confidence 1 - level matches the decision.
    """
    ranked = sorted(p_values, key=lambda key: p_values[key])
    return {key: alpha / (len(ranked) - rank) for rank, key in enumerate(ranked)}
