"""ARC: grade-school science questions with three to five options; 2,376 easy and 1,172 challenging ones.

Clark et al. 2018, "Think you have solved question answering? Try ARC", arXiv:1803.05457. The challenge set holds the
questions that retrieval and word co-occurrence both got wrong. Options are lettered by position, whatever the source
calls them; a reply may name the letter, the number or the text of an option, but only one of them.
"""

from pytest_thinkslm import Case, Model, reasoning_task, verify


@reasoning_task("arc_easy")
def test_arc_easy(case: Case, slm: Model) -> None:
    """The option chosen must be the labelled one."""
    verify(case, slm(case))


@reasoning_task("arc_challenge")
def test_arc_challenge(case: Case, slm: Model) -> None:
    """The option chosen must be the labelled one."""
    verify(case, slm(case))
