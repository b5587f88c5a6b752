"""A text's scores where an engine lists the likeliest tokens at each place, and not the whole distribution. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, fsum, log

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.scoring import Listed, TokenScore

#: Likeliest tokens that are listed at each position: twice as many take half as long again (vLLM on a CPU).
TOP = 64
#: The least that is taken for what a list leaves: it is the rounding of one minus nearly one.
_ROUNDING = 1e-6


def compare(before: Listed, now: Listed, label: str) -> list[TokenScore]:
    """The score of each token of a text.

    Raises:
        EngineError: the two texts have other tokens.
    """
    if list(before.tokens) != list(now.tokens):
        raise EngineError(f"{label}: this model's tokenizer splits the text into other tokens")
    return [_score(before, now, place) for place in range(len(before.tokens))]


def _score(before: Listed, now: Listed, place: int) -> TokenScore:
    p_logs = dict(zip(before.ids[place], before.logs[place], strict=True))
    q_logs = dict(zip(now.ids[place], now.logs[place], strict=True))
    token = before.tokens[place]
    kl, most = divergence(p_logs, q_logs)
    thought = None
    if token in before.closing:
        thought = _mass(p_logs, before.closing), _mass(q_logs, now.closing)
    return TokenScore(
        before.kinds[place],
        kl,
        most,
        before.ids[place][0] == now.ids[place][0],
        before.own[place],
        now.own[place],
        now.ranks[place],
        _mass(p_logs, before.stops),
        _mass(q_logs, now.stops),
        thought,
    )


def divergence(p_logs: dict[int, float], q_logs: dict[int, float]) -> tuple[float, float]:
    """KL(p || q) in nats at least, and at most (see ``TokenScore``), from the logarithms of what is listed of each."""
    common = p_logs.keys() & q_logs.keys()
    shared = fsum(exp(p_logs[token]) * (p_logs[token] - q_logs[token]) for token in common)
    p_rest, q_rest = (1 - _mass(logs, common) for logs in (p_logs, q_logs))
    if p_rest <= _ROUNDING:
        return max(0.0, shared), max(0.0, shared)
    least = shared + p_rest * log(p_rest / max(q_rest, _ROUNDING))
    # What one list has alone is in the other less likely than everything there.
    floors = min(p_logs.values()), min(q_logs.values())
    moved = [abs(p_logs[token] - q_logs[token]) for token in common]
    moved += [p_logs[token] - floors[1] for token in p_logs.keys() - common]
    moved += [q_logs[token] - floors[0] for token in q_logs.keys() - common]
    return max(0.0, least), max(0.0, least, shared + p_rest * max(moved, default=0.0))


def _mass(logs: dict[int, float], tokens: Iterable[int]) -> float:
    return fsum(exp(logs[token]) for token in tokens if token in logs)
