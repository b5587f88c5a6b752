"""Texts scored by a real vLLM, against distributions that are computed directly from the checkpoints."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_transformers_score import REQUEST, TEXT, directly, pair

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines.scoring import Forced, Scored, Scorer, TokenScore
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.models.resolve import resolve

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm"),
]
ARGS = {"dtype": "float32", "max_num_seqs": "4", "max_model_len": "512", "kv_cache_memory_bytes": "64000000"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("models"), hidden=128, sharper=20)


@pytest.fixture(scope="module")
def scored(folders: tuple[Path, Path]) -> Iterator[list[TokenScore]]:
    """The text under the second model against the first; both errors and both loads in one pass of each engine."""
    before, now = (VLLMEngine(resolve(str(folder)), engine_args=ARGS) for folder in folders)
    try:
        assert isinstance(before, Scorer)
        kept = result(before, Forced(REQUEST, TEXT)).distributions
        yield list(result(now, Forced(REQUEST, TEXT, against=kept)).tokens)
        other = now.score([Forced(REQUEST, TEXT + " more", against=kept)])[0]
        with pytest.raises(EngineError, match="apples 0001: this model's tokenizer splits the text into other tokens"):
            other.result(timeout=300)
        with pytest.raises(EngineError, match="no token of its output"):
            now.score([Forced(REQUEST, "", ended=False)])[0].result(timeout=300)
        assert now.submit([REQUEST])[0].result(timeout=300).output_tokens, "it answers, too"
    finally:
        before.close()
        now.close()


def result(engine: VLLMEngine, forced: Forced) -> Scored:
    return engine.score([forced])[0].result(timeout=600)


def test_scores_are_those_of_a_direct_computation_within_their_bound(
    scored: list[TokenScore], folders: tuple[Path, Path]
) -> None:
    before, now, tokens = directly(folders)
    kl = (before.exp() * (before - now)).sum(-1)
    assert kl.min() > 1e-4
    for token, true in zip(scored, kl.tolist(), strict=True):
        assert token.kl <= true * 1.01
        assert true <= token.kl_most * 1.01
    assert sum(token.kl for token in scored) > 0.5 * float(kl.sum()), "the likeliest tokens make most of it"
    own = torch.arange(len(tokens)), tokens
    assert [token.log_probability for token in scored] == pytest.approx(now[own].tolist(), rel=1e-3, abs=1e-3)
    assert [token.log_probability_before for token in scored] == pytest.approx(before[own].tolist(), rel=1e-3, abs=1e-3)
    assert [token.agrees for token in scored] == (before.argmax(-1) == now.argmax(-1)).tolist()
    assert [token.rank for token in scored] == ((now > now[own][:, None]).sum(-1) + 1).tolist()
    for place, token in enumerate(scored):
        for found, logs in ((token.end_before, before), (token.end_now, now)):
            true = float(logs[place, 1].exp())
            assert found == pytest.approx(true, rel=1e-2) or (found == 0 and true < 1 / 64)
    assert [token.kind for token in scored][-1] == "end"


def test_vllm_stores_what_is_asked_for(folders: tuple[Path, Path]) -> None:
    engine = VLLMEngine(resolve(str(folders[0])), engine_args={**ARGS, "kv_cache_dtype": "fp8"})
    try:
        assert engine.submit([REQUEST])[0].result(timeout=600).output_tokens
        assert engine.measured()["loaded"]["kv_cache"] == "fp8"  # type: ignore[index]
    finally:
        engine.close()
