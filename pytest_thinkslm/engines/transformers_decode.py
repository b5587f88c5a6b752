"""The decode loop of the transformers engine: one left-padded batch from prefill to the last row.

``model.generate`` keeps finished rows until the longest is done, reads defaults from the checkpoint and draws all
rows from one generator. Here a finished row leaves the batch at once, no default exists, and every row has
its own random numbers, so that what a row says does not depend on its neighbours.

Batch invariance. In float32 the same row gives logits that differ by rounding only (around 1e-6 relative) when its
batch changes, because matrix kernels add in another order. Greedy decoding differs only where two tokens tie to that
precision; sampling only where a random number falls that close to a token's border. Masked padding contributes an
exact zero. In bfloat16 rounding is near 1e-2, and long outputs do depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_thinkslm.core.records import Sampling
from pytest_thinkslm.engines.loop_guard import WINDOW, LoopWatch
from pytest_thinkslm.engines.transformers_filters import Penalties, least_probable, most_probable

#: ``"not finite"``: the best of a row's logits is NaN or infinite, so that its weights or its arithmetic are broken.
Reason = Literal["stop", "length", "not finite"]
#: Rows with stop strings are looked at every so many tokens, counted from the row's own first.
STOP_STRIDE = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of a batch: its token ids, the bound on new tokens (at least 1), how to sample.

    ``guarded``: the loop guard watches it, where ``in_thought`` says of the new tokens that they end in no thought.
    """

    prompt: Sequence[int]
    limit: int
    sampling: Sampling
    guarded: bool = False
    in_thought: Callable[[Sequence[int]], bool] = lambda tokens: False


@dataclass(frozen=True, slots=True)
class Finished:
    """New token ids of a row (a stop token included, where there is one) and why it ended.

    ``looped``: by the loop guard, before its limit.
    """

    tokens: list[int]
    reason: Reason
    looped: bool = False


def decode(
    model: Any,
    rows: Sequence[Row],
    stop_ids: Sequence[int],
    *,
    pad_id: int,
    on_finished: Callable[[int, Finished], None],
    stopped: Callable[[list[int]], int | None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Generate for all rows; ``on_finished(index, finished)`` is called once a row, as soon as it is done.

    Args:
        model: a causal language model of transformers, in inference mode.
        rows: the batch; order is free, similar lengths waste less.
        stop_ids: tokens that end a row.
        pad_id: fills up on the left; masked out.
        stopped: for stop strings: new tokens so far -> how many of them complete the first stop string, or None.
        cancelled: asked at every step; when it says yes the loop ends and the unfinished rows are not reported.
    """
    import torch

    with torch.inference_mode():
        _Batch(model, rows, stop_ids, pad_id, stopped).run(on_finished, cancelled)


class _Batch:
    """State of the rows that are still going. Tensors have one entry a row, in the order of ``alive``."""

    def __init__(
        self,
        model: Any,
        rows: Sequence[Row],
        stop_ids: Sequence[int],
        pad_id: int,
        stopped: Callable[[list[int]], int | None] | None,
    ) -> None:
        import torch

        from pytest_thinkslm.engines.transformers_cache import cache_argument, growing_cache

        self.model, self.device, self.stopped = model, model.device, stopped
        self.alive = list(range(len(rows)))
        width = max(len(row.prompt) for row in rows)
        padded = [[pad_id] * (width - len(row.prompt)) + list(row.prompt) for row in rows]
        masked = [[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
        self.room = max(row.limit for row in rows)
        self.tokens = torch.tensor(padded, device=self.device)  # of the next forward pass, (rows, 1) after the first
        self.mask = torch.zeros(len(rows), width + self.room, dtype=torch.long, device=self.device)
        self.mask[:, :width] = torch.tensor(masked, device=self.device)
        self.positions = (self.mask[:, :width].cumsum(-1) - 1).clamp_(min=0)
        self.width, self.padding = width, [width - len(row.prompt) for row in rows]
        self.new = torch.full((len(rows), self.room), pad_id, dtype=torch.long, device=self.device)
        self.limits = torch.tensor([row.limit for row in rows], device=self.device)
        self.stop_ids = torch.tensor(sorted(set(stop_ids)), dtype=torch.long, device=self.device)
        self.sampler = _Sampler(rows, self.device)
        self.cache = growing_cache(model.config)
        self.cache_argument = cache_argument(model)
        self.rows = rows
        self.watches = {at: LoopWatch() for at, row in enumerate(rows) if row.guarded}

    def run(self, on_finished: Callable[[int, Finished], None], cancelled: Callable[[], bool]) -> None:
        import torch

        for step in range(self.room):
            if cancelled():
                return
            logits = self._forward()
            chosen = self.sampler.choose(logits, step)
            # A NaN anywhere in a row counts as its highest, for argmax as for amax.
            highest = logits.gather(-1, chosen[:, None])[:, 0] if self.sampler.greedy else logits.amax(-1)
            broken = ~torch.isfinite(highest)
            self.new[:, step] = chosen
            is_stop = torch.isin(chosen, self.stop_ids)
            is_done = is_stop | broken | (self.limits <= step + 1)
            if self.stopped is not None and (step + 1) % STOP_STRIDE == 0:
                at_string = [self.stopped(row) is not None for row in self.new[:, : step + 1].tolist()]
                is_done |= torch.tensor(at_string, device=self.device)
            looped = self._looped(step + 1, is_done)
            if looped:
                is_done[looped] = True
            if bool(is_done.any()):
                self._hand_over(step + 1, is_stop, broken, is_done, looped, on_finished)
                if not self.alive:
                    return
                chosen = chosen[~is_done]
            self.tokens = chosen[:, None]

    def _forward(self) -> Any:
        """Logits of the next token, (rows, vocabulary); appends the tokens just fed to the cache."""
        fed = self.tokens.shape[1]
        seen = self.cache.get_seq_length()
        output = self.model(
            input_ids=self.tokens,
            attention_mask=self.mask[:, : seen + fed],
            position_ids=self.positions,
            **{self.cache_argument: self.cache},
            use_cache=True,
            logits_to_keep=1,
        )
        self.positions = self.positions[:, -1:] + 1
        self.mask[:, seen + fed : seen + fed + 1] = 1
        return output.logits[:, -1]

    def _looped(self, count: int, is_done: Any) -> list[int]:
        """Positions of the rows, among those that go on, that the loop guard ends here."""
        due = [at for at, index in enumerate(self.alive) if index in self.watches and self.watches[index].due(count)]
        if not due:
            return []
        ends = self.new[:, max(0, count - WINDOW) : count].tolist()
        done = is_done.tolist()
        return [
            at
            for at in due
            if not done[at]
            and self.watches[self.alive[at]].loops(ends[at], count, lambda at=at: self._in_thought(at, count))  # type: ignore[misc]
        ]

    def _in_thought(self, at: int, count: int) -> bool:
        return self.rows[self.alive[at]].in_thought(self.new[at, :count].tolist())

    def _hand_over(
        self,
        count: int,
        is_stop: Any,
        broken: Any,
        is_done: Any,
        looped: Sequence[int],
        on_finished: Callable[[int, Finished], None],
    ) -> None:
        """Report the finished rows and drop them, and the padding that only they needed."""
        done = is_done.nonzero().flatten().tolist()
        stops, wrecks = is_stop.tolist(), broken.tolist()
        for at, tokens in zip(done, self.new[is_done, :count].tolist(), strict=True):
            end = self.stopped(tokens) if self.stopped is not None else None
            if wrecks[at]:
                on_finished(self.alive[at], Finished(tokens[:-1], "not finite"))
            elif end is not None:
                on_finished(self.alive[at], Finished(tokens[:end], "stop"))
            else:
                on_finished(self.alive[at], Finished(tokens, "stop" if stops[at] else "length", at in looped))
        kept = (~is_done).nonzero().flatten()
        indices = kept.tolist()
        self.alive = [self.alive[at] for at in indices]
        if not self.alive:
            return
        self.padding = [self.padding[at] for at in indices]
        drop = min(self.padding)
        if not self.cache.drop(kept, drop):
            drop = 0
        self.padding = [columns - drop for columns in self.padding]
        self.mask = self.mask[kept, drop:]
        self.positions = self.positions[kept]
        self.new = self.new[kept]
        self.limits = self.limits[kept]
        self.sampler.keep(kept)


class _Sampler:
    """Chooses the next token of each row: greedy where the temperature is 0, else by inverting the row's CDF.

    The random numbers of a row come from its own CPU generator, seeded with its seed, one a token: the draw depends
    neither on the batch nor on the device. The CDF runs in the order of the vocabulary, in float64.
    """

    def __init__(self, rows: Sequence[Row], device: Any) -> None:
        import torch

        samplings = [row.sampling for row in rows]
        penalised = Penalties.needed(samplings)
        self.penalties = Penalties(samplings, [row.prompt for row in rows], device) if penalised else None
        self.greedy = all(sampling.temperature == 0 for sampling in samplings)
        if self.greedy:
            return
        longest = max(sampling.max_tokens for sampling in samplings)
        draws = torch.zeros(len(samplings), longest, dtype=torch.float64)
        for row, sampling in enumerate(samplings):
            if sampling.temperature > 0:
                generator = torch.Generator().manual_seed(sampling.seed or 0)
                draws[row, : sampling.max_tokens] = torch.rand(
                    sampling.max_tokens, generator=generator, dtype=torch.float64
                )
        self.draws = draws.to(device)
        self.temperature = torch.tensor([sampling.temperature for sampling in samplings], device=device)
        self.top_p = torch.tensor([sampling.top_p for sampling in samplings], dtype=torch.float64, device=device)
        self.top_k = torch.tensor([sampling.top_k for sampling in samplings], dtype=torch.long, device=device)
        self.min_p = torch.tensor([sampling.min_p for sampling in samplings], dtype=torch.float64, device=device)

    def keep(self, kept: Any) -> None:
        """Drop the rows that are not in ``kept``."""
        if self.penalties is not None:
            self.penalties.keep(kept)
        if not self.greedy:
            self.draws, self.temperature, self.top_p = self.draws[kept], self.temperature[kept], self.top_p[kept]
            self.top_k, self.min_p = self.top_k[kept], self.min_p[kept]

    def choose(self, logits: Any, step: int) -> Any:
        """Token ids, (rows,), from logits, (rows, vocabulary)."""
        if self.penalties is None:
            return self._chosen(logits, step)
        chosen = self._chosen(self.penalties.apply(logits), step)
        self.penalties.note(chosen)
        return chosen

    def _chosen(self, logits: Any, step: int) -> Any:
        import torch

        best = logits.argmax(-1)
        if self.greedy:
            return best
        hot = self.temperature > 0
        scaled = logits.float() / torch.where(hot, self.temperature, 1.0)[:, None]
        weights = torch.softmax(scaled.double(), dim=-1)
        if bool((self.min_p > 0).any()) or bool((self.top_k > 0).any()):
            weights = most_probable(least_probable(weights, self.min_p), self.top_k)
            weights = weights / weights.sum(dim=-1, keepdim=True)
        if bool((self.top_p < 1).any()):
            weights = _nucleus(weights, self.top_p)
        cdf = weights.cumsum(-1)
        drawn = torch.searchsorted(cdf, self.draws[:, step, None] * cdf[:, -1:], right=True).squeeze(-1)
        return torch.where(hot, drawn.clamp_(max=logits.shape[-1] - 1), best)


def _nucleus(weights: Any, top_p: Any) -> Any:
    """Zero the weights outside the smallest set of likeliest tokens that holds ``top_p`` (Holtzman et al. 2020)."""
    import torch

    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # the likeliest token always stays
    outside = torch.zeros_like(weights, dtype=torch.bool).scatter(-1, order, before >= top_p[:, None])
    return weights.masked_fill(outside, 0.0)
