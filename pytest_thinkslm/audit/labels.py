"""Label files: a CSV that people fill in, in a spreadsheet or with ``thinkslm label``.

A file holds what an annotator may see and nothing else; what the parser and the judge said stands in the key file
beside it (``audit_key.py``).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import write_text

Label = Literal["correct", "incorrect", "unclear"]

COLUMNS = ("id", "task", "question", "gold", "output", "label", "note")
LABELS: tuple[Label, ...] = ("correct", "incorrect", "unclear")

#: A further column where the sample has reviews of wrong solutions: whether the error that the output names is the true
#: one. Cells of other outputs hold ``NO_REASON``.
REASON = "reason"
NO_REASON = "-"

#: First characters of a cell that a spreadsheet may take for a formula; the apostrophe, so that guarding is undone.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")

_ANNOTATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class LabelSheet:
    """A label file in memory; ``save`` writes it back atomically, with every column that it had."""

    def __init__(self, path: Path, rows: list[dict[str, str]], columns: Sequence[str], delimiter: str) -> None:
        self.path = path
        self._rows = rows
        self._columns = columns
        self._delimiter = delimiter
        self._stamp = _stamp(path)

    def __len__(self) -> int:
        return len(self._rows)

    def id(self, position: int) -> str:
        """The opaque name of a row."""
        return self._rows[position]["id"].strip()

    def text(self, position: int, column: str) -> str:
        """A cell as it was before it was guarded against spreadsheets."""
        return unguarded(self._rows[position][column])

    def label(self, position: int) -> Label | None:
        """A row's label; None where there is none yet.

        Raises:
            UsageError: the cell holds another word.
        """
        return self._read(position, "label")

    def takes_reason(self, position: int) -> bool:
        """Whether the output reviews a wrong solution, so that its error reason can be labelled."""
        return self._rows[position].get(REASON, NO_REASON).strip() != NO_REASON

    def reason(self, position: int) -> Label | None:
        """The label of a row's error reason; None where there is none (yet). Raises as ``label``."""
        return self._read(position, REASON) if self.takes_reason(position) else None

    def set_label(self, position: int, label: Label) -> None:
        """Label a row; not yet on the disk."""
        self._rows[position]["label"] = label

    def set_reason(self, position: int, label: Label | None) -> None:
        """Label a row's error reason, or take its label away; not yet on the disk."""
        self._rows[position][REASON] = label or ""

    def set_note(self, position: int, note: str) -> None:
        """Annotate a row; not yet on the disk."""
        self._rows[position]["note"] = guarded(note)

    def save(self) -> None:
        """Write the file.

        Raises:
            UsageError: somebody else has changed it since it was read or last saved, or it cannot be written.
        """
        if _stamp(self.path) != self._stamp:
            raise UsageError(
                f"{self.path} was changed by another program since it was read, so the last answer was not saved; "
                "close the other program and start again: labelling goes on where the file is"
            )
        write_rows(self.path, self._rows, self._columns, self._delimiter)
        self._stamp = _stamp(self.path)

    def _read(self, position: int, column: str) -> Label | None:
        word = self._rows[position][column].strip().lower()
        if not word:
            return None
        for label in LABELS:
            if word in (label, label[0]):
                return label
        raise UsageError(
            f"{self.path}: the {column} of {self.id(position)} (item {position + 1}) is {word[:40]!r}; a label is "
            "correct, incorrect, unclear or their first letter, or nothing where there is none yet"
        )


def read_labels(path: Path) -> LabelSheet:
    """Read a label file, separated by commas, semicolons or tabs (spreadsheets save all three).

    Raises:
        UsageError: the file is missing, no such CSV, or its rows do not have an id of their own.
    """
    try:
        text = files.read_text(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"labels {path} cannot be read ({why}); `thinkslm audit RUN` makes such a file") from None
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, restval="")
        columns = list(reader.fieldnames or ())
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise UsageError(
                f"{path} is no label file: it has no column {', '.join(missing)}; `thinkslm audit RUN` makes such a "
                f"file, with the columns {', '.join(COLUMNS)}"
            )
        rows = list(reader)
    except csv.Error as error:
        raise UsageError(f"{path} is no valid CSV ({error}); save it as CSV in UTF-8 again") from None
    if any(None in row for row in rows):
        raise UsageError(f"{path} is no valid CSV: a row has more cells than the header; save it as CSV again")
    ids = [row["id"].strip() for row in rows]
    odd = [name for name, times in Counter(ids).items() if not name or times > 1]
    if odd:
        raise UsageError(f"{path}: the id {odd[0]!r} is empty or there twice; every row needs the id that it was given")
    if not rows:
        raise UsageError(f"{path} has no rows; `thinkslm audit RUN` makes a label file")
    return LabelSheet(path, rows, columns, delimiter)


def write_rows(
    path: Path, rows: Iterable[Mapping[str, str]], columns: Sequence[str] = COLUMNS, delimiter: str = ","
) -> None:
    """Write a label file atomically. Cells are written as they are: guard a text with ``guarded`` first."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error})") from None


def annotator_sheet(path: Path, annotator: str) -> LabelSheet:
    """An annotator's own file, ``FILE.<annotator>.csv``, made from the unlabelled ``path`` where there is none yet.

    Raises:
        UsageError: the name cannot be part of a file's name, or ``path`` is no label file.
    """
    if not _ANNOTATOR.fullmatch(annotator):
        raise UsageError(f"--annotator {annotator}: a name is made of letters, digits, - and _")
    own = path.with_name(f"{path.stem}.{annotator}{path.suffix}")
    if not own.exists():
        sheet = read_labels(path)
        rows = [{**row, "label": "", "note": ""} for row in sheet._rows]
        for position, row in enumerate(rows):
            if sheet.takes_reason(position):
                row[REASON] = ""
        write_rows(own, rows, sheet._columns, sheet._delimiter)
    return read_labels(own)


def key_path(path: Path) -> Path:
    """The key file that goes with a label file, which may be an annotator's own."""
    own = path.with_suffix(".key.json")
    shared = path.with_name(path.stem).with_suffix(".key.json")
    return own if own.exists() or not shared.exists() else shared


def annotator_name(path: Path) -> str:
    """Who labelled a file: ``alice`` for ``audit.alice.csv``, else the file's name without its ending."""
    inner = Path(path.stem).suffix
    return inner[1:] if inner and key_path(path).stem == f"{Path(path.stem).stem}.key" else path.stem


def guarded(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet would take it for a formula (or for guarded)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unguarded(text: str) -> str:
    """The text that ``guarded`` was given."""
    return text[1:] if text.startswith("'") else text


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
