"""CommonsenseQA: 1,221 questions of everyday knowledge with five options, from the validation split.

Talmor et al. 2019, "CommonsenseQA", arXiv:1811.00937. The labels of the test split are hidden.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("commonsenseqa")
def test_commonsenseqa(case: Case, slm: Model) -> None:
    """The option chosen must be the labelled one."""
    verify(case, slm(case))
