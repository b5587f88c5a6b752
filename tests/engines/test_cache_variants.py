"""The cache of keys and values as part of a variant: what the engine is told, and what it says that it stores."""

from __future__ import annotations

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine
from pytest_thinkslm.models import dequantize
from pytest_thinkslm.models.variants import resolve_variant
from pytest_thinkslm.settings.run_settings import build_settings


def factory(quant: str, engine: str, **more: str) -> EngineFactory:
    settings = build_settings({"model": "embedded", "quant": quant, "engine": engine, **more})
    assert settings is not None
    return EngineFactory(settings, say=print)


@pytest.mark.parametrize(
    ("engine", "quant", "arguments"),
    [
        ("vllm", "w8a8+kv-fp8", {"kv_cache_dtype": "fp8"}),
        ("vllm", "kv-fp8-e5m2", {"kv_cache_dtype": "fp8_e5m2"}),
        ("llamacpp", "q4_1+kv-q8_0", {"cache_type": "q8_0"}),
        ("vllm", "w8a8", {}),
    ],
)
def test_the_engine_is_told(engine: str, quant: str, arguments: dict[str, str]) -> None:
    made = factory(f"none,{quant}" if engine == "vllm" else quant, engine)
    assert made.engine_args(made.variants[-1]) == arguments
    if engine == "vllm":
        assert made.variants[0] == Variant("embedded", "none")
        assert made.engine_args(made.variants[0]) == {}


@pytest.mark.parametrize(
    ("engine", "quant", "more", "says"),
    [
        ("transformers", "w8a8+kv-fp8", {}, "the engine transformers has no cache kv-fp8: --engine vllm has"),
        ("vllm", "w8a8+kv-q8_0", {}, "the engine vllm has no cache kv-q8_0: --engine llamacpp has"),
        ("llamacpp", "q4_1+kv-fp8", {}, "--engine vllm has"),
        ("vllm", "none+kv-fp8", {"engine-args": "kv-cache-dtype=auto"}, "both say what the cache is"),
        ("llamacpp", "q8_0,q8_0+kv-q8_0", {"drift": "2"}, "leave out --drift, or q8_0+kv-q8_0"),
    ],
)
def test_what_an_engine_does_not_have_is_refused_before_anything_is_loaded(
    engine: str, quant: str, more: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        factory(quant, engine, **more)
    assert says in str(caught.value)


def test_an_unknown_type_of_cache_names_the_nearest() -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(UsageError, match="did you mean 'q8_0'"):
        LlamaCppEngine(resolve_variant("embedded", None, "llamacpp", check=False), engine_args={"cache_type": "q8"})


@pytest.mark.model
def test_llama_cpp_stores_what_is_asked_for() -> None:
    pytest.importorskip("xllamacpp")
    model = resolve_variant("embedded", None, "llamacpp", check=False)
    found = {}
    for kind in ("f16", "q8_0", "q4_0"):
        engine = LlamaCppEngine(model, engine_args={"threads": "1", "slots": "1", "context": "256", "cache_type": kind})
        try:
            request = Request((Message("user", "What is the capital of France?"),), Sampling(max_tokens=12))
            text = engine.submit([request])[0].result(timeout=300).text
            found[kind] = (engine.measured()["loaded"]["kv_cache"], engine.fingerprint().digest)  # type: ignore[index]
            assert text.strip()
        finally:
            engine.close()
    assert [stored for stored, _ in found.values()] == ["f16", "q8_0", "q4_0"]
    plain = LlamaCppEngine(model).fingerprint().digest
    assert found["f16"][1] == plain, "journals of runs without the argument stay valid"
    assert len({digest for _, digest in found.values()}) == 3


def test_drift_of_gguf_models_needs_what_dequantizes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dequantize, "lacking", lambda: ["accelerate"])
    with pytest.raises(UsageError, match="here is no accelerate: install"):
        factory("q8_0,q4_0", "llamacpp", drift="2")
