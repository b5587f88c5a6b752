"""From the items of two runs to certificates, one a variant, and what is said of them before a run.

Imports neither pytest nor an engine; the controller and the commands both call it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_thinkslm.core.identity import GroupKey, VariantKey, short_names
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import Group, RunFigures
from pytest_thinkslm.gates.certificate import ONE_LOOK, Certificate, Evidence, Guard, Levels, certify
from pytest_thinkslm.gates.certificate_plan import Planned, plan
from pytest_thinkslm.gates.outcomes import GateResult, counted, p_text
from pytest_thinkslm.runs.results import interval_of
from pytest_thinkslm.runs.types import AnyLossJson, CertificateJson, CorrectedMean, FigureRow, GuardJson
from pytest_thinkslm.settings.gate_specs import GateMode
from pytest_thinkslm.settings.policies import Policy
from pytest_thinkslm.statistics import Interval, holm
from pytest_thinkslm.statistics.corrected import difference_of, mean_of
from pytest_thinkslm.statistics.stratified import Stratum, pooled_change, stratum

_RANKS = ("NO-GO", "INCONCLUSIVE", "GO")


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate, and of which variant against which; ``label`` is the name of its gate."""

    variant: VariantKey
    against: VariantKey | None
    certificate: Certificate
    label: str = "certificate"
    corrected: CorrectedMean | None = None


def certificates(
    policy: Policy,
    run: RunFigures,
    baseline: RunFigures,
    *,
    absent: Collection[GroupKey] = (),
    misjudged: Collection[GroupKey] = (),
    levels: Callable[[VariantKey], Levels] = lambda variant: ONE_LOOK,
    allow_unevaluated: bool = False,
) -> list[Certified]:
    """One certificate for each variant of ``run`` against ``baseline``, over all its tasks and styles.

    Args:
        absent: what the baseline has and the run should have and has not, as keys of the run's variants.
        misjudged: groups of the run that rest on verdicts of a judge that failed its canaries.
        levels: by variant: where it was looked at while the run went on, those of its last look.
    """
    measured = gating.measure(run.groups, run.rows, baseline)
    names = gating.labels([*(entry.key for entry in measured), *absent])
    models = short_names(key.model for key in names)
    variants = list(dict.fromkeys(key.variant for key in names))
    found = []
    for variant in variants:
        own = [entry for entry in measured if entry.key.variant == variant]
        evidence = []
        for entry in own:
            known = evidence_of(entry, run, baseline)
            if entry.key in misjudged and not known.unfit:
                known = replace(known, unfit="it rests on verdicts of a judge that failed its canaries")
            evidence.append(replace(known, label=names[entry.key]))
        for key in absent:
            if key.variant == variant:
                why = f"the baseline has {key.task} ({key.style}) and this run has nothing of it"
                evidence.append(Evidence(names[key], key.task, size_of(key.task), unfit=why))
        against = next((entry.against.variant for entry in own if entry.against is not None), None)
        decided = certify(policy, evidence, levels(variant), allow_unevaluated=allow_unevaluated)
        label = "certificate" if len(variants) == 1 else f"certificate[{models[variant[0]]}+{variant[1]}]"
        pairs = [
            (run.rows.get(entry.key), baseline.rows.get(entry.against))
            for entry in own
            if entry.against is not None and policy.tier(entry.key.task, size_of(entry.key.task)) != "advisory"
        ]
        found.append(Certified(variant, against, decided, label, corrected_mean(pairs)))
    return found


def corrected_mean(pairs: Sequence[tuple[FigureRow | None, FigureRow | None]]) -> CorrectedMean | None:
    """The mean of corrected accuracies over the tasks (now, before) that have one; it decides nothing.

    The drop is of the tasks where both sides have one, if these are all of them; sides and tasks are taken as
    independent, which makes its interval wider than need be for runs over the same items.
    """
    found = [(after, _corrected(before)) for now, before in pairs if (after := _corrected(now)) is not None]
    if not found:
        return None
    mean = mean_of([after for after, _ in found])
    earlier = [before for _, before in found if before is not None]
    drop = difference_of(mean_of(earlier), mean) if len(earlier) == len(found) else None
    return {
        "tasks": len(found),
        "mean": _number(100 * mean[0]),
        "ci95": [_number(100 * end) for end in mean[1]],
        "drop": None if drop is None else _number(100 * drop[0]),
        "drop_ci95": None if drop is None else [_number(100 * end) for end in drop[1]],
    }


def _corrected(row: FigureRow | None) -> tuple[float, Interval] | None:
    known = None if row is None else row.get("corrected")
    if known is None or known["accuracy"] is None or known["ci95"] is None:
        return None
    return known["accuracy"], Interval(*known["ci95"])


def within_run(
    policy: Policy,
    run: RunFigures,
    references: Mapping[VariantKey, VariantKey],
    *,
    levels: Callable[[VariantKey], Levels] = lambda variant: ONE_LOOK,
    allow_unevaluated: bool = False,
) -> list[Certified]:
    """One certificate for each variant that is held against another one of the same run (``references``)."""
    found = []
    for variant, reference in references.items():
        now, before = run.of(variant), run.of(reference)
        absent = [key.of(variant) for key in before.groups if key.of(variant) not in now.groups]
        own = certificates(policy, now, before, absent=absent, levels=levels, allow_unevaluated=allow_unevaluated)
        found += own
    if len(found) > 1:
        models = short_names(one.variant[0] for one in found)
        names = [f"certificate[{models[one.variant[0]]}+{one.variant[1]}]" for one in found]
        found = [replace(one, label=name) for one, name in zip(found, names, strict=True)]
    return found


def evidence_of(entry: gating.Measured, run: RunFigures, baseline: RunFigures) -> Evidence:
    """What a measured group says of its task."""
    key, cell = entry.key, entry.cell
    now, row = run.groups.get(key, Group()), run.rows.get(key)
    known = Evidence(
        cell.label,
        key.task,
        size_of(key.task, row, now),
        cell.comparison,
        rates={
            "truncated": 100 * ((row and row["truncated_rate"]) or 0.0),
            "unparsed": 100 * ((row and row["unparsed_rate"]) or 0.0),
        },
        unfit=cell.void or entry.unfit or cell.unfit,
    )
    if cell.comparison is None or entry.against is None:
        return known
    before = baseline.groups[entry.against]
    within = stratum_of(key.task, before, now, "noninferiority")
    beyond = within if not now.errors and not before.errors else stratum_of(key.task, before, now, "regression")
    return replace(known, within=within, beyond=beyond)


def stratum_of(task: str, before: Group, now: Group, mode: GateMode) -> Stratum:
    """A task's part in a mean over tasks, errors counted against the candidate (`gating.counted_errors`).

    Items of a cluster, and the GSM8K item that variations of other data sets are made from, share a name.
    """
    if gating.counted_errors(before, now, mode):
        paired = gating.worst_case(before, now, mode)
        scores = gating.worst_scores(before, now, mode)
    else:
        paired, scores = gating.compare_groups(before, now), (before.comparable(), now.comparable())
    clusters = {**before.clusters, **now.clusters}
    return stratum(paired, *scores, lambda item: clusters.get(item) or f"{task}-{item}")


def size_of(task: str, row: FigureRow | None = None, group: Group | None = None) -> int:
    """Items of a task as a whole, however many of them were asked."""
    from pytest_thinkslm.tasks import registry

    known = registry.all_tasks().get(task)
    stated = row["data"]["records"] if row is not None and "data" in row else 0
    return max(stated or (known.count if known else 0), len(group.scores) if group else 0)


def any_loss(run: RunFigures, baseline: RunFigures) -> list[AnyLossJson]:
    """For each variant the pooled test of any loss over all that is compared; of several, p by Holm, too."""
    parts: dict[VariantKey, list[tuple[Stratum, gating.Measured]]] = {}
    for entry in gating.measure(run.groups, run.rows, baseline):
        if entry.against is not None and entry.cell.comparison is not None and not (entry.unfit or entry.cell.void):
            part = stratum_of(entry.key.task, baseline.groups[entry.against], run.groups[entry.key], "regression")
            parts.setdefault(entry.key.variant, []).append((part, entry))
    found: list[AnyLossJson] = []
    for variant, own in parts.items():
        test = pooled_change([part for part, _ in own])[0]
        # An error of the run is counted as it is tested: as lost.
        compared = [paired for _, entry in own if (paired := entry.cell.worst or entry.cell.comparison) is not None]
        found.append(
            {
                "model": variant[0],
                "quant": variant[1],
                "tasks": len(own),
                "n": sum(paired.n for paired in compared),
                "lost": sum(len(paired.lost) for paired in compared),
                "gained": sum(len(paired.gained) for paired in compared),
                "p": float(f"{test.p:.6g}"),
                "test": test.test,
            }
        )
    if len(found) > 1:
        for place, p in holm({place: one["p"] for place, one in enumerate(found)}).items():
            found[place]["p_corrected"] = float(f"{p:.6g}")
    return found


def any_loss_sentences(found: Sequence[AnyLossJson]) -> list[str]:
    """The pooled test in a sentence a variant, which is named where there are several."""
    if len(found) == 1:
        return [any_loss_sentence(found[0])]
    return [f"{any_loss_sentence(one, len(found))}, {one['model']} ({one['quant']})" for one in found]


def any_loss_sentence(found: AnyLossJson, variants: int = 1) -> str:
    """The pooled test in words; of one of several ``variants`` with the corrected p."""
    p = p_text(found.get("p_corrected", found["p"]))
    held = f" after Holm's correction over {variants} variants" if variants > 1 else ""
    over = "one task" if found["tasks"] == 1 else f"{found['tasks']} tasks together"
    return (
        f"any loss over {over}: {found['lost']} lost and {found['gained']} gained of "
        f"{counted(found['n'], 'item')} ({found['test']}, {p}{held})"
    )


def gate_of(certified: Certified) -> GateResult:
    """The certificate as a gate: only GO passes."""
    own = certified.certificate
    return GateResult(
        f"gate::{certified.label}",
        "certificate",
        certified.label,
        own.passed,
        f"{certified.label}: {own.sentence}",
        {
            "decision": own.decision,
            "margin": own.margin,
            "n": sum(guard.n for guard in own.guards if guard.tier != "advisory"),
            "difference": None if own.mean_drop is None else 0.0 - own.mean_drop,
            "drop_at_most": own.at_most,
            "drop_at_least": own.at_least,
            "p": own.p_within,
        },
    )


def overall(found: Sequence[Certified]) -> Certified | None:
    """The one that decides a run of several variants: the least favourable."""
    return min(found, key=lambda one: _RANKS.index(one.certificate.decision), default=None)


def as_json(certified: Certified, policy: Policy) -> CertificateJson:
    """A certificate as it stands in results.json."""
    own = certified.certificate
    against = certified.against
    value: CertificateJson = {
        "model": certified.variant[0],
        "quant": certified.variant[1],
        "against": None if against is None else {"model": against[0], "quant": against[1]},
        "policy": policy.name or None,
        "decision": own.decision,
        "margin": own.margin,
        "tasks": own.tasks,
        "mean_drop": _rounded(own.mean_drop),
        "bounds": None if own.at_least is None or own.at_most is None else [*map(_number, (own.at_least, own.at_most))],
        "p_within": _rounded(own.p_within),
        "p_beyond": _rounded(own.p_beyond),
        "guards": [_guard_json(guard) for guard in own.guards],
        "any_loss": None if own.any_loss is None else {"p": _rounded(own.any_loss.p) or 0.0, "test": own.any_loss.test},
        "decided_by": list(own.decided_by),
        "sentence": own.sentence,
        "needed": own.needed,
    }
    if certified.corrected is not None:
        value["corrected"] = certified.corrected
    return value


def foresee(
    policy: Policy, wanted: Mapping[GroupKey, Collection[str]], baseline: RunFigures | None, sizes: Mapping[str, int]
) -> list[str]:
    """Before anything is generated: what the certificate can show with these items, in lines.

    Args:
        wanted: names of the items that the run asks, by group.
        baseline: None where the run's own first variant is the baseline: its accuracy is then assumed to be 50%.
        sizes: items of each task as a whole, where known.
    """
    names = gating.labels(list(wanted))
    planned: dict[VariantKey, list[Planned]] = {}
    for key, items in wanted.items():
        against = None if baseline is None else gating.match(key, baseline)
        group = Group() if baseline is None or against is None else baseline.groups[against]
        both = list(items) if baseline is None else [item for item in items if item in group.scores]
        accuracy, effect = 0.5, 1.0
        if group.scores and both:
            interval = interval_of({item: group.scores[item] for item in both}, group.clusters)
            accuracy = 0.5 if interval.estimate is None else interval.estimate
            effect = max(1.0, len(both) / interval.n_effective) if interval.n_effective else 1.0
        size = max(len(items), sizes.get(key.task, 0))
        planned.setdefault(key.variant, []).append(Planned(names[key], key.task, len(both), size, accuracy, effect))
    return list(dict.fromkeys(line for tasks in planned.values() for line in plan(policy, tasks)))


def _guard_json(guard: Guard) -> GuardJson:
    return {
        "label": guard.label,
        "task": guard.task,
        "tier": guard.tier,
        "guard": round(guard.guard, 6),
        "n": guard.n,
        "drop": _rounded(guard.drop),
        "at_most": _rounded(guard.at_most),
        "at_least": _rounded(guard.at_least),
        "p_within": _rounded(guard.p_within),
        "p_broken": _rounded(guard.p_broken),
        "p_broken_corrected": _rounded(guard.p_broken_corrected),
        "state": guard.state,
        "why": guard.why,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else _number(value)


def _number(value: float) -> float:
    return float(f"{value:.6g}")
