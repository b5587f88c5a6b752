"""What an engine offers that can score given texts: the optional capability ``score``. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Request

#: answer: it belongs to the answer that was read, whatever else it is; digit: it has one; operator: of arithmetic and
#: comparison; hesitation: a word by which a model takes something back; end: of the turn or of a thought.
TokenClass = Literal["answer", "digit", "operator", "hesitation", "end", "other"]


@dataclass(frozen=True, slots=True)
class Distributions:
    """The next-token distributions of a model along one text, each as its likeliest tokens and what is left.

    ``tokens`` are the text's. The rest are tensors: ``own``, the natural logarithms of these tokens' probabilities;
    ``ids`` and ``logs`` (the same) of the kept tokens, one position after the other, likeliest first, ``counts`` of
    them at each position; ``rest``, the probability of all others, and ``rest_logs``, the sum of p log p over these.
    """

    tokens: Sequence[int]
    own: Any
    ids: Any
    logs: Any
    counts: Any
    rest: Any
    rest_logs: Any

    @property
    def bytes(self) -> int:
        """What they take of the memory."""
        parts = (self.own, self.ids, self.logs, self.counts, self.rest, self.rest_logs)
        return sum(int(part.numel() * part.element_size()) for part in parts)


@dataclass(frozen=True, slots=True)
class Listed:
    """The same, as an engine tells them that lists a fixed number of the likeliest tokens and no others.

    ``tokens`` are the text's, with ``kinds``, the natural logarithms ``own`` of their probabilities and ``ranks`` (from
    1). ``ids`` and ``logs`` have a row a position, likeliest first; the text's own token is among them. ``stops`` end
    the turn, ``closing`` a thought.
    """

    tokens: Sequence[int]
    kinds: Sequence[TokenClass]
    own: Sequence[float]
    ranks: Sequence[int]
    ids: Sequence[Sequence[int]]
    logs: Sequence[Sequence[float]]
    stops: frozenset[int]
    closing: frozenset[int]


@dataclass(frozen=True, slots=True)
class Forced:
    """A request, and the text that a model is led along after its prompt.

    ``ended``: the end of the turn belongs to it. ``against``: the distributions that it is held against; None: those of
    the model are wanted. ``answer``: from which character to which the text's answer stands; None: nowhere.
    """

    request: Request
    text: str
    ended: bool = True
    against: Distributions | Listed | None = None
    answer: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token of a text, under the model that is scored ("now") and under the one it is held against ("before").

    ``kl`` is the divergence of the distributions, KL(before || now) in nats, with everything that was not kept of
    "before" taken as one token: no more than the true one, which is at most ``kl_most``. ``agrees``: both have the same
    likeliest token. ``log_probability`` and ``rank`` (from 1) are the token's own. ``end_before`` and ``end_now`` are
    the probabilities that the turn ends here; ``thought`` are those (before, now) of the end of the thought where the
    text's own token ends one, None elsewhere.

    Of an engine that lists the likeliest tokens alone (``Listed``): all tokens that the two lists do not share are
    taken as one, ``kl_most`` supposes that no token outside of them changed its odds by more than the one inside that
    did most, and an end outside of a list counts as 0.
    """

    kind: TokenClass
    kl: float
    kl_most: float
    agrees: bool
    log_probability_before: float
    log_probability: float
    rank: int
    end_before: float
    end_now: float
    thought: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One text's result: ``distributions`` where these were wanted, else a score a token."""

    distributions: Distributions | Listed | None = None
    tokens: Sequence[TokenScore] = ()


def led(
    ids: Callable[[Request], list[int]], forced: Forced, stop_ids: Sequence[int], room: int | None
) -> tuple[list[int], list[int], range]:
    """The tokens of a text's prompt and of the text, and which of these are of its answer.

    What the context does not hold of the text is left out.

    Args:
        ids: the prompt's tokens of a request.
        forced: the text.
        stop_ids: what ends a turn, the usual one first.
        room: tokens of the context; None where it is not known.

    Raises:
        EngineError: nothing is left of the text.
    """
    prompt = ids(forced.request)
    whole = ids(replace(forced.request, prefix=forced.text)) if forced.text else prompt
    text = whole[len(prompt) :] + ([stop_ids[0]] if forced.ended and stop_ids else [])
    text = text[: None if room is None else max(0, room - len(prompt))]
    if not text:
        raise EngineError(f"{forced.request.label}: no token of its output can be scored")
    return prompt, text, _tokens_of_answer(ids, forced, whole, len(prompt))


def _tokens_of_answer(ids: Callable[[Request], list[int]], forced: Forced, whole: list[int], start: int) -> range:
    """The tokens that begin where those of the text up to the answer part from the whole, up to where the next begin.

    Tokens can begin before the answer and end behind it: those are its own, too.
    """
    if forced.answer is None:
        return range(0)
    shared = []
    for length in forced.answer:
        part = ids(replace(forced.request, prefix=forced.text[:length])) if length else whole[:start]
        same = next((place for place, (a, b) in enumerate(zip(part, whole, strict=False)) if a != b), len(part))
        shared.append((min(same, len(whole)) - start, same < len(part)))
    (first, _), (end, parted) = shared
    return range(first, max(end + parted, first + 1))


@runtime_checkable
class Scorer(Protocol):
    """An engine that can score texts, beside answering requests."""

    def score(self, texts: Sequence[Forced]) -> Sequence[Future[Scored]]:
        """Queue all texts; futures in the same order, which end as those of ``Engine.submit`` do."""
        ...

    def close(self) -> None:
        """As ``Engine.close``."""
        ...
