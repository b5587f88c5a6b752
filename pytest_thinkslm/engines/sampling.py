"""The sampling parameters of a variant: the run's, or what its checkpoint asks for."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Sampling
from pytest_thinkslm.models.generation import asked_sampling, shown
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.thought import thought_room
from pytest_thinkslm.runs.types import SamplingJson
from pytest_thinkslm.settings.run_settings import Settings


def sampling_of(settings: Settings, model: ResolvedModel | None) -> Sampling:
    """The parameters, but for the bound on new tokens and the seed.

    Args:
        settings: the run's.
        model: the checkpoint; None where it is not on this machine.

    Raises:
        UsageError: ``--sampling model`` where no checkpoint is here, or it asks for nothing, or for greedy output
            of which several are wanted.
        ModelError: a damaged generation_config.json.
    """
    if settings.sampling is None:
        return settings.own_sampling()
    by_hand = "--temperature, --top-p, --top-k, --min-p, --presence-penalty"
    if model is None:
        raise UsageError(
            "--sampling model: no checkpoint is here (recorded outputs, or a server) whose generation_config.json "
            f"could be read: give the values of the model's card ({by_hand})"
        )
    card = _card(model)
    if not card:
        raise UsageError(
            f"--sampling model: {model.display} says nothing about sampling in generation_config.json: leave "
            f"--sampling out, or give the values of its card ({by_hand})"
        )
    found = settings.own_sampling(card)
    if found.temperature == 0 and settings.repeats > 1:
        raise UsageError(
            f"--repeats {settings.repeats}: {model.display} asks for greedy decoding, so for {settings.repeats} times "
            "the same output: give --temperature above 0, or leave --repeats out"
        )
    return found


def _card(model: ResolvedModel) -> Mapping[str, float]:
    return asked_sampling(model.path, model.display) if model.recorded is None else model.recorded.sampling


def stated(sampling: Sampling) -> SamplingJson:
    """The parameters as results.json names them; bound and seed are stated elsewhere."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty,
    }


def advice(settings: Settings, model: ResolvedModel | None) -> str:
    """What to say of greedy decoding with a model that thinks; empty where there is nothing to say."""
    if model is None or sampling_of(settings, model).temperature > 0:
        return ""
    bounded = settings.thinking is not None and settings.thinking.isdecimal()
    if not bounded and not thought_room(model, settings.thinking).thinks:
        return ""
    card = _card(model)
    if card.get("temperature"):
        own = f"its generation_config.json asks for {shown(card)} (all of it: --sampling model)"
    else:
        own = "its generation_config.json asks for nothing else; its card may"
    return f"{model.display} thinks, and is decoded greedily, which can send long thoughts round in circles: {own}"
