"""GSM8K: 1,319 grade-school word problems that take two to eight steps of arithmetic.

Cobbe et al. 2021, "Training verifiers to solve math word problems", arXiv:2110.14168. The gold and the reply's final
number (in a box, else by the rules of the answer reader) are read by one number grammar and compared as exact numbers.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("gsm8k")
def test_gsm8k(case: Case, slm: Model) -> None:
    """The final number must equal the one after '####' in the gold solution."""
    verify(case, slm(case))
