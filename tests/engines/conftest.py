"""The embedded model, loaded once in float32 for all engine tests."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import ResolvedModel, resolve

#: One thread: the tests share the machine with others, and their batches are small.
ENGINE_ARGS = {"device": "cpu", "dtype": "float32", "threads": "1"}


@pytest.fixture(scope="session")
def embedded_model() -> ResolvedModel:
    return resolve("embedded")


@pytest.fixture(scope="session")
def loaded(embedded_model: ResolvedModel) -> Any:
    """Model and tokenizer as the engine loads them."""
    torch = pytest.importorskip("torch")
    from pytest_thinkslm.engines.transformers_load import load
    from pytest_thinkslm.machine.hardware import decide

    torch.set_num_threads(1)
    return load(embedded_model, decide("cpu", "float32"), trust_remote_code=False)


@pytest.fixture
def engine_on(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TransformersEngine]]:
    """``engine_on(resolved, loaded=..., **engine_args)``: an engine that takes the loaded model as its own."""
    made: list[TransformersEngine] = []

    def make(model: ResolvedModel, own: Any = loaded, **engine_args: str) -> TransformersEngine:
        given = functools.partial(_give, own)
        monkeypatch.setattr("pytest_thinkslm.engines.transformers_load.load", given)
        made.append(TransformersEngine(model, engine_args={**ENGINE_ARGS, **engine_args}))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(engine_on: Callable[..., TransformersEngine], embedded_model: ResolvedModel) -> TransformersEngine:
    return engine_on(embedded_model)


def _give(own: Any, *_: object, **__: object) -> Any:
    return own
