"""MathQA: 2,985 word problems with five options.

Amini et al. 2019, "MathQA: towards interpretable math word problem solving", arXiv:1905.13319. The data set's labels
are known to be noisy and are taken as they are: no model reaches 100%.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("mathqa")
def test_mathqa(case: Case, slm: Model) -> None:
    """The option chosen must be the labelled one."""
    verify(case, slm(case))
