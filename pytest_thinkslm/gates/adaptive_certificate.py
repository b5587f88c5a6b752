"""The certificate looked at while a run goes on: one decision a variant, over all its tasks. Pure.

Each of its tests (the mean and the guards, each from both sides) is group-sequential over its own share of the data:
a guard over the items of its task, the mean over the information that its items carry by a variance fixed beforehand.
All are looked at together, at places of the order that are fixed beforehand, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_thinkslm.core.identity import GroupKey, ItemKey, VariantKey
from pytest_thinkslm.gates.adaptive import Against, Track, Watch
from pytest_thinkslm.gates.certificate import ONE_LOOK, Certificate, Decision, Evidence, Levels, certify
from pytest_thinkslm.gates.certifying import stratum_of
from pytest_thinkslm.gates.gating import compare_groups
from pytest_thinkslm.gates.outcomes import confidence_text, counted
from pytest_thinkslm.settings.policies import LimitedRate, Policy
from pytest_thinkslm.statistics.sequential import FUTILITY, nominal_levels, predictive_power

#: Looks at equal steps of the mean's information, and at equal steps of the items.
_BY_INFORMATION, _BY_ITEMS = 10, 20


@dataclass(frozen=True, slots=True)
class Part:
    """A group's part in a certificate: its name in reports, its task's size, and its variance assumed beforehand."""

    label: str
    size: int
    variance: float


@dataclass(slots=True)
class _Case:
    """One variant's certificate on its way.

    Attributes:
        groups: of the variant; those that nothing is compared with are in ``parts`` alone.
        looks: after how many of its comparable items it is looked at.
        shares: at each look, by group, how many of its items are there, as a share; ``mean``: the mean's information.
    """

    groups: tuple[GroupKey, ...]
    looks: tuple[int, ...]
    shares: tuple[Mapping[GroupKey, float], ...]
    mean: tuple[float, ...]
    items: int = 0
    look: int = 0
    decision: Decision | None = None
    levels: Levels = field(default=ONE_LOOK)


class CertificateWatch(Watch):
    """The certificates of a run on their way to a decision.

    One ends with GO or NO-GO as soon as that is shown, and with INCONCLUSIVE where neither would be any more.

    Args:
        policy: what is certified.
        order, against: as in `Watch`.
        parts: every group that counts, by group of the run.
        allow_unevaluated: as in `certify`.
    """

    def __init__(
        self,
        policy: Policy,
        order: Iterable[ItemKey],
        against: Mapping[GroupKey, Against],
        parts: Mapping[GroupKey, Part],
        *,
        allow_unevaluated: bool = False,
    ) -> None:
        super().__init__(order, against)
        self._policy, self._parts, self._allow = policy, parts, allow_unevaluated
        self._cases: dict[VariantKey, _Case] = {}
        for variant in dict.fromkeys(key.variant for key in parts):
            groups = tuple(key for key in parts if key.variant == variant)
            if any(key in self._tracks for key in groups):
                self._cases[variant] = self._case(groups)

    def plan(self) -> str:
        """What will be done, in one line."""
        looks = max((len(case.looks) for case in self._cases.values()), default=0)
        return (
            f"adaptive: up to {len(self._order)} items in a random order; "
            f"{counted(len(self._cases), 'certificate')}, looked at up to {looks} times; the run ends when decided"
        )

    def ending(self, labels: Mapping[GroupKey, str]) -> str:
        """What ended the run before all of its items, in words."""
        found = [f"{case.decision} at look {case.look} of {len(case.looks)}" for case in self._cases.values()]
        return f"decided by the certificate: {', '.join(found)}"

    def confidence(self) -> str:
        """At which confidence it is decided, in words."""
        whole = ONE_LOOK
        return f"{confidence_text(whole.go)} confidence over all looks of GO, {confidence_text(whole.mean)} of NO-GO"

    def levels(self, variant: VariantKey) -> Levels:
        """At which levels a certificate is decided at its last look; none is shown before the first one."""
        case = self._cases.get(variant)
        return ONE_LOOK if case is None else case.levels if case.look else Levels(0.0, 0.0, ONE_LOOK.guards, {})

    def _look(self, track: Track) -> bool:
        case = self._cases.get(track.key.variant)
        if case is None:
            return False
        case.items += 1
        if case.items < case.looks[case.look]:
            return False
        case.levels = self._levels_at(case, case.look)
        certificate = certify(
            self._policy,
            [self._evidence(key) for key in case.groups],
            case.levels,
            allow_unevaluated=self._allow,
        )
        last = case.look == len(case.looks) - 1
        if certificate.decision != "INCONCLUSIVE" or last or self._hopeless(case, certificate):
            case.decision = certificate.decision
        case.look += 1
        if case.decision is not None:
            for key in case.groups:
                if key in self._tracks:
                    self._tracks[key].ended = True
        return case.decision is not None

    def _case(self, groups: Sequence[GroupKey]) -> _Case:
        """The looks of a variant: at which counts of its items, and what is there then."""
        sizes = {key: self._tracks[key].of for key in groups if key in self._tracks}
        counts = [key for key in sizes if self._policy.tier(key.task, self._parts[key].size) != "advisory"] or list(
            sizes
        )
        there = dict.fromkeys(sizes, 0)
        whole = sum(self._parts[key].variance / sizes[key] for key in counts)
        total = sum(sizes.values())
        looks: list[int] = []
        shares: list[Mapping[GroupKey, float]] = []
        mean: list[float] = []
        reached = (0, 0)
        taken = 0
        for group, item in self._order:
            if group not in there or not self._comparable(group, item):
                continue
            there[group] += 1
            taken += 1
            known = all(there[key] for key in counts)
            information = whole / sum(self._parts[key].variance / there[key] for key in counts) if known else 0.0
            step = (int(information * _BY_INFORMATION + 1e-9), int(taken / total * _BY_ITEMS + 1e-9))
            if taken == total or (known and taken >= min(10, total) and step > reached and max(step) > 0):
                looks.append(taken)
                shares.append({key: _share(there[key] / sizes[key]) for key in sizes})
                mean.append(1.0 if taken == total else _share(information))
            reached = max(reached, step)
        return _Case(tuple(groups), tuple(looks), tuple(shares), tuple(mean))

    def _levels_at(self, case: _Case, look: int) -> Levels:
        """The nominal levels at a look, each test's by the looks at it so far and to come."""
        go, out = ONE_LOOK.go, ONE_LOOK.guards
        tasks = {}
        # m x the level in alpha / m: what Holm's correction then makes of it is exact at its first step, and strict at
        # the others, since that product falls with m.
        m = max(1, sum(self._policy.tier(key.task, self._parts[key].size) != "advisory" for key in case.groups))
        for key in case.groups:
            if key in self._tracks:
                times = [shares[key] for shares in case.shares]
                tasks[self._parts[key].label] = _level(times, look, go), m * _level(times, look, out / m)
        return Levels(_level(case.mean, look, go), _level(case.mean, look, ONE_LOOK.mean), out, tasks)

    def _evidence(self, key: GroupKey) -> Evidence:
        part, track = self._parts[key], self._tracks.get(key)
        if track is None:
            return Evidence(part.label, key.task, part.size, unfit="the baseline has nothing of it")
        if track.void:
            return Evidence(part.label, key.task, part.size, unfit="too many errors, or no items yet")
        paired = compare_groups(track.before, track.now)
        within = stratum_of(key.task, track.before, track.now, "noninferiority")
        errors = track.now.errors or track.before.errors
        beyond = stratum_of(key.task, track.before, track.now, "regression") if errors else within
        n = sum(track.now.verdicts.values())
        rates: dict[LimitedRate, float] = {
            "truncated": 100 * track.now.verdicts["truncated"] / n,
            "unparsed": 100 * track.now.verdicts["unparsed"] / n,
        }
        return Evidence(part.label, key.task, part.size, paired, within, beyond, rates)

    def _hopeless(self, case: _Case, certificate: Certificate) -> bool:
        """Whether neither GO nor NO-GO would be shown by all of the items any more."""
        time, levels = case.mean[case.look], case.levels
        shares = {self._parts[key].label: share for key, share in case.shares[case.look].items()}
        guards = [guard for guard in certificate.guards if guard.tier != "advisory"]
        within, beyond = certificate.p_within, certificate.p_beyond
        if within is None or beyond is None:
            return False
        go = _unlikely(within, beyond, time, ONE_LOOK.go, levels.go)
        out = _unlikely(beyond, within, time, ONE_LOOK.mean, levels.mean)
        family = max(1, len(guards))
        for guard in guards:
            share = shares.get(guard.label, 1.0)
            level_go, level_out = levels.of_task(guard.label)
            if guard.why:
                go = go or (share >= 1 and not self._allow)
            if guard.p_within is None or guard.p_broken is None:
                out = out and share >= 1
                continue
            if guard.tier == "critical":
                go = go or _unlikely(guard.p_within, guard.p_broken, share, ONE_LOOK.go, level_go)
            out = out and _unlikely(guard.p_broken, guard.p_within, share, ONE_LOOK.guards / family, level_out / family)
        return go and out


def _share(value: float) -> float:
    """A share of the data in thousandths: looks that are nearer than that are one."""
    return 1.0 if value >= 1 else max(0.001, min(0.999, round(value, 3))) if value > 0 else 0.0


def _level(times: Sequence[float], look: int, alpha: float) -> float:
    """The nominal level at a look, where the data at some looks are those of the one before."""
    rising = tuple(sorted({time for time in times if time > 0}))
    return nominal_levels(rising, alpha)[rising.index(times[look])] if times[look] > 0 else 0.0


def _unlikely(p: float, opposite: float, time: float, alpha: float, level: float) -> bool:
    """Whether a test that has not shown anything so far will hardly do so."""
    if time >= 1:
        return p > level
    return predictive_power((p + 1 - opposite) / 2, time, alpha) < FUTILITY
