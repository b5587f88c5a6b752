"""A text scored by a model that transformers loaded: one forward pass over prompt and text, full vocabulary."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.scoring import Distributions, Forced, Listed, Scored, TokenClass, TokenScore
from pytest_thinkslm.engines.transformers_load import Loaded
from pytest_thinkslm.models.marks import closing_ids

#: Of a distribution so many of its likeliest tokens are kept that no more than this probability is left ...
REST = 1e-5
#: ... and no more than so many: 16 KiB a token of a text.
MOST_KEPT = 2048

#: Positions whose distributions are worked on at once: a vocabulary of 150,000 takes 38 MB at float32.
_AT_ONCE = 64

_OPERATOR = re.compile(r"[+\-*/=<>×÷·^%≤≥≠±√]+|\\(?:times|div|cdot|frac|sqrt|leq?|geq?|neq|pm)")
_HESITATION = frozenset(
    "wait hmm but however actually alternatively hold no oops sorry maybe perhaps recheck again".split()
)


def score(
    loaded: Loaded, prompt: Sequence[int], text: Sequence[int], forced: Forced, answer: range = range(0)
) -> Scored:
    """Score the tokens of ``text`` after those of ``prompt``; those in ``answer`` are of its answer.

    Raises:
        EngineError: the text has other tokens than the one it is held against.
    """
    import torch

    against = forced.against
    assert not isinstance(against, Listed)
    if against is not None and list(against.tokens) != list(text):
        raise EngineError(f"{forced.request.label}: this model's tokenizer splits the text into other tokens")
    with torch.inference_mode():
        logits = _logits(loaded.model, [*prompt, *text], len(text))
        if against is None:
            return Scored(_distributions(logits, text))
        return Scored(tokens=_scores(loaded, logits, against, answer))


def kinds_of(loaded: Loaded, tokens: Sequence[int], answer: range) -> list[TokenClass]:
    """The class of each token of a text; those in ``answer`` are of its answer, but for an end."""
    known = {token: kind_of(loaded, token) for token in set(tokens)}
    return [
        "answer" if place in answer and known[token] != "end" else known[token] for place, token in enumerate(tokens)
    ]


def kind_of(loaded: Loaded, token: int) -> TokenClass:
    """The class of a token by its text."""
    if token in loaded.stop_ids or token in loaded.mark_ids:
        return "end"
    text = str(loaded.tokenizer.decode([token], clean_up_tokenization_spaces=False)).strip()
    if any(char.isdigit() for char in text):
        return "digit"
    if _OPERATOR.fullmatch(text):
        return "operator"
    return "hesitation" if text.lower().strip(",.!") in _HESITATION else "other"


def _logits(model: Any, ids: Sequence[int], count: int) -> Any:
    """The logits from which the last ``count`` tokens are predicted, a row each."""
    import torch

    tokens = torch.tensor([list(ids)], device=model.device)
    options: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"] = count + 1
    return model(input_ids=tokens, **options).logits[0, -(count + 1) : -1]


def _distributions(logits: Any, text: Sequence[int]) -> Distributions:
    import torch

    parts: list[tuple[Any, ...]] = []
    tokens = torch.tensor(list(text), device=logits.device)
    for rows, targets in zip(logits.split(_AT_ONCE), tokens.split(_AT_ONCE), strict=True):
        whole = rows.float().log_softmax(-1)
        logs, ids = whole.topk(min(MOST_KEPT, rows.shape[-1]))
        sums = logs.exp().cumsum(-1)
        counts = ((1 - sums) > REST).sum(-1).add(1).clamp(max=logs.shape[-1])
        kept = torch.arange(logs.shape[-1], device=logs.device)[None] < counts[:, None]
        # Sums over few small numbers: what is left is not the rounding of one minus nearly one.
        tail = whole.clone().scatter_(-1, ids, torch.where(kept, -torch.inf, logs))
        rest = tail.exp()
        rest_logs = torch.where(rest > 0, rest * tail, 0.0).sum(-1)
        own = whole.gather(-1, targets[:, None])[:, 0]
        parts.append((own, ids[kept].int(), logs[kept], counts.int(), rest.sum(-1), rest_logs))
    joined = [torch.cat(part).cpu() for part in zip(*parts, strict=True)]
    return Distributions(list(text), *joined)


def _scores(loaded: Loaded, logits: Any, before: Distributions, answer: range) -> list[TokenScore]:
    import torch

    found: list[TokenScore] = []
    starts = torch.cat([torch.zeros(1, dtype=torch.long), before.counts.long().cumsum(0)])
    stops, closing = sorted(set(loaded.stop_ids)), sorted(closing_ids(loaded.tokenizer, loaded.own))
    kinds = kinds_of(loaded, before.tokens, answer)
    for first in range(0, len(before.tokens), _AT_ONCE):
        logs = logits[first : first + _AT_ONCE].float().log_softmax(-1).cpu()
        size = len(logs)
        own = slice(int(starts[first]), int(starts[first + size]))
        ids, p_logs = before.ids[own].long(), before.logs[own].double()
        rows = torch.repeat_interleave(torch.arange(size), before.counts[first : first + size].long())
        q_logs = logs[rows, ids].double()
        p = p_logs.exp()
        kl = torch.zeros(size, dtype=torch.double).index_add_(0, rows, p * (p_logs - q_logs))
        kept = torch.zeros_like(logs, dtype=torch.bool)
        kept[rows, ids] = True
        rest = before.rest[first : first + size].double()
        others = torch.where(kept, -torch.inf, logs)
        q_rest = torch.logsumexp(others.double(), -1)
        lowest = torch.where(kept, torch.inf, logs).amin(-1).double()
        left = rest > 0
        low = torch.where(left, rest * (rest.clamp(min=1e-300).log() - q_rest), 0.0)
        high = torch.where(left, before.rest_logs[first : first + size].double() - rest * lowest, 0.0)
        tops = ids[(starts[first : first + size] - starts[first]).long()]
        targets = torch.tensor(list(before.tokens[first : first + size]))
        mine = logs.gather(-1, targets[:, None])
        ranks = (logs > mine).sum(-1) + 1
        theirs = before.own[first : first + size]
        ends, thoughts = (
            (
                torch.zeros(size, dtype=torch.double).index_add_(
                    0, rows, torch.where(torch.isin(ids, torch.tensor(marks, dtype=torch.long)), p, 0.0)
                ),
                logs[:, marks].exp().sum(-1),
            )
            for marks in (stops, closing)
        )
        agrees = logs.argmax(-1) == tops
        columns = (kl + low, kl + high, agrees, theirs, mine[:, 0], ranks, *ends, *thoughts)
        for token, row in zip(targets.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True):
            low_kl, high_kl, agree, log_before, log_now, rank, end_before, end_now, *thought = row
            found.append(
                TokenScore(
                    kinds[len(found)],
                    max(0.0, low_kl),
                    max(0.0, low_kl, high_kl),
                    agree,
                    log_before,
                    log_now,
                    rank,
                    end_before,
                    end_now,
                    (thought[0], thought[1]) if token in closing else None,
                )
            )
    return found
