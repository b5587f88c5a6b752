"""OpenBookQA: 500 questions of elementary science with four options, asked without the book of facts.

Mihaylov et al. 2018, "Can a suit of armor conduct electricity?", arXiv:1809.02789.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("openbookqa")
def test_openbookqa(case: Case, slm: Model) -> None:
    """The option chosen must be the labelled one."""
    verify(case, slm(case))
