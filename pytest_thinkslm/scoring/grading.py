"""``verify``: what a reasoning test calls to turn an output into its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_thinkslm.core.records import Answer, Case, Output, Verdict
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.verdicts import decide

if TYPE_CHECKING:
    from pytest_thinkslm.core.rulings import Ruling


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge's part in a verdict.

    Attributes:
        ruling: None where the judge was not asked.
        source: who decided the verdict.
        parser: the verdict without the judge.
    """

    ruling: Ruling | None
    source: Literal["parser", "judge"]
    parser: Verdict


@dataclass(frozen=True, slots=True)
class Graded:
    """An output's answer and verdict, kept until the plugin has made the test's report.

    ``judged`` is set in runs with a judge.
    """

    answer: Answer
    verdict: Verdict
    judged: Judged | None = None


class WrongAnswer(AssertionError):
    """The output's verdict is not ``correct``."""

    def __init__(self, graded: Graded) -> None:
        super().__init__(f"{graded.verdict.name}: {graded.verdict.reason}")
        self.graded = graded


def grade(case: Case, output: Output) -> Graded:
    """Read the answer and decide the verdict; a pure function of case and output."""
    answer = read_answer(case, output)
    return Graded(answer, decide(case, output, answer, prompt_text=case.question))


def verify(case: Case, output: Output) -> Answer:
    """Assert that ``output`` answers ``case`` correctly; the last thing that a reasoning test does.

    In a test that the plugin runs the verdict becomes the test's outcome when the function returns. (An exception
    for each wrong answer would cost more than everything else that is done for it.) Anywhere else it is raised.

    Returns:
        The answer as it was read.

    Raises:
        WrongAnswer: outside a run, where the verdict is incorrect, unparsed or truncated.
    """
    graded = grade(case, output)
    if _item.running:
        _item.graded = graded
    elif graded.verdict.name != "correct":
        raise WrongAnswer(graded)
    return graded.answer


class _Item:
    """What ``verify`` found in the test that is running."""

    __slots__ = ("graded", "running")

    def __init__(self) -> None:
        self.running = False
        self.graded: Graded | None = None


_item = _Item()


def start_item() -> None:
    """From now on ``verify`` keeps its verdict for the plugin's report."""
    _item.running = True
    _item.graded = None


def finish_item() -> Graded | None:
    """What ``verify`` found since ``start_item``; it raises again from now on."""
    graded, _item.graded, _item.running = _item.graded, None, False
    return graded
