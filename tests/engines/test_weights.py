"""Checkpoints whose weights are not those of their config: named before anything is generated."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.engines.weights import Weights, check, check_files
from pytest_thinkslm.models.checkpoint import read_config
from pytest_thinkslm.models.resolve import resolve

pytest.importorskip("torch")

Change = Callable[[dict[str, Any]], None]
Q = "model.layers.0.self_attn.q_proj."


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return tiny_checkpoints.random_llama(tmp_path / "llama", hidden=32)


def change(folder: Path, edit: Change, **config: object) -> Path:
    """Edit the tensors of a checkpoint by name, and keys of its config."""
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **config}))
    return folder


def listed(folder: Path) -> bool:
    return check_files(folder, read_config(folder, "m"), "m", trust_remote_code=False)


def without(*ends: str) -> Change:
    def edit(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.endswith(ends)]:
            del tensors[name]

    return edit


def adding(name: str, value: float, *shape: int) -> Change:
    import torch

    return lambda tensors: tensors.update({name: torch.full(shape, value, dtype=torch.bfloat16)})


def tied(tensors: dict[str, Any]) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()


def under_another_prefix(tensors: dict[str, Any]) -> None:
    for name in list(tensors):
        tensors[f"backbone.{name}"] = tensors.pop(name)


def quantized(tensors: dict[str, Any]) -> None:
    """8-bit weights with a scale a row, as compressed-tensors stores them."""
    import torch

    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        scale = weight.abs().amax(1, keepdim=True) / 127
        tensors[name] = (weight / scale).round().to(torch.int8)
        tensors[name.replace(".weight", ".weight_scale")] = scale.bfloat16()


W8A8 = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
            "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True},
        }
    },
}


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (without("layers.1.mlp.down_proj.weight"), r"lacks weights .*: model\.layers\.1\.mlp\.down_proj\.weight\."),
        (without(Q + "weight"), r"lacks weights .*q_proj"),
        (without("lm_head.weight"), r"lacks weights .*lm_head\.weight"),
        (under_another_prefix, r"lacks weights .* and 18 more; the checkpoint has weights .* no place for"),
        (adding("score.weight", 1.0, 2, 32), r"no place for: score\.weight"),
        (adding(Q + "bias", 0.5, 32), r"no place for: model\.layers\.0\.self_attn\.q_proj\.bias"),
        (adding(Q + "weight", 0.5, 3, 4), r"other shapes .*q_proj\.weight \(3x4 instead of 32x32\)"),
    ],
)
def test_weights_that_are_not_the_model_s_are_named(llama: Path, edit: Change, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        listed(change(llama, edit))


@pytest.mark.parametrize(
    ("edit", "config"),
    [
        (lambda tensors: None, {}),
        (without("lm_head.weight"), {"tie_word_embeddings": True}),
        (tied, {"tie_word_embeddings": True}),
        (adding(Q + "bias", 0.0, 32), {}),
        (adding("model.layers.0.self_attn.rotary_emb.inv_freq", 1.0, 8), {}),
        (adding("model.layers.2.eh_proj.weight", 1.0, 8), {"num_nextn_predict_layers": 1}),
        (adding("model.layers.2.mlp.up_proj.weight", 1.0, 8), {"num_nextn_predict_layers": 1}),
        (adding("mtp.fc.weight", 1.0, 8), {}),
        (adding("vision_tower.patch_embed.weight", 1.0, 8), {"vision_config": {}}),
        (adding("model.layers.0.self_attn.k_scale", 1.0), {}),
        (quantized, {"quantization_config": W8A8}),
    ],
)
def test_weights_that_change_nothing_are_no_error(llama: Path, edit: Change, config: dict[str, object]) -> None:
    assert listed(change(llama, edit, **config))


def test_a_layer_beyond_the_config_and_a_tower_that_it_does_not_announce(llama: Path) -> None:
    for name in ("model.layers.2.mlp.up_proj.weight", "vision_tower.patch_embed.weight"):
        with pytest.raises(EngineError, match="no place for"):
            check(Weights(unexpected=(name,)), llama, read_config(llama, "m"), "m")


def test_an_output_layer_that_is_said_to_be_the_embedding_and_is_not(llama: Path) -> None:
    change(llama, lambda tensors: None, tie_word_embeddings=True)
    with pytest.raises(EngineError, match=r"tie_word_embeddings, but lm_head\.weight differs"):
        listed(llama)


def test_a_quantized_checkpoint_lacks_a_scale(llama: Path) -> None:
    pytest.importorskip("compressed_tensors")
    change(llama, quantized, quantization_config=W8A8)
    with pytest.raises(EngineError, match=r"lacks weights .*k_proj\.weight_scale"):
        listed(change(llama, without("layers.0.self_attn.k_proj.weight_scale")))


def test_a_file_that_was_cut_off(llama: Path) -> None:
    content = (llama / "model.safetensors").read_bytes()
    (llama / "model.safetensors").write_bytes(content[:-10])
    with pytest.raises(EngineError, match=rf"model\.safetensors is cut short: it has {len(content) - 10} of"):
        listed(llama)


def answer(folder: Path, **sampling: Any) -> Any:
    engine = TransformersEngine(
        resolve(str(folder)), engine_args={"device": "cpu", "dtype": "float32", "threads": "1", "max_batch": "2"}
    )
    request = Request((Message("user", "how many"),), Sampling(max_tokens=4, **sampling), label="a label")
    try:
        futures = engine.submit([request, request])
        return [future.exception(timeout=120) or future.result() for future in futures]
    finally:
        engine.close()


@pytest.mark.model
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "seed": 1, "top_p": 0.9}])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_end_the_item(llama: Path, sampling: dict[str, Any], value: float) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = value

    for error in answer(change(llama, spoil), **sampling):
        assert isinstance(error, EngineError), error
        assert str(error).startswith("a label: the model's logits are not finite (NaN or infinity) after 0 new tokens")


@pytest.mark.model
def test_a_pad_token_beyond_the_embedding_is_not_used(llama: Path) -> None:
    """As after adding [PAD] without making the embedding larger: padding is masked, so that any token will do."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(llama)
    cut = tokenizer.pad_token_id
    change(
        llama,
        lambda tensors: tensors.update(
            {name: tensors[name][:cut] for name in ("model.embed_tokens.weight", "lm_head.weight")}
        ),
        vocab_size=cut,
    )
    assert [output.output_tokens for output in answer(llama)] == [4, 4]
