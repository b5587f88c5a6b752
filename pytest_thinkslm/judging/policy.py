"""Which outputs the judge is asked about, and what its ruling decides. Pure.

The judge never sees an output that was cut before an answer, or whose thought never ended: nothing in it is graded.
"""

from __future__ import annotations

from pytest_thinkslm.core.records import Case, Output, Review
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.judging.prompt import Question, answer_question, reason_question
from pytest_thinkslm.scoring.answers.custom import FAULT
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.answers.reviews import same_step
from pytest_thinkslm.scoring.grading import Graded, Judged
from pytest_thinkslm.scoring.verdicts import judged_verdict
from pytest_thinkslm.settings.run_settings import JudgePolicy


def question_about(
    policy: JudgePolicy, case: Case, output: Output, *, style: str = "direct", repeat: int = 1
) -> Question | None:
    """What to ask about an output; None where the parser's verdict stands unasked.

    ``all``: every output with something to grade in it. ``fallback``: those in which the parser found no answer, or
    several. A review (MR-GSM8K, MR-Ben) keeps its verdict: the judge is asked, under either policy, whether the error
    reason is accepted, where a wrong solution was judged wrong with the right step; in MR-Ben's subject coding, whose
    script compares no lines, wherever a wrong solution was judged wrong.
    """
    region = final_region(output)
    if region.unfinished or not region.text.strip():
        return None
    if case.kind == "review":
        return _about_a_review(case, output, style, repeat)
    if policy == "fallback" or region.cut:
        answer = read_answer(case, output)
        if answer.rule == FAULT or (answer.value is None and region.cut):
            return None  # nothing is known of it; truncated
        if answer.value is not None and policy == "fallback":
            return None
    return answer_question(case, output, style=style, repeat=repeat)


def with_ruling(graded: Graded, case: Case | None, ruling: Ruling | None, *, decides: bool = True) -> Graded:
    """The verdict with the judge's word beside it, or by it.

    Args:
        graded: by the parser.
        case: None where it is not known.
        ruling: None where the judge was not asked.
        decides: False where the test has its own way of deciding.
    """
    parser = graded.verdict
    verdict = None if ruling is None else ruling.verdict
    if verdict is None or not decides or case is None or case.kind == "review" or parser.name == "error":
        return Graded(graded.answer, parser, Judged(ruling, "parser", parser))
    assert ruling is not None
    return Graded(graded.answer, judged_verdict(parser, verdict, ruling.reason), Judged(ruling, "judge", parser))


def _about_a_review(case: Case, output: Output, style: str, repeat: int) -> Question | None:
    answer = read_answer(case, output)
    given, gold = answer.value, case.gold
    if not isinstance(given, Review) or not isinstance(gold, Review):
        return None
    if gold.judgement != "wrong" or given.judgement != "wrong":
        return None
    if case.facets.get("subject") != "coding" and not same_step(given, gold):
        return None
    return reason_question(case, answer, output, style=style, repeat=repeat)
