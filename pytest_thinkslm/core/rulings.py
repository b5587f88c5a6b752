"""What a judge says of one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["judged", "unjudged", "over-budget"]

JudgeVerdict = Literal["correct", "incorrect"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """The judge's word on one output.

    Attributes:
        status: ``judged``; ``unjudged``: no readable reply, or none at all; ``over-budget``: not asked any more.
        verdict: None where the judge cannot tell, and where it did not judge.
        answer: the candidate's final answer as the judge read it.
        reason: the judge's, or why there is no verdict; one line, safe.
    """

    status: Status
    verdict: JudgeVerdict | None = None
    answer: str | None = None
    reason: str = ""
