"""Names that transformers and vLLM do not promise: all are still there, and what happens where one is gone."""

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.engines import compat_transformers, compat_vllm


def test_the_names_of_transformers_are_there() -> None:
    pytest.importorskip("transformers")
    cache, layer = compat_transformers.cache_classes()
    assert {"layers"} <= set(vars(cache()))
    for name in ("update", "get_seq_length", "lazy_initialization"):
        assert hasattr(layer, name), name
    parts = compat_transformers.attention()
    assert parts is not None
    assert {"module", "query", "key", "value", "attention_mask"} <= set(inspect.signature(parts.sdpa).parameters)
    with compat_transformers.listing():
        pass


def test_without_its_caches_nothing_can_be_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, "transformers.cache_utils", None)
    with pytest.raises(EngineError, match=r"install transformers>=5\.16,<5\.40, or use --engine vllm"):
        compat_transformers.cache_classes()


def test_without_its_masks_a_model_keeps_its_own_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from pytest_thinkslm.engines.transformers_attention import use_grouped_attention

    monkeypatch.setitem(sys.modules, "transformers.masking_utils", None)
    assert compat_transformers.attention() is None
    use_grouped_attention(SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa")))


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")  # vLLM's own
@pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM")
def test_the_names_of_vllm_are_there() -> None:
    from vllm import LLMEngine
    from vllm.v1.engine.output_processor import OutputProcessor

    assert compat_vllm.throughput()
    assert compat_vllm.is_linear(object()) is False
    assert hasattr(LLMEngine, "collective_rpc")
    assert hasattr(OutputProcessor, "process_outputs")


def test_a_vllm_whose_parts_are_gone_is_used_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.usage.usage_lib", None)
    assert compat_vllm.throughput() == {}
    engine = SimpleNamespace()
    assert compat_vllm.watch_logits(engine, print) is False
    assert compat_vllm.core_name(engine) is None
    compat_vllm.shut_down(engine)


def test_nans_are_told_by_the_names_that_requests_came_under() -> None:
    seen: list[object] = []
    broken: list[str] = []
    processor = SimpleNamespace(
        process_outputs=lambda outputs: seen.extend(outputs) or "made",  # type: ignore[func-returns-value]
        request_states={"inner-1": SimpleNamespace(external_req_id="7")},
    )
    assert compat_vllm.watch_logits(SimpleNamespace(output_processor=processor), broken.append)
    outputs = [
        SimpleNamespace(request_id="inner-1", num_nans_in_logits=3),
        SimpleNamespace(request_id="inner-2", num_nans_in_logits=0),
        SimpleNamespace(request_id="inner-3", num_nans_in_logits=1),
    ]
    assert processor.process_outputs(outputs) == "made"
    assert seen == outputs
    assert broken == ["7", "inner-3"]
