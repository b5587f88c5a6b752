"""MATH: 5,000 competition problems in seven subjects and five levels, with answers in LaTeX.

Hendrycks et al. 2021, "Measuring mathematical problem solving with the MATH dataset", arXiv:2103.03874. The last box
of the reply is compared with the last box of the gold solution: as text where that suffices, else symbolically.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("math")
def test_math(case: Case, slm: Model) -> None:
    """The last boxed expression must be equivalent to the gold one."""
    verify(case, slm(case))
