"""What a checkpoint's generation_config.json asks for (``--sampling model``); imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import ModelError, UsageError

#: What is taken: name -> type and bounds (low, high), both ends allowed.
_TAKEN: Mapping[str, tuple[Callable[[float], float], float, float]] = {
    "temperature": (float, 0.0, math.inf),
    "top_p": (float, 0.0, 1.0),
    "top_k": (int, 0, math.inf),
    "min_p": (float, 0.0, 1.0),
    "presence_penalty": (float, -2.0, 2.0),
    "repetition_penalty": (float, 0.01, math.inf),
}
#: What changes the choice of tokens and is not done here: name -> the value at which it does nothing.
_NOT_DONE: Mapping[str, object] = {
    "num_beams": 1,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "no_repeat_ngram_size": 0,
    "penalty_alpha": 0.0,
    "top_h": None,
}


def asked_sampling(folder: Path, display: str) -> dict[str, float]:
    """The sampling parameters that a checkpoint's generation_config.json names, as they are.

    ``do_sample: false`` is temperature 0, whatever else is there; with ``do_sample: true`` alone the temperature is 1.
    A parameter that is not named is not in the result: no library's default is put in its place. Empty where the file
    says nothing about sampling, or is not there.

    Raises:
        ModelError: the file is damaged, or a value in it is none.
        UsageError: it asks for something that no engine here does (beams, say).
    """
    file = folder / "generation_config.json"
    if not file.is_file():
        return {}
    try:
        content = files.read_json(file)
    except (OSError, ValueError) as problem:
        raise ModelError(f"{display}: generation_config.json cannot be read ({problem}); fetch it again") from None
    if not isinstance(content, dict):
        raise ModelError(f"{display}: generation_config.json is no JSON object; fetch it again")
    for name, neutral in _NOT_DONE.items():
        if content.get(name) not in (None, neutral):
            raise UsageError(
                f"--sampling model: {display} asks for {name} {content[name]!r}, which is not done here: leave "
                "--sampling out and give --temperature and the like yourself"
            )
    found = {name: _value(content[name], name, display) for name in _TAKEN if content.get(name) is not None}
    if content.get("do_sample") is False:
        return {"temperature": 0.0}
    sampled = {name for name in found if name != "repetition_penalty"}
    if (content.get("do_sample") or sampled) and "temperature" not in found:
        found = {"temperature": 1.0, **found}
    return found


def shown(values: Mapping[str, float]) -> str:
    """Sampling parameters as options that a user can type."""
    return " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in values.items())


def _value(value: object, name: str, display: str) -> float:
    kind, low, high = _TAKEN[name]
    if name == "top_k" and value == -1:
        return 0  # "off", as vLLM and servers have it
    if isinstance(value, bool) or not isinstance(value, int | float) or not (low <= value <= high and value < math.inf):
        raise ModelError(f"{display}: generation_config.json has {name} {value!r}, which is out of range")
    return kind(value)
