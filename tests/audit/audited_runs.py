"""Runs to audit, made without running anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from recorded_runs import record, write_run

from pytest_thinkslm.audit.run_items import AuditItem, JudgeReading
from pytest_thinkslm.core.identity import ItemKey

Judged = Mapping[str, object]


def judged(verdict: str | None, status: str = "judged") -> Judged:
    """A line's field ``judge``."""
    return {"status": status, "verdict": verdict, "answer": "1", "reason": "because"}


def line(item: int, right: bool, judge: Judged | None = None, **fields: object) -> dict[str, object]:
    """A line of items.jsonl, with a judge's reading where there is one."""
    extra: dict[str, object] = {"output": f"It is \\boxed{{{item}}}.", "judge": judge, **fields}
    if judge is not None:
        extra.setdefault("source", "parser")
        extra.setdefault("parser_verdict", "correct" if right else "incorrect")
    return record(item, right, **extra)  # type: ignore[arg-type]


def run_of(folder: Path, lines: Iterable[Mapping[str, object]], judge: str | None = None) -> Path:
    """A report folder with these items."""
    write_run(folder, lines)
    if judge is not None:
        path = folder / "results.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "judge": {"model": judge}}))
    return folder


def outcome(
    index: int, *, task: str = "gsm8k", parser: str = "correct", judge: str | None = None, source: str = "parser"
) -> AuditItem:
    """An outcome as the sampling sees it."""
    reading = None if judge is None else JudgeReading("judged", judge)
    verdict = judge if source == "judge" and judge is not None else parser
    key = ItemKey("m", "none", task, f"test_{task}", "direct", f"{index:04d}", 1)
    return AuditItem(key, parser, verdict, source, reading, f"{index:x}", f"{task}/{index}")
