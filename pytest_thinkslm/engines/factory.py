"""Which engine answers for a variant, and how it is made (cheaply: nothing is loaded here)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_thinkslm.engines.base import Engine, Fingerprint
from pytest_thinkslm.errors import UsageError, nearest
from pytest_thinkslm.execution.selection import Variant
from pytest_thinkslm.models.thought import ThoughtRoom, check_thinking, thought_room
from pytest_thinkslm.settings import Settings

if TYPE_CHECKING:
    from pytest_thinkslm.engines.replay import ReplayFile
    from pytest_thinkslm.models.placement import Placement
    from pytest_thinkslm.models.resolve import ResolvedModel


class EngineFactory:
    """The variants of a run and their engines.

    Args:
        settings: the run's settings.
        item_counts: number of items of a task, None where it is unknown (to check a replay file).
        say: takes one line for the user (progress of fetching and preparing).

    Raises:
        UsageError, ModelError: a model that cannot be found.
    """

    def __init__(
        self, settings: Settings, item_counts: Callable[[str], int | None], say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self._say = say
        self._resolved: dict[str, ResolvedModel] = {}
        self._files: list[tuple[ReplayFile, int]] = []
        self._fingerprints: dict[int, Fingerprint] = {}
        self.name = _engine_name(settings.engine)
        if self.name == "replay":
            self.variants = self._replayed(item_counts)
        else:
            self._arguments = {_model_name(model, settings.models): model for model in settings.models}
            self.variants = tuple(
                Variant(model, quant) for model in self._arguments for quant in (settings.quants or ("none",))
            )

    @property
    def journalled(self) -> bool:
        """Replayed outputs are not journalled."""
        return self.name != "replay"

    @property
    def replay_files(self) -> Sequence[ReplayFile]:
        """The replay files, each once."""
        return list({file.path: file for file, _ in self._files}.values())

    def resolve(self, variant: Variant) -> ResolvedModel | None:
        """The checkpoint of a variant (fetched where it has to be); None where the engine needs none here."""
        if self.name in ("replay", "openai"):
            return None
        if variant.model not in self._resolved:
            from pytest_thinkslm.models.resolve import resolve

            self._resolved[variant.model] = resolve(
                self._arguments[variant.model], trust_remote_code=self.settings.trust_remote_code, progress=self._say
            )
            check_thinking(self._resolved[variant.model], self.settings.thinking)
        return self._resolved[variant.model]

    def thought_room(self, index: int) -> ThoughtRoom:
        """Whether outputs of the variant at this position begin with a thought, and the context that bounds them."""
        thinking = self.settings.thinking
        if self.name == "replay":
            return ThoughtRoom(False, None)
        if self.name == "openai":
            context = self.fingerprint(index).facts.get("max_model_len") if thinking == "on" else None
            return ThoughtRoom(thinking == "on", context if isinstance(context, int) else None)
        model = self.resolve(self.variants[index])
        assert model is not None
        return thought_room(model, thinking)

    def build(self, index: int, log: TextIO | None) -> Engine:
        """The engine of the variant at this position."""
        engine, thinking = self._backend(index, log), self.settings.thinking
        if self.name == "replay" or thinking is None or not thinking.isdecimal():
            return engine
        from pytest_thinkslm.engines.thinking import ThinkingEngine

        return ThinkingEngine(engine, unmarked_is_thought=self.name == "openai")

    def _backend(self, index: int, log: TextIO | None) -> Engine:
        if self.name == "replay":
            from pytest_thinkslm.engines.replay import ReplayEngine

            file, variant = self._files[index]
            return ReplayEngine(file, variant, self._latency())
        settings = self.settings
        if self.name == "openai":
            from pytest_thinkslm.engines.openai_engine import OpenAIEngine

            assert settings.server_url is not None
            name = self._arguments[self.variants[index].model]
            return OpenAIEngine(name, server_url=settings.server_url, engine_args=settings.engine_args, log=log)
        model = self.resolve(self.variants[index])
        assert model is not None
        if self.name == "vllm":
            from pytest_thinkslm.engines.vllm_engine import VLLMEngine

            return VLLMEngine(
                model,
                engine_args=settings.engine_args,
                trust_remote_code=settings.trust_remote_code,
                log=log,
                placement=_placed(model),
            )
        from pytest_thinkslm.engines.transformers_engine import TransformersEngine

        return TransformersEngine(
            model, engine_args=settings.engine_args, trust_remote_code=settings.trust_remote_code, log=log
        )

    def fingerprint(self, index: int) -> Fingerprint:
        """What the outputs of the variant at this position depend on; asked of the engine once."""
        if index not in self._fingerprints:
            engine = self.build(index, None)
            try:
                self._fingerprints[index] = engine.fingerprint()
            finally:
                engine.close()
        return self._fingerprints[index]

    def _latency(self) -> float:
        arguments = dict(self.settings.engine_args)
        try:
            latency = float(arguments.pop("latency", "0"))
        except ValueError:
            raise UsageError(f"--engine-args latency={self.settings.engine_args['latency']!r} is no number") from None
        if arguments:
            raise UsageError(
                f"--engine-args {next(iter(arguments))!r} is unknown: {nearest(next(iter(arguments)), ['latency'])}"
            )
        return latency

    def _replayed(self, item_counts: Callable[[str], int | None]) -> tuple[Variant, ...]:
        from pytest_thinkslm.engines.replay import read_replay_file

        variants: list[Variant] = []
        self._latency()
        for model in self.settings.models:
            file = read_replay_file(Path(model).expanduser().absolute(), item_counts)
            for position, variant in enumerate(file.variants):
                if self.settings.quants and variant.quant not in self.settings.quants:
                    continue
                if variant in variants:
                    raise UsageError(f"--model: {variant.model} ({variant.quant}) is in more than one file")
                variants.append(variant)
                self._files.append((file, position))
        if not variants:
            raise UsageError(f"--quant {','.join(self.settings.quants)}: the recorded outputs have no such variant")
        return tuple(variants)


def _engine_name(asked: str) -> str:
    """``auto`` is vLLM where it can be imported, else transformers."""
    if asked != "auto":
        return asked
    from pytest_thinkslm.engines.vllm_args import available

    return "vllm" if available() else "transformers"


def _placed(model: ResolvedModel) -> Placement | None:
    """Where the model goes on this machine's GPUs, None without one. Raises ``PlacementError`` where it cannot fit."""
    from pytest_thinkslm.models import gpus
    from pytest_thinkslm.models.hardware import decide
    from pytest_thinkslm.models.placement import need_of_checkpoint, place

    devices = gpus.devices()
    if not devices:
        return None
    return place(need_of_checkpoint(model.path, model.config, decide().dtype), devices, model.display)


def _model_name(model: str, models: Sequence[str]) -> str:
    """A model's key in reports: a local folder by its own name, unless two are called the same."""
    name = Path(model).name
    if not Path(model).expanduser().is_dir() or [Path(other).name for other in models].count(name) > 1:
        return model
    return name or model
