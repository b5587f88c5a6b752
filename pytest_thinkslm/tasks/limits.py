"""Limits of new tokens where ``--max-tokens`` is not given: what an answer needs, and a thought on top of it.

Sized by published output lengths of capable models (docs/limits.md): about 1% of a common instruct model's outputs
reach the answer's limit, about 5% of a thinking model's the sum. Models reason under ``direct`` as they do
under ``cot``, so that the style makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_thinkslm.tasks.task import Limit, Task

#: Of tasks that name none of their own, by answer kind.
LIMITS: Mapping[str, Limit] = {
    "number": Limit(answer=1024, thought=8192),
    "expression": Limit(answer=4096, thought=16384),
    "choice": Limit(answer=512, thought=8192),
    "list": Limit(answer=1024, thought=8192),
    "review": Limit(answer=2048, thought=16384),
}


def limit_of(task: Task) -> Limit:
    """The task's own limit, else its answer kind's; a user's own kind has that of numbers."""
    return task.limit or LIMITS.get(task.kind, LIMITS["number"])


def default_max_tokens(task: Task, style: str, *, thinks: bool = False, context: int | None = None) -> int:
    """New tokens that an item of ``task`` may have in all, where the user names no number.

    Args:
        task: one of the suite's or a user's.
        style: makes a difference only where the task's ``max_tokens`` names it.
        thinks: a thought comes before the answer, for which there is room on top.
        context: the most that can be asked for, where it is known. (Engines that see the prompt's tokens bound each
            request by what the context leaves.)
    """
    limit = limit_of(task)
    answer = task.max_tokens.get(style, limit.answer)
    total = answer + limit.thought if thinks else answer
    return total if context is None else max(1, min(total, context))
