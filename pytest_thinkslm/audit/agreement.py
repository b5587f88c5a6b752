"""How well a rater (parser or judge) agrees with people who labelled the same outputs. Pure.

Both sides call an output correct or incorrect, so everything follows from the two-by-two table of weighted counts:
with a = both correct, b = the rater alone, c = the people alone, d = neither (shares of the total),

    rho   = (a d - b c) / sqrt((a + b) (c + d) (a + c) (b + d))          TPR = a / (a + c)
    kappa = 2 (a d - b c) / ((a + b) (b + d) + (a + c) (c + d))          TNR = d / (b + d)

Pearson's rho of two yes-or-no variables is the phi coefficient, and Spearman's is the same number: the ranks of two
values are a linear function of them. They differ only over the accuracies of tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import atanh, fsum, sqrt, tanh
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.audit.figures import Figure
from pytest_thinkslm.statistics import Interval, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Resamples of the bootstrap.
RESAMPLES = 2_000

#: With more than this share of resamples in which a statistic is undefined, it has no interval.
_UNDEFINED_RESAMPLES = 0.05

_NO_ITEMS = "no output has both a label and a verdict"
_NORMAL_QUANTILE = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Pair:
    """One output with both readings, true for correct.

    ``weight`` is how many outputs of the run it stands for; outputs of one ``cluster`` (within its task) are not
    independent, such as repeats of one question.
    """

    task: str
    cluster: str
    weight: float
    rater: bool
    human: bool


@dataclass(frozen=True, slots=True)
class Confusion:
    """The two-by-two table; the rater first, then the people."""

    both_correct: float = 0.0
    only_rater_correct: float = 0.0
    only_human_correct: float = 0.0
    both_incorrect: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """A rater against people on one set of outputs.

    Attributes:
        n: outputs with both readings.
        n_effective: independent outputs of equal weight that would tell as much (Kish).
        counts: the confusion matrix of the labelled outputs.
        shares: the same weighted back to the run, as shares of it.
        accuracy_human: accuracy that the people give; ``accuracy_rater`` the rater's. Weighted, as all that follows.
        agreement: share of outputs with the same reading.
        kappa: Cohen's.
        rho: Pearson's and Spearman's.
        tpr: share that the rater calls correct of what people call correct.
        tnr: share that the rater calls incorrect of what people call incorrect.
    """

    n: int
    n_effective: float
    counts: Confusion
    shares: Confusion
    accuracy_human: Figure
    accuracy_rater: Figure
    agreement: Figure
    kappa: Figure
    rho: Figure
    tpr: Figure
    tnr: Figure

    def as_json(self) -> dict[str, object]:
        """The figures as plain values; ``pearson`` and ``spearman`` are both there, and equal."""
        rho = self.rho.as_json()
        return {
            "n": self.n,
            "n_effective": self.n_effective,
            "confusion": {"counts": asdict(self.counts), "shares": asdict(self.shares)},
            "accuracy_human": self.accuracy_human.as_json(),
            "accuracy_rater": self.accuracy_rater.as_json(),
            "agreement": self.agreement.as_json(),
            "kappa": self.kappa.as_json(),
            "pearson": rho,
            "spearman": rho,
            "tpr": self.tpr.as_json(),
            "tnr": self.tnr.as_json(),
        }


@dataclass(frozen=True, slots=True)
class TaskAgreement:
    """How close the accuracies of the tasks are, the rater's to those that people give.

    Attributes:
        mae: mean over the tasks of the absolute difference of the two accuracies, each weighted within its task; every
            task counts the same. A fraction.
        pearson: correlation of the two accuracies over the tasks.
        spearman: the same of their ranks.
    """

    mae: Figure
    pearson: Figure
    spearman: Figure

    def as_json(self) -> dict[str, object]:
        """The figures as plain values."""
        return {name: getattr(self, name).as_json() for name in ("mae", "pearson", "spearman")}


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """A rater against people: over all outputs, by task, and over the tasks' accuracies."""

    overall: Agreement
    by_task: Mapping[str, Agreement]
    tasks: TaskAgreement


def rater_agreement(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = 0) -> RaterAgreement:
    """Everything about one rater.

    Intervals, all 95%: of kappa and rho the percentiles of a bootstrap that resamples whole clusters within each task
    (Efron and Tibshirani 1993, ch. 13). Fisher's z is about normal variables and would not do: for 5 disagreements in
    1,000 (rho 0.99) it says 0.989 to 0.991, where sampling alone moves rho between 0.98 and 1.00. Of TPR, TNR,
    accuracies and agreement Wilson's on the effective n. Over the tasks' accuracies Fisher's z, with Bonett and
    Wright's (2000) variance for Spearman's rho.
    Finite populations are not corrected for: the run's outputs are themselves a sample.

    Args:
        pairs: outputs with both readings. Multiplying all weights by one number changes nothing.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    by_task: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_task[pair.task].append(pair)
    tables = {task: _resampled(members, resamples, seed) for task, members in sorted(by_task.items())}
    overall = sum(tables.values()) if tables else None
    figures = {task: _agreement(by_task[task], table) for task, table in tables.items()}
    return RaterAgreement(_agreement(pairs, overall), figures, _over_tasks(figures))


def _agreement(pairs: Sequence[Pair], resampled: Any) -> Agreement:
    counts = [fsum(1 for pair in pairs if _cell(pair) == cell) for cell in range(4)]
    total = fsum(pair.weight for pair in pairs)
    if not total:
        none = Figure(None, why=_NO_ITEMS)
        return Agreement(0, 0.0, Confusion(), Confusion(), none, none, none, none, none, none, none)
    shares = [fsum(pair.weight for pair in pairs if _cell(pair) == cell) / total for cell in range(4)]
    return Agreement(
        n=len(pairs),
        n_effective=_effective(pairs),
        counts=Confusion(*counts),
        shares=Confusion(*shares),
        accuracy_human=_share(pairs, [pair.human for pair in pairs], _NO_ITEMS),
        accuracy_rater=_share(pairs, [pair.rater for pair in pairs], _NO_ITEMS),
        agreement=_share(pairs, [pair.rater == pair.human for pair in pairs], _NO_ITEMS),
        kappa=_bootstrapped(pairs, _kappa, shares, resampled),
        rho=_bootstrapped(pairs, _rho, shares, resampled),
        tpr=_rate(pairs, of=True),
        tnr=_rate(pairs, of=False),
    )


def _cell(pair: Pair) -> int:
    return (0 if pair.rater else 2) if pair.human else (1 if pair.rater else 3)


def _rate(pairs: Sequence[Pair], *, of: bool) -> Figure:
    name = "correct" if of else "incorrect"
    among = [pair for pair in pairs if pair.human == of]
    return _share(among, [pair.rater == of for pair in among], f"people call no output {name}")


def _share(pairs: Sequence[Pair], holds: Sequence[bool], why: str) -> Figure:
    if not pairs:
        return Figure(None, why=why)
    total = fsum(pair.weight for pair in pairs)
    share = min(1.0, fsum(pair.weight for pair, yes in zip(pairs, holds, strict=True) if yes) / total)
    effective = _effective(pairs)
    return Figure(share, wilson(share * effective, effective))


def _effective(pairs: Sequence[Pair]) -> float:
    """Kish's effective n of clusters: as if all outputs of a cluster were one."""
    weights: dict[tuple[str, str], float] = defaultdict(float)
    for pair in pairs:
        weights[pair.task, pair.cluster] += pair.weight
    return fsum(weights.values()) ** 2 / fsum(weight**2 for weight in weights.values())


def _resampled(pairs: Sequence[Pair], resamples: int, seed: int) -> Array:
    """Tables of weights, (resamples, 4), each of as many clusters of one task, drawn with replacement."""
    import numpy as np

    clusters: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for pair in pairs:
        clusters[pair.cluster][_cell(pair)] += pair.weight
    cells = np.array([clusters[name] for name in sorted(clusters)])
    times = np.random.default_rng(seed).multinomial(len(cells), np.full(len(cells), 1 / len(cells)), size=resamples)
    tables: Array = times.astype(np.float64) @ cells
    return tables


def _kappa(cells: Array) -> tuple[Array, Array]:
    """Numerator and denominator; the latter is 0 where only one word was used by both."""
    a, b, c, d = cells.T
    return 2 * (a * d - b * c), (a + b) * (b + d) + (a + c) * (c + d)


def _rho(cells: Array) -> tuple[Array, Array]:
    """Numerator and denominator; the latter is 0 where one side used one word only."""
    import numpy as np

    a, b, c, d = cells.T
    return a * d - b * c, np.sqrt((a + b) * (c + d)) * np.sqrt((a + c) * (b + d))


def _bootstrapped(pairs: Sequence[Pair], statistic: Any, shares: Sequence[float], resampled: Array) -> Figure:
    import numpy as np

    top, bottom = statistic(np.array([shares]))
    if not bottom[0]:
        return Figure(None, why=_constant(pairs))
    value = min(1.0, max(-1.0, float(top[0] / bottom[0])))
    if all(pair.rater == pair.human for pair in pairs):
        effective = _effective(pairs)
        most = wilson(0, effective).high
        return Figure(value, why=f"no disagreement was seen, so the share of disagreements is at most {most:.2%} (95%)")
    tops, bottoms = statistic(resampled)
    defined = bottoms > 0
    if defined.mean() < 1 - _UNDEFINED_RESAMPLES:
        return Figure(value, why=f"undefined in {1 - defined.mean():.0%} of the resamples: too few outputs of one kind")
    values = tops[defined] / bottoms[defined]
    low, high = (float(end) for end in np.percentile(values, (2.5, 97.5)))
    if low == high:
        return Figure(value, why="every resample is the same: too few outputs")
    return Figure(value, Interval(max(-1.0, min(low, value)), min(1.0, max(high, value))))


def _constant(pairs: Sequence[Pair]) -> str:
    sides = {"people call": {pair.human for pair in pairs}, "the rater calls": {pair.rater for pair in pairs}}
    found = [
        f"{who} every output {'correct' if True in words else 'incorrect'}"
        for who, words in sides.items()
        if len(words) == 1
    ]
    return " and ".join(found)


def _over_tasks(figures: Mapping[str, Agreement]) -> TaskAgreement:
    rows = [
        (round(figure.accuracy_rater.value, 12), round(figure.accuracy_human.value, 12))
        for figure in figures.values()
        if figure.accuracy_rater.value is not None and figure.accuracy_human.value is not None
    ]
    if not rows:
        none = Figure(None, why=_NO_ITEMS)
        return TaskAgreement(none, none, none)
    mae = Figure(fsum(abs(rater - human) for rater, human in rows) / len(rows))
    if len(rows) < 3:
        why = f"a correlation over tasks needs at least 3, here are {len(rows)}"
        return TaskAgreement(mae, Figure(None, why=why), Figure(None, why=why))
    raters, humans = zip(*rows, strict=True)
    for who, values in (("people give", humans), ("the rater gives", raters)):
        if len(set(values)) == 1:
            why = f"{who} every task the same accuracy"
            return TaskAgreement(mae, Figure(None, why=why), Figure(None, why=why))
    from scipy.stats import pearsonr, spearmanr

    pearson, spearman = float(pearsonr(raters, humans).statistic), float(spearmanr(raters, humans).statistic)
    n = len(rows)
    return TaskAgreement(mae, _fisher(pearson, n, 1.0), _fisher(spearman, n, 1 + spearman**2 / 2))


def _fisher(rho: float, n: int, factor: float) -> Figure:
    """A correlation of ``n`` tasks with the interval of Fisher's z, of variance ``factor`` / (n - 3)."""
    if n < 4:
        return Figure(rho, why=f"an interval over tasks needs at least 4, here are {n}")
    if abs(rho) > 1 - 1e-12:
        return Figure(round(rho), why="the accuracies are in perfect relation, so that Fisher's z is infinite")
    half = _NORMAL_QUANTILE * sqrt(factor / (n - 3))
    return Figure(rho, Interval(tanh(atanh(rho) - half), tanh(atanh(rho) + half)))
