"""What the ThinkSLM paper reports of its judges against people (Table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_thinkslm.statistics import Interval


@dataclass(frozen=True, slots=True)
class PaperJudge:
    """A judge of the paper: its rho with people, with the 95% interval where one is stated."""

    model: str
    rho: float
    interval: Interval | None = None


#: Srivastava, Cao and Wang, ThinkSLM (EMNLP 2025, arXiv 2502.11569).
PAPER_JUDGES = (PaperJudge("GPT-4-turbo", 0.99, Interval(0.98, 1.00)), PaperJudge("GPT-4o", 0.98))

#: The samples that people labelled there: how many, and of which tasks.
PAPER_SAMPLES = 1_000
PAPER_TASKS = ("gsm8k", "arc_easy", "arc_challenge", "commonsenseqa", "gsm_plus")


def paper_as_json() -> dict[str, object]:
    """The paper's figures as plain values."""
    return {
        "source": "ThinkSLM (arXiv 2502.11569), Table 1",
        "samples": PAPER_SAMPLES,
        "tasks": list(PAPER_TASKS),
        "rho": {
            judge.model: {"value": judge.rho, "ci95": None if judge.interval is None else list(judge.interval)}
            for judge in PAPER_JUDGES
        },
    }


def against_paper(rho: float, interval: Interval | None) -> list[str]:
    """A rater's rho beside each of the paper's, in words."""
    sentences = []
    for judge in PAPER_JUDGES:
        stated = "" if judge.interval is None else f" ({judge.interval.low:.2f} to {judge.interval.high:.2f})"
        place = ""
        if interval is not None:
            place = "; the paper's lies " + (
                "above" if judge.rho > interval.high else "below" if judge.rho < interval.low else "inside"
            )
            place += " the interval found here"
        less = judge.rho - rho
        here = f"rho here is {abs(less):.2f} {'lower' if less > 0 else 'higher'}" if round(less, 2) else "as here"
        sentences.append(f"{judge.model} in the paper: {judge.rho:.2f}{stated}, {here}{place}")
    return sentences
