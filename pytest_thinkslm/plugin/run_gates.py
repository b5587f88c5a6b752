"""The gates of one run: what is checked before it, said before it, and decided after it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.gates import gating, judges
from pytest_thinkslm.gates.baselines import (
    PAPER,
    RecordedRun,
    collect,
    counterpart,
    data_differences,
    difference,
    drawn,
    load_run,
    misfits,
    prompt_differences,
    prompt_digest,
    refused,
)
from pytest_thinkslm.gates.outcomes import ALLOW, GateResult, excuse
from pytest_thinkslm.plugin.compat_pytest import narrowed_by_hand
from pytest_thinkslm.runs.types import BaselineJson, Results
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, Margin
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.sampling import Method

if TYPE_CHECKING:
    import pytest

    from pytest_thinkslm.core.identity import ItemRef, Variant
    from pytest_thinkslm.core.item_record import ItemRecord
    from pytest_thinkslm.engines.factory import EngineFactory
    from pytest_thinkslm.generating.planner import Planner
    from pytest_thinkslm.reports.recorder import Recorder

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
        self.specs = settings.gates
        if settings.baseline and self.specs.margin is None:
            self.specs = GateSpecs(self.specs.min_accuracy, self.specs.max_rates, Margin(0.0))
        self.advisory = settings.gates.margin is None or (self.paper and not settings.gate_paper)

    @property
    def drawn(self) -> Method | None:
        """How the baseline's items were drawn; None where they are no sample, or there is no baseline."""
        return None if self.baseline is None else drawn(self.baseline)

    # -- before anything is generated -----------------------------------------------------------------------

    def check_settings(self, factory: EngineFactory) -> None:
        """Refuse a baseline that differs in style, sampling, template or selection. Raises ``UsageError``."""
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
            key = gating.match(ref.key(variants).group, self.baseline)
            if ref.repeat == 1 and key is not None:
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

    def foresee(self, keys: Iterable[ItemKey], *, every: bool = False) -> list[str]:
        """What the margin gate will not be able to see or to compare: two lines, or all of them.

        Args:
            keys: every collected item.
            every: all of them, a line a task.
        """
        if not self.settings.baseline or self.specs.margin is None:
            return []
        wanted: dict[GroupKey, dict[str, None]] = defaultdict(dict)
        for key in keys:
            wanted[key.group][key.item] = None
        if self.baseline is not None:
            lines = gating.foresee(self.specs.margin, wanted, self.baseline)
        else:
            from pytest_thinkslm.reference.gates import foresee_paper

            sizes = {key: len(items) for key, items in wanted.items()}
            lines = foresee_paper(self.specs.margin, sizes, gating.labels(list(wanted)))
        if every or len(lines) <= _LINES_SHOWN:
            return lines
        return [
            *lines[: _LINES_SHOWN - 1],
            f"{len(lines) - _LINES_SHOWN + 1} more gates are like it: --plan has them all",
        ]

    # -- after it -------------------------------------------------------------------------------------------

    def finish(
        self, config: pytest.Config, recorder: Recorder, results: Results, *, complete: bool
    ) -> tuple[GateResult, ...]:
        """Decide every gate, report each, and put them into ``results``.

        Args:
            recorder: has the run's items, before its files are written.
            results: the content of results.json; gets ``gates`` and ``baseline``.
            complete: whether every collected item was reported and the run was not interrupted.
        """
        from pytest_thinkslm.plugin.gate_reports import report_gates

        decided: tuple[GateResult, ...] = ()
        keys: dict[str, GroupKey] = {}
        if self.specs:
            measured = self._measured(recorder.item_records(), results)
            keys = {entry.cell.label: entry.key for entry in measured}
            decided = (*self._decide(measured, complete), *self._absent(config, measured, complete))
            if judges.misjudged(results):
                alone = self._measured(judges.parsers(recorder.item_records()), results)
                by_parser = {gate.name: gate for gate in self._decide(alone, complete)}
                decided = judges.without_misjudged(decided, keys, results, by_parser)
            if self.settings.allow_unevaluated:
                decided = excuse(decided, f"{ALLOW} is given")
        decided = (*decided, *self._judge_gates(results))
        results["gates"] = [gating.as_json(result, keys.get(result.label)) for result in decided]
        if self.settings.baseline:
            results["baseline"] = self._described()
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

    def _measured(self, records: Iterable[ItemRecord], results: Results) -> list[gating.Measured]:
        rows = {group_key(row): row for row in results["results"]}
        mode: GateMode = "regression" if self.specs.margin is None else self.specs.margin.mode
        return gating.measure(collect(records), rows, self.baseline, mode)

    def _absent(
        self, config: pytest.Config, measured: Sequence[gating.Measured], complete: bool
    ) -> tuple[GateResult, ...]:
        """Gates on what this run has nothing of, though its baseline or an option names it.

        What the command itself left out is no part of it: of a bar that is then not held it is said, and fails nothing.
        """
        by_hand = narrowed_by_hand(config) or bool(self.settings.where)
        present = [entry.key for entry in measured]
        found: list[GateResult] = []
        if self.baseline is not None and self.specs.margin is not None and not by_hand:
            absent = [key for key in gating.missing(present, self.baseline) if self._asked_for(key.task, key.style)]
            gates = gating.missing_gates(self.specs.margin, absent, present)
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

    def _asked_for(self, task: str, style: str = "") -> bool:
        """Whether ``--task`` and ``--style`` let a task in."""
        tasks = self.settings.tasks
        if tasks and not any(fnmatchcase(task, wanted) for wanted in tasks):
            return False
        return not style or style in self.settings.styles_for(task)

    @property
    def _only_advisory(self) -> bool:
        return self.advisory and not (self.specs.min_accuracy or self.specs.max_rates)

    def _judge_gates(self, results: Results) -> list[GateResult]:
        """What fails because of a judge that failed its canaries: this run's, or that of a baseline that gates it."""
        found = [judges.judge_gate(results)]
        if self.baseline is not None and not self.advisory:
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
        (f"{r['model']}+{r['quant']}-{r['task']}-{r['style']}-{r['item']}-r{r['repeat']}", str(r["reason"]))
        for r in recorder.item_records()
        if r["verdict"] == "error"
    ]
