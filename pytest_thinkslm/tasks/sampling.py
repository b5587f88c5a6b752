"""Which items ``--limit`` draws: in proportion to facets and classes, or by a hash alone. Pure; opens no data."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal, get_args

from pytest_thinkslm.core.identity import limited, rank
from pytest_thinkslm.tasks import pins

Method = Literal["stratified", "hash"]
METHODS: tuple[Method, ...] = get_args(Method)

#: The code of an item that is not pinned: these are a stratum of their own.
_UNKNOWN = "?"


def sample(task: str, items: Sequence[int], limit: int | None, data_seed: int, method: Method) -> list[int]:
    """``limit`` of these items, in order; a larger limit contains a smaller one.

    ``stratified`` is in proportion to the task's facets and classes, by the codes that ship with its pins; a task
    without codes (generated, of one kind, or a user's) falls back to ``hash``.
    """
    codes = pins.strata(task) if method == "stratified" else ()
    if limit is None or limit >= len(items) or not codes:
        return limited(task, items, limit, data_seed)
    strata: dict[str, list[int]] = defaultdict(list)
    for index in items:
        strata[codes[index] if index < len(codes) else _UNKNOWN].append(index)
    ranked = {
        code: sorted(members, key=lambda index: (rank(task, index, data_seed), index), reverse=True)
        for code, members in strata.items()
    }
    order = _order(ranked, limit, f"{data_seed}|{task}")
    return sorted(ranked[code].pop() for code in order)


def _order(strata: dict[str, list[int]], draws: int, salt: str) -> list[str]:
    """The stratum of each draw: the one that lags most behind its share, in itself and in each of its groups.

    A stratum's groups are those of its code's characters by their places (a subject, a level, a class), so that every
    facet is in proportion, not their combinations alone. What is drawn next depends on what was drawn before, never
    on how many draws there will be: any number of draws begins with any smaller one.
    """
    total = sum(map(len, strata.values()))
    groups = {code: (code, *enumerate(code)) if len(code) > 1 else (code,) for code in strata}
    sizes: Counter[object] = Counter()
    for code, members in strata.items():
        sizes.update(dict.fromkeys(groups[code], len(members)))
    drawn: Counter[object] = Counter()
    ties = {code: hashlib.blake2b(f"{salt}|{code}".encode(), digest_size=8).digest() for code in strata}
    left = {code: len(members) for code, members in strata.items()}
    order: list[str] = []
    for number in range(1, draws + 1):
        code = max(
            (code for code, remaining in left.items() if remaining),
            key=lambda code: (round(sum(sizes[g] * number / total - drawn[g] for g in groups[code]), 9), ties[code]),
        )
        drawn.update(groups[code])
        left[code] -= 1
        order.append(code)
    return order
