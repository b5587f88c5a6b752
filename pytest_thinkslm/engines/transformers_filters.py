"""Top-k, min-p and penalties of the transformers engine: which tokens a row may choose, as tensor operations.

Rows of a batch have parameters of their own; at its neutral value a parameter changes nothing in its row. Order as in
vLLM: penalties on the logits, then temperature, min-p, top-k, top-p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_thinkslm.core.records import Sampling


class Penalties:
    """Presence and repetition penalties of a batch: which tokens each row has seen.

    Args:
        samplings: one a row.
        prompts: token ids of each row's prompt, without padding.
        device: where the logits are.
    """

    def __init__(self, samplings: Sequence[Sampling], prompts: Sequence[Sequence[int]], device: Any) -> None:
        import torch

        self.presence = torch.tensor([sampling.presence_penalty for sampling in samplings], device=device)
        self.repetition = torch.tensor([sampling.repetition_penalty for sampling in samplings], device=device)
        self.prompts = prompts
        self.said: Any = None
        self.seen: Any = None

    @staticmethod
    def needed(samplings: Sequence[Sampling]) -> bool:
        """Whether any row has a penalty."""
        return any(sampling.presence_penalty or sampling.repetition_penalty != 1.0 for sampling in samplings)

    def apply(self, logits: Any) -> Any:
        """Logits with the penalties, (rows, vocabulary), in float32."""
        import torch

        logits = logits.float()
        if self.said is None:
            self.said = torch.zeros_like(logits, dtype=torch.bool)
            self.seen = torch.zeros_like(self.said)
            for row, prompt in enumerate(self.prompts):
                self.seen[row, torch.tensor(sorted(set(prompt)), device=logits.device)] = True
        factor = self.repetition[:, None]
        repeated = torch.where(logits > 0, logits / factor, logits * factor)
        logits = torch.where(self.seen | self.said, repeated, logits)
        return logits - self.said * self.presence[:, None]

    def note(self, chosen: Any) -> None:
        """Remember the tokens just chosen, (rows,)."""
        self.said.scatter_(1, chosen[:, None], True)

    def keep(self, kept: Any) -> None:
        """Drop the rows that are not in ``kept``."""
        self.presence, self.repetition = self.presence[kept], self.repetition[kept]
        self.said, self.seen = self.said[kept], self.seen[kept]


def least_probable(weights: Any, min_p: Any) -> Any:
    """Zero the weights below ``min_p`` times the largest of their row (Nguyen et al. 2024)."""
    return weights.masked_fill(weights < min_p[:, None] * weights.amax(dim=-1, keepdim=True), 0.0)


def most_probable(weights: Any, top_k: Any) -> Any:
    """Zero all weights but the ``top_k`` largest of each row, ties with the last of them kept; 0 is off."""
    most = min(int(top_k.max()), weights.shape[-1])
    if most < 1:
        return weights
    last = (top_k.clamp(max=most) - 1).clamp(min=0)[:, None]
    least = weights.topk(most, dim=-1).values.gather(-1, last)
    return weights.masked_fill((weights < least) & (top_k > 0)[:, None], 0.0)
