"""Engines that a user brings: found by name, made, and held to what the rest of the run relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TextIO, cast

from pytest_thinkslm.core import entry_points
from pytest_thinkslm.core.errors import EngineError, ThinkSLMError, UsageError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.settings.run_settings import ENGINE_GROUP, ENGINES


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is made for.

    Attributes:
        model: what ``--model`` names, as it was typed.
        quant: the variant's ``--quant``; None where none was asked for, or ``none``, which is the same.
        args: ``--engine-args``, as text; what is unknown has to be refused with ``UsageError``.
        thinking: ``--thinking``; an engine that cannot do it has to refuse it with ``UsageError``. It is in each
            request, too.
        log: for the engine's own chatter (``engine.log``); None where nobody keeps one.
    """

    model: str
    quant: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    thinking: str | None = None
    log: TextIO | None = None


#: What an entry point of the group ``pytest_thinkslm.engines`` names: a class, or a function.
EngineMaker = Callable[[EngineSpec], Engine]


def register_engine(name: str, make: EngineMaker) -> EngineMaker:
    """Add an engine under a name (``--engine NAME``), in a conftest; packages have entry points. Returns ``make``.

    Raises ``UsageError`` for the name of one of the suite's own engines.
    """
    if name in ENGINES:
        raise UsageError(f"engine {name!r} is the suite's own: choose another name")
    entry_points.add(ENGINE_GROUP, name, make)
    return make


def make_engine(name: str, spec: EngineSpec) -> Engine:
    """The user's engine of this name. Raises ``UsageError`` where it cannot be made, in words that name it."""
    make = entry_points.find(ENGINE_GROUP, name)
    if not callable(make):
        raise UsageError(
            f"--engine {name}: its entry point is a {type(make).__name__}, no class or function that makes an engine"
        )
    try:
        engine = cast("Engine", make(spec))
    except ThinkSLMError:
        raise
    except Exception as error:  # whatever a foreign function raises, the user has to know whose it is
        raise UsageError(f"--engine {name}: it could not be made: {type(error).__name__}: {error}") from error
    lacking = [method for method in ("submit", "fingerprint", "measured", "close") if not hasattr(engine, method)]
    if lacking:
        raise UsageError(f"--engine {name}: its {type(engine).__name__} lacks {', '.join(lacking)} (class Engine)")
    return _Held(name, spec, engine)


class _Held:
    """A user's engine whose faults are an error of the items, and whose fingerprint names the model, too."""

    def __init__(self, name: str, spec: EngineSpec, engine: Engine) -> None:
        self._name = name
        self._spec = spec
        self._engine = engine

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """The engine's futures; failed ones where it breaks its promise."""
        try:
            futures = list(self._engine.submit(requests))
        except Exception as error:
            return self._failed(requests, f"submit raised {type(error).__name__}: {error}")
        if len(futures) != len(requests):
            return self._failed(requests, f"submit returned {len(futures)} futures for {len(requests)} requests")
        return futures

    def fingerprint(self) -> Fingerprint:
        """The engine's facts with its name, the model, the quant and the arguments."""
        spec = self._spec
        try:
            own = dict(self._engine.fingerprint().facts)
            facts = {
                "engine": self._name,
                "model": spec.model,
                "quant": spec.quant,
                "args": dict(spec.args),
                "own": own,
            }
            found = Fingerprint(facts)
            _ = found.digest
        except ThinkSLMError:
            raise
        except Exception as error:
            raise UsageError(
                f"--engine {self._name}: its fingerprint cannot be used ({type(error).__name__}: {error}): it is a "
                "Fingerprint of plain JSON values"
            ) from error
        return found

    def measured(self) -> Mapping[str, object]:
        """What the engine measured."""
        return dict(self._engine.measured())

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _failed(self, requests: Sequence[Request], what: str) -> list[Future[Output]]:
        futures: list[Future[Output]] = []
        for _ in requests:
            future: Future[Output] = Future()
            future.set_exception(EngineError(f"--engine {self._name}: {what}"))
            futures.append(future)
        return futures
