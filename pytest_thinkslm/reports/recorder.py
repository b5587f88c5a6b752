"""The controller's side of a run: takes each item's record as it is reported, writes the run's files at the end."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, ItemKey, Variant, short_name
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.sampling import stated
from pytest_thinkslm.gates.baselines import Group, collecting
from pytest_thinkslm.runs.items import ItemSpool
from pytest_thinkslm.runs.results import SCHEMA_VERSION, Record, figures, write_json
from pytest_thinkslm.settings.run_settings import Settings

if TYPE_CHECKING:
    from pytest_thinkslm.judging.session import JudgeSession

#: Names of engine arguments whose values are never written.
_SECRET = re.compile(r"key|token(?!s)|secret|password|credential", re.IGNORECASE)

#: Distributions whose versions a report states.
_PACKAGES = ("pytest-thinkslm", "pytest", "pytest-xdist", "math-verify")


def default_report_dir(settings: Settings) -> Path:
    """``reports/<time>-<model>-<quant>`` under the current folder."""
    models = "_".join(short_name(model) for model in settings.models)[:60]
    quants = "_".join(settings.quants) or "none"
    return Path("reports").absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{models}-{quants}"


def prepare_report_dir(folder: Path) -> None:
    """Make the folder and see that it can be written, before anything is generated. Raises ``UsageError``."""
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--report-dir {folder} cannot be written ({error.strerror or error}): choose another folder; "
            "nothing was generated"
        ) from None


class Recorder:
    """Collects item records and makes ``items.jsonl``, ``results.json``, ``summary.md`` and ``report.html``.

    ``page`` is the path of the page once it is written, ``page_problem`` why it could not be.
    """

    def __init__(
        self, settings: Settings, factory: EngineFactory, folder: Path, judge: JudgeSession | None = None
    ) -> None:
        self.settings = settings
        self.factory = factory
        self.folder = folder
        self.started = time.time()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.page: Path | None = None
        self.page_problem = ""
        self._spool = ItemSpool(folder)
        self._verdicts: dict[ItemKey, str] = {}
        self._data: dict[str, Mapping[str, object]] = {}
        self._measured: dict[str, dict[str, Any]] = {}
        self.judge = judge
        self._judge_spent: dict[str, Any] = {}

    def add(self, key: ItemKey, verdict: str, line: str, unreported: int = 0) -> None:
        """Take one item's line of ``items.jsonl``; of several (a rerun, a crashed item that was tried again) the last
        counts. ``unreported`` attempts were made before without a line.
        """
        self._spool.add(key, line, unreported)
        if key.role == "item":
            if before := self._verdicts.get(key):
                self.counts[before] -= 1
            self._verdicts[key] = sys.intern(verdict)
            self.counts[verdict] += 1

    def groups(self) -> Counter[GroupKey]:
        """Number of reported items by group."""
        return Counter(key.group for key in self._spool.reported() if key.role == "item")

    def left_out(self, task: str) -> int:
        """How many items of a task were selected and not run: their records cannot be verified or are not there."""
        state = self._data.get(task, {})
        left_out = (state.get("unverified"), state.get("absent"))
        return sum(len(items) for items in left_out if isinstance(items, Sequence))

    def add_process(self, data: Mapping[str, Mapping[str, object]], measured: Mapping[str, Mapping[str, Any]]) -> None:
        """What a process that executed items knows at its end: data states, and measurements by the variant's name."""
        self._data.update(data)
        for name, values in measured.items():
            _add_measured(self._measured.setdefault(name, {}), values)

    def add_judge(self, spent: Mapping[str, Any] | None) -> None:
        """What judging took in a process; counts add up, times are the longest."""
        for name, value in (spent or {}).items():
            before = self._judge_spent.get(name, 0)
            self._judge_spent[name] = max(before, value) if name == "seconds" else before + value

    def results(self, *, selection: str, seconds: float, gates: Sequence[Mapping[str, object]] = ()) -> dict[str, Any]:
        """The content of ``results.json``."""
        from pytest_thinkslm.reference.comparison import against_paper

        groups: dict[GroupKey, Group] = {}
        records: Iterator[Record] = self._spool.records(lambda key: key.role == "item")
        if len(self.factory.variants) > 1:
            records = collecting(records, groups)
        seeds = self._spool.records(lambda key: key.role != "item")
        rows = figures(records, seeds, self._data, thinking=self.settings.thinking not in (None, "off"))
        variants = [self._variant(index, variant) for index, variant in enumerate(self.factory.variants)]
        measured: dict[str, Any] = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(seconds, 3),
            "variants": {variant.name: self._measured.get(variant.name, {}) for variant in self.factory.variants},
        }
        compared: dict[str, Any] = {}
        if len(self.factory.variants) > 1:
            compared["deltas"], measured["deltas"] = self._deltas(rows, groups, variants, measured["variants"])
        if beside := against_paper(rows, variants):
            compared["reference"] = beside
        problems = list(self.problems)
        if self.judge is not None:
            from pytest_thinkslm.reports.judged import judge_problems, run_judge

            compared["judge"] = run_judge(self.judge, self.item_records())
            problems += judge_problems(compared["judge"])
            measured["judge"] = self._judge_spent
        return {
            "schema_version": SCHEMA_VERSION,
            "settings": self._settings(),
            "versions": _versions(),
            "variants": variants,
            "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "system": platform.system()},
            "selection": selection,
            "results": rows,
            "loop_guard": self._loop_guard(variants, rows),
            **compared,
            "gates": list(gates),
            "problems": problems,
            "measured": measured,
        }

    def _deltas(
        self,
        rows: Sequence[Mapping[str, Any]],
        groups: Mapping[GroupKey, Group],
        variants: Sequence[Mapping[str, Any]],
        measured: Mapping[str, Mapping[str, Any]],
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The delta report, and the cost beside it."""
        from pytest_thinkslm.reports import deltas

        keys = [(variant.model, variant.quant) for variant in self.factory.variants]
        found = deltas.deltas(keys, rows, groups)
        wanted = deltas.wanted_examples(found)
        if wanted:
            outputs = self._spool.records(lambda key: key.role == "item" and (key.group, key.item) in wanted, bulk=True)
            deltas.add_examples(found, outputs)
        return found, deltas.costs(variants, measured, deltas.references(keys))

    def _loop_guard(
        self, variants: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, object]:
        """Whether looping outputs were ended early, by which rule, and how many."""
        rules = {str(rule) for variant in variants if (rule := variant["fingerprint"]["facts"].get("loop_guard"))}
        return {
            "on": self.settings.temperature == 0 and bool(rules - {"off"}),
            "rules": sorted(rules),
            "stopped": sum(int(row.get("loops_stopped", 0)) for row in rows),
        }

    def item_records(self) -> Iterator[dict[str, object]]:
        """The records of the items so far (role ``item``), in order, without their bulky texts."""
        return self._spool.records(lambda key: key.role == "item")

    def write(self, results: Mapping[str, Any]) -> None:
        """Write the files, each once and atomically."""
        from pytest_thinkslm.reports.summary import markdown

        self._spool.finish()
        write_json(self.folder / "results.json", results)
        self._write_page()
        draft = self.folder / ".summary.md.draft"
        draft.write_text(markdown(results, page=None if self.page is None else self.page.name), encoding="utf-8")
        draft.replace(self.folder / "summary.md")

    def _write_page(self) -> None:
        """Write ``report.html``; where that fails the run's figures stand all the same, and the terminal says why."""
        try:
            from pytest_thinkslm.reports.page import write_page

            self.page = write_page(self.folder)
        except Exception as error:
            self.page_problem = (
                f"report.html was not written ({type(error).__name__}: {error}); the other files are complete, and "
                f"python -m pytest_thinkslm.reports.page {self.folder} makes it from them"
            )

    def discard(self) -> None:
        """Nothing was run: remove the spool, and the folder where it is empty."""
        self._spool.discard()
        with contextlib.suppress(OSError):  # it holds files: the engine's log, or the user's
            self.folder.rmdir()

    def _settings(self) -> dict[str, object]:
        """The settings that outputs and figures depend on; paths by name only."""
        values = self.factory.stated_settings()
        for name in ("report_dir", "journal_dir", "fresh", "rescore"):
            del values[name]
        values["baseline"] = None if self.settings.baseline is None else Path(self.settings.baseline).name
        values["data_dir"] = None if self.settings.data_dir is None else self.settings.data_dir.name
        values["models"] = [_model_name(model) for model in self.settings.models]
        values["server_url"] = _without_credentials(self.settings.server_url)
        values["judge_url"] = _without_credentials(self.settings.judge_url)
        values["judge"] = None if self.settings.judge is None else _model_name(self.settings.judge)
        values["engine_args"] = {
            name: "(not written)" if _SECRET.search(name) else value
            for name, value in self.settings.engine_args.items()
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def _variant(self, index: int, variant: Variant) -> dict[str, object]:
        facts: dict[str, object] = {"model": variant.model, "quant": variant.quant, "display": variant.model}
        facts.update(compression=None, catalogue=None)
        model = self.factory.resolve(variant)
        if model is not None:
            compression = asdict(model.compression)
            del compression["kernel"]  # known to the engine alone: measured.variants has it
            facts.update(
                display=model.display,
                revision=model.revision,
                quantization=model.quantization,
                template_sha256=model.template_sha256,
                context=model.context,
                disk_bytes=model.disk_bytes,
                note=model.note,
                compression=compression,
                catalogue=model.catalogue,
            )
        fingerprint = self.factory.fingerprint(index)
        facts["engine"] = self.factory.name
        facts["sampling"] = stated(self.factory.sampling(index))
        facts["fingerprint"] = {"digest": fingerprint.digest, "facts": dict(fingerprint.facts)}
        return facts


def _without_credentials(url: str | None) -> str | None:
    """An address without the user, password, query and fragment that may stand in it."""
    if url is None:
        return None
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


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
                    inner[key] = part
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
