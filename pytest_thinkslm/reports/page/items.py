"""The items of a report folder, packed for the page: an index of short columns, and the full lines in blocks.

``items.jsonl`` is read once, line by line. A block is some hundred of its lines as they are, compressed; the index has
what the list and the filters of the page need, one value a line in each column, so that no block has to be unpacked
for them. Nothing but the columns (some 100 bytes a line) stays in memory.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pytest_thinkslm.core.item_record import ItemLine, read_line
from pytest_thinkslm.core.text import preview

#: Columns whose values repeat: the column has indices into a table.
CODED = (
    "model",
    "quant",
    "task",
    "test",
    "style",
    "role",
    "verdict",
    "rule",
    "failure",
    "finish_reason",
    "source",
    "stress",
)

#: Columns with values of their own; answers and golds as previews.
PLAIN = ("item", "repeat", "output_tokens", "answer", "gold")

#: A block is closed at this many bytes or lines, whichever comes first: one of them is unpacked to show an item.
BLOCK_BYTES, BLOCK_LINES = 400_000, 400

#: zlib's level: above it a page gets little smaller and takes much longer to build.
LEVEL = 2


@dataclass(slots=True)
class Index:
    """What the page knows of every item before it unpacks a block.

    Attributes:
        count: number of lines.
        starts: the first line of each block.
        tables: by column of ``CODED`` its values in order of appearance.
        verdicts: number of items (role ``item``) by verdict.
    """

    count: int = 0
    starts: list[int] = field(default_factory=list)
    tables: dict[str, dict[object, int]] = field(default_factory=lambda: {name: {} for name in CODED})
    verdicts: Counter[str] = field(default_factory=Counter)
    _columns: dict[str, bytearray] = field(default_factory=lambda: {name: bytearray() for name in (*CODED, *PLAIN)})

    def add(self, record: ItemLine) -> None:
        """Take one line's columns."""
        columns, tables = self._columns, self.tables
        for name in CODED:
            table = tables[name]
            value = record.get(name)
            columns[name] += b"%d," % table.setdefault(value, len(table))
        columns["repeat"] += b"%d," % record["repeat"]
        tokens = record.get("output_tokens")
        columns["output_tokens"] += b"%d," % tokens if isinstance(tokens, int) else b"null,"
        columns["item"] += json.dumps(record["item"]).encode("ascii") + b","
        for name in ("answer", "gold"):
            columns[name] += json.dumps(preview(record.get(name))).encode("ascii") + b","
        if record["role"] == "item":
            self.verdicts[str(record["verdict"])] += 1
        self.count += 1

    def to_json(self) -> bytes:
        """``{"count", "starts", "tables": {column: values}, "columns": {column: one value a line}}``, in ASCII."""
        head = {
            "count": self.count,
            "starts": self.starts,
            "tables": {name: list(table) for name, table in self.tables.items()},
        }
        columns = b",".join(b'"%s":[%s]' % (name.encode(), column[:-1]) for name, column in self._columns.items())
        return json.dumps(head).encode("ascii")[:-1] + b',"columns":{' + columns + b"}}"


def pack(
    lines: Iterable[bytes], write: Callable[[bytes], object], look: Callable[[int, ItemLine], object] | None = None
) -> Index:
    """Read the lines of ``items.jsonl``, hand each compressed block to ``write``, and return the index.

    Args:
        look: called with the number of each line, from 0, and its record.

    Raises:
        ValueError: a line is not what a run writes; names it.
    """
    index = Index()
    block: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        try:
            record = read_line(line)
            index.add(record)
        except ValueError as error:
            raise ValueError(f"line {number} of items.jsonl is damaged ({error})") from None
        if look is not None:
            look(number - 1, record)
        block.append(line)
        size += len(line)
        if size >= BLOCK_BYTES or len(block) >= BLOCK_LINES:
            index.starts.append(index.count - len(block))
            write(zlib.compress(b"".join(block), LEVEL))
            block, size = [], 0
    if block:
        index.starts.append(index.count - len(block))
        write(zlib.compress(b"".join(block), LEVEL))
    return index
