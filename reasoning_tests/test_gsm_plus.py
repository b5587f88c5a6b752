"""GSM-Plus: eight perturbations of each of 300 GSM8K questions.

Li et al. 2024, "GSM-Plus", arXiv:2402.19255. Numbers are judged as in GSM8K. Where a needed statement was taken away
("critical thinking") the right reply is that the question cannot be answered. The seed questions are asked beside the
variations, so that the drop in performance is that of the same questions.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("gsm_plus")
def test_gsm_plus(case: Case, slm: Model) -> None:
    """The final number must equal the gold, or the reply say that there is none."""
    verify(case, slm(case))
