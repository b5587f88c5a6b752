"""Summaries of items that were asked several times."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import comb, fsum, sqrt
from typing import NamedTuple, TypeVar

A = TypeVar("A", bound=Hashable)


class RunSpread(NamedTuple):
    """Accuracy of each run (fractions), their mean, and the sample standard deviation over runs.

    ``deviation`` is None below two runs; it says how much runs differ, not how sure the accuracy is
    (that is `accuracy_interval` with the item as cluster).
    """

    runs: tuple[float, ...]
    mean: float | None
    deviation: float | None


def run_spread(runs: Sequence[Sequence[float]]) -> RunSpread:
    """Spread of the accuracies over ``runs``, each a sequence of scores (0 to 1); runs without items are left out."""
    accuracies = tuple(fsum(scores) / len(scores) for scores in runs if len(scores))
    if not accuracies:
        return RunSpread((), None, None)
    mean = fsum(accuracies) / len(accuracies)
    if len(accuracies) == 1:
        return RunSpread(accuracies, mean, None)
    squares = fsum((accuracy - mean) ** 2 for accuracy in accuracies)
    return RunSpread(accuracies, mean, sqrt(squares / (len(accuracies) - 1)))


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that at least one of ``k`` outputs, drawn without replacement from ``n``, is right.

    Unbiased for k independent samples: 1 - C(n - c, k) / C(n, k).

    Raises:
        ValueError: unless 0 <= correct <= n and 1 <= k <= n.

    Source: Chen et al. (2021), Evaluating Large Language Models Trained on Code, eq. (1).
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= correct <= n and 1 <= k <= n, not n={n}, correct={correct}, k={k}")
    return 1.0 - comb(n - correct, k) / comb(n, k)


def mean_pass_at_k(items: Sequence[Sequence[float]], k: int) -> float | None:
    """Mean of `pass_at_k` over items, each given as its scores (1 is right), on those with at least ``k`` repeats.

    None where no item has that many.
    """
    values = [pass_at_k(len(scores), sum(score >= 1 for score in scores), k) for scores in items if len(scores) >= k]
    return fsum(values) / len(values) if values else None


def majority_vote(answers: Sequence[A | None]) -> A | None:
    """The most frequent answer; of several that are equally frequent, the one given first.

    None (no answer found) has no vote: it wins only where there is nothing else. The first of a tie is a rule that
    neither looks at the gold nor depends on chance.

    Source: Wang et al. (2023), Self-Consistency Improves Chain of Thought Reasoning in Language Models.
    """
    votes: dict[A, int] = {}
    for answer in answers:
        if answer is not None:
            votes[answer] = votes.get(answer, 0) + 1
    return max(votes, key=lambda answer: votes[answer]) if votes else None
