"""HellaSwag: which of four endings continues the text.

Zellers et al. 2019, "HellaSwag: can a machine really finish your sentence?", arXiv:1905.07830. The model sees all four
endings and names a letter. That is not the usual comparison of log-likelihoods, and its figures are not comparable.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("hellaswag")
def test_hellaswag(case: Case, slm: Model) -> None:
    """The ending chosen must be the real one."""
    verify(case, slm(case))
