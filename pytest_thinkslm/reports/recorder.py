"""The controller's side of a run: takes each item's record as it is reported, writes the run's files at the end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from pytest_thinkslm.audit.labelled import Labelled, read_labelled
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import write_json, write_text
from pytest_thinkslm.core.identity import GroupKey, ItemKey, Variant, short_name
from pytest_thinkslm.core.item_record import ItemRecord, group_key
from pytest_thinkslm.core.redaction import names_secret
from pytest_thinkslm.core.run_file import SCHEMA_VERSION
from pytest_thinkslm.core.text import without_credentials
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.sampling import stated
from pytest_thinkslm.gates.baselines import Group, collecting
from pytest_thinkslm.runs.corrected import LabelledRun, label_problems
from pytest_thinkslm.runs.items import ItemSpool
from pytest_thinkslm.runs.results import failed_metrics, figures
from pytest_thinkslm.runs.types import (
    BudgetCurve,
    CompressionJson,
    DeltaRow,
    DriftJson,
    FigureRow,
    LoopGuard,
    OpenedData,
    Results,
    RunMeasured,
    Selection,
    SettingsJson,
    VariantFacts,
    VariantMeasured,
)
from pytest_thinkslm.settings.run_settings import Settings

if TYPE_CHECKING:
    from pytest_thinkslm.judging.session import JudgeSession

#: Distributions whose versions a report states.
_PACKAGES = ("pytest-thinkslm", "pytest", "pytest-xdist", "math-verify")


#: Where the folders of runs are by default, under the current folder.
REPORTS = "reports"


def default_report_dir(settings: Settings) -> Path:
    """``reports/<time>-<model>-<quant>`` under the current folder."""
    models = "_".join(short_name(model) for model in settings.models)[:60]
    quants = "_".join(settings.quants) or "none"
    return Path(REPORTS).absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{models}-{quants}"


class Recorder:
    """Collects item records and makes ``items.jsonl``, ``results.json``, ``summary.md`` and ``report.html``.

    ``page`` is the path of the page once it is written, ``page_problem`` why it could not be.
    """

    def __init__(
        self,
        settings: Settings,
        factory: EngineFactory,
        folder: Path,
        judge: JudgeSession | None = None,
    ) -> None:
        self.settings = settings
        self.factory = factory
        self.folder = folder
        #: Files of the run that could not be written, each with the reason.
        self.unwritten: list[str] = []
        self.started = time.time()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.page: Path | None = None
        self.page_problem = ""
        self._labels = LabelledRun(_labels_asked_for(settings)) if settings.labels else None
        self._spool = ItemSpool(folder)
        self._verdicts: dict[ItemKey, str] = {}
        self._data: dict[str, OpenedData] = {}
        self._measured: dict[str, VariantMeasured] = {}
        self.judge = judge
        self._judge_spent: dict[str, float] = {}
        self._drift: dict[GroupKey, DriftJson] = {}
        self._budget_curves: list[BudgetCurve] = []

    def add(self, key: ItemKey, verdict: str, line: str, unreported: int = 0) -> None:
        """Take one item's line of ``items.jsonl``; of several (a rerun, a crashed item that was tried again) the last
        counts. ``unreported`` attempts were made before without a line.
        """
        self._spool.add(key, line, unreported)
        if key.role != "seed":  # a seed has no test of its own
            if before := self._verdicts.get(key):
                self.counts[before] -= 1
            self._verdicts[key] = sys.intern(verdict)
            self.counts[verdict] += 1

    @property
    def empty(self) -> bool:
        """Whether no item was reported, and no process has said that it generated an output."""
        return not self._verdicts and not any(values.get("generated") for values in self._measured.values())

    def leave_out(self, unwanted: Callable[[ItemKey], bool]) -> None:
        """Forget the items that are ``unwanted``, as if they had not been run."""
        for key in list(filter(unwanted, self._spool.reported())):
            self._spool.forget(key)
            if verdict := self._verdicts.pop(key, None):
                self.counts[verdict] -= 1

    def groups(self) -> Counter[GroupKey]:
        """Number of reported items by group."""
        return Counter(key.group for key in self._spool.reported() if key.role == "item")

    def left_out(self, task: str) -> int:
        """How many items of a task were selected and not run: their records cannot be verified or are not there."""
        state = self._data.get(task)
        return 0 if state is None else len(state["unverified"]) + len(state["absent"])

    def add_process(self, data: Mapping[str, OpenedData], measured: Mapping[str, VariantMeasured]) -> None:
        """What a process that executed items knows at its end: data states, and measurements by the variant's name."""
        self._data.update(data)
        for name, values in measured.items():
            _add_measured(cast("dict[str, Any]", self._measured.setdefault(name, {})), values)

    def add_judge(self, spent: Mapping[str, float] | None) -> None:
        """What judging took in a process; counts add up, times are the longest."""
        for name, value in (spent or {}).items():
            before = self._judge_spent.get(name, 0)
            self._judge_spent[name] = max(before, value) if name == "seconds" else before + value

    def results(self, *, selection: Selection, seconds: float) -> Results:
        """The content of ``results.json``, before its gates."""
        from pytest_thinkslm.reference.comparison import against_paper

        groups: dict[GroupKey, Group] = {}
        records = self.item_records()
        if len(self.factory.variants) > 1 or len(self.settings.styles) > 1:
            records = collecting(records, groups, self.seed_records())
        rows = figures(records, self.seed_records(), self._data, thinking=self.settings.thinking not in (None, "off"))
        self.problems += self._accepted()
        variants = [self._variant(index, variant) for index, variant in enumerate(self.factory.variants)]
        measured: RunMeasured = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(seconds, 3),
            "variants": {variant.name: self._measured.get(variant.name, {}) for variant in self.factory.variants},
        }
        results: Results = {
            "schema_version": SCHEMA_VERSION,
            "settings": self._settings(),
            "versions": _versions(),
            "variants": variants,
            "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "system": platform.system()},
            "selection": selection,
            "results": rows,
            "loop_guard": self._loop_guard(variants, rows),
            "gates": [],
            "problems": [*self.problems, *failed_metrics(rows)],
            "measured": measured,
        }
        if len(self.factory.variants) > 1:
            self._add_deltas(results, groups)
        if len({row["style"] for row in rows}) > 1:
            self._add_style_deltas(results, groups)
        if self.settings.stress:
            self._add_stress(results)
        if self.settings.budget_curve is not None:
            order = [group_key(row) for row in rows]
            results["budget_curves"] = sorted(self._budget_curves, key=lambda curve: order.index(group_key(curve)))
        if beside := against_paper(rows, variants):
            results["reference"] = beside
        if self._labels is not None:
            outputs = self._spool.lines(self._labels.wanted.__contains__)
            results["labels"] = self._labels.add_to(rows, self.item_records(), outputs)
            results["problems"] += label_problems(results)
        if self.judge is not None:
            from pytest_thinkslm.reports.judged import judge_problems, run_judge

            others = self._spool.records(lambda key: key.role != "item")
            results["judge"] = run_judge(self.judge, self.item_records(), others)
            results["problems"] += judge_problems(results["judge"])
            measured["judge"] = self._judge_spent
        return results

    def _accepted(self) -> list[str]:
        """What of the figures rests on outputs of another engine (``--journal-accept``, a package that is not here)."""
        return [
            f"{variant.name}: {count} outputs are those of an engine that differs in {what} (--journal-accept)"
            for variant in self.factory.variants
            for what, count in sorted(self._measured.get(variant.name, {}).get("accepted", {}).items())
        ]

    def _add_deltas(self, results: Results, groups: Mapping[GroupKey, Group]) -> None:
        """The delta report, and the cost beside it."""
        from pytest_thinkslm.reports import deltas

        keys = [(variant.model, variant.quant) for variant in self.factory.variants]
        results["deltas"] = found = deltas.deltas(keys, results["results"], groups)
        self._add_examples(found)
        deltas.add_lengths(found, self._spool.lines(lambda key: key.role == "item"))
        for row in found:
            if (drift := self._drift.get(group_key(row))) is not None:
                row["drift"] = drift
        if flipped := deltas.wanted_breaks(found):
            outputs = self._spool.lines(lambda key: key.role == "item" and (key.group, key.item) in flipped)
            deltas.add_breaks(found, outputs, flipped)
        if self.settings.noise_floor:
            deltas.add_noise(found, self._spool.records(lambda key: key.role in ("item", "noise")))
        measured = results["measured"]
        measured["deltas"] = deltas.costs(results["variants"], measured["variants"], deltas.references(keys))

    def measure_drift(self, log: TextIO | None) -> None:
        """``--drift``: have each variant led along the outputs of the one that it is held against."""
        from pytest_thinkslm.generating.drifting import measure
        from pytest_thinkslm.reports.deltas import references

        pairs = references([(variant.model, variant.quant) for variant in self.factory.variants])
        self._drift, problems = measure(self.factory, self._spool.lines, pairs, log)
        self.problems += problems

    def measure_budgets(self, log: TextIO | None) -> None:
        """``--budget-curve``: have thoughts closed early, and see what is answered there."""
        from pytest_thinkslm.generating.budgets import measure

        self._budget_curves, problems = measure(self.factory, self._spool.lines, log)
        self.problems += problems

    def _add_style_deltas(self, results: Results, groups: Mapping[GroupKey, Group]) -> None:
        """What another style changed."""
        from pytest_thinkslm.reports import deltas

        if found := deltas.style_deltas(self.settings.styles, results["results"], groups):
            results["style_deltas"] = found
            self._add_examples(found)

    def _add_examples(self, found: Sequence[DeltaRow]) -> None:
        from pytest_thinkslm.reports import deltas

        if wanted := deltas.wanted_examples(found):
            outputs = self._spool.lines(lambda key: key.role == "item" and (key.group, key.item) in wanted)
            deltas.add_examples(found, outputs)

    def _add_stress(self, results: Results) -> None:
        """The figures of changed forms, and how consistency differs between variants."""
        from pytest_thinkslm.reports.deltas import add_consistency
        from pytest_thinkslm.runs.stressed import stressed

        found = stressed(self.item_records(), self._spool.records(lambda key: key.role == "stress"))
        results["stress"] = found.rows
        add_consistency(results.get("deltas", ()), found)

    def _loop_guard(self, variants: Sequence[VariantFacts], rows: Sequence[FigureRow]) -> LoopGuard:
        """Whether looping outputs were ended early, by which rule, and how many."""
        rules = {str(rule) for variant in variants if (rule := variant["fingerprint"]["facts"].get("loop_guard"))}
        return {
            "on": self.settings.temperature == 0 and bool(rules - {"off"}),
            "rules": sorted(rules),
            "stopped": sum(row.get("loops_stopped", 0) for row in rows),
        }

    def errors(self) -> Iterator[ItemRecord]:
        """The records whose engine or data failed, those of changed forms and further runs among them."""
        return self._spool.records(lambda key: self._verdicts.get(key) == "error")

    def item_records(self) -> Iterator[ItemRecord]:
        """The records of the items so far (role ``item``), in order, without their bulky texts."""
        return self._spool.records(lambda key: key.role == "item")

    def seed_records(self) -> Iterator[ItemRecord]:
        """The records of what was asked beside items so far (role ``seed``), without their bulky texts."""
        return self._spool.records(lambda key: key.role == "seed")

    @property
    def full(self) -> str:
        """Why the report folder takes no more lines; empty while it does."""
        if not self._spool.problem:
            return ""
        return f"the report folder {self.folder} cannot be written ({self._spool.problem})"

    def write(self, results: Results, gates: Callable[[Path], object] | None = None) -> None:
        """Write the files, each once and atomically. Where the report folder takes none of them another one is tried.

        Never raises for a file that cannot be written: ``unwritten`` and ``folder`` say what became of it.

        Args:
            results: the content of results.json.
            gates: writes gates.xml.
        """
        from pytest_thinkslm.reports.summary import markdown

        if not any(self._write_figures(folder, results) for folder in (self.folder, *_other_folders(self.folder))):
            return
        self._spool.discard()
        self._write_page()
        page = None if self.page is None else self.page.name
        self._beside("summary.md", lambda path: write_text(path, markdown(results, page=page)))
        if gates is not None:
            self._beside("gates.xml", gates)

    def _write_figures(self, folder: Path, results: Results) -> bool:
        """items.jsonl and results.json, both or neither; the room of the spool is given to them where they need it."""
        ordered = {name: value for name in Results.__annotations__ if (value := results.get(name)) is not None}
        for again in (False, True):
            if again:
                self._spool.to_memory()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._spool.write(folder / "items.jsonl")
                write_json(folder / "results.json", ordered)
            except OSError as error:
                why = error.strerror or str(error)
                with contextlib.suppress(OSError):
                    (folder / "items.jsonl").unlink(missing_ok=True)
            else:
                self.folder = folder
                return True
        self.unwritten.append(f"the report folder {folder} cannot be written ({why})")
        return False

    def _beside(self, name: str, write: Callable[[Path], object]) -> None:
        try:
            write(self.folder / name)
        except OSError as error:
            self.unwritten.append(f"{name} was not written ({error.strerror or error})")

    def _write_page(self) -> None:
        """Write ``report.html``; where that fails the run's figures stand all the same, and the terminal says why."""
        try:
            from pytest_thinkslm.reports.page import write_page

            self.page = write_page(self.folder)
        except Exception as error:
            self.page_problem = (
                f"report.html was not written ({type(error).__name__}: {error}); the other files are complete, and "
                f"thinkslm page {self.folder} makes it from them"
            )

    def discard(self) -> None:
        """Nothing was run: remove the spool."""
        self._spool.discard()

    def _settings(self) -> SettingsJson:
        """The settings that outputs and figures depend on; paths by name only."""
        values = cast("dict[str, object]", self.factory.stated_settings())
        for name in ("report_dir", "journal_dir", "fresh", "rescore", "plan", "tasks_of_replay"):
            del values[name]
        if self.settings.tasks_of_replay:  # a task that a file lacks was not left out by the command
            values["tasks"] = []
        values["labels"] = [path.name for path in self.settings.labels]
        values["where"] = [list(pair) for pair in self.settings.where]
        values["baseline"] = None if self.settings.baseline is None else Path(self.settings.baseline).name
        values["data_dir"] = None if self.settings.data_dir is None else self.settings.data_dir.name
        values["models"] = [_model_name(model) for model in self.settings.models]
        values["server_url"] = _shown_url(self.settings.server_url)
        values["judge_url"] = _shown_url(self.settings.judge_url)
        values["judge"] = None if self.settings.judge is None else _model_name(self.settings.judge)
        values["engine_args"] = {
            name: "(not written)" if names_secret(name) else value for name, value in self.settings.engine_args.items()
        }
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return cast("SettingsJson", plain)

    def _variant(self, index: int, variant: Variant) -> VariantFacts:
        fingerprint = self.factory.fingerprint(index)
        facts: VariantFacts = {
            "model": variant.model,
            "quant": variant.quant,
            "display": variant.model,
            "compression": None,
            "catalogue": None,
            "engine": self.factory.name,
            "sampling": stated(self.factory.sampling(index)),
            "fingerprint": {"digest": fingerprint.digest, "facts": dict(fingerprint.facts)},
        }
        model = self.factory.resolve(variant)
        if model is not None:
            compression = asdict(model.compression)
            del compression["kernel"]  # known to the engine alone: measured.variants has it
            facts["display"] = model.display
            facts["revision"] = model.revision
            facts["quantization"] = None if model.quantization is None else dict(model.quantization)
            facts["template_sha256"] = model.template_sha256
            facts["context"] = model.context
            facts["disk_bytes"] = model.disk_bytes
            facts["note"] = model.note
            facts["compression"] = cast("CompressionJson", compression)
            facts["catalogue"] = model.catalogue
        return facts


def _labels_asked_for(settings: Settings) -> Labelled:
    """The label files of ``--labels``, read. Raises ``UsageError``."""
    try:
        return read_labelled(settings.labels)
    except UsageError as error:
        raise UsageError(f"--labels: {error}") from None


def _other_folders(asked: Path) -> list[Path]:
    """Where a report goes that its folder does not take."""
    name = f"{asked.name}-{os.getpid()}"
    return [Path.cwd() / name, Path(tempfile.gettempdir()) / name]


def _shown_url(url: str | None) -> str | None:
    return None if url is None else without_credentials(url)


def _model_name(model: str) -> str:
    return Path(model).name if os.sep in model and Path(model).exists() else model


def _add_measured(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Join what several processes measured: counts and memory add up, times are the longest, devices are listed.

    What one of them does not know takes nothing from the others.
    """
    for name, value in values.items():
        before = into.get(name)
        if isinstance(value, Mapping):
            inner = into.setdefault(name, {})
            for key, part in value.items():
                if isinstance(part, Mapping):
                    _add_measured(inner.setdefault(key, {}), part)
                else:
                    inner[key] = inner.get(key, 0) + part if name == "accepted" else part
        elif value is None and before is not None:
            continue
        elif name == "devices":
            joined = {json.dumps(device, sort_keys=True): device for device in [*(before or ()), *value]}
            into[name] = sorted(joined.values(), key=lambda device: int(device["index"]))
        elif before is None or not isinstance(value, int | float) or isinstance(value, bool):
            into[name] = value
        elif name in _ADDED:
            into[name] = before + value
        else:
            into[name] = max(before, value)


#: What adds up over processes that run side by side.
_ADDED = frozenset(
    {
        "generated",
        "output_tokens",
        "tokens_per_second",
        "peak_memory_bytes",
        "peak_gpu_memory_bytes",
        "gpu_seconds",
        "replicas",
    }
)


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed as a distribution"
    return versions
