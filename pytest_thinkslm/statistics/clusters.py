"""Sums over clusters, of which only the clusters are independent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum


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

    @property
    def n_if_identical(self) -> float:
        """Kish's effective n where all values of a cluster are one and the same: n^2 / sum of sizes^2."""
        return self.n**2 / sum(size * size for size in self.sizes)


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
