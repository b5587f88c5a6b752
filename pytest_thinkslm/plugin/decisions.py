"""``--adaptive`` in a process that executes items: which items are not needed any more.

The controller alone looks at the gates (`gates.adaptive`). Within its own process items ask it; to xdist workers, for
which xdist has no way to say "enough", it writes a file whose path came in ``workerinput``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from pytest_thinkslm.core.files import write_text
from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.records import VerdictName
from pytest_thinkslm.gates.adaptive import Watch

#: The reason of a skipped item.
NOT_NEEDED = "not needed: decided"


class Decisions(Protocol):
    """What a process that executes items asks."""

    def changed(self) -> bool:
        """Whether more has been decided since the last call."""
        ...

    def needed(self, key: ItemKey) -> bool:
        """Whether an item's outcome still matters."""
        ...


class Looking:
    """On the controller: hands every report to the watch, and tells xdist workers what it decides.

    Args:
        watch: the gates on their way.
        keys: every collected item by test id.
        told: the file for the workers; None where this process runs the tests.
    """

    def __init__(self, watch: Watch, keys: Mapping[str, ItemKey], told: Path | None) -> None:
        self._watch = watch
        self._keys = keys
        self._told = told
        self._ended = 0
        #: Further cases of items (role ``seed``): whose they are.
        self._carriers: dict[ItemKey, ItemKey] = {}

    def reported(self, nodeid: str, records: Sequence[Sequence[str | int]]) -> None:
        """An item's record, and those of its further cases."""
        key = self._keys[nodeid]
        for *own, verdict, line in records:
            if ItemKey(*own) == key:  # type: ignore[arg-type]
                cluster = str(json.loads(str(line))["cluster"])
                self._tell(self._watch.reported(key, cast("VerdictName", verdict), cluster))
            else:
                self._carriers[ItemKey(*own)] = key  # type: ignore[arg-type]

    def absent(self, nodeid: str) -> None:
        """A test without a record: skipped."""
        if nodeid in self._keys:
            self._tell(self._watch.absent(self._keys[nodeid]))

    def changed(self) -> bool:
        """Whether more has been decided since the last call."""
        before, self._ended = self._ended, len(self._watch.ended())
        return self._ended > before

    def needed(self, key: ItemKey) -> bool:
        """Whether an item's outcome still matters."""
        return self._watch.needed(key.group, key.item)

    def beyond(self, key: ItemKey) -> bool:
        """Whether an outcome came from beyond the prefix that the decision rests on, while it was being made."""
        carrier = self._carriers.get(key, key)
        return not self._watch.kept(carrier.group, carrier.item)

    def _tell(self, changed: bool) -> None:
        if changed and self._told is not None:
            told = {"all": self._watch.decided is not None, "ended": self._watch.ended()}
            write_text(self._told, json.dumps(told, ensure_ascii=True))


class ToldDecisions:
    """In an xdist worker: what the controller's file says; nothing is decided while there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._all = False
        self._ended: set[GroupKey] = set()

    def changed(self) -> bool:
        """Whether more has been decided since the last call."""
        try:
            written = self._path.stat().st_mtime_ns
            if written == self._seen:
                return False
            told = json.loads(self._path.read_text(encoding="ascii"))
        except OSError:
            return False  # not there yet: it is put in its place whole
        self._seen, self._all = written, told["all"]
        self._ended = {GroupKey(*group) for group in told["ended"]}
        return True

    def needed(self, key: ItemKey) -> bool:
        """Whether an item's outcome still matters."""
        return not (self._all or key.group in self._ended)
