"""MR-GSM8K: is a given solution of a grade-school problem correct, where is its first error, and why?

Zeng et al. 2023, "MR-GSM8K: a meta-reasoning benchmark", arXiv:2312.17080. Original questions, reversed ones, and
programs as solutions. MCC, ACC_step and, with a judge, MR-Score are reported beside accuracy.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("mr_gsm")
def test_mr_gsm(case: Case, slm: Model) -> None:
    """The judgement must be right and, for a wrong solution, the first wrong step too."""
    verify(case, slm(case))
