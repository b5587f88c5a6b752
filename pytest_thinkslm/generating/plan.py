"""What requests will take, before any is asked: prompt tokens, new tokens, time and price.

The one source of the line that a run begins with and of ``--plan``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_thinkslm.core.records import Request
from pytest_thinkslm.core.text import duration
from pytest_thinkslm.generating.shards import COSTS
from pytest_thinkslm.models.prices import Price
from pytest_thinkslm.models.token_counts import Counter, estimated
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.limits import limit_of

#: Prompts whose tokens are counted, of each task and style; the others are taken to be like them.
_COUNTED = 64
#: Tokens that a chat template adds to a message.
_PER_MESSAGE = 6
#: A usual output's share of the limit, where nothing is known of a task; a usual thought's share of its own.
_USUAL, _USUAL_THOUGHT = 0.25, 0.25


@dataclass(frozen=True, slots=True)
class Load:
    """A number of requests, the tokens of their prompts, and the new tokens that are expected."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.new_tokens + other.new_tokens,
        )


def loads(
    requests: Iterable[Request],
    *,
    thinks: bool = False,
    lengths: Mapping[str, float] | None = None,
    count: Counter = estimated,
) -> dict[str, Load]:
    """The load of each ``task|style``.

    Args:
        requests: what is to be asked.
        thinks: whether outputs begin with a thought.
        lengths: mean output tokens by ``task|style``, as earlier runs of this model measured them.
        count: counts the tokens of a text.
    """
    groups: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        groups[f"{request.task}|{request.style}"].append(request)
    found = {}
    for group, asked in groups.items():
        looked_at = asked[:: max(1, len(asked) // _COUNTED)]
        tokens = sum(count(message.content) + _PER_MESSAGE for request in looked_at for message in request.messages)
        bound = asked[0].sampling.max_tokens
        usual = (lengths or {}).get(group) or _usual_length(asked[0].task, thinks=thinks)
        found[group] = Load(
            len(asked), round(tokens / len(looked_at) * len(asked)), round(min(bound, usual) * len(asked))
        )
    return found


def total(parts: Iterable[Load]) -> Load:
    """All of them."""
    return sum(parts, Load())


def words(load: Load, rate: float | None, price: Price | None) -> str:
    """``about 99k prompt and 330k new tokens, 17 min at 324 tokens/s, 0.57 USD``.

    Args:
        load: what is to be asked.
        rate: new tokens a second, as measured before; None: not known.
        price: of this model; None: not known.
    """
    text = f"about {short(load.prompt_tokens)} prompt and {short(load.new_tokens)} new tokens"
    seconds = seconds_of(load, rate)
    if rate and seconds is not None:
        text += f", {duration(seconds)} at {rate:.0f} tokens/s"
    cost = None if price is None else price.of(load.prompt_tokens, load.new_tokens, seconds)
    return text if price is None or cost is None else f"{text}, {cost:.2f} {price.currency}"


def seconds_of(load: Load, rate: float | None) -> float | None:
    """The seconds of generating, loading apart; None where the rate is not known."""
    return load.new_tokens / rate if rate else None


def short(number: int) -> str:
    """``950``, ``99k``, ``1.2M``."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def _usual_length(task: str, *, thinks: bool) -> float:
    """Output tokens of a capable model, by the table that shares items out among workers (docs/limits.md)."""
    if task not in registry.all_tasks():
        return 100.0
    limit = limit_of(registry.get(task))
    answer = 100.0 * COSTS[task] if task in COSTS else limit.answer * _USUAL
    return answer + (limit.thought * _USUAL_THOUGHT if thinks else 0.0)
