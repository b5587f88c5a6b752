"""Whole sentences and whole records where the readers meet people: custom readers, `verify`, verdicts, the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import UNANSWERABLE, Answer, Case, Output, Review, Verdict
from pytest_thinkslm.scoring import grading
from pytest_thinkslm.scoring.answers import custom, mathpool
from pytest_thinkslm.scoring.answers.phrases import joined_before
from pytest_thinkslm.scoring.answers.region import Region
from pytest_thinkslm.scoring.verdicts import decide, judged_verdict

CASE = Case("mine", 3, "word", "Say yes.", "yes")
NUMBER = Case("gsm8k", 0, "number", "How many?", "18")


def words(text: str, case: Case) -> str:
    return text


@pytest.fixture(autouse=True)
def _no_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "_kinds", {})
    monkeypatch.setattr(custom, "_tasks", {})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: custom.Reader("word"),
            "answer kind 'word' is none of the suite's (choice, expression, list, number, review): it needs "
            "read=(text, case) -> answer",
        ),
        (
            lambda: custom.register_reader(custom.Reader("number", words)),
            "answer kind 'number' is the suite's own; choose another name, or give one task its own reader: "
            "Task(read=..., compare=...)",
        ),
        (
            lambda: [custom.register_reader(custom.Reader("word", read)) for read in (words, str.upper)],  # type: ignore[arg-type]
            "answer kind 'word' is registered twice; choose another name",
        ),
    ],
)
def test_what_a_reader_is_refused_for(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value) == said


def test_an_unknown_kind_is_named_with_its_task_and_the_nearest() -> None:
    custom.register_reader(custom.Reader("word", words))
    with pytest.raises(UsageError) as caught:
        custom.custom_reader("mine", "wordy")
    assert str(caught.value).startswith("task mine: unknown answer kind 'wordy': did you mean 'word'")
    assert str(caught.value).endswith("; a kind of one's own is a Reader, or Task(read=...)")
    assert custom.custom_reader("gsm8k", "number") is None
    assert custom.custom_reader("mine", "word") == custom.Reader("word", words)


@pytest.mark.parametrize(
    ("found", "cut", "answer"),
    [
        (None, False, Answer(None, "none")),
        ("yes", False, Answer("yes", "word", anchored=False)),
        ("yes", True, Answer(None, "cut")),
        (Answer("yes", "said", anchored=True, detail="d"), True, Answer("yes", "said", anchored=True, detail="d")),
        (Answer("yes", "guess"), True, Answer(None, "cut")),
        (Answer("yes", "guess"), False, Answer("yes", "guess")),
        (Answer(None, "no-json"), True, Answer(None, "no-json")),
        (
            7,
            False,
            Answer(
                *(None, "reader-fault", False),
                "the reader of 'word' failed on mine 0003: read returned a int, neither text, an Answer nor None",
            ),
        ),
    ],
)
def test_what_a_reader_finds_is_kept_whole(found: Any, cut: bool, answer: Answer) -> None:
    assert custom.read_with(custom.Reader("word", lambda text, case: found), CASE, Region("x", cut=cut)) == answer


@pytest.mark.parametrize(
    ("compare", "value", "found"),
    [
        (None, " yes\n", True),
        (None, "no", False),
        (None, (1, 2), False),
        (lambda value, case: value, (1, 2), "(1, 2)"),
        (lambda value, case: value == case.gold, "yes", True),
        (
            lambda value, case: 1,
            "yes",
            Answer(
                *(None, "reader-fault", False),
                "the reader of 'word' failed on mine 0003: compare returned a int, neither a bool nor a failure class",
            ),
        ),
        (
            lambda value, case: 1 // 0,
            "yes",
            Answer(
                *(None, "reader-fault", False),
                "the reader of 'word' failed on mine 0003: compare raised ZeroDivisionError: integer division or modulo"
                " by zero",
            ),
        ),
    ],
)
def test_what_a_comparison_says_is_kept_whole(compare: Any, value: Any, found: object) -> None:
    assert custom.compare_with(custom.Reader("word", words, compare), CASE, Answer(value, "r")) == found


def test_a_task_and_a_kind_are_taken_back_and_given_again() -> None:
    one, two = custom.Reader("number", words), custom.Reader("number", None, lambda value, case: True)
    custom.register_for_task("gsm8k", one)
    custom.register_for_task("gsm8k", two)
    assert custom.custom_reader("gsm8k", "number") == two
    assert decide(NUMBER, Output("x"), Answer("3", "bare")) == Verdict("correct", "read 3 (rule bare), gold 18")
    custom.register_for_task("gsm8k", None)
    custom.register_for_task("gsm8k", None)
    assert custom.custom_reader("gsm8k", "number") is None


def test_verify_raises_outside_of_a_run_and_keeps_its_verdict_inside() -> None:
    right, wrong = Output(r"\boxed{18}"), Output(r"\boxed{17}")
    assert grading.verify(NUMBER, right) == Answer("18", "boxed", anchored=True, detail=r"\boxed{18}")
    with pytest.raises(grading.WrongAnswer) as caught:
        grading.verify(NUMBER, wrong)
    assert str(caught.value) == "incorrect: read 17 (rule boxed), gold 18"
    assert caught.value.graded == grading.grade(NUMBER, wrong)
    grading.start_item()
    assert grading.verify(NUMBER, wrong).value == "17"
    assert grading.finish_item() == grading.grade(NUMBER, wrong)
    assert grading.finish_item() is None
    with pytest.raises(grading.WrongAnswer):
        grading.verify(NUMBER, wrong)
    grading.start_item()
    grading.verify(NUMBER, wrong)
    grading.start_item()  # the next item has none of the last one's
    assert grading.finish_item() is None


REVIEW = Case("mr_gsm", 0, "review", "Right?", Review("wrong", "2"), steps=("one", "two"))
SORTING = Case("sort8_mixed", 0, "list", "Sort.", (1, 2, 3), given=(3, 1, 2))


@pytest.mark.parametrize(
    ("case", "output", "answer", "verdict"),
    [
        (NUMBER, Output(""), Answer(None, "none"), ("unparsed", "no answer found; output is empty", "empty")),
        (
            NUMBER,
            Output("", reasoning="So 18."),
            Answer(None, "none"),
            ("unparsed", "no answer found; output is empty", "unfinished-thought"),
        ),
        (
            NUMBER,
            Output("a\nb", finish_reason="length"),
            Answer(None, "none"),
            ("truncated", "cut by the token limit before a complete, anchored answer; output ends 'a b'", "cut"),
        ),
        (
            NUMBER,
            Output("Well.", finish_reason="length", stopped="context"),
            Answer(None, "none"),
            (
                "truncated",
                "cut where the context was full, before the token limit and a complete, anchored answer; "
                "output ends 'Well.'",
                "cut",
            ),
        ),
        (
            NUMBER,
            Output("Well.", finish_reason="length", stopped="loop"),
            Answer(None, "cut"),
            (
                *("truncated", "cut by the token limit before a complete, anchored answer; output ends 'Well.'"),
                "repetition",
            ),
        ),
        (
            NUMBER,
            Output("<think>Well."),
            Answer(None, "unfinished-thought"),
            ("truncated", "the thought was never ended; output ends '<think>Well.'", "unfinished-thought"),
        ),
        (
            NUMBER,
            Output("18 or 19"),
            Answer(None, "several"),
            ("unparsed", "several answers without a choice; output ends '18 or 19'", "several"),
        ),
        (
            NUMBER,
            Output("def f():\n    return 18"),
            Answer(None, "restated"),
            *[("unparsed", "only the prompt's own list; output ends 'def f(): return 18'", "code")],
        ),
        (
            NUMBER,
            Output("London, Paris"),
            Answer(None, "recited"),
            ("unparsed", "only the list of options; output ends 'London, Paris'", "restated"),
        ),
        (
            NUMBER,
            Output("[answer]"),
            Answer(None, "wrong-format"),
            ("unparsed", "no answer of the asked kind; output ends '[answer]'", "wrong-format"),
        ),
        (
            NUMBER,
            Output(r"It is \boxed{answer}."),
            Answer(None, "none"),
            ("unparsed", "no answer found; output ends 'It is \\\\boxed{answer}.'", "wrong-format"),
        ),
        (NUMBER, Output("x"), Answer("x", "bare"), ("incorrect", "read x (rule bare), gold 18", None)),
        (NUMBER, Output("x"), Answer("18.0", "bare"), ("correct", "read 18.0 (rule bare), gold 18", None)),
        (
            NUMBER,
            Output("x", stopped="loop"),
            Answer("17", "bare"),
            ("incorrect", "read 17 (rule bare), gold 18", "repetition"),
        ),
        (
            NUMBER,
            Output("x"),
            Answer(UNANSWERABLE, "unanswerable"),
            ("incorrect", "read unanswerable (rule unanswerable), gold 18", "called-unanswerable"),
        ),
        (SORTING, Output("x"), Answer((1, 2, 3), "r"), ("correct", "read [1, 2, 3] (rule r), gold [1, 2, 3]", None)),
        (
            SORTING,
            Output("x"),
            Answer((1, 3, 2), "r"),
            ("incorrect", "read [1, 3, 2] (rule r), gold [1, 2, 3]", "order"),
        ),
        (SORTING, Output("x"), Answer("1", "r"), ("incorrect", "read 1 (rule r), gold [1, 2, 3]", "wrong-format")),
        (
            REVIEW,
            Output("x"),
            Answer(Review("wrong", "2"), "r"),
            *[("correct", "read wrong, first error step 2 (rule r), gold wrong, first error step 2", None)],
        ),
        (
            REVIEW,
            Output("x"),
            Answer(Review("wrong", "1"), "r"),
            *[("incorrect", "read wrong, first error step 1 (rule r), gold wrong, first error step 2", "wrong-step")],
        ),
        (
            REVIEW,
            Output("x"),
            Answer(Review("correct"), "r"),
            *[("incorrect", "read correct (rule r), gold wrong, first error step 2", "wrong-judgement")],
        ),
        (
            REVIEW,
            Output("x"),
            Answer("wrong", "r"),
            ("incorrect", "read wrong (rule r), gold wrong, first error step 2", "wrong-format"),
        ),
        (NUMBER, Output("x"), Answer(None, "reader-fault", detail="it failed"), ("error", "it failed", None)),
    ],
)
def test_a_verdict_whole(case: Case, output: Output, answer: Answer, verdict: tuple[str, str, str | None]) -> None:
    assert decide(case, output, answer) == Verdict(*verdict)  # type: ignore[arg-type]


def test_a_repeated_question_is_told_by_the_prompt() -> None:
    question = "A farmer has seventeen sheep and all but nine of them die. How many sheep are left to the farmer?"
    assert decide(NUMBER, Output(question), Answer(None, "none"), prompt_text=question).failure == "restated"
    assert decide(NUMBER, Output(question), Answer(None, "none")).failure == "no-final-answer"


def test_what_the_judge_decides_keeps_the_parsers_class_where_it_is_wrong_either_way() -> None:
    parser = Verdict("unparsed", "no answer", "several", grading_timeout=True)
    assert judged_verdict(parser, "incorrect", "it says 17") == Verdict(
        "incorrect", "judge: it says 17 (parser: unparsed, no answer)", "several", grading_timeout=True
    )
    assert judged_verdict(parser, "correct", "fine").failure is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *(
            ("A o", "A"),
            ("B) oder ", "B"),
            ("C und", "C"),
            ('B ou "', "B"),
            ("A e (", "A"),
            ("D et", "D"),
            ("A 或", "A"),
        ),
        *(("xA o", None), ("A", None), ("A or", None), ("a o", None)),
    ],
)
def test_the_letter_that_an_or_of_another_language_joins_to_what_follows(text: str, letter: str | None) -> None:
    assert joined_before(text) == letter


class Worker:
    """Answers of a worker in order: (reply, seconds); an empty list is a worker that cannot be asked."""

    replies: ClassVar[list[tuple[dict[str, Any] | None, float]]] = []
    asked: ClassVar[list[tuple[dict[str, Any], float]]] = []
    made = closed = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.alive = True

    def ask(self, message: dict[str, Any], deadline: float) -> tuple[dict[str, Any] | None, float]:
        self.asked.append((message, deadline))
        return self.replies.pop(0)

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[Worker]:
    monkeypatch.setattr(mathpool, "_Worker", Worker)
    Worker.replies, Worker.asked, Worker.made, Worker.closed = [], [], 0, 0
    return Worker


def test_a_pool_asks_in_one_order_and_keeps_its_worker(worker: type[Worker]) -> None:
    pool = mathpool.MathPool(size=1)
    worker.replies = [({"equal": True, "seconds": 0.25}, 0.3), ({"equal": False, "seconds": 0.5}, 0.6)]
    assert pool.compare("y", "x", 2.0) == mathpool.Comparison("equal", 0.25)
    assert pool.compare("x", "y") == mathpool.Comparison("different", 0.5)
    question = {"left": "x", "right": "y"}
    assert worker.asked == [({**question, "deadline": 2.0}, 80.0), ({**question, "deadline": 5.0}, 200.0)]
    assert (worker.made, worker.closed, len(pool._idle)) == (1, 0, 1)
    pool.close()
    assert (worker.closed, pool._idle) == (1, [])


def test_a_pool_tries_again_only_a_worker_that_was_dying_before(worker: type[Worker]) -> None:
    pool = mathpool.MathPool(size=1)
    worker.replies = [(None, 0.1)]  # a fresh one: the question kills it
    assert pool.compare("x", "y", 1.0) == mathpool.Comparison("timeout", 0.1)
    assert (worker.made, worker.closed) == (1, 1)
    fine = ({"equal": True, "seconds": 0.2}, 0.2)
    worker.replies = [fine, (None, 0.4), fine]
    pool.compare("x", "y", 1.0)
    assert pool.compare("x", "y", 1.0) == mathpool.Comparison("equal", 0.2)
    assert worker.asked[-1] == worker.asked[-2] == ({"left": "x", "right": "y", "deadline": 1.0}, 40.0)
    assert (worker.made, worker.closed) == (3, 2)
    worker.replies = [(None, 0.5)]  # half of the deadline: it was at work on this question
    assert pool.compare("x", "y", 1.0) == mathpool.Comparison("timeout", 0.5)
    assert (worker.made, worker.closed, pool._idle) == (3, 3, [])


def test_a_dead_worker_is_closed_and_a_long_text_is_never_asked(worker: type[Worker]) -> None:
    pool = mathpool.MathPool(size=2)
    worker.replies = [({"equal": True, "seconds": 0.2}, 0.2)] * 2
    pool.compare("x", "y")
    pool._idle[0].alive = False  # type: ignore[misc]
    pool.compare("x", "y")
    assert (worker.made, worker.closed) == (2, 1)
    edge = "1" * mathpool.LENGTH_LIMIT
    for left, right in ((edge + "1", "y"), ("y", edge + "1")):
        assert pool.compare(left, right) == mathpool.Comparison("different", 0.0)
    worker.replies = [({"equal": True, "seconds": 0.2}, 0.2)]
    assert pool.compare(edge, edge).status == "equal"


def test_after_a_fork_a_pool_is_as_new(worker: type[Worker]) -> None:
    pool = mathpool.MathPool(size=1)
    worker.replies = [({"equal": True, "seconds": 0.2}, 0.2)]
    pool.compare("x", "y")
    pool._slots.acquire()
    pool._lock.acquire()
    pool._reset()
    assert pool._idle == []
    assert pool._lock.acquire(blocking=False)
    assert pool._slots.acquire(blocking=False)
    assert not pool._slots.acquire(blocking=False)
