"""What was loaded, from layers as the libraries make them; real checkpoints: tests/models/test_compression_real.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.schemes import Compression
from pytest_thinkslm.engines.loaded import Layer, of_model, share_of_zeros, summary

torch = pytest.importorskip("torch")

ROWS, COLUMNS = 8, 256


class Holder(torch.nn.Module):  # type: ignore[misc]
    """A linear layer of some library: tensors by name, and the sizes of the layer."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.in_features, self.out_features = COLUMNS, ROWS
        for name, value in attributes.items():
            setattr(self, name, value)


def empty(*shape: int, dtype: Any) -> Any:
    return torch.empty(*shape, dtype=dtype)


def scheme(activation_bits: int | None, weight_bits: int = 8) -> Any:
    inputs = None if activation_bits is None else SimpleNamespace(num_bits=activation_bits)
    weights = SimpleNamespace(num_bits=weight_bits)
    layout = SimpleNamespace(value="pack-quantized")
    return SimpleNamespace(weights=weights, input_activations=inputs, format=layout)


FLOAT8 = torch.float8_e4m3fn
UNPACKED = "Holder on weights decompressed from pack-quantized when loaded"
LAYERS: list[tuple[str, dict[str, Any], Layer]] = [
    ("bfloat16", {"weight": empty(ROWS, COLUMNS, dtype=torch.bfloat16)}, Layer(16, None, 16, "Holder", "bfloat16")),
    ("float32", {"weight": empty(ROWS, COLUMNS, dtype=torch.float32)}, Layer(32, None, 32, "Holder", "float32")),
    (
        "compressed-tensors, packed 4 bits in groups of 64",
        {
            "weight_packed": empty(ROWS, COLUMNS // 8, dtype=torch.int32),
            "weight_scale": empty(ROWS, COLUMNS // 64, dtype=torch.bfloat16),
            "quantization_scheme": scheme(None),
        },
        Layer(4, 64, 16, UNPACKED, "int32", "simulated"),
    ),
    (
        "compressed-tensors, 8-bit weights and activations, a scale a row",
        {
            "weight": empty(ROWS, COLUMNS, dtype=torch.int8),
            "weight_scale": empty(ROWS, 1, dtype=torch.bfloat16),
            "quantization_scheme": scheme(8),
        },
        Layer(8, None, 8, f"{UNPACKED}, activations rounded to 8 bits", "int8", "simulated"),
    ),
    (
        "compressed-tensors, 4-bit weights in bytes",
        {
            "weight": torch.full((ROWS, COLUMNS), -8, dtype=torch.int8),
            "weight_scale": empty(ROWS, COLUMNS // 64, dtype=torch.bfloat16),
            "quantization_scheme": scheme(8, weight_bits=4),
        },
        Layer(4, 64, 8, f"{UNPACKED}, activations rounded to 8 bits", "int8", "simulated"),
    ),
    (
        "compressed-tensors, bytes that are said to hold 4 bits and hold more",
        {
            "weight": torch.full((ROWS, COLUMNS), 8, dtype=torch.int8),
            "weight_scale": empty(ROWS, COLUMNS // 64, dtype=torch.bfloat16),
            "quantization_scheme": scheme(8, weight_bits=4),
        },
        Layer(8, 64, 8, f"{UNPACKED}, activations rounded to 8 bits", "int8", "simulated"),
    ),
    (
        "GPTQ, 4 bits in groups of 128",
        {
            "qweight": empty(COLUMNS // 8, ROWS, dtype=torch.int32),
            "scales": empty(COLUMNS // 128, ROWS, dtype=torch.float16),
        },
        Layer(4, 128, 16, "Holder", "int32"),
    ),
    (
        "FP8, a scale a tensor",
        {"weight": empty(ROWS, COLUMNS, dtype=FLOAT8), "weight_scale": empty(1, dtype=torch.float32)},
        Layer(8, None, 16, "Holder", "float8_e4m3fn"),
    ),
]


def model(*layers: Any) -> Any:
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize(("attributes", "expected"), [case[1:] for case in LAYERS], ids=[case[0] for case in LAYERS])
def test_layers_are_read_by_what_they_hold(attributes: dict[str, Any], expected: Layer) -> None:
    facts = of_model(model(Holder(**attributes)), Compression(None, expected.bits), "m")
    named = {name: facts[name] for name in ("bits", "group_size", "activation_bits", "kernel", "dtype")}
    named["arithmetic"] = facts.get("arithmetic", "computed")
    assert Layer(**named) == expected  # type: ignore[arg-type]
    assert facts["quantized_layers"] == (expected.bits < 16)


def test_the_scheme_is_the_checkpoints_where_the_layers_agree() -> None:
    layers = [Layer(4, 64, 16, "k", "int32")] * 2 + [Layer(16, None, 16, "Linear", "bfloat16")]
    assert summary(layers, Compression("gptq4", 4, "gptq", 64), None, "m") == {
        "scheme": "gptq4",
        "bits": 4,
        "group_size": 64,
        "activation_bits": 16,
        "kernel": "k",
        "arithmetic": "computed",
        "dtype": "int32",
        "sparsity": None,
        "quantized_layers": 2,
        "linear_layers": 3,
    }
    for other in (Compression("gptq4", 4, "gptq", 128), Compression("gptq8", 8, "gptq", 64)):
        assert summary(layers, other, None, "m")["scheme"] is None


def test_a_quantization_that_the_engine_ignored_is_an_error() -> None:
    dense = Holder(weight=empty(ROWS, COLUMNS, dtype=torch.bfloat16))
    with pytest.raises(EngineError) as caught:
        of_model(model(dense), Compression("gptq4", 4, "gptq", 128), "some model")
    for part in ("some model", "4-bit weights (gptq)", "16-bit weights in all of its 1 linear layers", "ignored"):
        assert part in str(caught.value)


class HQQLinear(Holder):
    """By its name, a layer of hqq."""


@pytest.mark.parametrize("method", ["mxfp4", "torchao", "hqq", "quanto", "eetq", "aqlm", "modelopt", "bitsandbytes"])
def test_ignored_where_the_number_of_bits_is_not_known(method: str) -> None:
    dense = Holder(weight=empty(ROWS, COLUMNS, dtype=torch.bfloat16))
    with pytest.raises(EngineError, match=rf"its config says quantized weights \({method}\).* it ignored"):
        of_model(model(dense), Compression(None, None, method), "m")


def test_what_is_quantized_may_be_no_linear_layer() -> None:
    """As gpt-oss's experts are, and hqq's layers beside dense ones."""
    dense = Holder(weight=empty(ROWS, COLUMNS, dtype=torch.bfloat16))
    experts = torch.nn.Module()
    experts.register_buffer("blocks", torch.zeros(64, 64, dtype=torch.uint8))
    assert of_model(model(dense, experts), Compression("mxfp4", 4, "mxfp4", 32), "m")["bits"] == 16
    turned_back = model(dense)
    turned_back.hf_quantizer = SimpleNamespace(quantization_config=SimpleNamespace(dequantize=True))
    assert of_model(turned_back, Compression("mxfp4", 4, "mxfp4", 32), "m")["scheme"] is None
    by_name = of_model(model(dense, HQQLinear()), Compression(None, None, "hqq"), "m")
    assert (by_name["scheme"], by_name["linear_layers"]) == (None, 1)
    packed = Holder(W_q=torch.zeros(ROWS, COLUMNS // 2, dtype=torch.uint8))
    assert of_model(model(dense, packed), Compression(None, None, "hqq"), "m")["bits"] == 4


class Wrapped(torch.Tensor):  # type: ignore[misc]
    """A tensor of a library's own class, which looks like floats and holds bytes."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner", "scale"], None


def test_a_tensor_of_a_library_s_own_class() -> None:
    weight = torch.zeros(ROWS, COLUMNS).as_subclass(Wrapped)
    weight.inner, weight.scale = torch.zeros(ROWS, COLUMNS, dtype=torch.int8), torch.zeros(ROWS, 1)
    assert of_model(model(Holder(weight=weight)), Compression(None, None, "torchao"), "m")["bits"] == 8


def test_a_pruned_model_without_zeros_is_an_error() -> None:
    dense = Holder(weight=torch.ones(ROWS, COLUMNS))
    with pytest.raises(EngineError, match=r"2:4 pruned, but only 0\.0% of the loaded weights are zero"):
        of_model(model(dense), Compression("sparse-2of4", 16, sparsity=0.5), "m")
    half = torch.ones(ROWS, COLUMNS)
    half[:, ::2] = 0
    facts = of_model(model(Holder(weight=half)), Compression("sparse-2of4", 16, sparsity=0.5), "m")
    assert (facts["scheme"], facts["sparsity"]) == ("sparse-2of4", 0.5)


def test_the_output_layer_and_embeddings_do_not_count() -> None:
    body = model(Holder(weight=empty(ROWS, COLUMNS, dtype=torch.int8)), torch.nn.Embedding(4, 4))
    output = torch.nn.Linear(4, 4)
    body.append(output)
    body.get_output_embeddings = lambda: output
    facts = of_model(body, Compression(None, 8), "m")
    assert (facts["quantized_layers"], facts["linear_layers"]) == (1, 1)


def test_zeros_are_counted_in_a_few_layers_over_the_whole_model() -> None:
    ones, zeros = torch.ones(4), torch.zeros(4)
    assert share_of_zeros([]) is None
    assert share_of_zeros([zeros]) == 1.0
    assert share_of_zeros([ones, zeros] * 4) == 0.0, "every second of eight"
    assert share_of_zeros([zeros, zeros, ones, ones]) == 0.5
