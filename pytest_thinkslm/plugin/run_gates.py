"""The gates of one run: what is checked before it, said before it, and decided after it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, ItemKey, VariantKey, matching
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.gates import certifying, gating, judges
from pytest_thinkslm.gates.adaptive import Watch, changing, pace
from pytest_thinkslm.gates.adaptive_certificate import CertificateWatch, Part
from pytest_thinkslm.gates.adaptive_gates import GateWatch
from pytest_thinkslm.gates.adaptive_report import adaptive_block
from pytest_thinkslm.gates.baselines import (
    PAPER,
    Group,
    RecordedRun,
    RunFigures,
    collect,
    counterpart,
    data_differences,
    difference,
    drawn,
    in_order,
    load_run,
    misfits,
    prompt_differences,
    prompt_digest,
    refused,
    root_variant,
)
from pytest_thinkslm.gates.certificate import ONE_LOOK, Levels
from pytest_thinkslm.gates.outcomes import ALLOW, GatedGroup, GateResult, excuse
from pytest_thinkslm.plugin.compat_pytest import narrowed_by_hand
from pytest_thinkslm.reports.deltas import references
from pytest_thinkslm.runs.types import AdaptiveJson, AnyLossJson, BaselineJson, FigureRow, Results, StressRow
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin
from pytest_thinkslm.settings.policies import Policy
from pytest_thinkslm.settings.run_settings import NO_BASELINE, NOTHING_TO_CERTIFY, Settings
from pytest_thinkslm.tasks import registry, stress
from pytest_thinkslm.tasks.figures import ValueChange
from pytest_thinkslm.tasks.sampling import Method

if TYPE_CHECKING:
    import pytest

    from pytest_thinkslm.core.identity import ItemRef, Variant
    from pytest_thinkslm.engines.factory import EngineFactory
    from pytest_thinkslm.generating.planner import Planner
    from pytest_thinkslm.reports.recorder import Recorder

#: How many outcomes of a group the plugin's options let in.
LetIn = Callable[[GroupKey], int]

#: Lines about single gates before a run, at most.
_LINES_SHOWN = 2


class RunGates:
    """Baseline and gates of a run.

    Without ``--gate`` a baseline is compared at a margin of 0 points, and the comparison fails no run.

    Args:
        settings: the run's settings.

    Raises:
        UsageError: the baseline cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.paper = settings.baseline == PAPER
        self.baseline: RecordedRun | None = None
        if settings.baseline and not self.paper:
            self.baseline = load_run(Path(settings.baseline))
            self._keep_apart(Path(settings.baseline))
        self.specs = settings.gates
        if settings.baseline and self.specs.margin is None:
            self.specs = replace(self.specs, margin=Margin(0.0))
        self.advisory = settings.gates.margin is None or (self.paper and not settings.gate_paper)
        #: The gates on their way, under ``--adaptive``.
        self.watch: Watch | None = None
        self._collected: list[GroupKey] = []

    def _keep_apart(self, place: Path) -> None:
        """Refuse to write over the baseline: the next run would be held against this one. Raises ``UsageError``."""
        folder = place if place.is_dir() else place.parent
        if self.settings.report_dir is not None and self.settings.report_dir.resolve() == folder.resolve():
            raise UsageError(
                f"{self._asked}: --report-dir is the same folder, so that this run would take the baseline's place; "
                "give another --report-dir, or none"
            )

    @property
    def drawn(self) -> Method | None:
        """How the baseline's items were drawn; None where they are no sample, or there is no baseline."""
        return None if self.baseline is None else drawn(self.baseline)

    # -- before anything is generated -----------------------------------------------------------------------

    def check_settings(self, factory: EngineFactory) -> None:
        """Refuse a baseline that differs in style, sampling, template or selection. Raises ``UsageError``."""
        if self._within and len(factory.variants) < 2:
            assert self.specs.margin is not None
            raise UsageError(NO_BASELINE.format(margin=f"{self.specs.margin.points:g}"))
        if self.specs.certify is not None and self.baseline is None and len(factory.variants) < 2:
            raise UsageError(NOTHING_TO_CERTIFY)
        if self.baseline is None:
            return
        templates = {}
        for variant in factory.variants:
            model = factory.resolve(variant)
            templates[variant.model, variant.quant] = None if model is None else model.template_sha256
        found = misfits(
            self.baseline,
            factory.stated_settings(),
            templates,
            self.settings.styles,
            allow_unevaluated=self.settings.allow_unevaluated,
        )
        if found:
            raise refused(self._asked, found)

    def check_plan(self, variants: Sequence[Variant], planner: Planner, refs: Iterable[ItemRef]) -> None:
        """Refuse a baseline of other data or prompts, or of other items altogether. Raises ``UsageError``."""
        if self.baseline is None:
            return
        prompts: dict[GroupKey, dict[str, bytes]] = defaultdict(dict)
        for ref in refs:
            own = ref.key(variants)
            key = gating.match(own.group, self.baseline)
            # Changed forms have prompts of their own, and no part in what is compared.
            if own.role == "item" and ref.repeat == 1 and key is not None:
                prompts[key][f"{ref.index:04d}"] = prompt_digest(planner.messages(ref))
        rows = self.baseline.rows
        shared, found, other_prompts = 0, [], []
        for key, now in prompts.items():
            state = planner.datasets[key.task].state
            before = self.baseline.groups[key].prompts
            shared += sum(item in self.baseline.groups[key].scores for item in now)
            found += data_differences(rows[key], state.digest, state.pin)
            other_prompts += prompt_differences(f"{key.task} ({key.style})", before, now)
        found += other_prompts
        if other_prompts:
            seeds = self.baseline.settings.get("data_seed"), self.settings.data_seed
            found += [difference("data_seed", *seeds)] if seeds[0] != seeds[1] else []
        if not found and not shared and not self.settings.allow_unevaluated:
            theirs = ", ".join(dict.fromkeys(f"{key.task} ({key.style})" for key in self.baseline.groups)) or "nothing"
            found.append(
                f"items (the baseline has {theirs}; this run asks none of them)"
                if any(counterpart((variant.model, variant.quant), self.baseline.variants) for variant in variants)
                else difference("models", _names(self.baseline.variants), _names(map(astuple, variants)))
            )
        if found:
            raise refused(self._asked, list(dict.fromkeys(found)))

    def pace(self, key: GroupKey) -> float:
        """How fast a group's items are asked beside those of others, under ``--adaptive``.

        From the baseline's accuracy and tokens where they are known. A group that nothing is compared with is asked at
        its own price, too.
        """
        against = None if self.baseline is None else gating.match(key, self.baseline)
        row = None if self.baseline is None or against is None else self.baseline.rows[against]
        return pace(key.task, row)

    def comparable(self, key: ItemKey) -> bool:
        """Whether the baseline has an item (of a run that is its own baseline: always)."""
        against = None if self.baseline is None else gating.match(key.group, self.baseline)
        if self.baseline is None or against is None:
            return True
        return key.item in self.baseline.groups[against].scores

    def begin(self, keys: Sequence[ItemKey]) -> list[str]:
        """Under ``--adaptive``: begin to watch the gates; what will be done, in lines.

        Args:
            keys: every collected item, in the order in which they are asked.
        """
        if not self.settings.adaptive:
            return []
        groups = self._collected = list(dict.fromkeys(key.group for key in keys))
        sides = self._sides(groups)
        against: dict[GroupKey, Group | GroupKey] = {
            key: side[0] if self.baseline is None else side[1] for key, side in sides.items() if side is not None
        }
        policy = self.specs.certify
        if policy is not None:
            parts = {key: self._part(key, groups) for key in sides}
            allow = self.settings.allow_unevaluated
            self.watch = CertificateWatch(policy, keys, against, parts, allow_unevaluated=allow)
        elif self.specs.margin is not None:
            self.watch = GateWatch(self.specs.margin, keys, against)
        return [] if self.watch is None else [self.watch.plan()]

    def _part(self, key: GroupKey, groups: Sequence[GroupKey]) -> Part:
        """A group's part in a certificate."""
        against = None if self.baseline is None else gating.match(key, self.baseline)
        row = None if self.baseline is None or against is None else self.baseline.rows[against]
        beside = groups if self.baseline is not None else [other for other in groups if other.variant == key.variant]
        return Part(gating.labels(beside)[key], certifying.size_of(key.task), changing(row))

    def _sides(self, groups: Sequence[GroupKey]) -> dict[GroupKey, gating.Side | None]:
        """What each gated group is compared with: the baseline's group, or that of the run's first variant."""
        if self.baseline is not None:
            return gating.counterparts(groups, self.baseline)
        variants = list(dict.fromkeys(key.variant for key in groups))
        if not variants:  # interrupted before the first outcome
            return {}
        against = dict.fromkeys(variants, root_variant(variants)) if self._within else references(variants)
        found: dict[GroupKey, gating.Side | None] = {}
        for key in groups:
            if (variant := against.get(key.variant, key.variant)) != key.variant:
                other = matching(key, variant, dict.fromkeys(groups))
                found[key] = None if other is None else (other, Group())
        return found

    @property
    def _within(self) -> bool:
        """Whether the run's first variant is the baseline of the others."""
        return self.settings.gates.margin is not None and self.settings.baseline is None

    def foresee(self, keys: Iterable[ItemKey], *, every: bool = False) -> list[str]:
        """What the margin gate will not be able to see or to compare: two lines, or all of them.

        Args:
            keys: every collected item.
            every: all of them, a line a task.
        """
        policy = self.specs.certify
        if policy is None and (not self.settings.baseline or self.specs.margin is None):
            return []
        wanted: dict[GroupKey, dict[str, None]] = defaultdict(dict)
        for key in keys:
            wanted[key.group][key.item] = None
        certificate: list[str] = []
        if policy is not None:
            wholes = {key.task: certifying.size_of(key.task) for key in wanted}
            certificate = certifying.foresee(policy, wanted, self.baseline, wholes)
        lines: list[str] = []
        if self.specs.margin is None or (self.settings.gates.margin is None and policy is not None):
            pass  # no gate but the certificate
        elif self.baseline is not None:
            lines = gating.foresee(self.specs.margin, wanted, self.baseline)
        else:
            from pytest_thinkslm.reference.gates import foresee_paper

            sizes = {key: len(items) for key, items in wanted.items()}
            lines = foresee_paper(self.specs.margin, sizes, gating.labels(list(wanted)))
        # The first line of a certificate is on the whole, the others on single tasks.
        head, lines = certificate[:1], [*certificate[1:], *lines]
        if every or len(lines) <= _LINES_SHOWN:
            return [*head, *lines]
        more = len(lines) - _LINES_SHOWN + 1
        return [*head, *lines[: _LINES_SHOWN - 1], f"{more} more lines are like it: --plan has them all"]

    # -- after it -------------------------------------------------------------------------------------------

    def finish(
        self,
        config: pytest.Config,
        recorder: Recorder,
        results: Results,
        let_in: LetIn,
        *,
        complete: bool,
    ) -> tuple[GateResult, ...]:
        """Decide every gate, report each, and put them into ``results``.

        Args:
            recorder: has the run's items, before its files are written.
            results: the content of results.json; gets ``gates`` and ``baseline``.
            let_in: how many outcomes of a group the plugin's options let in.
            complete: whether every collected item was reported and the run was not interrupted.
        """
        from pytest_thinkslm.plugin.gate_reports import report_gates

        decided: tuple[GateResult, ...] = ()
        any_loss: list[AnyLossJson] = []
        keys: dict[str, GroupKey] = {}
        metrics: dict[str, Mapping[str, ValueChange]] = {}
        if self.specs:
            variants = results["variants"]
            groups = in_order(collect(recorder.item_records(), recorder.seed_records()), variants)
            counted = cast("Results", {**results, "results": self._voided(config, results["results"], let_in)})
            measured = self._measured(groups, counted)
            keys = {entry.cell.label: entry.key for entry in measured}
            metrics = {entry.cell.label: entry.metrics for entry in measured}
            decided = (*self._decide(measured, complete), *self._absent(config, measured, complete))
            if judges.misjudged(results):
                alone = self._measured(in_order(collect(judges.parsers(recorder.item_records())), variants), counted)
                by_parser = {gate.name: gate for gate in self._decide(alone, complete)}
                decided = judges.without_misjudged(decided, keys, results, by_parser)
            run = RunFigures(in_order({group_key(row): row for row in counted["results"]}, variants), groups)
            if self.baseline is not None and self.watch is None:  # its p-value holds for a single look alone
                any_loss = certifying.any_loss(run, self.baseline)
            if self.specs.certify is not None:
                absent = self._missing(config, measured)
                decided = (*decided, *self._certify(self.specs.certify, run, absent, results, complete))
            if self.settings.allow_unevaluated:
                decided = excuse(decided, f"{ALLOW} is given")
        decided = (*decided, *self._judge_gates(results))
        results["gates"] = [
            gating.as_json(result, keys.get(result.label), metrics.get(result.label, {})) for result in decided
        ]
        if self.settings.baseline:
            results["baseline"] = self._described()
            if any_loss:
                results["baseline"]["any_loss"] = any_loss
        if self.watch is not None and complete:
            results["adaptive"] = self._adaptive(self.watch, results)
        report_gates(config, decided)
        return decided

    @staticmethod
    def xml(recorder: Recorder, decided: Sequence[GateResult]) -> Callable[[Path], None]:
        """What writes ``gates.xml``: the gates, and the run's errors."""
        from pytest_thinkslm.plugin.gate_reports import write_gates_xml

        return functools.partial(write_gates_xml, gates=decided, errors=_errors(recorder))

    def _decide(self, measured: Sequence[gating.Measured], complete: bool) -> tuple[GateResult, ...]:
        if not self.paper:
            return gating.decide(self.specs, measured, complete=complete, advisory=self.advisory)
        from pytest_thinkslm.reference.gates import paper_gates

        assert self.specs.margin is not None
        plain = GateSpecs(self.specs.min_accuracy, self.specs.max_rates)
        own = gating.decide(plain, measured, complete=complete)
        cells = {entry.key: entry.cell for entry in measured}
        return (
            *paper_gates(self.specs.margin, cells, complete=complete, advisory=self.advisory, alone=not own),
            *own,
        )

    def _certify(
        self, policy: Policy, run: RunFigures, absent: Sequence[GroupKey], results: Results, complete: bool
    ) -> tuple[GateResult, ...]:
        """The certificate of each variant as a gate; puts them into ``results``."""
        if not complete:
            sentence = "certificate: not evaluated, the run is not complete"
            gate = GateResult("gate::certificate", "certificate", "certificate", None, sentence)
            return excuse([gate], "the run is not complete")
        allow = self.settings.allow_unevaluated
        misjudged = {group_key(row) for row in judges.misjudged(results)}

        def levels(variant: VariantKey) -> Levels:
            return self.watch.levels(variant) if isinstance(self.watch, CertificateWatch) else ONE_LOOK

        if self.baseline is not None:
            found = certifying.certificates(
                policy, run, self.baseline, absent=absent, misjudged=misjudged, levels=levels, allow_unevaluated=allow
            )
        else:
            found = certifying.within_run(policy, run, references(run.variants), levels=levels, allow_unevaluated=allow)
        worst = certifying.overall(found)
        if worst is None:
            sentence = "certificate: INCONCLUSIVE: nothing could be compared"
            return (GateResult("gate::certificate", "certificate", "certificate", False, sentence),)
        results["certificate"] = certifying.as_json(worst, policy)
        if len(found) > 1:
            results["certificates"] = [certifying.as_json(one, policy) for one in found]
        return tuple(map(certifying.gate_of, found))

    def _measured(self, groups: Mapping[GroupKey, Group], results: Results) -> list[gating.Measured]:
        rows = in_order({group_key(row): row for row in results["results"]}, results["variants"])
        mode: GateMode = "regression" if self.specs.margin is None else self.specs.margin.mode
        if not self._within and self.watch is None:
            return self._stressed(gating.measure(groups, rows, self.baseline, mode, metrics=True), results)
        sides = self._sides(list(rows))
        for key, side in sides.items():
            if side is not None:
                whole = groups.get(side[0], Group()) if self.baseline is None else side[1]
                prefix = None if self.watch is None else self.watch.before(key)
                sides[key] = side[0], whole if prefix is None else prefix
        against = self.baseline or RunFigures(rows, groups)
        measured = gating.measure(groups, rows, against, mode, sides, metrics=True)
        return self._stressed(measured if self.watch is None else self._standing(measured, self.watch), results)

    def _stressed(self, measured: Sequence[gating.Measured], results: Results) -> list[gating.Measured]:
        """The cells with what changed forms of their items did."""
        forms = {group_key(row): row for row in results.get("stress", ())}
        return [replace(entry, cell=self._with_forms(entry, forms.get(entry.key))) for entry in measured]

    def _voided(self, config: pytest.Config, rows: Sequence[FigureRow], let_in: LetIn) -> list[FigureRow]:
        """The rows, void where marks, tests or other plugins left out too many items that were asked for."""
        if self.watch is not None or narrowed_by_hand(config):
            return list(rows)
        found: list[FigureRow] = []
        for row in rows:
            asked = let_in(group_key(row))
            if row["n"] < gating.LEAST_SHARED * asked:
                skipped = "the others were skipped or taken out"
                void = f"only {row['n']} of {asked} outcomes asked for were reported, {skipped}"
                row = {**row, "void": row.get("void") or void}
            found.append(row)
        return found

    def _with_forms(self, entry: gating.Measured, row: StressRow | None) -> GatedGroup:
        """The cell with how many of its items are consistent; or that no transformation asked for fits its task."""
        if row is not None and row["consistency"] is not None:
            return replace(entry.cell, inconsistent=(round((1 - row["consistency"]) * row["items"]), row["items"]))
        unfit = not any(stress.fits(registry.get(entry.key.task), form) for form in self.settings.stress)
        return replace(entry.cell, no_forms="no transformation asked for fits the task" if unfit else "")

    @staticmethod
    def _standing(measured: Sequence[gating.Measured], watch: Watch) -> list[gating.Measured]:
        """The cells with how far their gates have come; those that another gate's decision made needless name it."""
        labels = {entry.key: entry.cell.label for entry in measured}
        standings = watch.standings()
        decider = "" if watch.decided is None else labels[watch.decided]
        found = []
        for entry in measured:
            standing = standings.get(entry.key)
            if standing is not None and standing.state == "open":
                standing = replace(standing, decider=decider)
            found.append(replace(entry, cell=replace(entry.cell, standing=standing)))
        return found

    def _missing(self, config: pytest.Config, measured: Sequence[gating.Measured]) -> list[GroupKey]:
        """What the baseline has and this run should have, and has not: what the command left out is not missing."""
        if self.baseline is None or narrowed_by_hand(config) or self.settings.where:
            return []
        # What was collected is not missing, also where the run ended before its turn.
        present = dict.fromkeys([*(entry.key for entry in measured), *self._collected])
        found = gating.missing(list(present), self.baseline)
        return [key for key in found if self._asked_for(key.task, key.style)]

    def _absent(
        self, config: pytest.Config, measured: Sequence[gating.Measured], complete: bool
    ) -> tuple[GateResult, ...]:
        """Gates on what this run has nothing of, though its baseline or an option names it.

        What the command itself left out is no part of it: of a bar that is then not held it is said, and fails nothing.
        """
        by_hand = narrowed_by_hand(config) or bool(self.settings.where)
        present = list(dict.fromkeys([*(entry.key for entry in measured), *self._collected]))
        found: list[GateResult] = []
        if self.specs.margin is not None:
            gates = gating.missing_gates(self.specs.margin, self._missing(config, measured), present)
            found += [replace(gate, advisory=self.advisory) for gate in gates]
        for wanted in self.specs.min_accuracy:
            if any(fnmatchcase(key.task, wanted.task) for key in present):
                continue
            sentence = f"{wanted.task}: not evaluated, no item of it was run"
            gate = GateResult(f"gate::{wanted.task}", "min-accuracy", wanted.task, None, sentence)
            tasks = [task for task in registry.all_tasks() if fnmatchcase(task, wanted.task)]
            left_out = by_hand or not any(self._asked_for(task) for task in tasks)
            found.append(replace(gate, excused="left out by the command") if left_out else gate)
        if not present and not found and complete:
            kind = "min-accuracy" if self.specs.margin is None else self.specs.margin.mode
            sentence = "run: not evaluated, not one item was reported"
            found.append(GateResult("gate::run", kind, "run", None, sentence, advisory=self._only_advisory))
        return tuple(found) if complete else excuse(found, "the run is not complete")

    def _adaptive(self, watch: Watch, results: Results) -> AdaptiveJson:
        """How the run went."""
        rows = {group_key(row): row for row in results["results"]}
        sides = self._sides(self._collected)
        theirs = rows if self.baseline is None else self.baseline.rows
        before = {key: theirs[side[0]] for key, side in sides.items() if side is not None and side[0] in theirs}
        return adaptive_block(watch, rows, before, gating.labels(list(rows)), self.settings.data_seed)

    def _asked_for(self, task: str, style: str = "") -> bool:
        """Whether ``--task`` and ``--style`` let a task in."""
        tasks = self.settings.tasks
        if tasks and not any(fnmatchcase(task, wanted) for wanted in tasks):
            return False
        return not style or style in self.settings.styles_for(task)

    @property
    def _only_advisory(self) -> bool:
        return self.advisory and not (self.specs.min_accuracy or self.specs.max_rates or self.specs.certify)

    def _judge_gates(self, results: Results) -> list[GateResult]:
        """What fails because of a judge that failed its canaries: this run's, or that of a baseline that gates it."""
        found = [judges.judge_gate(results)]
        if self.baseline is not None and (not self.advisory or self.specs.certify):
            found.append(judges.judge_gate(self.baseline.results, "judge of the baseline"))
        return [gate for gate in found if gate is not None]

    @property
    def _asked(self) -> str:
        return f"--baseline {self.settings.baseline}"

    def _described(self) -> BaselineJson:
        if self.baseline is None:
            return {"name": PAPER, "paired": False, "advisory": self.advisory}
        selection = self.baseline.selection
        assert selection != "partial"  # such a run is refused at the start
        return {
            "name": self.baseline.name,
            "paired": True,
            "advisory": self.advisory,
            "selection": selection,
            "variants": [{"model": model, "quant": quant} for model, quant in self.baseline.variants],
        }


def _names(variants: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{model} ({quant})" for model, quant in variants)


def _errors(recorder: Recorder) -> list[tuple[str, str]]:
    """The items whose engine or data failed, by name, with the reason."""
    if not recorder.counts["error"]:
        return []
    return [
        (
            f"{r['model']}+{r['quant']}-{r['task']}-{r['style']}-{r['item']}"
            f"{'-' + r['stress'] if r.get('stress') else ''}-{'noise-' if r['role'] == 'noise' else 'r'}{r['repeat']}",
            str(r["reason"]),
        )
        for r in recorder.errors()
    ]
