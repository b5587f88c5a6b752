"""``--budget-curve``: after a run, thoughts are closed early and the answer asked for, to see what is answered there.

What is asked at a budget is what ``--thinking BUDGET`` asks where its first request was cut there
(``engines.thinking``): the thought so far, the sentence that it is time to answer, the end mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.identity import GroupKey, ItemKey, ItemRef
from pytest_thinkslm.core.item_record import ItemLine, group_json, group_key, item_key
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.thinking import Second, joined, next_request, second
from pytest_thinkslm.generating.ahead import Ahead
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.journal.near import AcceptingJournal
from pytest_thinkslm.models.token_counts import Ends, estimated, token_ends
from pytest_thinkslm.runs.budgets import Outcome, answer_limit, budgets_for, point
from pytest_thinkslm.runs.types import BudgetCurve
from pytest_thinkslm.scoring.answers.thoughts import split
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.limits import default_max_tokens

Lines = Callable[[Callable[[ItemKey], bool]], Iterator[ItemLine]]


@dataclass(frozen=True, slots=True)
class _Forced:
    """An answer that is asked for: of which item at which budget, and how it is joined to the thought before it."""

    ref: ItemRef
    budget: int
    thought: Output
    after: Second
    request: Request


@dataclass(slots=True)
class _Group:
    """One row of a variant: outcomes by budget, and the answers that are asked for."""

    budgets: tuple[int, ...]
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    forced: list[_Forced] = field(default_factory=list)
    clusters: dict[str, str] = field(default_factory=dict)
    run_tokens: int = 0
    counted: bool = True


def measure(factory: EngineFactory, lines: Lines, log: TextIO | None) -> tuple[list[BudgetCurve], list[str]]:
    """The curve of each row that has thoughts, and what went wrong, in sentences.

    The first repeat of each item counts. One model at a time is loaded; the journal keeps the answers.
    """
    settings = factory.settings
    ends = [token_ends(factory.given_as(place)) if factory.local else None for place in range(len(factory.variants))]
    budgets = _budgets(factory, lines, ends)
    found: list[BudgetCurve] = []
    problems: list[str] = []
    for place, variant in enumerate(factory.variants):
        own = (variant.model, variant.quant)
        keys = [item_key(line) for line in lines(lambda key, own=own: _counts(key) and key.group.variant == own)]  # type: ignore[misc]
        keys = [key for key in keys if (key.task, key.style) in budgets]
        if not keys:
            problems.append(f"--budget-curve: no output of {variant.model} ({variant.quant}) has a thought")
            continue
        refs = {key: ItemRef(place, key.task, key.style, int(key.item), key.repeat, key.test) for key in keys}
        planner = Planner(settings, tuple(refs.values()), factory.thought_room, factory.sampling)
        groups: dict[GroupKey, _Group] = {}
        for line in lines(lambda key, refs=refs: key in refs):  # type: ignore[misc]
            key = group_key(line)
            group = groups.setdefault(key, _Group(budgets[key.task, key.style]))
            _add(group, line, refs[item_key(line)], planner, ends[place], unmarked=factory.name == "openai")
        curves, failed = _answered(factory, place, planner, groups, log)
        found += curves
        problems += failed
    return found, problems


def _counts(key: ItemKey) -> bool:
    return key.role == "item" and key.repeat == 1


def _budgets(
    factory: EngineFactory, lines: Lines, ends: Sequence[Ends | None]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """By task and style: those that were asked for, else six up to the longest thought of all variants."""
    asked = factory.settings.budget_curve
    longest: dict[tuple[str, str], int] = {}
    own = {(variant.model, variant.quant): known for variant, known in zip(factory.variants, ends, strict=True)}
    for line in lines(_counts):
        if line["verdict"] != "error" and "thought" in line:
            tokens = 0 if asked else _thought_tokens(line, own[group_key(line).variant])
            key = line["task"], line["style"]
            longest[key] = max(longest.get(key, 0), tokens)
    return {key: asked or budgets_for(tokens) for key, tokens in longest.items()}


def _thought_tokens(line: ItemLine, ends: Ends | None) -> int:
    """How many tokens of an output are its thought and the marks around it, rounded up."""
    text, apart = line["output"] or "", line.get("reasoning") or ""
    length = len(apart) or len(text) - len(split(text, cut=line["finish_reason"] == "length").answer)
    places = _places(line, ends)
    return next((tokens for tokens, end in enumerate(places, 1) if end >= length), len(places))


def _places(line: ItemLine, ends: Ends | None) -> Sequence[int]:
    """Where the tokens end in an output, or in its thought where that stands apart.

    By the model's tokenizer, else with tokens that are all alike in characters.
    """
    apart, text = line.get("reasoning") or "", line["output"] or ""
    if ends is not None:
        return ends(apart or text)
    whole, tokens = len(apart) + len(text), max(1, _tokens(line))
    return [end for token in range(1, tokens + 1) if (end := whole * token // tokens) <= len(apart or text)]


def _tokens(line: ItemLine) -> int:
    tokens = line.get("output_tokens")
    return tokens if tokens is not None else estimated((line.get("reasoning") or "") + (line["output"] or ""))


def _add(group: _Group, line: ItemLine, ref: ItemRef, planner: Planner, ends: Ends | None, *, unmarked: bool) -> None:
    """One item: its own outcome where its thought had ended by then, else the answer that has to be asked for."""
    if line["verdict"] == "error" or line["output"] is None:
        return
    group.clusters[line["item"]] = line.get("cluster") or ""
    group.run_tokens += _tokens(line)
    group.counted &= line.get("output_tokens") is not None
    right = line.get("parser_verdict", line["verdict"]) == "correct"
    request = planner.request(ref)
    places = _places(line, ends) if "thought" in line else ()
    for budget in group.budgets:
        thought = _thought_so_far(line, budget, places)
        after = None if thought is None else second(request, thought, unmarked_is_thought=unmarked)
        if thought is None or after is None or not after.closed:
            own = Outcome(line["item"], group.clusters[line["item"]], right)
            group.outcomes.setdefault(budget, []).append(own)
        else:
            group.forced.append(_Forced(ref, budget, thought, after, request))


def _thought_so_far(line: ItemLine, budget: int, places: Sequence[int]) -> Output | None:
    """What the first ``budget`` tokens of an output are; None where it is no longer than that."""
    apart = line.get("reasoning") or ""
    if budget >= len(places):
        return None
    part = (apart or line["output"] or "")[: places[budget - 1]]
    return Output("" if apart else part, part if apart else None, "length", line["prompt_tokens"], budget)


def _answered(
    factory: EngineFactory, place: int, planner: Planner, groups: dict[GroupKey, _Group], log: TextIO | None
) -> tuple[list[BudgetCurve], list[str]]:
    """Ask for all the answers of a variant at once."""
    requests: list[Request] = []
    limits: dict[GroupKey, int] = {}
    for key, group in groups.items():
        own = factory.settings.max_tokens or default_max_tokens(registry.get(key.task), key.style)
        limits[key] = limit = answer_limit(group.run_tokens, len(group.forced), own)
        if factory.journalled and not limit:
            group.forced = []
        requests += [_request(one, max(1, limit)) for one in group.forced]
    ahead = _ahead(factory, place, log) if requests else None
    curves, problems = [], []
    try:
        handles = iter(ahead.submit(requests) if ahead is not None else ())
        for key, group in groups.items():
            generated: int | None = 0
            failed: dict[str, str] = {}
            for one in group.forced:
                assert ahead is not None
                case = planner.case(one.ref)
                try:
                    last = ahead.result(next(handles))
                except EngineError as error:
                    failed.setdefault(case.item, str(error))
                    continue
                graded = grade(case, joined(one.thought, one.after, last))
                right, ended = graded.verdict.name == "correct", last.finish_reason != "length"
                group.outcomes.setdefault(one.budget, []).append(
                    Outcome(case.item, group.clusters[case.item], right, forced=True, cut=not ended)
                )
                generated = None if generated is None or last.output_tokens is None else generated + last.output_tokens
            curves.append(_curve(key, group, limits[key], generated, failed))
            name = f"{key.task} ({key.style}) of {key.model} ({key.quant})"
            if failed:
                why = next(iter(failed.values()))
                problems.append(f"--budget-curve: {len(failed)} items of {name} are left out: {why}")
            if factory.journalled and not limits[key]:
                problems.append(
                    f"--budget-curve: the thoughts of {name} are so short that answers forced at each budget would "
                    "take more than half of the run's tokens: nothing was asked"
                )
    finally:
        if ahead is not None:
            ahead.close()
    return curves, problems


def _request(one: _Forced, limit: int) -> Request:
    """The request for a forced answer, with a key of its own in the journal."""
    return replace(next_request(one.request, replace(one.after, max_tokens=limit)), budget=one.budget)


def _curve(key: GroupKey, group: _Group, limit: int, generated: int | None, failed: dict[str, str]) -> BudgetCurve:
    own = {
        budget: [one for one in group.outcomes.get(budget, ()) if one.item not in failed] for budget in group.budgets
    }
    whole = max(map(len, own.values()), default=0)
    return {
        **group_json(key),
        # where an answer was not asked for, a budget has no figure: the items whose thought was over are no sample
        "points": [point(budget, found) for budget, found in own.items() if len(found) == whole],
        "limit": limit,
        "tokens": {"run": group.run_tokens if group.counted else None, "curve": generated},
        "errors": len(failed),
    }


def _ahead(factory: EngineFactory, place: int, log: TextIO | None) -> Ahead:
    """The variant's outputs: from the journal, else from its engine, which is loaded once more."""
    settings = factory.settings
    journal = None
    if factory.journalled:
        journal = AcceptingJournal(
            settings.journal_dir, factory.fingerprint(place), settings.journal_accept, read=not settings.fresh
        )
    engine = None if settings.rescore and journal is not None else factory.build(place, log)
    return Ahead(engine, journal, beside=0)
