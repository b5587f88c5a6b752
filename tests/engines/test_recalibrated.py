"""Further runs of a first variant that was calibrated on this machine are of calibrations of their own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines import factory as factory_module
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.models import variants
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.settings.run_settings import Settings


class Named:
    """Answers with its checkpoint's folder."""

    def __init__(self, model: ResolvedModel, **_: Any) -> None:
        self.model, self.closed = model, False

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        found: list[Future[Output]] = [Future() for _ in requests]
        for future, request in zip(found, requests, strict=True):
            future.set_result(Output(f"{self.model.path.name} {request.label}", "stop"))
        return found

    def fingerprint(self) -> Fingerprint:
        return Fingerprint({"path": self.model.path.name})

    def measured(self) -> dict[str, object]:
        return {"device": "cpu", "output_tokens": 2}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Checkpoints as they are asked for; w8a8 needs no calibration, so that its seed makes no other one."""
    asked: list[str] = []

    def resolve_variant(name: str, quant: str, engine: str, *, seed: int = 0, **_: Any) -> ResolvedModel:
        path = tmp_path / (quant if quant in ("none", "w8a8") else f"{quant}-{seed}")
        asked.append(path.name)
        source: Any = "original" if quant == "none" else "on-demand"
        return ResolvedModel(name, "folder", path, name, {}, 0, source=source, chat_template="")

    monkeypatch.setattr(variants, "resolve_variant", resolve_variant)
    monkeypatch.setattr(factory_module, "check_thinking", lambda *_: None)
    monkeypatch.setattr(EngineFactory, "placement", lambda *_: None)
    monkeypatch.setattr("pytest_thinkslm.engines.transformers_engine.TransformersEngine", Named)
    return asked


def answers(quants: tuple[str, ...], index: int = 0) -> tuple[list[str], Any]:
    settings = Settings(("mine",), engine="transformers", quants=quants, noise_floor=2)
    engine = EngineFactory(settings, print).build(index, None)
    request = Request((Message("user", "?"),), Sampling(), label="a")
    asked = [replace(request, noise=run, label=str(run)) for run in (2, 0, 1, 0)]
    return [future.result().text for future in engine.submit(asked)], engine


def test_each_further_run_has_its_own(made: list[str]) -> None:
    texts, engine = answers(("gptq4", "gptq8"))
    assert texts == ["gptq4-2 2", "gptq4-0 0", "gptq4-1 1", "gptq4-0 0"]
    assert engine.fingerprint().facts == {"path": "gptq4-0"}
    assert engine.measured() == {"device": "cpu", "output_tokens": 6}
    engine.close()
    assert made == ["gptq4-0", "gptq4-1", "gptq4-2"]


@pytest.mark.parametrize(("quants", "index"), [(("none", "gptq4"), 0), (("w8a8", "gptq4"), 0), (("none", "gptq4"), 1)])
def test_nothing_else_is_made_twice(made: list[str], quants: tuple[str, ...], index: int) -> None:
    assert len({text.split()[0] for text in answers(quants, index)[0]}) == 1
    assert not {name for name in made if name.endswith(("-1", "-2"))}
