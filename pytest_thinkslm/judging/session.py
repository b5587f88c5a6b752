"""The judge of a run in one process: desk, policy and canaries, as the plugin uses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TextIO

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Case, Output, Request
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.journal.journal import Journal
from pytest_thinkslm.judging.canaries import CANARIES, CanaryResult, canary_line, run_canaries
from pytest_thinkslm.judging.desk import Budget, JudgeDesk
from pytest_thinkslm.judging.judge import Judge, ServerJudge, judge_facts, make_judge
from pytest_thinkslm.judging.policy import question_about
from pytest_thinkslm.judging.prompt import SAMPLING, content_key
from pytest_thinkslm.settings.run_settings import Settings

Say = Callable[[str], None]
Log = Callable[[], TextIO | None]

#: Seconds between two lines about the canaries.
_LINES = 10.0


class JudgeSession:
    """What a process does with its judge.

    Args:
        settings: of the run, with a judge.
        desk: its desk.
        fingerprint: of the judge.
        canaries: how the judge did on them.
        dead: why it cannot be asked.
    """

    def __init__(
        self, settings: Settings, desk: JudgeDesk, fingerprint: Fingerprint, canaries: CanaryResult, dead: str = ""
    ) -> None:
        self.settings = settings
        self.desk = desk
        self.fingerprint = fingerprint
        self.canaries = canaries
        self.dead = dead

    @property
    def name(self) -> str:
        """The model, without the folders that it lies in."""
        return _name(self.settings)

    @property
    def digest(self) -> str:
        """Of the judge's fingerprint: the name of its folder in the journal."""
        return self.fingerprint.digest

    def consider(self, case: Callable[[], Case], output: Output, style: str, repeat: int) -> Future[Ruling | None]:
        """Have an output judged where the policy says so; the future ends in None where it does not."""
        policy = self.settings.judge_policy
        return self.desk.consider(lambda: question_about(policy, case(), output, style=style, repeat=repeat))

    def estimate(self, outputs: int) -> str:
        """A line for the user before anything is judged: requests and tokens, by what the canaries took."""
        asked, answered = _tokens(self.desk)
        most = outputs if self.desk.budget.left is None else min(outputs, self.desk.budget.left)
        fallback = self.settings.judge_policy == "fallback"
        bound = "at most " if fallback or most < outputs else "about "
        line = f"judge {self.name} (policy {self.settings.judge_policy}): {bound}{most:,} requests"
        if asked:
            line += f", {bound}{most * asked:,} tokens asked and {most * answered:,} answered (by the canaries' length)"
        return line + ("; only where the parser finds no answer or several" if fallback else "")

    def end(self) -> None:
        """The run is over: stop, and leave nothing behind."""
        self.desk.close()
        if self.settings.report_dir is not None:
            forget_spent(self.settings.report_dir)

    def for_worker(self, slot: int, slots: int) -> dict[str, Any]:
        """What an xdist worker is told, so that it asks for neither the model's description nor the canaries.

        What is left of the budget is divided among the slots. A worker that takes over a slot finds in the report
        folder what its predecessor has spent.
        """
        left = self.desk.budget.left
        share = None if left is None else left // slots + (slot < left % slots) if slot < slots else 0
        return {
            "facts": json.dumps(dict(self.fingerprint.facts)),
            "canaries": json.dumps(self.canaries.as_json()),
            "dead": self.dead,
            "slot": slot,
            "share": share,
        }


def open_session(settings: Settings, say: Say, log: Log) -> JudgeSession:
    """Find the judge, and run the canaries. In the process that the user started.

    A server that cannot be reached is said and lived with: the outputs are in the journal, and can be judged later.

    Raises:
        UsageError, ModelError: the judge is none (its address, its name, a refused key).
    """
    if settings.report_dir is not None:
        forget_spent(settings.report_dir)
    judge = make_judge(settings, say, log)
    dead = judge.unreachable() if isinstance(judge, ServerJudge) else ""
    if dead:
        say(f"{dead}: what its journal lacks stays unjudged; --rescore --judge judges it later")
        fingerprint = _remembered(settings)
    else:
        try:
            fingerprint = judge.fingerprint()
        except ThinkSLMError:
            judge.close()
            raise
    journal = Journal(settings.journal_dir, fingerprint, read=not settings.fresh)
    desk = JudgeDesk(judge, journal, budget=Budget(settings.judge_budget), dead=dead)
    canaries = _canaries(settings, desk, journal, say)
    say(canary_line(_name(settings), canaries.as_json()))
    return JudgeSession(settings, desk, fingerprint, canaries, dead)


def worker_session(settings: Settings, told: Mapping[str, Any], say: Say, log: Log) -> JudgeSession:
    """The session of an xdist worker, from ``JudgeSession.for_worker``."""
    fingerprint = Fingerprint(json.loads(told["facts"]))
    judge: Judge = make_judge(settings, say, log)
    file: Path | None = None
    if told["share"] is not None and settings.report_dir is not None:
        file = spent_file(settings.report_dir, told["slot"])
    desk = JudgeDesk(
        judge,
        Journal(settings.journal_dir, fingerprint, read=not settings.fresh),
        budget=Budget(told["share"], file),
        dead=told["dead"],
    )
    return JudgeSession(settings, desk, fingerprint, CanaryResult.from_json(json.loads(told["canaries"])), told["dead"])


def forget_spent(folder: Path) -> None:
    """The run is over, or a new one begins in this report folder."""
    for path in folder.glob(".judge-spent-*"):
        path.unlink(missing_ok=True)


def spent_file(folder: Path, slot: int | str) -> Path:
    """Where a worker's slot counts its requests while a run goes on."""
    return folder / f".judge-spent-{slot}"


def _canaries(settings: Settings, desk: JudgeDesk, journal: Journal, say: Say) -> CanaryResult:
    """Run the canaries, unless the budget would be gone before they are through."""
    questions = [canary.question for canary in CANARIES]
    requests = [Request((), SAMPLING, task=question.task, item=question.item) for question in questions]
    missing = sum(
        journal.get(request, content_key(question)) is None
        for request, question in zip(requests, questions, strict=True)
    )
    if settings.judge_budget is not None and missing > settings.judge_budget:
        problem = f"--judge-budget {settings.judge_budget} does not cover the {missing} canaries: they were not asked"
        return CanaryResult(len(CANARIES), 0, tuple(canary.name for canary in CANARIES), problem)
    if missing:
        say(f"judge {_name(settings)}: {missing} canaries to ask")
    return run_canaries(
        desk.ask, lambda done: say(f"judge {_name(settings)}: {done} of {len(CANARIES)} canaries answered"), _LINES
    )


def _name(settings: Settings) -> str:
    judge = str(settings.judge)
    return Path(judge).name if files.expanded(judge).is_dir() else judge


def _remembered(settings: Settings) -> Fingerprint:
    """The fingerprint under which this judge's replies stand in the journal; its bare name where there are none."""
    bare: dict[str, object] = {**judge_facts(str(settings.judge)), "server": "unreachable"}
    wanted = judge_facts(str(settings.judge))
    found = []
    for path in sorted(settings.journal_dir.glob("*/manifest.json")):
        try:
            facts = files.read_json(path)
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and wanted.items() <= facts.items():
            found.append((path.stat().st_mtime, str(path), facts))
    return Fingerprint(max(found)[2] if found else bare)


def _tokens(desk: JudgeDesk) -> tuple[int, int]:
    """Mean tokens of a request and of its reply so far, journalled ones included; zeros where they are not known."""
    read = max(desk.spent.read, 1)
    return desk.spent.prompt_tokens_read // read, desk.spent.output_tokens_read // read
