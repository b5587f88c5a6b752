"""One decision over all tasks: is what a variant lost within what is allowed? Pure; points and percent.

GO is shown, not assumed: the mean of the task drops is within its margin, and every critical task is within its guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from pytest_thinkslm.gates.certificate_plan import needed_for_guard, needed_for_mean
from pytest_thinkslm.gates.outcomes import confidence_text, counted, p_text
from pytest_thinkslm.settings.policies import LimitedRate, Policy, Tier
from pytest_thinkslm.statistics import PairedResult, PValue, holm
from pytest_thinkslm.statistics.stratified import MeanDrop, Stratum, mean_drop, pooled_change

Decision = Literal["GO", "NO-GO", "INCONCLUSIVE"]
GuardState = Literal["within", "broken", "open", "not evaluated"]


@dataclass(frozen=True, slots=True)
class Levels:
    """One-sided levels of error: of GO, of NO-GO by the mean, of NO-GO by any guard.

    A sequential look gives smaller ones; everything else stays. It has those of GO and NO-GO for each task by itself
    (``tasks``, by label), since their data come in at different paces.
    """

    go: float = 0.05
    mean: float = 0.025
    guards: float = 0.025
    tasks: Mapping[str, tuple[float, float]] | None = None

    def of_task(self, label: str) -> tuple[float, float]:
        """The levels of a task's guard: that it is within, that it is broken; nothing is shown of an unknown one."""
        return (self.go, self.guards) if self.tasks is None else self.tasks.get(label, (0.0, 0.0))

    def broken(self, label: str, p: float) -> float:
        """A p-value of a broken guard on the scale of ``guards``."""
        level = self.of_task(label)[1]
        return min(1.0, p * self.guards / level) if level > 0 else 1.0


#: Those of a single look at the whole run.
ONE_LOOK = Levels()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured of one task (in one style) against the baseline.

    Attributes:
        label: its name in reports, unique.
        task: task key.
        size: items of the task as a whole, however many were asked.
        paired: the comparison as it is shown; None where there is none.
        within: for showing that the drop is small: an error is wrong in the candidate and right in the baseline.
        beyond: for showing that it is large: an error is wrong in the candidate.
        rates: percent of the candidate's outcomes.
        unfit: why it cannot be decided, else empty.
    """

    label: str
    task: str
    size: int
    paired: PairedResult[str] | None = None
    within: Stratum | None = None
    beyond: Stratum | None = None
    rates: Mapping[LimitedRate, float] = field(default_factory=dict)
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """One task held against its guard. Points; None is not known.

    ``at_most`` and ``at_least`` are the drop's one-sided bounds at the levels of GO and of NO-GO by a guard. ``why``
    says why a task cannot be certified whatever its drop; empty where it can.
    """

    label: str
    task: str
    tier: Tier
    guard: float
    n: int
    drop: float | None
    at_most: float | None
    at_least: float | None
    p_within: float | None
    p_broken: float | None
    p_broken_corrected: float | None
    state: GuardState
    why: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The decision on one variant. Points; None is not known.

    Attributes:
        margin: of the mean drop.
        tasks: how many the mean is of.
        mean_drop: observed, errors left out.
        at_most, at_least: its one-sided bounds, at the levels of GO and of NO-GO by the mean.
        p_within, p_beyond: that the mean drop is within the margin, that it is beyond it.
        guards: every task, advisory ones too.
        any_loss: the pooled test of any loss at all, which decides nothing here.
        decided_by: labels of the tasks that the decision hangs on.
        sentence: all of it in one.
        needed: what it would take to decide, where it is not decided.
    """

    decision: Decision
    margin: float
    tasks: int
    mean_drop: float | None
    at_most: float | None
    at_least: float | None
    p_within: float | None
    p_beyond: float | None
    guards: tuple[Guard, ...]
    any_loss: PValue | None
    decided_by: tuple[str, ...]
    sentence: str
    needed: str = ""

    @property
    def passed(self) -> bool:
        """Only GO is a pass."""
        return self.decision == "GO"


def certify(
    policy: Policy, evidence: Sequence[Evidence], levels: Levels = ONE_LOOK, *, allow_unevaluated: bool = False
) -> Certificate:
    """Decide.

    GO: the mean drop is shown to be within the margin and every critical task to be within its guard, each at level
    ``go``: all must be shown, so nothing is corrected (Berger 1982, intersection-union), and nothing is left that
    could not be evaluated. NO-GO: the mean drop is shown to be beyond the margin, or the drop of a critical or
    supporting task beyond its guard, Holm's correction over these. Else INCONCLUSIVE. Advisory tasks are shown only.

    Args:
        allow_unevaluated: whether tasks that could not be evaluated are left out rather than forbidding GO.
    """
    decisive = [entry for entry in evidence if policy.tier(entry.task, entry.size) != "advisory"]
    compared = [entry for entry in decisive if not _unfit(policy, entry)]
    guards = _guards(policy, evidence, levels)
    if not compared:
        reasons = _listed([guard for guard in guards if guard.why])
        only_advisory = evidence and not decisive and not reasons
        return undecided(
            policy, "nothing could be compared" + (": every task is advisory" if only_advisory else reasons), guards
        )
    within = mean_drop([entry.within for entry in compared if entry.within is not None])
    beyond = mean_drop([entry.beyond for entry in compared if entry.beyond is not None])
    baselines = [entry.paired.baseline for entry in compared if entry.paired is not None]
    margin = policy.margin.of(sum(baselines) / len(baselines))
    p_within, p_beyond = within.not_worse(margin / 100).p, beyond.worse(margin / 100).p
    stops = [guard for guard in guards if guard.tier != "advisory" and guard.why]
    if allow_unevaluated:
        stops = [guard for guard in stops if guard.state != "not evaluated"]
    broken = [guard for guard in guards if guard.tier != "advisory" and guard.state == "broken"]
    unshown = [guard for guard in guards if guard.tier == "critical" and guard.state == "open"]
    decision: Decision = "INCONCLUSIVE"
    if broken or p_beyond <= levels.mean:
        decision = "NO-GO"
    elif p_within <= levels.go and not unshown and not stops:
        decision = "GO"
    shown = [entry.paired for entry in compared if entry.paired is not None]
    drop = 100 * sum(paired.baseline - paired.candidate for paired in shown) / len(shown)
    at_most, at_least = 100 * within.at_most(1 - levels.go), 100 * beyond.at_least(1 - levels.mean)
    mean_open = p_within > levels.go
    parts = [
        f"{decision}: mean drop of {counted(len(compared), 'task')} {drop:+.2f} points, at most {at_most:.2f} "
        f"(one-sided {confidence_text(levels.go)}), margin {margin:g} ({p_text(p_within)})",
        f"at least {at_least:.2f} (one-sided {confidence_text(levels.mean)}), which is beyond the margin"
        if p_beyond <= levels.mean
        else "",
        _critical(guards),
        "broken: " + ", ".join(_broken(guard) for guard in broken) if broken else "",
        "not shown: " + ", ".join(_open(guard) for guard in unshown) if unshown and decision != "GO" else "",
        "cannot be certified" + _listed(stops) if stops else "",
        _unseen(policy, evidence),
    ]
    needed = ""
    if decision == "INCONCLUSIVE":
        takes = [_guard_needs(guard, entry, levels.go) for guard, entry in _pairs(unshown, compared)]
        takes += [needed_for_mean(within, margin, levels.go)] if mean_open else []
        needed = "; ".join(filter(None, takes))
    decided_by = _decided_by(decision, broken, unshown, stops, guards, compared, within, p_within, mean_open)
    whose = [f"decided by {', '.join(decided_by)}" if decided_by else ""]
    return Certificate(
        decision,
        margin,
        len(compared),
        drop,
        at_most,
        at_least,
        p_within,
        p_beyond,
        guards,
        pooled_change([entry.within for entry in compared if entry.within is not None])[0],
        decided_by,
        "; ".join(filter(None, [*parts, *whose, needed])),
        needed,
    )


def undecided(policy: Policy, why: str, guards: tuple[Guard, ...] = ()) -> Certificate:
    """The certificate of what could not be looked at, as ``why`` says."""
    nothing = (None,) * 5
    return Certificate("INCONCLUSIVE", policy.margin.points, 0, *nothing, guards, None, (), f"INCONCLUSIVE: {why}")


def _unfit(policy: Policy, entry: Evidence) -> str:
    """Why a task cannot be decided; empty where it can."""
    if entry.unfit:
        return entry.unfit
    if entry.paired is None or entry.within is None or entry.beyond is None or not entry.paired.n:
        return "the baseline shares no item with it"
    fewest = policy.min_items(entry.task)
    return f"only {counted(entry.paired.n, 'item')} compared (needed: {fewest})" if entry.paired.n < fewest else ""


def _guards(policy: Policy, evidence: Sequence[Evidence], levels: Levels) -> tuple[Guard, ...]:
    limits = {
        entry.label: policy.guard_of(entry.task, entry.paired.baseline if entry.paired else 1.0) for entry in evidence
    }
    fit = [entry for entry in evidence if not _unfit(policy, entry) and entry.beyond is not None]
    broken = {entry.label: entry.beyond.table.worse(limits[entry.label] / 100).p for entry in fit if entry.beyond}
    decisive = {
        entry.label: levels.broken(entry.label, broken[entry.label])
        for entry in fit
        if policy.tier(entry.task, entry.size) != "advisory"
    }
    corrected = holm(decisive)
    found = []
    for entry in evidence:
        tier, limit = policy.tier(entry.task, entry.size), limits[entry.label]
        if entry.label not in broken or entry.paired is None or entry.within is None or entry.beyond is None:
            why = _unfit(policy, entry)
            n = 0 if entry.paired is None else entry.paired.n
            nothing = (None,) * 6
            found.append(Guard(entry.label, entry.task, tier, limit, n, *nothing, "not evaluated", why))
            continue
        p_within = entry.within.table.not_worse(limit / 100).p
        p_corrected = corrected.get(entry.label)
        go, out = levels.of_task(entry.label)
        state: GuardState = "within" if p_within <= go else "open"
        if (levels.broken(entry.label, broken[entry.label]) if p_corrected is None else p_corrected) <= levels.guards:
            state = "broken"
        found.append(
            Guard(
                entry.label,
                entry.task,
                tier,
                limit,
                entry.paired.n,
                100 * (entry.paired.baseline - entry.paired.candidate),
                100 * entry.within.table.drop_at_most(1 - go),
                100 * entry.beyond.table.drop_at_least(1 - out),
                p_within,
                broken[entry.label],
                p_corrected,
                state,
                _above_rates(policy, entry),
            )
        )
    return tuple(found)


def _above_rates(policy: Policy, entry: Evidence) -> str:
    kinds: tuple[LimitedRate, ...] = ("truncated", "unparsed")
    found = []
    for kind in kinds:
        most, rate = policy.most(entry.task, kind), entry.rates.get(kind, 0.0)
        if most is not None and round(rate, 9) > most:
            found.append(f"{rate:.3g}% {kind} (allowed: {most:g}%)")
    return " and ".join(found)


def _pairs(guards: Sequence[Guard], evidence: Sequence[Evidence]) -> list[tuple[Guard, Evidence]]:
    known = {entry.label: entry for entry in evidence}
    return [(guard, known[guard.label]) for guard in guards]


def _unseen(policy: Policy, evidence: Sequence[Evidence]) -> str:
    """The tasks that the policy calls critical and that neither run has."""
    names = [
        pattern
        for pattern, rule in policy.tasks.items()
        if rule.tier == "critical" and not any(fnmatchcase(entry.task, pattern) for entry in evidence)
    ]
    return f"critical by the policy, but in neither run: {', '.join(names)}" if names else ""


def _listed(guards: Sequence[Guard]) -> str:
    return "" if not guards else ": " + ", ".join(f"{guard.label} ({guard.why})" for guard in guards)


def _critical(guards: Sequence[Guard]) -> str:
    critical = [guard for guard in guards if guard.tier == "critical"]
    if not critical:
        return "no task is critical"
    within = sum(guard.state == "within" for guard in critical)
    whose = "its guard" if len(critical) == 1 else "their guards"
    return f"{within} of {counted(len(critical), 'critical task')} within {whose}"


def _broken(guard: Guard) -> str:
    assert guard.p_broken_corrected is not None
    p = p_text(guard.p_broken_corrected)
    return f"{guard.label} (drop {guard.drop:+.1f} points, guard {guard.guard:g}, {p} after Holm's correction)"


def _open(guard: Guard) -> str:
    return f"{guard.label} (drop {guard.drop:+.1f} points, at most {guard.at_most:.1f}, guard {guard.guard:g})"


def _decided_by(
    decision: Decision,
    broken: Sequence[Guard],
    unshown: Sequence[Guard],
    stops: Sequence[Guard],
    guards: Sequence[Guard],
    compared: Sequence[Evidence],
    within: MeanDrop,
    p_within: float,
    mean_open: bool,
) -> tuple[str, ...]:
    """The tasks that the decision hangs on."""
    if decision == "NO-GO":
        if broken:
            return tuple(guard.label for guard in broken)
        return _most([(entry.label, stratum.drop) for entry, stratum in zip(compared, within.strata, strict=True)])
    if decision == "INCONCLUSIVE":
        named = dict.fromkeys(guard.label for guard in (*stops, *unshown))
        if mean_open:
            named |= dict.fromkeys(_most(list(zip((e.label for e in compared), within.variances, strict=True))))
        return tuple(named)
    tightest = max(
        (guard for guard in guards if guard.tier == "critical"), key=lambda g: g.p_within or 0.0, default=None
    )
    if tightest is not None and (tightest.p_within or 0.0) >= p_within:
        return (tightest.label,)
    return _most(list(zip((entry.label for entry in compared), within.variances, strict=True)))


def _most(parts: Sequence[tuple[str, float]], share: float = 0.5) -> tuple[str, ...]:
    """The labels whose parts, largest first, make up this share of all positive parts together."""
    whole, found, summed = sum(max(0.0, part) for _, part in parts), [], 0.0
    for label, part in sorted(parts, key=lambda entry: -entry[1]):
        if summed >= share * whole or part <= 0:
            break
        found.append(label)
        summed += part
    return tuple(found)


def _guard_needs(guard: Guard, entry: Evidence, level: float) -> str:
    assert entry.paired is not None
    paired = entry.paired
    return needed_for_guard(guard.label, guard.guard, entry.size, paired.discordance, paired.design_effect, level)
