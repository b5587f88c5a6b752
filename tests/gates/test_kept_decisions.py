"""What constructed runs give at every gate, whole: sentences, figures, states, looks of an adaptive run (kept.py).

A run is written as one word a group: ``"80+ 20-"`` are 80 right items and 20 wrong ones, ``e`` an error, ``t`` and
``u`` outputs that were cut or not read, ``.`` an item that was not asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import kept
import pytest
from recorded_runs import SETTINGS, record

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.item_record import group_key
from pytest_thinkslm.gates import (
    adaptive,
    adaptive_certificate,
    adaptive_report,
    baselines,
    certificate,
    certificate_plan,
    certifying,
    comparing,
    decisions,
    gating,
    judges,
    margin_gates,
    outcomes,
    sensitivity,
)
from pytest_thinkslm.gates.adaptive_gates import GateWatch
from pytest_thinkslm.runs.results import figures
from pytest_thinkslm.settings.gate_specs import GateSpecs, Margin, MaxRate, MinAccuracy
from pytest_thinkslm.settings.policies import Allowance, Policy, TaskRule
from pytest_thinkslm.statistics import compare_paired
from pytest_thinkslm.statistics.stratified import mean_drop, stratum

FILE = Path(__file__).parent / "kept" / "decisions.jsonl"
VERDICTS = {"+": "correct", "-": "incorrect", "e": "error", "t": "truncated", "u": "unparsed"}
REVIEWS = ({"judgement": "wrong", "first_error_step": "2"}, {"judgement": "correct", "first_error_step": None})

Line = dict[str, Any]


def spread(word: str) -> str:
    """``"3+ 2-"`` is ``"+++--"``."""
    return "".join(part[-1] * int(part[:-1] or 1) for part in word.split())


def lines(task: str, word: str, *, repeats: int = 1, share: int = 0, **fields: Any) -> list[Line]:
    """The records of a group; of ``share`` items in a row each says that it shares a cluster."""
    found = []
    for item, sign in enumerate(spread(word)):
        for repeat in range(1, repeats + 1):
            if sign == ".":
                continue
            wrong = sign == "-" or (sign == "~" and repeat % 2 == 0)
            verdict = "incorrect" if wrong else VERDICTS.get(sign, "correct")
            line: Line = {
                **record(item, verdict == "correct", task=task, repeat=repeat, **fields),
                "verdict": verdict,
                "prompt_tokens": 50,
                "output_tokens": 100 + item % 7,
                **({"answer": None} if verdict in ("error", "truncated", "unparsed") else {}),
            }
            line["cluster"] = f"{task}-{item // share}" if share else ""
            if task == "mr_gsm":
                gold = REVIEWS[item % 2]
                line |= {"gold": gold, "answer": gold if verdict == "correct" else REVIEWS[1 - item % 2]}
            found.append(line)
    return found


def run(
    name: str, *groups: Sequence[Line], selection: str = "full", template: str | None = "abc", **results: Any
) -> Any:
    """A recorded run, in memory."""
    records: list[Any] = sorted((line for group in groups for line in group), key=lambda line: group_key(line))
    settings = {**SETTINGS, **results.pop("settings", {})}
    items = [line for line in records if line["role"] == "item"]
    rows = {group_key(row): row for row in figures(items, (), {})}
    for change in results.pop("rows", ()):
        for key, row in rows.items():
            if key.task == change["task"]:
                row.update(change)
    variants = [
        {"model": model, "quant": quant, "template_sha256": template}
        for model, quant in dict.fromkeys((line["model"], line["quant"]) for group in groups for line in group)
    ]
    whole = {"settings": settings, "variants": variants, "selection": selection, "results": list(rows.values())}
    collected = baselines.in_order(baselines.collect(records), variants)  # type: ignore[arg-type]
    ordered = baselines.in_order(rows, variants)  # type: ignore[arg-type]
    return baselines.RecordedRun(ordered, collected, name, {**whole, **results})  # type: ignore[typeddict-item]


def forms(task: str, word: str, name: str, **fields: Any) -> list[Line]:
    return [{**line, "role": "stress", "stress": name} for line in lines(task, word, prompt=name, **fields)]


A, B, C, R = "sort8_positive", "sort8_mixed", "gsm8k", "mr_gsm"
CANARIES = {"n": 16, "right": 6, "threshold": 0.9, "trusted": False, "failed": []}
JUDGE = {"model": "yes-man", "policy": "all", "canaries": CANARIES}
DATA = {"source": "local", "records": 1319, "expected": 1319, "partial": None, "pin": "ok", "notes": []}
CORRECTED = {"labelled": 40, "read_correct": {}, "read_incorrect": {}}


def judged(decided: int, share: float | None = 0.5) -> Line:
    return {"judge": {"decided": decided, "accuracy_parser": share}}


RUNS: Mapping[str, Callable[[], Any]] = {
    "base": lambda: run("base", lines(A, "80+ 20-"), lines(B, "60+ 40-", share=4), lines(C, "150+ 150-")),
    "same": lambda: run("same", lines(A, "80+ 20-"), lines(B, "60+ 40-", share=4), lines(C, "150+ 150-")),
    "worse": lambda: run(
        "worse", lines(A, "60+ 20- 5+ 15-"), lines(B, "48+ 12- 2+ 38-", share=4), lines(C, "120+ 180-")
    ),
    "little": lambda: run(
        "little", lines(A, "78+ 22-"), lines(B, "57+ 3- 4+ 36-", share=4), lines(C, "148+ 2- 1+ 149-")
    ),
    "one": lambda: run("one", lines(A, "77+ 23-")),
    "only": lambda: run("only", lines(A, "80+ 20-")),
    "errors": lambda: run("errors", lines(C, "1e 148+ 2e 149-"), rows=[]),
    "errors too": lambda: run("errors too", lines(C, "2e 146+ 1e 151-")),
    "void": lambda: run("void", lines(A, "10e 70+ 20-"), lines(B, "60+ 40-")),
    "few": lambda: run("few", lines(A, "40+ 5-"), lines(B, "60. 40- 20+"), selection="limit"),
    "cut": lambda: run("cut", lines(A, "40+ 5-"), selection="partial"),
    "thrice": lambda: run("thrice", lines(A, "40+ 20~ 40-", repeats=3)),
    "twice": lambda: run("twice", lines(A, "38+ 20~ 42-", repeats=2)),
    "rates": lambda: run("rates", lines(A, "60+ 7t 3u 30-"), lines(B, "100t"), lines(C, "100+ 100u 100-")),
    "reviews": lambda: run("reviews", lines(R, "90+ 30-")),
    "reviews worse": lambda: run("reviews worse", lines(R, "70+ 20- 5+ 25-")),
    "quant": lambda: run("quant", lines(A, "70+ 30-", quant="q4"), lines(C, "140+ 160-", quant="q4"), template="abd"),
    "variants": lambda: run(
        "variants",
        *(lines(task, word, quant="none") for task, word in ((A, "80+ 20-"), (C, "150+ 150-"))),
        *(lines(task, word, quant="q4") for task, word in ((A, "70+ 30-"), (C, "149+ 151-"))),
        lines(A, "79+ 21-", quant="q8"),
    ),
    "models": lambda: run("models", lines(A, "80+ 20-", model="x/m"), lines(A, "70+ 30-", model="y/m")),
    "styles": lambda: run(
        "styles",
        *(
            lines(task, word, style=style)
            for task in (A, B)
            for style, word in (("direct", "80+ 20-"), ("cot", "85+ 15-"))
        ),
        settings={"styles": ["direct", "cot"]},
    ),
    "one style": lambda: run("one style", lines(A, "80+ 20-"), settings={"styles": ["direct"], "tasks": [A]}),
    "tests": lambda: run(
        "tests", *(lines(A, word, test=test) for test, word in (("test_a", "80+ 20-"), ("test_b", "60+ 40-")))
    ),
    "prompts": lambda: run("prompts", lines(A, "80+ 20-", prompt="Order."), lines(B, "60+ 40-", share=4)),
    "hot": lambda: run("hot", lines(A, "80+ 20-"), settings={"temperature": 0.7, "top_p": 0.9, "max_tokens": 64}),
    "hotter": lambda: run("hotter", lines(A, "80+ 20-"), settings={"temperature": 0.9, "top_k": 20, "system": "Hi"}),
    "judged": lambda: run(
        "judged", lines(A, "80+ 20-"), lines(B, "60+ 40-"), judge=JUDGE, rows=[{"task": A, **judged(20)}]
    ),
    "sample": lambda: run(
        "sample", lines(A, "80+ 20-"), settings={"limit": 100, "judge": "a/b.gguf", "judge_policy": "all"}
    ),
    "sample too": lambda: run(
        "sample too", lines(A, "80+ 20-"), settings={"limit": 100, "data_seed": 1, "sample": "even"}
    ),
    "pinned": lambda: run(
        "pinned", lines(C, "150+ 150-"), rows=[{"task": C, "data": {**DATA, "digest": "0123456789abcdef"}}]
    ),
    "repinned": lambda: run(
        "repinned", lines(C, "149+ 151-"), rows=[{"task": C, "data": {**DATA, "digest": "", "pin": "accepted"}}]
    ),
    "forms": lambda: run(
        "forms", lines(A, "50+ 50-"), forms(A, "40+ 10- 5+ 45-", "options-1"), forms(A, "45+ 55-", "options-2")
    ),
    "forms too": lambda: run(
        "forms too", lines(A, "48+ 52-"), forms(A, "30+ 20- 5+ 44- e", "options-1"), forms(A, "45+ 55-", "other")
    ),
    "corrected": lambda: run(
        "corrected",
        *(lines(A, "80+ 20-"), lines(C, "150+ 150-")),
        rows=[
            {"task": A, "corrected": {**CORRECTED, "accuracy": 0.82, "ci95": [0.7, 0.9]}},
            {"task": C, "corrected": {**CORRECTED, "accuracy": 0.5, "ci95": [0.4, 0.62]}},
        ],
    ),
    "corrected too": lambda: run(
        "corrected too",
        *(lines(A, "78+ 22-"), lines(C, "140+ 160-")),
        rows=[
            {"task": A, "corrected": {**CORRECTED, "accuracy": 0.8, "ci95": [0.7, 0.88]}},
            {"task": C, "corrected": {**CORRECTED, "accuracy": None, "ci95": None, "undefined": "few"}},
        ],
    ),
}
POLICIES = {
    "one": Policy(Allowance(1.0), Allowance(3.0)),
    "wide": Policy(Allowance(8.0), Allowance(25.0), name="wide.toml"),
    "narrow": Policy(Allowance(0.5), Allowance(1.5, 2.0), critical_items=50),
    "guarded": Policy(Allowance(6.0), Allowance(12.0), critical_items=50, general=TaskRule(max_truncated=5.0)),
    "rules": Policy(
        *(Allowance(10.0, 30.0), Allowance(20.0)),
        general=TaskRule(min_items=50, max_unparsed=2.0, max_truncated=5.0),
        tasks={"sort8_*": TaskRule("critical", guard=15.0), C: TaskRule("advisory", min_items=400)},
    ),
}


@cache
def known(name: str) -> Any:
    return RUNS[name]()


def margin(points: float | None, mode: str = "regression") -> Margin | None:
    return None if points is None else Margin(points, mode)  # type: ignore[arg-type]


def refusable(function: Callable[..., Any]) -> Callable[..., Any]:
    """What it gives, or what a user reads where it refuses."""

    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UsageError as error:
            return f"refused: {error}"

    return called


def brief(items: Sequence[str]) -> list[Any]:
    return [len(items), *items[:2], *items[-1:]]


def compare(first: str, other: str, points: float | None, mode: str, policy: str, allow: bool) -> Any:
    found = comparing.compare(
        *(known(first), known(other), margin(points, mode), POLICIES.get(policy)), allow_unevaluated=allow
    )
    rows = [
        {"key": row.key, "label": row.label, "against": row.against, "unfit": row.unfit, "shared": row.shared}
        | {"n": row.paired and row.paired.n, "p": row.p_corrected, "metrics": row.metrics, "forms": row.consistency}
        for row in found.rows
    ]
    gates = [
        gating.as_json(gate, None) | {"excused": gate.excused, "lost": brief(gate.lost), "gained": brief(gate.gained)}
        for gate in found.gates
    ]
    return {"rows": rows, "gates": gates, "remarks": found.remarks, "complete": found.complete, "name": found.name} | {
        "certificates": found.certificates,
        "any": found.any_loss,
        "compared": found.rows_compared,
        "same": found.certificate in (None, *found.certificates),
    }


def styles(name: str) -> Any:
    return [(found.name, found.complete, found.rows) for found in comparing.compare_styles(known(name))]


def measured(first: str | None, other: str, mode: str, metrics: bool) -> list[gating.Measured]:
    now, before = known(other), None if first is None else known(first)
    return gating.measure(now.groups, now.rows, before, mode, metrics=metrics)  # type: ignore[arg-type]


SPECS = GateSpecs(
    (MinAccuracy("sort*", 80.0), MinAccuracy(A, 72.5, lower=True), MinAccuracy(C, 50.0)),
    (MaxRate("truncated", 7.0), MaxRate("unparsed", 2.9), MaxRate("error", 0.5), MaxRate("inconsistent", 10.0)),
)
CELLS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "forms": {"inconsistent": (10, 100)},
    "more forms": {"inconsistent": (11, 100)},
    "no forms": {"no_forms": "it has no options"},
    "reference": {"reference": True},
}


def decide(first: str | None, other: str, points: float | None, mode: str, cell: str, how: str) -> Any:
    entries = [replace(entry, cell=replace(entry.cell, **CELLS[cell])) for entry in measured(first, other, mode, False)]
    specs = replace(SPECS, margin=margin(points, mode))
    return gating.decide(specs, entries, complete=how != "cut", advisory=how == "advisory")


def standing(other: str, points: float, mode: str, *more: Any) -> Any:
    entries = measured("base", other, mode, False)
    cells = [replace(entry.cell, standing=outcomes.Standing(*more)) for entry in entries]
    return decisions.evaluate(GateSpecs(margin=margin(points, mode)), cells)


def certificates(first: str, other: str, policy: str, allow: bool, absent: bool) -> Any:
    now, before, policies = known(other), known(first), POLICIES[policy]
    missing = gating.missing(list(now.groups), before) if absent else []
    misjudged = {key for key in now.groups if key.task == B} if allow else ()
    found = certifying.certificates(policies, now, before, absent=missing, misjudged=misjudged, allow_unevaluated=allow)
    worst = certifying.overall(found)
    return [(certifying.as_json(one, policies), certifying.gate_of(one), one.against) for one in found] + [
        worst and worst.label
    ]


def within_run(policy: str, allow: bool) -> Any:
    references = {("m", "q4"): ("m", "none"), ("m", "q8"): ("m", "none")}
    found = certifying.within_run(POLICIES[policy], known("variants"), references, allow_unevaluated=allow)
    return [(one.label, certifying.as_json(one, POLICIES[policy])) for one in found]


def evidence(label: str, task: str, size: int, word_before: str, word_now: str, **more: Any) -> certificate.Evidence:
    before, now = (
        {f"{item:04d}": [float(sign == "+")] for item, sign in enumerate(spread(word))}
        for word in (word_before, word_now)
    )
    paired = compare_paired(before, now)
    part = stratum(paired, before, now, lambda item: (task, item))
    return certificate.Evidence(label, task, size, paired, part, part, **more)


SUITES: Mapping[str, Callable[[], list[certificate.Evidence]]] = {
    "still": lambda: [evidence(task, task, 2000, "500+ 500-", "499+ 1- 1+ 499-") for task in (A, B, C)],
    "gone": lambda: [
        evidence("first", A, 2000, "500+ 500-", "430+ 70- 500-"),
        evidence("second", B, 100, "50+ 50-", "50+ 50-"),
        certificate.Evidence("third", C, 1319, unfit="the baseline has nothing of it"),
    ],
    "near": lambda: [
        evidence("first", A, 2000, "300+ 300-", "280+ 20- 4+ 296-"),
        evidence("second", B, 100, "50+ 50-", "45+ 5- 1+ 49-", rates={"truncated": 6.0, "unparsed": 2.5}),
        evidence("third", C, 300, "30+ 30-", "20+ 10- 30-"),
    ],
    "lost": lambda: [evidence(task, task, 100, "60+ 40-", "52+ 8- 40-") for task in (A, B, C)],
    "empty": lambda: [certificate.Evidence("third", C, 1319)],
    "none": list,
}
LEVELS = {
    "one": certificate.ONE_LOOK,
    "strict": certificate.Levels(0.001, 0.0005, 0.025, {"first": (0.01, 0.002), A: (0.04, 0.02), B: (0.01, 0.0)}),
}


def certify(suite: str, policy: str, levels: str, allow: bool) -> Any:
    found = certificate.certify(POLICIES[policy], SUITES[suite](), LEVELS[levels], allow_unevaluated=allow)
    return [found, found.passed]


def planned(policy: str, *tasks: Sequence[Any]) -> Any:
    return certificate_plan.plan(POLICIES[policy], [certificate_plan.Planned(*task) for task in tasks])


def mean_needs(points: float, level: float) -> str:
    strata = [part.within for part in SUITES["near"]() if part.within is not None]
    return certificate_plan.needed_for_mean(mean_drop(strata), points, level)


def foresee(first: str, points: float, tasks: Mapping[str, tuple[int, int]], mode: str) -> Any:
    wanted = {
        GroupKey("m", "none", task, f"test_{task}", "direct"): [f"{item:04d}" for item in range(*ends)]
        for task, ends in tasks.items()
    }
    policy = replace(POLICIES["one"], margin=Allowance(points))
    return [
        gating.foresee(Margin(points, mode), wanted, known(first)),  # type: ignore[arg-type]
        *(certifying.foresee(policy, wanted, base, {C: 1319, A: 100}) for base in (None, known(first))),
    ]


def misfits(first: str, other: str, styles: Sequence[str], allow: bool) -> Any:
    now = known(other)
    found = baselines.misfits(known(first), now.settings, now.templates(), styles, allow_unevaluated=allow)
    return [found, comparing.remarks(known(first), now), str(baselines.refused("--baseline x", found))]


def distrusted(rows: int, trusted: bool) -> Any:
    tasks = (A, B, C, "arc_easy", "math", "sort16_mixed", "sort32_mixed", "openbookqa")[:rows]
    found = run(
        "judged",
        *(lines(task, "8+ 2-") for task in (A, B, C, "arc_easy", "math", "sort16_mixed", "sort32_mixed", "openbookqa")),
        judge={**JUDGE, "canaries": {**CANARIES, "trusted": trusted}},
        rows=[{"task": task, **judged(1 + place, None if place == 1 else 0.25)} for place, task in enumerate(tasks)],
    )
    gates = gating.decide(SPECS, gating.measure(found.groups, found.rows))
    keys = {gate.label: key for gate in gates for key in found.rows if key.task == gate.label}
    by_parser = {gates[0].name: gates[0]}
    return [
        [row["task"] for row in judges.misjudged(found.results)],
        judges.judge_gate(found.results),
        judges.judge_gate(found.results, "judge of x"),
        judges.without_misjudged(gates[:4], keys, found.results, by_parser),
    ]


ORDERS: Mapping[str, Callable[[], list[ItemKey]]] = {
    "one": lambda: [ItemKey("m", "none", A, f"test_{A}", "direct", f"{item:04d}") for item in range(100)],
    "two": lambda: [
        ItemKey("m", "none", task, f"test_{task}", "direct", f"{item:04d}") for item in range(100) for task in (A, C)
    ],
    "repeats": lambda: [
        ItemKey("m", "none", A, f"test_{A}", "direct", f"{item:04d}", repeat)
        for item in range(100)
        for repeat in (1, 2)
    ],
    "within": lambda: [
        ItemKey("m", quant, A, f"test_{A}", "direct", f"{item:04d}") for item in range(80) for quant in ("none", "q4")
    ],
}


def watched(order: str, words: Mapping[str, str], kind: str, points: float, left: str = "base") -> Any:
    """An adaptive run: what it asks, and whatever changes on the way, after each outcome that it needs."""
    keys = ORDERS[order]()
    groups = list(dict.fromkeys(key.group for key in keys))
    before = known(left)
    against: dict[GroupKey, adaptive.Against] = {
        group: groups[0] if order == "within" else before.groups[group]
        for group in groups
        if (group.quant == "q4" if order == "within" else group in before.groups)
    }
    watch: Any
    if kind in ("regression", "noninferiority"):
        watch = GateWatch(Margin(points, kind), keys, against)  # type: ignore[arg-type]
    else:
        parts = {
            key: adaptive_certificate.Part(key.task, 2000 if key.task == C else 100, 0.2 if key.task == C else 0.1)
            for key in groups
            if key.quant == "q4" or order != "within"
        }
        policy = replace(POLICIES[kind], margin=Allowance(points))
        watch = adaptive_certificate.CertificateWatch(policy, keys, against, parts, allow_unevaluated=kind == "rules")
    labels = {group: f"{group.task}+{group.quant}" for group in groups}
    signs = {group: words[group.quant if order == "within" else group.task] for group in groups}
    records = {
        (group, line["item"]): line
        for group, word in signs.items()
        for line in lines(group.task, word, quant=group.quant)
    }
    states, asked, asked_for = [watch.plan()], 0, []
    for key in keys:
        if not watch.needed(key.group, key.item):
            continue
        asked += 1
        line = records.get((key.group, key.item))
        if line is None:
            said = watch.absent(key)
        else:
            said = watch.reported(key, line["verdict"], f"c{int(key.item) // 3}")
            asked_for.append(line)
        if said:
            states.append([asked, key.item, watch.decided, watch.ended(), list(watch.standings().values())])
    rows = {group_key(row): row for row in figures(sorted(asked_for, key=lambda line: group_key(line)), (), {})}  # type: ignore[arg-type]
    found = adaptive_report.adaptive_block(watch, rows, before.rows, labels, 7)
    seen = [(before.scores, before.errors) if (before := watch.before(group)) else None for group in groups]
    levels = watch.levels(("m", groups[-1].quant)) if kind in POLICIES else None
    kept_items = [sum(watch.kept(key.group, key.item) for key in keys), watch.cut, list(watch.taken().values())]
    prefixes = [part and (len(part[0]), sorted(part[1])) for part in seen]
    return [*(states, found, prefixes, levels, kept_items), *(watch.ending(labels), watch.confidence())]


class Stub:
    """What a report asks of an adaptive run."""

    def __init__(self, taken: Sequence[Sequence[int]], decided: int | None, cut: bool) -> None:
        groups = [GroupKey("m", "none", task, f"test_{task}", "direct") for task in (A, B, C)][: len(taken)]
        self._taken = {group: (items, of) for group, (items, of) in zip(groups, taken, strict=True)}
        self.cut, self.decided = cut, None if decided is None else groups[decided]

    def taken(self) -> dict[GroupKey, tuple[int, int]]:
        return self._taken

    def standings(self) -> dict[GroupKey, outcomes.Standing]:
        return {} if self.decided is None else {self.decided: outcomes.Standing(3, 9, 2, 5, 0.01, 0.05, "shown")}

    def ending(self, labels: Mapping[GroupKey, str]) -> str:
        return f"as {len(labels)} labels say"

    def confidence(self) -> str:
        return "at 95%"


def block(
    taken: Sequence[Sequence[int]],
    decided: int | None,
    cut: bool,
    now: Sequence[Any],
    before: Sequence[Any],
    named: bool,
) -> Any:
    """The block of results.json from (items, output tokens) by group, on both sides."""
    stub: Any = Stub(taken, decided, cut)
    sides: list[Any] = [
        {
            group: {"items": row[0], **({} if row[1] == "absent" else {"output_tokens": row[1]})}
            for group, row in zip(stub.taken(), rows, strict=False)
            if row
        }
        for rows in (now, before)
    ]
    labels = {group: f"label of {group.task}" for group in stub.taken()} if named else {}
    return adaptive_report.adaptive_block(stub, *sides, labels, 11)


def sense(points: float, mode: str, *more: Any) -> Any:
    n, family, baseline, discordance, effect = more
    return sensitivity.sensitivity(
        Margin(points, mode),  # type: ignore[arg-type]
        n,
        family=family,
        baseline=baseline,
        discordance=discordance,
        design_effect=effect,
    )


def collected(*groups: Sequence[Any]) -> Any:
    records = [line for task, word, fields in groups for line in lines(task, word, **fields)]
    beside = [{**record(3, True, task="gsm8k"), "role": "seed"}]
    return baselines.collect(records, beside)  # type: ignore[arg-type]


def pairs(keys: Sequence[Sequence[str]], styles: Sequence[str]) -> Any:
    groups = [GroupKey(*key) for key in keys]
    return [(key, other) for key, other in gating.style_pairs(groups, styles).items()]


def pace(task: str, row: Mapping[str, Any] | None) -> Any:
    return [adaptive.pace(task, row), adaptive.changing(row)]  # type: ignore[arg-type]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compare": refusable(compare),
    "compare_styles": styles,
    "measure": measured,
    "decide": decide,
    "standing": standing,
    "certificates": certificates,
    "within_run": within_run,
    "certify": certify,
    "plan": planned,
    "mean_needs": mean_needs,
    "guard_needs": certificate_plan.needed_for_guard,
    "foresee": foresee,
    "misfits": misfits,
    "distrusted": distrusted,
    "watched": watched,
    "block": block,
    "metric_notes": lambda changes: list(gating.metric_notes(changes)),
    "selection_note": lambda first, other: gating.selection_note(
        gating.compare_groups(*(next(iter(known(name).groups.values())) for name in (first, other))), "a", "b"
    ),
    "sense": sense,
    "collect": collected,
    "style_pairs": pairs,
    "pace": pace,
    "missing": lambda first, other: gating.missing(list(known(other).groups), known(first)),
    "missing_gates": lambda first, other: gating.missing_gates(
        *(Margin(2.0), gating.missing(list(known(other).groups), known(first)), list(known(other).groups))
    ),
    "most": certificate._most,
    "level": lambda times, look, alpha: adaptive_certificate._level(times, look, alpha),
    "share": adaptive_certificate._share,
    "unlikely": adaptive_certificate._unlikely,
    "factor": certificate_plan._factor,
    "power": certificate_plan._power,
    "items": certificate_plan._items,
    "asked_for": lambda settings, task, style: comparing.asked_for(
        settings, GroupKey("m", "none", task, f"test_{task}", style)
    ),
    "alone": lambda name, quant: [
        *(list(known(name).alone(("m", quant)).rows), known(name).alone(("m", quant)).name, known(name).variants)
    ],
    "root_variant": lambda variants: baselines.root_variant([tuple(one) for one in variants]),
    "any_loss_sentence": certifying.any_loss_sentence,
    "parsers": lambda records: list(judges.parsers(records)),
    "corrected_mean": lambda now, before: certifying.corrected_mean(
        [(known(now).rows.get(key), known(before).rows.get(key)) for key in known(now).rows]
    ),
    "size_of": lambda name, task: [
        certifying.size_of(task),
        *(certifying.size_of(task, row, known(name).groups[key]) for key, row in known(name).rows.items()),
    ],
    "p_text": outcomes.p_text,
    "counted": outcomes.counted,
    "not_needed": lambda advisory: margin_gates._not_needed(
        *(Margin(2.0), outcomes.GatedGroup("x", A, measured(None, "only", "regression", False)[0].cell.accuracy)),
        *(outcomes.Standing(30, 100, 4, 19, 0.001, 0.05, "open", "gsm8k"), advisory),
    ),
}


@pytest.mark.parametrize("name", kept.names(FILE))
def test_every_run_gives_what_is_kept(name: str) -> None:
    assert kept.differences(FILE, FUNCTIONS, name) == []


def test_who_fails_a_run() -> None:
    """Of a gate that was not evaluated, one that is excused or advisory fails none."""
    for passed, advisory, excused in itertools.product((True, False, None), (True, False), ("", "left out")):
        gate = outcomes.GateResult("gate::x", "regression", "x", passed, "x: y", advisory=advisory, excused=excused)
        fails = not advisory and (passed is False or (passed is None and not excused))
        assert (gate.fails, outcomes.any_failed([gate])) == (fails, fails)
        (other,) = outcomes.excuse([gate], "why")
        assert other.excused == (excused if passed is not None else "why")


def test_a_run_is_what_its_words_say() -> None:
    found = {entry.key.task: entry.cell.comparison for entry in measured("base", "worse", "regression", False)}
    counts = {task: (len(paired.lost), len(paired.gained)) for task, paired in found.items() if paired is not None}
    assert counts == {A: (20, 5), B: (12, 2), C: (30, 0)}
