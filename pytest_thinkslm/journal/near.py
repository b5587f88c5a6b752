"""Journals of nearly the same engine: what differs, and outputs of theirs that are taken on purpose.

After an upgrade of a library, on another device, an engine's fingerprint is another one and its journal looks empty.
Which facts differ is for people to weigh: ``--journal-accept FACT,...`` names those that may.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.fingerprint import NOT_INSTALLED, Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.journal.journal import Journal

#: Facts that differ at most where another journal is called nearly the same.
NEAR = 4

#: Facts that say which model it is: a journal that differs in one is another's, and is named only if it is asked for.
_MODEL = frozenset({"model", "revision", "gguf", "files", "quantization", "role"})

#: A fact that one of the two does not have.
_ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Near:
    """Another journal. ``differing`` has, by fact, what it is there and here; a fact of a table is ``table.name``."""

    fingerprint: Fingerprint
    differing: Mapping[str, tuple[str, str]]
    written: float

    @property
    def sentence(self) -> str:
        """What differs: ``transformers (5.16.1 there, 5.24.0 here)``."""
        return ", ".join(f"{name} ({there} there, {here} here)" for name, (there, here) in self.differing.items())


def near(root: Path, fingerprint: Fingerprint, accepted: Collection[str] = ()) -> list[Near]:
    """The journals under ``root`` of the same model of which few facts differ, the nearest and newest first.

    ``accepted`` may name facts of the model, too. Never raises: what cannot be read is no journal.
    """
    found = []
    for path in sorted(root.glob("*/manifest.json")):
        try:
            facts = files.read_json(path)
            written = path.stat().st_mtime
        except (OSError, ValueError, RecursionError):
            continue
        other = Fingerprint(facts) if isinstance(facts, dict) else None
        if other is None or path.parent.name == fingerprint.digest or other.digest != path.parent.name:
            continue
        differing = _differing(facts, fingerprint.facts)
        roots = {name.partition(".")[0] for name in differing} - {*accepted}
        if differing and len(roots) <= NEAR and not roots & _MODEL:
            found.append(Near(other, differing, written))
    return sorted(found, key=lambda one: (len(one.differing), -one.written, one.fingerprint.digest))


def unknown_facts(accepted: Collection[str], fingerprint: Fingerprint) -> None:
    """Raises ``UsageError`` for a name that is no fact of the engine's fingerprint."""
    known = {*fingerprint.facts, *_flat(fingerprint.facts)}
    for name in accepted:
        if name not in known:
            raise UsageError(
                f"--journal-accept {name}: the engine's fingerprint has no such fact: {nearest(name, known)}"
            )


class AcceptingJournal(Journal):
    """A journal that answers from others, too, where it has nothing itself; it writes to its own folder alone.

    Args:
        root, fingerprint, read: as of ``Journal``.
        accepted: the facts in which another journal may differ.

    Attributes:
        taken: how many outputs came from which other journal, by its digest.
    """

    def __init__(
        self, root: Path, fingerprint: Fingerprint, accepted: Collection[str] = (), *, read: bool = True
    ) -> None:
        super().__init__(root, fingerprint, read=read)
        missing = [name for name, value in fingerprint.facts.items() if value == NOT_INSTALLED]
        may = {*accepted, *missing}
        others = near(root, fingerprint, accepted) if may and read else []
        self._others = [
            (one, Journal(root, one.fingerprint))
            for one in others
            if all(name in may or name.partition(".")[0] in may for name in one.differing)
        ]
        self.taken: dict[str, int] = {}

    def get(self, request: Request, key: str) -> Output | None:
        """The kept output for this request, or None."""
        output = super().get(request, key)
        for one, journal in self._others if output is None else ():
            output = journal.get(request, key)
            if output is not None:
                self.taken[one.sentence] = self.taken.get(one.sentence, 0) + 1
                return output
        return output

    def forget(self) -> None:
        """Drop the looked-up outputs from memory."""
        super().forget()
        for _, journal in self._others:
            journal.forget()


def advice(others: Sequence[Near]) -> str:
    """What to do about journals that are nearly this one's; empty where there are none."""
    if not others:
        return ""
    first = others[0]
    more = f" (and {len(others) - 1} more that differ otherwise)" if len(others) > 1 else ""
    return (
        f"the journal has outputs of nearly the same engine{more}, other in {first.sentence}: "
        f"--journal-accept {','.join(first.differing)} takes them"
    )


def _differing(there: Mapping[str, object], here: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    one, two = _flat(there), _flat(here)
    names = [name for name in sorted({*one, *two}) if one.get(name, _ABSENT) != two.get(name, _ABSENT)]
    return {name: (one.get(name, _ABSENT), two.get(name, _ABSENT)) for name in names}


def _flat(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts in short, those of a table one by one."""
    flat: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": _shown(inner) for key, inner in value.items()}
        else:
            flat[name] = _shown(value)
    return flat


def _shown(value: object) -> str:
    return safe_line(value if isinstance(value, str) else json.dumps(value, sort_keys=True), 60)
