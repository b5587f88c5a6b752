"""Sorting: lists of 8, 16 or 32 distinct integers in ascending order, 100 lists a condition, drawn by the data seed.

Only exactly the sorted list is right. Wrong lists are classified: order, dropped, invented, wrong length.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("sort8_positive")
def test_sort8_positive(case: Case, slm: Model) -> None:
    """8 integers from 1 to 100."""
    verify(case, slm(case))


@reasoning_task("sort8_mixed")
def test_sort8_mixed(case: Case, slm: Model) -> None:
    """8 integers from -100 to 100, with both signs."""
    verify(case, slm(case))


@reasoning_task("sort16_positive")
def test_sort16_positive(case: Case, slm: Model) -> None:
    """16 integers from 1 to 100."""
    verify(case, slm(case))


@reasoning_task("sort16_mixed")
def test_sort16_mixed(case: Case, slm: Model) -> None:
    """16 integers from -100 to 100, with both signs."""
    verify(case, slm(case))


@reasoning_task("sort32_positive")
def test_sort32_positive(case: Case, slm: Model) -> None:
    """32 integers from 1 to 100."""
    verify(case, slm(case))


@reasoning_task("sort32_mixed")
def test_sort32_mixed(case: Case, slm: Model) -> None:
    """32 integers from -100 to 100, with both signs."""
    verify(case, slm(case))
