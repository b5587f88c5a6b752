"""What checkpoints' own quantization configs say, in every form that hubs have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.core.schemes import Compression
from pytest_thinkslm.models import marker
from pytest_thinkslm.models.quantization import describe, dtype_bits, of_checkpoint


def tensors(weights: dict[str, Any] | None, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A compressed-tensors config with one group."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs, "output_activations": None}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"], **more}


INT8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "group_size": None}
INT4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128}
FP8 = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
DYNAMIC8 = {"num_bits": 8, "type": "int", "dynamic": True, "strategy": "token"}
PRUNED = {"format": "sparse-24-bitmask", "sparsity_structure": "2:4", "global_sparsity": 0.5, "targets": ["Linear"]}

GPTQ4 = {"quant_method": "gptq", "bits": 4, "group_size": 128}
CASES: list[tuple[str, dict[str, Any] | None, Compression]] = [
    ("none", None, Compression("none", 16)),
    ("empty", {}, Compression("none", 16)),
    (
        "gptq, 4 bits",
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
        Compression("gptq4", 4, "gptq", 128),
    ),
    (
        "mxfp4, as gpt-oss has it",
        {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
        Compression("mxfp4", 4, "mxfp4", 32),
    ),
    (
        "compressed-tensors, NVFP4",
        tensors(
            {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
            {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "dynamic": "local"},
        ),
        Compression("nvfp4", 4, "compressed-tensors", 16, activation_bits=4),
    ),
    (
        "compressed-tensors, MXFP4 has other groups",
        tensors(
            {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32},
            {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "dynamic": True},
        ),
        Compression(None, 4, "compressed-tensors", 32, activation_bits=4),
    ),
    (
        "compressed-tensors, 4-bit weights and 8-bit activations",
        tensors(INT4, DYNAMIC8),
        Compression("w4a8", 4, "compressed-tensors", 128, activation_bits=8),
    ),
    ("gptq, 8 bits", {"quant_method": "gptq", "bits": 8, "group_size": 32}, Compression("gptq8", 8, "gptq", 32)),
    (
        "gptq, a scale a column",
        {"quant_method": "gptq", "bits": 4, "group_size": -1},
        Compression("gptq4", 4, "gptq", None),
    ),
    ("gptq, 3 bits", {"quant_method": "gptq", "bits": 3, "group_size": 128}, Compression(None, 3, "gptq", 128)),
    ("awq", {"quant_method": "awq", "bits": 4, "group_size": 128}, Compression("awq4", 4, "awq", 128)),
    ("awq, old names", {"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, Compression("awq4", 4, "awq", 64)),
    (
        "AutoFP8, static",
        {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]},
        Compression("fp8", 8, "fp8", activation_bits=8),
    ),
    (
        "AutoFP8, dynamic",
        {"quant_method": "fp8", "activation_scheme": "dynamic"},
        Compression("fp8-dynamic", 8, "fp8", activation_bits=8),
    ),
    (
        "FP8 in blocks",
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
        Compression("fp8-dynamic", 8, "fp8", activation_bits=8),
    ),
    ("w8a8", tensors(INT8, DYNAMIC8), Compression("w8a8", 8, "compressed-tensors", activation_bits=8)),
    ("w8a16", tensors(INT8), Compression("w8a16", 8, "compressed-tensors")),
    ("w4a16", tensors(INT4), Compression("w4a16", 4, "compressed-tensors", 128)),
    (
        "fp8, static",
        tensors(FP8, {**FP8, "dynamic": False}),
        Compression("fp8", 8, "compressed-tensors", activation_bits=8),
    ),
    (
        "fp8, dynamic",
        tensors(FP8, {**FP8, "dynamic": True}),
        Compression("fp8-dynamic", 8, "compressed-tensors", activation_bits=8),
    ),
    ("fp8 weights alone have no key", tensors(FP8), Compression(None, 8, "compressed-tensors")),
    (
        "no method named, but groups",
        {key: value for key, value in tensors(INT4).items() if key != "quant_method"},
        Compression("w4a16", 4, "compressed-tensors", 128),
    ),
    (
        "2:4 alone",
        {"quant_method": "compressed-tensors", "config_groups": {}, "sparsity_config": PRUNED},
        Compression("sparse-2of4", 16, "compressed-tensors", sparsity=0.5),
    ),
    (
        "2:4 and quantized has no key",
        tensors(INT4, sparsity_config=PRUNED),
        Compression(None, 4, "compressed-tensors", 128, sparsity=0.5),
    ),
    (
        "dense in a sparse config",
        tensors(INT8, DYNAMIC8, sparsity_config={"format": "dense", "global_sparsity": 0.13}),
        Compression("w8a8", 8, "compressed-tensors", activation_bits=8),
    ),
    (
        "two groups that differ",
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": INT8}, "b": {"weights": INT4}},
        },
        Compression(None, 4, "compressed-tensors", 128),
    ),
    (
        "two groups that agree",
        {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": INT4}, "b": {"weights": INT4}}},
        Compression("w4a16", 4, "compressed-tensors", 128),
    ),
    ("bitsandbytes", {"quant_method": "bitsandbytes", "load_in_4bit": True}, Compression(None, 4, "bitsandbytes")),
    ("unknown", {"quant_method": "hqq", "bits": 2}, Compression(None, 2, "hqq")),
    *(
        (f"{method}, silent", {"quant_method": method}, Compression(None, None, method))
        for method in ("quip", "nvfp4", "torchao", "hqq", "quanto", "eetq", "aqlm", "modelopt", "bitsandbytes", "gptq")
    ),
    ("bits as text", {"quant_method": "gptq", "bits": "4"}, Compression("gptq4", 4, "gptq")),
    ("hostile", {"quant_method": "gptq", "bits": "four", "group_size": []}, Compression(None, None, "gptq")),
    ("hostile exceptions", {**GPTQ4, "dynamic": ["x"]}, Compression("gptq4", 4, "gptq", 128)),
    ("no exceptions", {**GPTQ4, "dynamic": {}}, Compression("gptq4", 4, "gptq", 128)),
    ("the output layer left out", {**GPTQ4, "dynamic": {"-:lm_head": {}}}, Compression("gptq4", 4, "gptq", 128)),
    ("a tower left out", {**GPTQ4, "dynamic": {"-:.*visual.*": {}}}, Compression("gptq4", 4, "gptq", 128)),
    ("a layer left out", {**GPTQ4, "dynamic": {"-:.*q_proj": {}}}, Compression(None, 4, "gptq", 128)),
    ("some in 8 bits", {**GPTQ4, "dynamic": {"+:.*down_proj": {"bits": 8}}}, Compression(None, 4, "gptq", 128)),
    ("some in 2 bits", {**GPTQ4, "dynamic": {"x": {"bits": 2}}}, Compression(None, 2, "gptq", 128)),
    ("other groups", {**GPTQ4, "dynamic": {"x": {"group_size": 32}}}, Compression(None, 4, "gptq", 128)),
    (
        "the same again",
        {**GPTQ4, "dynamic": {"x": {"bits": 4, "group_size": 128}}},
        Compression("gptq4", 4, "gptq", 128),
    ),
    ("AutoRound's", {**GPTQ4, "extra_config": {"model.layers.0.q": {"bits": 16}}}, Compression(None, 4, "gptq", 128)),
    ("left out as False", {**GPTQ4, "dynamic": {".*q_proj": False}}, Compression(None, 4, "gptq", 128)),
    (
        "AWQ, a layer left out",
        {**GPTQ4, "quant_method": "awq", "modules_to_not_convert": ["model.layers.0."]},
        Compression(None, 4, "awq", 128),
    ),
    (
        "AWQ, a tower left out",
        {**GPTQ4, "quant_method": "awq", "modules_to_not_convert": ["visual", "lm_head"]},
        Compression("awq4", 4, "awq", 128),
    ),
    ("bitsandbytes, no method named", {"load_in_4bit": True}, Compression(None, 4, "bitsandbytes")),
    (
        "bits of a group as text",
        tensors({**INT4, "num_bits": "4"}),
        Compression("w4a16", 4, "compressed-tensors", 128),
    ),
    (
        "bits of a group unknown",
        tensors({**INT4, "num_bits": None}),
        Compression(None, None, "compressed-tensors", 128),
    ),
    (
        "hostile groups",
        {"quant_method": "compressed-tensors", "config_groups": ["x"], "sparsity_config": 3},
        Compression(None, None, "compressed-tensors"),
    ),
    (
        "groups by the name of a preset",
        {"quant_method": "compressed-tensors", "config_groups": {"W4A16": ["Linear"]}},
        Compression(None, None, "compressed-tensors"),
    ),
]


@pytest.mark.parametrize(("config", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_configs(config: dict[str, Any] | None, expected: Compression) -> None:
    assert describe(config) == expected


def test_unquantized_weights_have_the_bits_of_their_dtype() -> None:
    assert describe(None, dtype_bits=32) == Compression("none", 32, activation_bits=32)
    assert [
        dtype_bits(config)
        for config in (
            {"dtype": "float32"},
            {"torch_dtype": "torch.float32"},
            {"dtype": "bfloat16"},
            {},
            {"text_config": {"dtype": "float32"}},
        )
    ] == [32, 32, 16, 16, 32]


MARK = marker.Marker("gptq4", "gptq", 0, 64, 0.0, 0.0, None, {"model": "tiny"}, [], {"torch": "2"})


def test_the_marker_names_what_no_config_does(tmp_path: Path) -> None:
    config = tensors({**INT4, "group_size": 64})
    assert of_checkpoint(tmp_path, {}, config, source="local", disk_bytes=5) == Compression(
        "w4a16", 4, "compressed-tensors", 64, source="local", bytes=5
    )
    marker.write(tmp_path, MARK)
    assert of_checkpoint(tmp_path, {}, config, source="local", disk_bytes=5) == Compression(
        "gptq4", 4, "gptq", 64, source="on-demand", bytes=5
    )
    assert marker.read(tmp_path) == MARK


def test_a_damaged_marker_is_said(tmp_path: Path) -> None:
    (tmp_path / marker.FILE).write_text('{"scheme": "gptq4"')
    with pytest.raises(ModelError, match=r"thinkslm_compression\.json is damaged"):
        of_checkpoint(tmp_path, {}, None)
