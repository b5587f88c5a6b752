"""One sitting of an annotator, without a screen: what is asked next, and that every answer is saved at once. Pure.

The terminal and the web page of ``thinkslm label`` are two screens of it.
"""

from __future__ import annotations

from typing import Literal

from pytest_thinkslm.audit.labels import Label, LabelSheet
from pytest_thinkslm.core.text import safe_text

#: What is asked about an output: whether it is correct; of a review, whether the error that it names is the true one.
Asked = Literal["label", "reason"]


class Labelling:
    """A label file that is being filled in.

    Every method that changes the file raises ``UsageError`` where it cannot be saved (``LabelSheet.save``).
    """

    def __init__(self, sheet: LabelSheet) -> None:
        self.sheet = sheet

    def __len__(self) -> int:
        return len(self.sheet)

    @property
    def done(self) -> int:
        """Outputs of which nothing is left to ask."""
        return sum(self.asked(position) is None for position in range(len(self)))

    def asked(self, position: int) -> Asked | None:
        """What has still to be answered about an output; None where it is done."""
        if self.sheet.label(position) is None:
            return "label"
        return "reason" if self.reason_counts(position) and self.sheet.reason(position) is None else None

    def reason_counts(self, position: int) -> bool:
        """Whether the error reason is asked for: a wrong solution whose judgement and step the person calls right."""
        return self.sheet.takes_reason(position) and self.sheet.label(position) == "correct"

    def next(self, start: int) -> int | None:
        """The next output that is not done from ``start`` on, round the end; None where there is none."""
        places = [*range(start, len(self)), *range(min(start, len(self)))]
        return next((place for place in places if self.asked(place) is not None), None)

    def answer(self, position: int, label: Label, to: Asked = "label") -> None:
        """Take an answer, and save it. A reason goes with the label that it was asked for."""
        if to == "label":
            self.sheet.set_label(position, label)
            if self.sheet.takes_reason(position) and not self.reason_counts(position):
                self.sheet.set_reason(position, None)
        else:
            self.sheet.set_reason(position, label)
        self.sheet.save()

    def note(self, position: int, text: str) -> None:
        """Take a note, and save it."""
        self.sheet.set_note(position, safe_text(text))
        self.sheet.save()
