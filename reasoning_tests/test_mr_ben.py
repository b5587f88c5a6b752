"""MR-Ben: is a given solution correct, where is its first error, and why, over seven subjects?

Zeng et al. 2024, "MR-Ben: a meta-reasoning benchmark", arXiv:2406.13975. In coding a step is a line of code. Metrics
are reported by subject, then as the unweighted mean over subjects.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("mr_ben")
def test_mr_ben(case: Case, slm: Model) -> None:
    """The judgement must be right and, for a wrong solution, the first wrong step too."""
    verify(case, slm(case))
