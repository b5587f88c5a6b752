"""Answer kinds of a user's: what a reader and a comparison may return, and what becomes of it."""

import pytest

from pytest_thinkslm import Answer, Case, Output, Reader, Task, UsageError, grade, register_reader
from pytest_thinkslm.core.records import Review
from pytest_thinkslm.judging.policy import question_about
from pytest_thinkslm.scoring.answers import custom

CASE = Case("mine", 0, "word", "Say yes.", "yes")


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(custom, "_kinds", {})
    monkeypatch.setattr(custom, "_tasks", {})


def _graded(read=None, compare=None, output="yes", case=CASE):
    custom.register_for_task("mine", Reader(case.kind, read, compare))
    graded = grade(case, output if isinstance(output, Output) else Output(output))
    return graded.verdict.name, graded.verdict.failure, graded.answer.value, graded.answer.rule


def _raise(*_):
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("read", "output", "expected"),
    [
        (lambda text, case: text, "yes", ("correct", None, "yes", "word")),
        (lambda text, case: text, " yes\n", ("correct", None, " yes\n", "word")),
        (lambda text, case: text, "no, I think not", ("incorrect", None, "no, I think not", "word")),
        (lambda text, case: None, "well", ("unparsed", "no-final-answer", None, "none")),
        (lambda text, case: None, "", ("unparsed", "empty", None, "none")),
        (lambda text, case: Answer(None, "no-json"), "well", ("unparsed", "no-json", None, "no-json")),
        (lambda text, case: Answer("yes", "last", anchored=True), "x", ("correct", None, "yes", "last")),
        # What follows the thought alone is read; an unfinished thought holds no answer.
        (lambda text, case: text.strip(), "<think>no</think>yes", ("correct", None, "yes", "word")),
        (
            lambda text, case: text.strip(),
            "<think>yes",
            ("truncated", "unfinished-thought", None, "unfinished-thought"),
        ),
        # Cut by the limit: only a statement that the reader calls final counts.
        (lambda text, case: text, Output("yes", finish_reason="length"), ("truncated", "cut", None, "cut")),
        (
            lambda text, case: Answer("yes", "said", anchored=True),
            Output("yes. And", finish_reason="length"),
            ("correct", None, "yes", "said"),
        ),
        # Faults of the reader.
        (_raise, "yes", ("error", None, None, custom.FAULT)),
        (lambda text, case: 7, "yes", ("error", None, None, custom.FAULT)),
    ],
)
def test_what_a_reader_returns(read, output, expected):
    assert _graded(read, output=output) == expected


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (lambda answer, case: True, ("correct", None)),
        (lambda answer, case: answer == case.gold, ("correct", None)),
        (lambda answer, case: False, ("incorrect", None)),
        (lambda answer, case: "wrong-field", ("incorrect", "wrong-field")),
        (lambda answer, case: "", ("incorrect", None)),
        (lambda answer, case: 1, ("error", None)),
        (_raise, ("error", None)),
    ],
)
def test_what_a_comparison_returns(compare, expected):
    assert _graded(lambda text, case: "yes", compare)[:2] == expected


def test_a_fault_names_reader_item_and_cause():
    custom.register_for_task("mine", Reader("word", _raise))
    reason = grade(CASE, Output("yes")).verdict.reason
    assert reason == "the reader of 'word' failed on mine 0000: read raised ZeroDivisionError: by zero"


def test_the_judge_is_not_asked_about_a_fault():
    custom.register_for_task("mine", Reader("word", _raise))
    assert question_about("fallback", CASE, Output("yes")) is None
    custom.register_for_task("mine", Reader("word", lambda text, case: None))
    assert question_about("fallback", CASE, Output("yes")) is not None


def test_a_task_may_keep_a_kind_of_the_suite_and_change_one_part():
    number = Case("mine", 0, "number", "2 + 2?", "4")
    assert _graded(lambda text, case: text[::-1], output="0.5", case=number)[:3] == ("incorrect", None, "5.0")
    assert _graded(lambda text, case: "4.0", output="x", case=number)[0] == "correct"
    assert _graded(None, lambda answer, case: answer == "5", output="\\boxed{5}", case=number)[0] == "correct"
    custom.register_for_task("mine", None)
    assert grade(number, Output("\\boxed{5}")).verdict.name == "incorrect"


def test_a_review_read_by_ones_own_way_is_compared_as_text():
    case = Case("mine", 0, "verdicts", "?", Review("wrong", "2"))
    assert (
        _graded(lambda text, case: "wrong", lambda answer, case: answer == case.gold.judgement, case=case)[0]
        == "correct"
    )


def test_kinds_are_registered_once():
    reader = Reader("word", lambda text, case: text)
    assert register_reader(reader) is reader
    register_reader(Reader("word", lambda text, case: text))  # the same file again: a conftest that runs anew
    with pytest.raises(UsageError, match="registered twice"):
        register_reader(Reader("word", str.strip))
    with pytest.raises(UsageError, match="the suite's own"):
        register_reader(Reader("number"))
    with pytest.raises(UsageError, match="unknown answer kind 'wordd': did you mean 'word'"):
        custom.custom_reader("mine", "wordd")


def test_a_task_without_any_of_the_three_has_no_reader():
    task = Task("mine", "Mine", "number", generate=lambda seed, index: CASE, count=1)
    assert task.reader is None
