"""What the readers and the functions below them give, whole: value, rule, anchor and detail (kept.py)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import kept
import pytest

from pytest_thinkslm.core.records import Case, Output, Review
from pytest_thinkslm.scoring.answers import (
    anchors,
    arithmetic,
    boxgroups,
    choice_names,
    choice_statements,
    degenerate,
    equality,
    evaluate,
    expressions,
    formula,
    judgements,
    latex,
    list_forms,
    lists,
    loops,
    mathpool,
    mathspans,
    number_grammar,
    number_sentences,
    number_statements,
    optiontext,
    phrases,
    region,
    thoughts,
    unanswerable,
    units,
    weak_choices,
    whole_number,
    written,
)
from pytest_thinkslm.scoring.answers.arithmetic import NotUnderstood
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.verdicts import decide

FILE = Path(__file__).parent / "kept" / "readings.jsonl"
LABELLED = Path(__file__).parent / "kept" / "labelled.jsonl"
LABELS = Path(__file__).parents[3] / "fixtures" / "labels"

OPTIONS = (
    optiontext.Options(("London", "Paris", "Rome", "Berlin")),
    optiontext.Options(("a dog", "a hot dog", "the dogs", "none of the above")),
    optiontext.Options(("12", "1.5 km", "120", "$3.50", "12%")),
    optiontext.Options(("reading books", "to read", "They run away from the river.", "A")),
)
CASES = {
    "number": Case("gsm8k", 0, "number", "She has 3 red and 5 blue pens. How many pens has she?", "18"),
    "unanswerable": Case("gsm_plus", 0, "number", "How many?", "None", facets={"unanswerable_possible": "yes"}),
    "list": Case("sort8_mixed", 0, "list", "Sort.", (1, 2, 3), given=(3, 1, 2)),
    "choice": Case("arc_easy", 0, "choice", "Which?", "A", options=("London", "Paris", "Rome", "Berlin")),
    "dogs": Case("arc_easy", 0, "choice", "Which?", "B", options=("a dog", "a hot dog", "the dogs", "A")),
    "expression": Case("math", 0, "expression", "What is $x$ if $x = 2$?", r"\frac{1}{2}"),
    "review": Case("mr_gsm", 0, "review", "Is it right?", Review("wrong", "2"), steps=("1 + 1 = 2", "2 + 2 = 5")),
    "code": Case(
        *("mr_ben", 0, "review", "Is it right?", Review("wrong", "2")),
        steps=("def f(x):", "    y = x + 1", "", "    return y"),
        facets={"subject": "coding"},
    ),
}


def graded(case: Case, output: Output) -> list[Any]:
    answer = read_answer(case, output)
    verdict = decide(case, output, answer, prompt_text=case.question)
    return [
        *(answer.value, answer.rule, answer.anchored, answer.detail),
        *(verdict.name, verdict.reason, verdict.failure, verdict.grading_timeout),
    ]


def read(kind: str, text: str, cut: bool = False) -> list[Any]:
    return graded(CASES[kind], Output(text, finish_reason="length" if cut else "stop"))


def tokens(text: str) -> list[str] | None:
    try:
        return formula.tokens_of(text)
    except NotUnderstood:
        return None


def evaluated(text: str) -> list[Any] | str:
    """The value at x = 2 and f = 3 with its spread, or what was raised."""
    try:
        value, spread = formula.evaluate(formula.tokens_of(text), {"x": Fraction(2), "f": Fraction(3)}, 30)
    except (NotUnderstood, ArithmeticError) as error:
        return type(error).__name__
    digits = value if isinstance(value, Fraction) else arithmetic.mp_context().nstr(value, 15)
    return [digits, round(float(spread), 6)]


def worked(name: str, *given: str) -> Any:
    """A function of ``arithmetic`` of rational numbers."""
    try:
        value = getattr(arithmetic, name)(*map(Fraction, given))
    except (NotUnderstood, ArithmeticError) as error:
        return type(error).__name__
    return value if isinstance(value, Fraction) else arithmetic.mp_context().nstr(value, 15)


def at_every_place(method: Callable[[str, int], Any], text: str) -> Iterator[Any]:
    for place in range(len(text) + 1):
        if (found := method(text, place)) is not None:
            yield place, found


def numbers(text: str, spelled: bool) -> list[number_grammar.Number]:
    return list(number_grammar.find_numbers(number_grammar.plain(text), spelled=spelled))


def results(text: str, strict: bool) -> Any:
    return number_sentences.last_result(text, number_grammar.plain(text), "He has 3 of 12.", strict=strict)


def sweep(kind: str, text: str, pad: str, most: int, cut: bool = False) -> list[Any]:
    """Where a reading changes as ``@`` in the text becomes longer: windows and limits, on both of their sides.

    Of the detail it is the length that counts: whether it grows with the text.
    """
    found: list[Any] = []
    before: tuple[Any, Any] = (None, None)
    length = 0
    for count in range(most):
        value, rule, anchored, detail, verdict, _, failure, _ = read(kind, text.replace("@", pad * count), cut)
        shown = [value, rule, anchored, verdict, failure]
        now = (shown, len(detail) - length)
        length = len(detail)
        if now != before:
            found.append([count, *(shown if shown != before[0] else ()), length])
        before = now
    return found


def steps(function: Callable[[str], Any], text: str, pad: str, most: int) -> list[Any]:
    """The same of a function of the text."""
    found = [kept.plain(function(text.replace("@", pad * count))) for count in range(most)]
    return [[count, value] for count, value in enumerate(found) if not count or value != found[count - 1]]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sweep": sweep,
    "degenerate.steps": lambda *given: steps(degenerate.degenerate, *given),
    "find_loop.steps": lambda *given: steps(lambda text: loops.find_loop(text) is not None, *given),
    "is_code.steps": lambda *given: steps(degenerate.is_code, *given),
    "says_unanswerable.steps": lambda *given: steps(unanswerable.says_unanswerable, *given),
    "is_prose.steps": lambda *given: steps(expressions._is_prose, *given),
    "parse_number.steps": lambda *given: steps(lambda text: whole_number.parse_number(text) is not None, *given),
    "is_unit.steps": lambda *given: steps(units.is_unit, *given),
    "judgement.steps": lambda *given: steps(judgements.judgement_in, *given),
    **{f"read.{kind}": lambda *given, kind=kind: read(kind, *given) for kind in CASES},
    "anchors": anchors.anchors,
    "boxes": region.boxes,
    "box_groups": lambda text: boxgroups.box_groups(text, region.boxes(text)),
    "is_placeholder": region.is_placeholder,
    "split": lambda text, cut: thoughts.split(text, cut=cut),
    "opening_mark": thoughts.opening_mark,
    "closing_mark": thoughts.closing_mark,
    "starts_thought": thoughts.starts_thought,
    "mentions_thought": thoughts.mentions_thought,
    "is_mark": thoughts.is_mark,
    "degenerate": degenerate.degenerate,
    "is_code": degenerate.is_code,
    "find_loop": loops.find_loop,
    "option_clean": optiontext.clean,
    "option_text": lambda text, options: list(at_every_place(OPTIONS[options].text_at, text)),
    "option_letter": lambda text, options: list(at_every_place(OPTIONS[options].letter_at, text)),
    "option_number": lambda text, options: list(at_every_place(OPTIONS[options].number_at, text)),
    "option_mentioned": lambda text, options: OPTIONS[options].mentioned(text),
    "option_named": lambda text, options: list(
        at_every_place(lambda text, place: choice_names.name_at(text, place, OPTIONS[options], any_case=True), text)
    ),
    "stated": lambda text, options, cut: choice_statements.stated(text, OPTIONS[options], cut=cut),
    "weakly_stated": lambda text, options: weak_choices.weakly_stated(text, OPTIONS[options]),
    "spoken": lambda text: [language.head[:20] for language in phrases.spoken(text.lower())],
    "statements": lambda text: [
        (found.start, found.end, found.letter) for found in phrases.statements(text, phrases.LANGUAGES)
    ],
    "joined_before": phrases.joined_before,
    "judgement_in": judgements.judgement_in,
    "unlabelled_judgement": lambda text, cut: judgements.unlabelled_judgement(text, cut=cut),
    "says_unanswerable": unanswerable.says_unanswerable,
    "is_unit": units.is_unit,
    "is_lead": units.is_lead,
    "find_numbers": numbers,
    "plain": number_grammar.plain,
    "find_statements": lambda text: number_statements.find_statements(text, number_grammar.plain(text), "He has 3."),
    "last_result": results,
    "parse_number": whole_number.parse_number,
    "worked_out": whole_number.worked_out,
    "with_commas": list_forms.with_commas,
    "list_items": lambda text, thousands: lists._items(text, thousands=thousands),
    "list_candidates": lambda text, thousands: lists._candidates(text, text, thousands=thousands),
    "normalise": latex.normalise,
    "as_fraction": latex.as_fraction,
    "split_top": latex.split_top,
    "math_spans": mathspans.math_spans,
    "stated_value": mathspans.stated_value,
    "stated_in_formula": mathspans.stated_in_formula,
    "written_value": written.written_value,
    "written_clean": written.clean,
    "without_label": written.without_label,
    "result_side": written.result_side,
    "plain_formula": expressions._plain_formula,
    "is_prose": expressions._is_prose,
    "tokens": tokens,
    "value_of": evaluate.value_of,
    "same_value": evaluate.same_value,
    "evaluated": evaluated,
    "worked": worked,
    "same_equation": lambda one, two: evaluate.same_equation(tuple(one), tuple(two)),
    "is_costly": evaluate.is_costly,
    "as_collection": equality._collection,
    "without_left_side": equality._without_left_side,
    "has_variable": equality._has_variable,
    "classify_list": lambda answer, gold: lists.classify_list(tuple(answer), tuple(gold)),
    "equal": equality.equal,
}


@pytest.fixture(autouse=True)
def _without_math_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to math-verify is told by the method; no process is started here."""
    monkeypatch.setattr(equality, "compare", lambda *_: mathpool.Comparison("different", 0.0))


@pytest.mark.parametrize("name", kept.names(FILE))
def test_every_text_gives_what_is_kept(name: str) -> None:
    assert kept.differences(FILE, FUNCTIONS, name) == []


@functools.cache
def labels(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LABELS / name).read_text(encoding="utf-8").splitlines()]


def labelled(name: str, line: int) -> list[Any]:
    """An output of fixtures/labels by its line, without the label's own question: as it is, and cut at two thirds."""
    label = labels(name)[line]
    task, text = label["task"], label["output"]
    kinds = {"math": "expression", "mr_gsm": "review", "mr_ben": "code"}
    kind = "list" if task.startswith("sort") else kinds.get(task, "number" if task.startswith("gsm") else "choice")
    whole = read(kind, text, label["finish_reason"] == "length")
    return [whole[:5], read(kind, text[: 2 * len(text) // 3], True)[:5]]


@pytest.mark.parametrize("name", ["outputs_a.jsonl", "outputs_b.jsonl", "outputs_c.jsonl"])
def test_every_labelled_output_gives_what_is_kept(name: str) -> None:
    functions = {name: lambda line: labelled(name, line)}
    assert kept.differences(LABELLED, functions, name) == []


def test_two_thirds_of_a_fraction_are_kept_as_text() -> None:
    assert kept.plain({"a": Fraction(2, 3), "b": (1.0, float("inf"))}) == {"a": "2/3", "b": [1.0, "inf"]}
    assert kept.same([0.1 + 0.2], [0.3])
    assert not kept.same([0.3001], [0.3])
    assert not kept.same(True, 1)
