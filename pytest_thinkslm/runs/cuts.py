"""What the outputs of a row tell of the run itself: cut ones and the limit that would have done, stuck ones. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_thinkslm.core.item_record import ItemRecord
from pytest_thinkslm.core.records import FULL_CONTEXT
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.runs.types import Cut

#: Above this share of cut outputs a run says so.
CUT_WARNING = 0.05
#: Above this share of outputs that are one short unit over and over a run says so, and from so many of them on:
#: a small model that does not know how to sort writes "100, 100, 100, ..." now and then.
STUCK_WARNING, STUCK_LEAST = 0.05, 3
#: What to do about it, of a server's and of the one that an engine here has.
_MORE_ROOM = {
    True: "give each request more of it there (llama.cpp's -c, Ollama's num_ctx, --max-model-len)",
    False: "where the model has more, give more (--engine-args max_model_len=N or context=N), else shorten the prompt",
}
#: The share of outputs that a limit should let end.
ENOUGH = 0.99


def cut_figures(records: Sequence[ItemRecord]) -> tuple[Cut, str]:
    """The figures of one row that has records, and a sentence where more than ``CUT_WARNING`` of its outputs were cut.

    ``rate`` of outputs that ended at their limit, a fraction of all records; ``looping``, how many of them run
    in a loop, which no limit ends; ``early``, how many of the others their engine ended before the limit that was asked
    for; ``limit``, the most new tokens that one of the rest had; ``ended_p99``, the 99th percentile of what ended by
    itself; ``enough``, the limit that would have done. Numbers are tokens, None where they are not known.
    """
    cut = [record for record in records if record.get("finish_reason") == "length"]
    looping = [record for record in cut if loops(record)]
    full = [record for record in cut if record.get("stopped") in FULL_CONTEXT and not loops(record)]
    others = [record for record in cut if record.get("stopped") not in FULL_CONTEXT and not loops(record)]
    ended_p99 = _percentile(_tokens(record for record in records if record.get("finish_reason") == "stop"))
    # Of outputs that do not loop: where all but one in a hundred ended by themselves, their own length is the answer.
    known = len(others) + len(full) <= (1 - ENOUGH) * (len(records) - len(looping))
    rate = len(cut) / len(records)
    figures: Cut = {
        "rate": round(rate, 6),
        "looping": len(looping),
        "limit": max(_tokens(others), default=None),
        "ended_p99": ended_p99,
        "enough": ended_p99 if known else None,
    }
    if full:
        figures["early"] = len(full)
    if rate <= CUT_WARNING:
        return figures, ""
    bounded = any(record.get("thought") == "closed" for record in records)
    return figures, _sentence(figures, len(cut), full, bounded)


def _sentence(figures: Cut, cut: int, full: Sequence[ItemRecord], bounded: bool) -> str:
    parts = [f"{100 * figures['rate']:.1f}% of outputs were cut by the limit of new tokens"]
    if full:
        parts = [f"{100 * figures['rate']:.1f}% of outputs were cut"]
        who = "all of them" if len(full) == cut else f"{len(full)} of these {cut}"
        tokens = _tokens(full)  # recorded outputs may come without
        ends = " to ".join(f"{count:,}" for count in sorted({min(tokens), max(tokens)})) if tokens else ""
        after = f"after {ends} new tokens, " if ends else ""
        served = any(record.get("stopped") == "server" for record in full)
        whose = "the server's" if served else "the engine's"
        parts.append(
            f"{who} {after}before the limit that was asked for: {whose} "
            f"context has no room for prompt and answer; {_MORE_ROOM[served]}"
        )
    if looping := figures["looping"]:
        who = "all of them" if looping == cut else f"{looping} of these {cut}"
        parts.append(f"{who} run in a loop, which no limit ends")
    if figures["ended_p99"] is not None:
        parts.append(f"99% of those that ended took at most {figures['ended_p99']:,} tokens")
    if figures["enough"] is not None:
        parts.append(f"a limit of {figures['enough']:,} would have done for all that does not loop")
    elif cut > looping + len(full):
        limit = figures["limit"]
        doubled = "" if limit is None or bounded else f" (--max-tokens {2 * limit})"
        parts.append(f"the limit that would have done is unknown: double it{doubled}")
    return "; ".join(parts)


def stuck_warning(records: Sequence[ItemRecord]) -> str:
    """A sentence where more than ``STUCK_WARNING`` of a row's outputs are one short unit over and over; else ``""``.

    Fewer than ``STUCK_LEAST`` of them say nothing, but where a row has no others.
    """
    units = Counter(unit for record in records if (unit := record.get("stuck")))
    if units.total() <= STUCK_WARNING * len(records) or units.total() < min(STUCK_LEAST, len(records)):
        return ""
    often = safe_line(units.most_common(1)[0][0])
    return (
        f"{units.total()} of {len(records)} outputs are nothing but {often!r} (or the like) over and over: damaged "
        "weights, arithmetic that overflows (float16), a kernel that does not fit or a compression that destroyed the "
        "model, hardly its answers"
    )


def loops(record: ItemRecord) -> bool:
    """Whether an output runs in a loop: one that was ended early, or one that repeats itself up to its end."""
    return record.get("stopped") == "loop" or record.get("failure") == "repetition"


def _tokens(records: Iterable[ItemRecord]) -> list[int]:
    return [value for record in records if isinstance(value := record.get("output_tokens"), int)]


def _percentile(counts: Sequence[int]) -> int | None:
    """The smallest count that ``ENOUGH`` of them do not exceed."""
    return sorted(counts)[max(0, math.ceil(ENOUGH * len(counts)) - 1)] if counts else None
