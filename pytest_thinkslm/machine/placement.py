"""What a model needs against what the GPUs have: tensor-parallel size, replicas, and which GPUs each of them gets.

Pure arithmetic over sizes in bytes; decided before anything is loaded. The smallest tensor-parallel size that fits is
taken, because independent replicas do not wait for each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.core.configs import Config, text_config
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.core.weight_files import tensors, weight_files
from pytest_thinkslm.machine.gpus import Device

GIB = 1 << 30
#: Share of a GPU that vLLM is given (its own default); the rest is for what it does not count.
UTILIZATION = 0.9
#: Bytes on each GPU beside weights and KV cache: CUDA context, activations of a step, CUDA graphs, communication.
OVERHEAD = 3 * GIB // 2
#: The KV cache that is asked for: so many sequences of so many tokens at once. Below this a GPU runs far from full.
BATCH, CONTEXT = 16, 2048

#: GPUs that are offered as what would fit: GiB and name.
_COMMON = ((24, "24 GB"), (48, "48 GB"), (80, "80 GB"), (141, "141 GB"))


class PlacementError(ModelError):
    """The model fits on no group of the GPUs; the message has the figures and what would fit."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes: ``weights`` and ``kv_cache`` are divided among a tensor-parallel group, ``overhead`` is on each GPU.

    ``heads`` (attention heads) must be divisible by the tensor-parallel size; None where they are unknown.
    """

    weights: int
    kv_cache: int
    overhead: int = OVERHEAD
    heads: int | None = None

    def share(self, tensor_parallel: int) -> int:
        """Bytes on each GPU of a group of this size."""
        return math.ceil((self.weights + self.kv_cache) / tensor_parallel) + self.overhead

    def __str__(self) -> str:
        return (
            f"{_gib(self.share(1))} (weights {_gib(self.weights)}, KV cache {_gib(self.kv_cache)}, "
            f"{_gib(self.overhead)} on each GPU for the rest)"
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Each group of GPU positions (among the visible ones) holds one replica; on a CPU ``groups`` is empty."""

    tensor_parallel: int
    replicas: int
    groups: tuple[tuple[int, ...], ...]
    reason: str


def need(
    weights_bytes: int,
    kv_bytes_per_token: int,
    context: int = CONTEXT,
    batch: int = BATCH,
    overhead: int = OVERHEAD,
    heads: int | None = None,
) -> Need:
    """What ``batch`` sequences of ``context`` tokens need beside the weights; all sizes in bytes."""
    return Need(weights_bytes, kv_bytes_per_token * context * batch, overhead, heads)


def need_of_checkpoint(
    folder: Path, config: Config, dtype: str = "auto", context: int = CONTEXT, batch: int = BATCH
) -> Need:
    """The need of a checkpoint on this disk, from its weight files' headers and its config."""
    inner = text_config(config)
    heads = inner.get("num_attention_heads")
    return need(
        weights_bytes(folder, dtype),
        kv_bytes_per_token(config),
        context,
        batch,
        heads=heads if isinstance(heads, int) else None,
    )


def need_of_catalogue(disk_gib: float | None, billions: float, bits: int = 16) -> Need:
    """The need of a checkpoint that is not here yet, from its size on disk and its number of parameters.

    Where the size on disk is not known, the weights are estimated as the parameters at ``bits`` each plus a tenth for
    scales and layers that are kept at 16 bits.
    The KV cache of a token is estimated as 40 kB times the root of the parameters in billions, which is within 1.3 x of
    Qwen2.5-32B (262 kB), Llama-3.1-8B (131 kB) and Llama-3.1-70B (328 kB).
    """
    weights = billions * 1e9 * bits / 8 * 1.1 if disk_gib is None else disk_gib * GIB
    return need(int(weights), int(40_000 * math.sqrt(billions)))


def place(what: Need, devices: Sequence[Device], name: str = "the model", size: int | None = None) -> Placement:
    """Smallest tensor-parallel size that fits, with as many replicas as there are groups.

    ``size`` is the one tensor-parallel size that may be, where the user or the engine leaves no choice.

    Raises:
        PlacementError: it fits on no group; a machine without a GPU is no error (one replica, on the CPU).
    """
    if not devices:
        return Placement(1, 1, (), "no GPU is visible: one replica on the CPU")
    if size is not None and size > len(devices):
        raise PlacementError(
            f"{name}: a tensor-parallel size of {size} was asked for, but there is {_inventory(devices)}"
        )
    sizes = list(_sizes(what, len(devices))) if size is None else [size]
    for group in sizes:
        fitting = [device.index for device in devices if _usable(device) >= what.share(group)]
        groups = tuple(tuple(fitting[at : at + group]) for at in range(0, len(fitting) - group + 1, group))
        if groups:
            several = f"{len(groups)} replicas" if len(groups) > 1 else "one replica"
            on = f"{group} GPUs each" if group > 1 else "one GPU each"
            reason = (
                f"{name} needs {_gib(what.share(group))} on each GPU of a group of {group} "
                f"(weights {_gib(what.weights)}): {several} on {on}"
            )
            return Placement(group, len(groups), groups, reason)
    raise PlacementError(_refusal(what, devices, name, sizes, (1, 2, 4, 8) if size is None else (size,)))


def weights_bytes(folder: Path, dtype: str = "auto") -> int:
    """Bytes of a checkpoint's weights once loaded, from the headers of its safetensors files.

    Only files of the index count, where there is one (some repositories carry a second copy). Floating-point
    tensors of 16 or 32 bits are counted in ``dtype`` (``"auto"``: as stored); quantized ones as stored.

    Raises:
        ModelError: a header cannot be read.
    """
    width = _WIDTHS.get(dtype)
    total = 0
    for file in weight_files(folder):
        for tensor in tensors(file).values():
            stored = _FLOATS.get(tensor.dtype)
            total += tensor.bytes if stored is None or width is None else tensor.bytes // stored * width
    return total


_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
_FLOATS = {"F32": 4, "F16": 2, "BF16": 2}


def kv_bytes_per_token(config: Config, element_bytes: int = 2) -> int:
    """Keys and values of one token in all layers: 2 x layers x KV heads x head size x bytes of an element."""
    inner = text_config(config)

    def number(key: str, default: int) -> int:
        value = inner.get(key)
        return value if isinstance(value, int) and value > 0 else default

    heads = number("num_attention_heads", 32)
    return (
        2
        * number("num_hidden_layers", 32)
        * number("num_key_value_heads", heads)
        * number("head_dim", number("hidden_size", 4096) // heads)
        * element_bytes
    )


def _sizes(what: Need, count: int) -> Iterator[int]:
    """Tensor-parallel sizes: powers of two, where heads are known only those that divide them."""
    size = 1
    while size <= count:
        if what.heads is None or what.heads % size == 0:
            yield size
        size *= 2


def _usable(device: Device) -> int:
    return min(int(device.total_bytes * UTILIZATION), device.free_bytes)


def _refusal(what: Need, devices: Sequence[Device], name: str, sizes: Sequence[int], offered: Sequence[int]) -> str:
    largest = max(sizes)
    room = sorted((_usable(device) for device in devices), reverse=True)
    most = max((room[size - 1] - what.overhead) * size - what.kv_cache for size in sizes if size <= len(room))
    busy = [device for device in devices if device.free_bytes < device.total_bytes * UTILIZATION]
    options = [
        f"{size} x {label}"
        for gib, label in _COMMON
        for size in offered
        if (what.heads is None or what.heads % size == 0) and gib * GIB * UTILIZATION >= what.share(size)
    ]
    smallest = {option.partition(" x ")[2]: option for option in reversed(options)}
    fits = ", ".join(smallest[label] for _, label in _COMMON if label in smallest) or f"no {max(offered)} x 141 GB"
    together = "it has to be on one" if largest == 1 else f"at most {largest} GPUs work together on it"
    return (
        f"{name} does not fit: it needs {what}; there is {_inventory(devices)}, of which "
        f"{_gib(room[0])} is usable on the freest, and {together}. "
        + (f"Other programs hold memory on {len(busy)} of them. " if busy else "")
        + f"It would fit on {fits}; here a checkpoint with weights of at most {_gib(max(0, most))} would fit "
        "(a smaller model, or this one quantized: --quant)"
    )


def _inventory(devices: Sequence[Device]) -> str:
    counts: dict[str, int] = {}
    for device in devices:
        key = f"{device.name} of {_gib(device.total_bytes)}"
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{count} x {key}" for key, count in counts.items())


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
