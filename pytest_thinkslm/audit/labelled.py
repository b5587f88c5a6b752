"""A sample with what its annotators said: label files and the key that goes with them, read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.audit.audit_key import AuditKey, read_key
from pytest_thinkslm.audit.labels import Label, annotator_name, key_path, read_labels
from pytest_thinkslm.core.errors import UsageError

#: By annotator, by id: the label, None where there is none yet.
Labels = Mapping[str, Mapping[str, Label | None]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sample and its labels; ``reasons`` are those of the error reasons of reviews."""

    key: AuditKey
    labels: Labels
    reasons: Labels


def read_labelled(paths: Sequence[Path], key_file: Path | None = None) -> Labelled:
    """Read label files, one an annotator, with their key.

    Args:
        paths: the label files.
        key_file: the key, where it does not lie beside them.

    Raises:
        UsageError: a file is missing or damaged, or they are of different samples or of one annotator.
    """
    labels: dict[str, dict[str, Label | None]] = {}
    reasons: dict[str, dict[str, Label | None]] = {}
    for path in paths:
        name = annotator_name(path)
        if name in labels:
            raise UsageError(f"{path}: there is another file of the annotator {name}; give each file once")
        sheet = read_labels(path)
        labels[name] = {sheet.id(position): sheet.label(position) for position in range(len(sheet))}
        reasons[name] = {sheet.id(position): sheet.reason(position) for position in range(len(sheet))}
    return Labelled(_key(paths, key_file), labels, reasons)


def _key(paths: Sequence[Path], given: Path | None) -> AuditKey:
    if given is not None:
        return read_key(given)
    first, *others = dict.fromkeys(key_path(path) for path in paths)
    key = read_key(first)
    for other in others:
        if read_key(other).digest != key.digest:
            raise UsageError(
                f"the labels are of different samples: {first} and {other} have different outputs; give the files of "
                "one sample at a time"
            )
    return key
