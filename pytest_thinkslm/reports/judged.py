"""The judge in reports: figures of a row, the run's spot-check list of disagreements, and both as text. Pure.

A record is one line of items.jsonl. Parser and judge disagree where one of them calls an item correct and the other
does not. In reviews the judge is asked about the error's reason alone, so that there is nothing to agree on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from pytest_thinkslm.core.item_record import ItemRecord, RulingJson
from pytest_thinkslm.judging.canaries import CanaryResult, canary_line
from pytest_thinkslm.runs.judged import differ, is_review
from pytest_thinkslm.runs.types import Disagreement, JudgeBlock
from pytest_thinkslm.settings.run_settings import Settings

#: Disagreements that summary.md lists; results.json has them all.
_LISTED = 25


class JudgeFacts(Protocol):
    """What a report takes from a run's judge."""

    settings: Settings
    canaries: CanaryResult

    @property
    def name(self) -> str:
        """The model, without the folders that it lies in."""
        ...

    @property
    def digest(self) -> str:
        """Of the judge's fingerprint."""
        ...


def run_judge(judge: JudgeFacts, records: Iterable[ItemRecord], beside: Iterable[ItemRecord]) -> JudgeBlock:
    """The run's block: who judged, how it did on the canaries, and every disagreement.

    Args:
        judge: the run's judge.
        records: all item records, in order.
        beside: those of what was asked beside the items.
    """
    asked = judged = over = agree = 0
    why = ""
    disagreements = []
    for record in records:
        ruling = record.get("judge")
        if not ruling:
            continue
        asked += 1
        judged += ruling["status"] == "judged"
        over += ruling["status"] == "over-budget"
        if ruling["status"] == "unjudged":
            why = why or ruling["reason"]
        if ruling["verdict"] is None or is_review(record):
            continue
        if differ(record):
            disagreements.append(_both(record, ruling))
        else:
            agree += 1
    block: JudgeBlock = {
        "model": judge.name,
        "policy": judge.settings.judge_policy,
        "fingerprint": judge.digest,
        "canaries": judge.canaries.as_json(),
        "asked": asked,
        "judged": judged,
        "unjudged": asked - judged,
        "over_budget": over,
        "decided_beside": sum(record.get("source") == "judge" for record in beside),
        "agree": agree,
        "disagree": len(disagreements),
        "disagreements": disagreements,
    }
    if why:
        block["why_unjudged"] = why
    return block


def judge_problems(block: JudgeBlock) -> Iterator[str]:
    """What a reader has to know before trusting the figures."""
    failed = block["unjudged"] - block["over_budget"]
    if failed:
        yield (
            f"judge {block['model']}: {failed} of {block['asked']} items are unjudged, the parser's verdict stands: "
            f"{block['why_unjudged']}; --rescore --judge asks again for them alone"
        )
    if block["over_budget"]:
        yield (
            f"judge {block['model']}: --judge-budget was spent, {block['over_budget']} of {block['asked']} items are "
            "unjudged and the parser's verdict stands"
        )


def terminal_lines(block: JudgeBlock) -> Iterator[tuple[str, bool]]:
    """Lines for the terminal, and whether they are red."""
    yield canary_line(block["model"], block["canaries"]), not block["canaries"]["trusted"]
    line = f"judge {block['model']} (policy {block['policy']}): {block['judged']} of {block['asked']} items judged"
    if block["disagree"]:
        line += f"; {block['disagree']} disagreements with the parser to look at: summary.md"
    yield line, False


def markdown_judge(block: JudgeBlock) -> Iterator[str]:
    """The section of summary.md: the judge, and the first disagreements with both readings."""
    yield "## Judge"
    yield ""
    for line, red in terminal_lines(block):
        yield f"- **{line}**" if red else f"- {line}"
    yield ""
    for entry in block["disagreements"][:_LISTED]:
        parser, judge = entry["parser"], entry["judge"]
        name = f"{entry['task']} {entry['item']} ({entry['style']}, {entry['model']} {entry['quant']})"
        name += f" r{entry['repeat']}" if entry["repeat"] > 1 else ""
        yield (
            f"- {name}: parser {parser['verdict']}, read {_shown(parser['answer'])} (rule {parser['rule']}); "
            f"judge {judge['verdict']}, read {_shown(judge['answer'])}: {judge['reason']}"
        )
    more = block["disagree"] - _LISTED
    if more > 0:
        yield f"- ... and {more} more: results.json"
    if block["disagreements"]:
        yield ""


def _both(record: ItemRecord, ruling: RulingJson) -> Disagreement:
    return {
        "model": record["model"],
        "quant": record["quant"],
        "task": record["task"],
        "test": record["test"],
        "style": record["style"],
        "item": record["item"],
        "repeat": record["repeat"],
        "parser": {"verdict": record["parser_verdict"], "answer": record["answer"], "rule": record["rule"]},
        "judge": {"verdict": ruling["verdict"], "answer": ruling["answer"], "reason": ruling["reason"]},
    }


def _shown(answer: object) -> str:
    return "nothing" if answer is None else repr(answer)
