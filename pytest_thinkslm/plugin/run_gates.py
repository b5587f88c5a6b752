"""The gates of one run: what is checked before it, said before it, and decided after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.gates import gating
from pytest_thinkslm.gates.baselines import (
    PAPER,
    RecordedRun,
    collect,
    counterpart,
    data_differences,
    difference,
    load_run,
    misfits,
    prompt_differences,
    prompt_digest,
    refused,
)
from pytest_thinkslm.gates.decisions import GateResult, GateSpecs, Margin
from pytest_thinkslm.runs.types import BaselineJson, Results
from pytest_thinkslm.settings.run_settings import Settings

if TYPE_CHECKING:
    import pytest

    from pytest_thinkslm.core.identity import ItemRef, Variant
    from pytest_thinkslm.engines.factory import EngineFactory
    from pytest_thinkslm.generating.planner import Planner
    from pytest_thinkslm.reports.recorder import Recorder

#: Lines about single gates before a run, at most.
_LINES_SHOWN = 12


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

    # -- before anything is generated -----------------------------------------------------------------------

    def check_settings(self, factory: EngineFactory) -> None:
        """Refuse a baseline that differs in style, sampling, template or selection. Raises ``UsageError``."""
        if self.baseline is None:
            return
        templates = {}
        for variant in factory.variants:
            model = factory.resolve(variant)
            templates[variant.model, variant.quant] = None if model is None else model.template_sha256
        found = misfits(self.baseline, factory.stated_settings(), templates, self.settings.styles)
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
        if not found and not shared:
            theirs = ", ".join(dict.fromkeys(f"{key.task} ({key.style})" for key in self.baseline.groups)) or "nothing"
            found.append(
                f"items (the baseline has {theirs}; this run asks none of them)"
                if any(counterpart((variant.model, variant.quant), self.baseline.variants) for variant in variants)
                else difference("models", _names(self.baseline.variants), _names(map(astuple, variants)))
            )
        if found:
            raise refused(self._asked, list(dict.fromkeys(found)))

    def foresee(self, keys: Iterable[ItemKey]) -> list[str]:
        """What the margin gate will not be able to see or to compare, in lines.

        Args:
            keys: every collected item.
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
        more = len(lines) - _LINES_SHOWN
        return [*lines[:_LINES_SHOWN], *([f"... and {more} more gates like these"] if more > 0 else [])]

    # -- after it -------------------------------------------------------------------------------------------

    def finish(
        self, config: pytest.Config, recorder: Recorder, results: Results, *, complete: bool
    ) -> tuple[GateResult, ...]:
        """Decide every gate, report each, put them into ``results`` and write ``gates.xml``.

        Args:
            recorder: has the run's items, before its files are written.
            results: the content of results.json; gets ``gates`` and ``baseline``.
            complete: whether every collected item was reported and the run was not interrupted.
        """
        from pytest_thinkslm.plugin.gate_reports import report_gates, write_gates_xml

        decided: tuple[GateResult, ...] = ()
        keys: dict[str, GroupKey] = {}
        if self.specs:
            measured = gating.measure(
                collect(recorder.item_records()), {group_key(row): row for row in results["results"]}, self.baseline
            )
            keys = {entry.cell.label: entry.key for entry in measured}
            decided = (*self._decide(measured, complete), *_unmatched(self.specs, measured))
            decided = _without_untrusted(decided, keys, results)
            if not decided:
                results["problems"].append("no gate was evaluated: not one item was reported")
        results["gates"] = [gating.as_json(result, keys.get(result.label)) for result in decided]
        if self.settings.baseline:
            results["baseline"] = self._described()
        write_gates_xml(recorder.folder / "gates.xml", decided, _errors(recorder))
        report_gates(config, decided)
        return decided

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


def _unmatched(specs: GateSpecs, measured: Sequence[gating.Measured]) -> list[GateResult]:
    """Accuracy gates on tasks of which nothing was run: said, so that a bar that is never held is seen."""
    return [
        GateResult(
            f"gate::{wanted.task}",
            "min-accuracy",
            wanted.task,
            None,
            f"{wanted.task}: not evaluated, no item of it was run",
        )
        for wanted in specs.min_accuracy
        if not any(fnmatchcase(entry.cell.task, wanted.task) for entry in measured)
    ]


def _without_untrusted(
    decided: tuple[GateResult, ...], keys: Mapping[str, GroupKey], results: Results
) -> tuple[GateResult, ...]:
    """A gate on verdicts of a judge that failed its canaries is not evaluated."""
    judge = results.get("judge")
    if judge is None or judge["canaries"]["trusted"]:
        return decided
    judged = {group_key(row) for row in results["results"] if "judge" in row and row["judge"]["decided"]}
    canaries = judge["canaries"]
    why = (
        f"not evaluated, it rests on verdicts of the judge {judge['model']}, which got {canaries['right']} of "
        f"{canaries['n']} canaries right (needed: {canaries['threshold']:.0%})"
    )
    return tuple(
        replace(gate, passed=None, sentence=f"{gate.label}: {why}", fields={}, lost=(), gained=())
        if keys.get(gate.label) in judged
        else gate
        for gate in decided
    )


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
