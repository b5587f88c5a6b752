"""Sums over clusters, of which only the clusters are independent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, cos, exp, fsum, lgamma, log, log1p, pi, sin, sqrt, tan
from statistics import NormalDist

_EXPANDED = 1_000

#: Below so many clusters of equal size tests and intervals are not to be relied on.
FEWEST_CLUSTERS = 25


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """For each cluster the sum of its values and how many they are, in order of first appearance."""

    sums: tuple[float, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, values: Sequence[float], clusters: Sequence[Hashable] | None) -> ClusterSums:
        """Sums of ``values`` by ``clusters`` (beside them); each value is its own cluster where None."""
        if clusters is None:
            return cls(tuple(values), (1,) * len(values))
        members: dict[Hashable, list[float]] = {}
        for value, cluster in zip(values, clusters, strict=True):
            members.setdefault(cluster, []).append(value)
        return cls(tuple(fsum(group) for group in members.values()), tuple(len(group) for group in members.values()))

    @property
    def n(self) -> int:
        """How many values there are."""
        return sum(self.sizes)

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.sums)

    @property
    def variance_of_mean(self) -> float:
        """Cluster-robust variance of the mean, with the factor C / (C - 1) of C clusters (C at least 2)."""
        mean = fsum(self.sums) / self.n
        squares = fsum((total - mean * size) ** 2 for total, size in zip(self.sums, self.sizes, strict=True))
        return self.count / (self.count - 1) * squares / self.n**2

    def reach(self, confidence: float = 0.95) -> float:
        """Half of the width of the mean's two-sided interval: Student's, of the clusters (at least 2)."""
        return student_quantile((1 + confidence) / 2, self.count - 1) * sqrt(self.variance_of_mean)

    @property
    def n_if_identical(self) -> float:
        """Kish's effective n where all values of a cluster are one and the same: n^2 / sum of sizes^2."""
        return self.n**2 / sum(size * size for size in self.sizes)


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t for whole degrees of freedom (at least 1), to nine digits or more.

    Beyond ``_EXPANDED`` degrees the expansion about the normal quantile (Abramowitz and Stegun 26.7.5); below, Newton's
    steps on the finite sum for the distribution (26.7.3 and 26.7.4). scipy has it, too, but importing it takes longer,
    and more memory, than everything else that a run's figures do.
    """
    if probability < 0.5:
        return -student_quantile(1 - probability, degrees)
    z = NormalDist().inv_cdf(probability)
    x = z * z
    quantile = z * (
        1
        + (x + 1) / (4 * degrees)
        + (5 * x**2 + 16 * x + 3) / (96 * degrees**2)
        + (3 * x**3 + 19 * x**2 + 17 * x - 15) / (384 * degrees**3)
        + (79 * x**4 + 776 * x**3 + 1482 * x**2 - 1920 * x - 945) / (92160 * degrees**4)
    )
    if degrees > _EXPANDED:
        return quantile
    if degrees <= 2:
        centre = 2 * probability - 1
        return tan(pi * centre / 2) if degrees == 1 else centre * sqrt(2 / (1 - centre * centre))
    log_scale = lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - log(degrees * pi) / 2
    for _ in range(50):
        density = exp(log_scale - (degrees + 1) / 2 * log1p(quantile * quantile / degrees))
        step = (0.5 + _half_central(quantile, degrees) - probability) / density
        quantile -= step
        if abs(step) <= 1e-14 * quantile:
            break
    return quantile


def _half_central(quantile: float, degrees: int) -> float:
    """P(0 < T < quantile) as the finite sum in the angle atan(quantile / sqrt(degrees))."""
    angle = atan(quantile / sqrt(degrees))
    squared = cos(angle) ** 2
    odd = degrees % 2
    total = term = cos(angle) if odd else 1.0
    for power in range(3 if odd else 2, degrees - 1, 2):
        term *= squared * (power - 1) / power
        total += term
    central = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return central / 2
