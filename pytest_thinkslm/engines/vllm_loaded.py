"""What vLLM loaded, read from the layers of its model by an extension of its worker class.

vLLM adds the extension to its worker (``worker_extension_cls``), so that it also works where workers are processes of
their own. Its layers are repacked for a kernel when they are loaded: bits and group size are those of the layer's own
scheme, and its kernel is the class that computes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pytest_thinkslm.engines import compat_vllm
from pytest_thinkslm.engines.loaded import Layer, share_of_zeros

#: Where schemes and methods keep the object that computes.
_KERNELS = ("kernel", "fp8_linear")
#: As ``worker_extension_cls`` and ``collective_rpc`` take them.
EXTENSION, METHOD = f"{__name__}.LoadedLayers", "thinkslm_loaded_layers"


class LoadedLayers:
    """Mixed into vLLM's worker."""

    def thinkslm_loaded_layers(self) -> tuple[list[dict[str, Any]], float | None]:
        """The linear layers of this worker, and the share of zeros in a few dense ones (None: none is dense).

        As plain values: where the core is a process of its own they travel to it.
        """
        model = self.model_runner.model  # type: ignore[attr-defined]  # the worker's own
        modules = [module for module in model.modules() if _is_linear(module)]
        return [asdict(_layer(module)) for module in modules], share_of_zeros(list(_dense(modules)))


def _is_linear(module: Any) -> bool:
    """A linear layer or a mixture of experts, with its method of computing; not embeddings, output layer, attention."""
    computes = compat_vllm.is_linear(module) or "MoE" in type(module).__name__
    return computes and getattr(module, "quant_method", None) is not None


def _layer(module: Any) -> Layer:
    method, scheme = module.quant_method, getattr(module, "scheme", None)
    name = type(method).__name__
    dtype = str(getattr(module, "params_dtype", None)).removeprefix("torch.")
    if name.startswith("Unquantized"):
        return Layer(32.0 if dtype == "float32" else 16.0, None, 16, name, dtype)
    weights, inputs = _arguments(method, scheme)
    config = getattr(method, "quant_config", None)
    bits = _first(scheme, ["num_bits"]) or _first(weights, ["num_bits"]) or _first(config, ["weight_bits"])
    group = _first(scheme, ["group_size"]) or _first(weights, ["group_size"]) or _first(config, ["group_size"])
    kernel = _first(scheme, _KERNELS) or _first(method, _KERNELS)
    names = [type(scheme).__name__ if scheme is not None else name, *([type(kernel).__name__] if kernel else [])]
    return Layer(
        # The methods that name no bits are those of FP8, and of the 4-bit floats.
        float(bits or (4 if "fp4" in name.lower() else 8)),
        group if isinstance(group, int) and group > 0 else None,
        # Marlin multiplies 16-bit activations, whatever bits their scheme has for them.
        16 if "Marlin" in names[-1] else int(_first(inputs, ["num_bits"]) or (8 if "Fp8" in names[0] else 16)),
        " / ".join(names),
        dtype,
        "simulated" if "emulat" in names[-1].lower() else "computed",
    )


def _arguments(method: Any, scheme: Any) -> tuple[Any, Any]:
    """compressed-tensors' arguments for weights and activations, where the config has one scheme for all layers."""
    groups: Mapping[str, Any] = getattr(getattr(method, "quantization_config", None), "target_scheme_map", None) or {}
    one: Mapping[str, Any] = next(iter(groups.values()), {})
    return one.get("weights"), one.get("input_activations")


def _dense(modules: Iterable[Any]) -> Iterable[Any]:
    """Weights that can be looked at: of unquantized layers, where the kernel did not repack them."""
    for module in modules:
        weight = getattr(module, "weight", None)
        if type(module.quant_method).__name__.startswith("Unquantized") and weight is not None and weight.numel():
            yield weight


def _first(holder: Any, names: Iterable[str]) -> Any:
    """The first attribute by these names that is there."""
    found = (getattr(holder, name, None) for name in names)
    return next((one for one in found if one is not None), None)
