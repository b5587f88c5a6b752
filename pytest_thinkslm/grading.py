"""``verify``: what a reasoning test calls to turn an output into its verdict."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_thinkslm.answers.reader import read_answer
from pytest_thinkslm.records import Answer, Case, Output, Verdict
from pytest_thinkslm.verdicts import decide


@dataclass(frozen=True, slots=True)
class Graded:
    """An output's answer and verdict, kept until the plugin has made the test's report."""

    answer: Answer
    verdict: Verdict


class WrongAnswer(AssertionError):
    """The output's verdict is not ``correct``; reported in one line, without a traceback."""

    def __init__(self, graded: Graded) -> None:
        super().__init__(f"{graded.verdict.name}: {graded.verdict.reason}")
        self.graded = graded


def grade(case: Case, output: Output) -> Graded:
    """Read the answer and decide the verdict; a pure function of case and output."""
    answer = read_answer(case, output)
    return Graded(answer, decide(case, output, answer, prompt_text=case.question))


def verify(case: Case, output: Output) -> Answer:
    """Assert that ``output`` answers ``case`` correctly.

    Returns:
        The answer as it was read.

    Raises:
        WrongAnswer: the verdict is incorrect, unparsed or truncated.
    """
    graded = grade(case, output)
    _last.append(graded)
    if graded.verdict.name != "correct":
        raise WrongAnswer(graded)
    return graded.answer


_last: list[Graded] = []


def take_last() -> Graded | None:
    """The last graded output since the previous call (for the plugin's report)."""
    graded = _last[-1] if _last else None
    _last.clear()
    return graded
