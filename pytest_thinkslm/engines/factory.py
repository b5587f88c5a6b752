"""Which engine answers for a variant, and how it is made (cheaply: nothing is loaded here)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from pytest_thinkslm.core.errors import ModelError, ThinkSLMError, UsageError, nearest
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.identity import ItemKey, ItemRef, Variant, labels
from pytest_thinkslm.core.records import Sampling
from pytest_thinkslm.core.schemes import KV_CACHES, parts_of
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.engines.recalled import Recalled, asked_quant, recalled_of_server, recalled_variants, remember
from pytest_thinkslm.engines.sampling import sampling_of, stated
from pytest_thinkslm.engines.scoring import Scorer
from pytest_thinkslm.machine.placement import PlacementError
from pytest_thinkslm.models.switches import LEVELS
from pytest_thinkslm.models.thought import ThoughtRoom, check_system, check_thinking, thought_room
from pytest_thinkslm.runs.earlier import Earlier, earlier
from pytest_thinkslm.runs.types import SettingsJson
from pytest_thinkslm.settings.run_settings import Settings, is_own_engine

if TYPE_CHECKING:
    from pytest_thinkslm.engines.replay import ReplayFile
    from pytest_thinkslm.machine.gpus import Gpu
    from pytest_thinkslm.machine.hardware import DeviceChoice
    from pytest_thinkslm.machine.placement import Placement
    from pytest_thinkslm.models.resolve import ResolvedModel


@dataclass(frozen=True, slots=True)
class Share:
    """This process's share of the machine.

    Attributes:
        workers: processes that run engines side by side on it (xdist workers).
        devices: positions of its GPUs among those that the run may use; None: all of them.
        checks: whether it checks that the machine will do; workers run beside each other, after the controller did.
    """

    workers: int = 1
    devices: Sequence[int] | None = None
    checks: bool = True


#: By what argument an engine is told how its cache of keys and values is stored.
_CACHE_ARGUMENTS: Mapping[str, str] = {"vllm": "kv_cache_dtype", "llamacpp": "cache_type"}
#: A process that has the machine to itself.
_WHOLE = Share()


class EngineFactory:
    """The variants of a run and their engines.

    Args:
        settings: the run's settings.
        say: takes one line for the user (progress of fetching and preparing).
        recorded: the files of the replay engine (``recorded_outputs``).
        share: this process's share of the machine.

    Raises:
        UsageError, ModelError: a model that cannot be found.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        recorded: Sequence[ReplayFile] = (),
        share: Share = _WHOLE,
    ) -> None:
        self.settings = settings
        self._say = say
        self._resolved: dict[Variant, ResolvedModel] = {}
        self._share = share
        self._files: list[tuple[ReplayFile, int]] = []
        self._fingerprints: dict[int, Fingerprint] = {}
        self._placements: dict[int, Placement | None] = {}
        self._earlier: dict[int, Earlier] = {}
        self._recalled: dict[Variant, Recalled] = {}
        gone = recalled_variants(settings) if settings.rescore else {}
        self.name, self._passed_over = (next(iter(gone.values())).engine, ()) if gone else _engines(settings)
        if self.name == "replay":
            self.variants = self._replayed(recorded)
        else:
            self._arguments: dict[Variant, str] = {}
            for model in settings.models:
                for quant in settings.quants or (None,):
                    recalled = gone.get((model, quant))
                    if recalled is not None:
                        self._recalled[recalled.variant] = recalled
                        self._arguments[recalled.variant] = model
                    else:
                        self._arguments[Variant(self._model_name(model), quant or self._own_quant(model))] = model
            self.variants = tuple(self._arguments)
            for variant in self.variants:
                self.engine_args(variant)
        if settings.drift is not None:
            self._check_drift()
        if settings.budget_curve == () and self.name == "replay":
            raise UsageError(
                "--budget-curve auto: recorded answers are of certain budgets: name them, say --budget-curve 64,256"
            )
        if settings.noise_floor and len(self.variants) < 2:
            raise UsageError(
                "--noise-floor says which flips of other variants are beyond numerics, and there is one variant: give "
                "several, say --quant none,w8a8"
            )

    @functools.cached_property
    def labels(self) -> Mapping[Variant, str]:
        """The name of each variant in test ids and messages."""
        return labels(self.variants)

    @property
    def journalled(self) -> bool:
        """Replayed outputs are not journalled."""
        return self.name != "replay"

    @property
    def replay_files(self) -> Sequence[ReplayFile]:
        """The replay files, each once."""
        return list({file.path: file for file, _ in self._files}.values())

    def has_output(self, ref: ItemRef) -> bool:
        """Whether an item's output is recorded (or two that differ), under ``--engine replay``."""
        from pytest_thinkslm.engines.replay import form_of

        file, position = self._files[ref.variant]
        return file.has(position, ref.task, ref.index, ref.style, ref.repeat, form_of(ref))

    def lacking(self, keys: Iterable[ItemKey]) -> int:
        """How many items have no recorded output; 0 on any engine that makes them."""
        if self.name != "replay":
            return 0
        files = {(v.model, v.quant): file for v, file in zip(self.variants, self._files, strict=True)}
        found = 0
        for key in keys:
            file, position = files[key.model, key.quant]
            found += not file.has(position, key.task, int(key.item), key.style, key.repeat, key.stress)
        return found

    def recorded_items(self, task: str) -> set[int]:
        """The items of a task of which any variant has a recorded output."""
        return {index for file, position in self._files for index in file.items(position, task)}

    def earlier(self, index: int) -> Earlier:
        """What earlier runs whose reports lie beside this one's measured of the variant at this position."""
        if index not in self._earlier:
            folder = self.settings.report_dir
            beside = Path("reports") if folder is None else folder.parent
            self._earlier[index] = earlier(beside, self.variants[index], self.name)
        return self._earlier[index]

    def given_as(self, index: int) -> str:
        """The variant at this position as ``--model`` names it."""
        name = self.variants[index].model
        return name if self.name == "replay" else self._arguments[self.variants[index]]

    def resolve(self, variant: Variant) -> ResolvedModel | None:
        """The checkpoint of a variant (fetched where it has to be); None where the engine needs none here."""
        if not self.local:
            return None
        if variant in self._recalled:
            return self._recalled[variant].model
        if variant not in self._resolved:
            self._resolved[variant] = self._found(variant)
            check_system(self._resolved[variant], self.settings.system)
            check_thinking(self._resolved[variant], self.settings.thinking, self.settings.system)
        return self._resolved[variant]

    def _found(self, variant: Variant, seed: int = 0) -> ResolvedModel:
        from pytest_thinkslm.models.variants import resolve_variant

        settings = self.settings
        return resolve_variant(
            self._arguments[variant],
            parts_of(variant.quant)[0] if settings.quants else None,
            self.name,
            others=self._passed_over,
            trust_remote_code=settings.trust_remote_code,
            engine_args=self.engine_args(variant),
            data_dir=settings.data_dir,
            seed=seed,
            check=self._share.checks and not settings.rescore,
            progress=self._say,
        )

    def engine_args(self, variant: Variant) -> Mapping[str, str]:
        """``--engine-args``, and what the variant's cache asks of the engine.

        Raises:
            UsageError: the engine has no such cache, or another one is among the arguments.
        """
        given, cache = self.settings.engine_args, parts_of(variant.quant)[1]
        if cache is None or not self.local:
            return given
        word = KV_CACHES[cache].get(self.name)
        if word is None:
            having = " and ".join(KV_CACHES[cache])
            raise UsageError(
                f"--quant {variant.quant}: the engine {self.name} has no cache {cache}: --engine {having} has"
            )
        argument = _CACHE_ARGUMENTS[self.name]
        if any(name.strip().removeprefix("--").replace("-", "_") == argument for name in given):
            raise UsageError(
                f"--quant {variant.quant} and --engine-args {argument} both say what the cache is: give one"
            )
        return {**given, argument: word}

    def _own_quant(self, model: str) -> str:
        """The quant of a checkpoint that is taken as it is."""
        if not self.local:
            return "none"
        from pytest_thinkslm.models.variants import label_of

        return label_of(model, self.name)

    def _model_name(self, model: str) -> str:
        """A model's key in reports: a local folder by its own name, unless two are called the same."""
        if self.local:
            from pytest_thinkslm.models.gguf_models import find_gguf

            gguf = find_gguf(model, [parts_of(quant)[0] for quant in self.settings.quants], self.name)
            if gguf is not None and gguf.folder is None and gguf.checkpoint is None:
                return gguf.name
        name = Path(model).name
        alike = [Path(other).name for other in self.settings.models].count(name) > 1
        if not expanded(model).is_dir() or alike:
            return model
        return name or model

    def thought_room(self, index: int) -> ThoughtRoom:
        """Whether outputs of the variant at this position begin with a thought, and the context that bounds them."""
        thinking = self.settings.thinking
        if self.name == "replay":
            return ThoughtRoom(False, None)
        if is_own_engine(self.name):
            return ThoughtRoom(thinking is not None and thinking != "off", None)
        if self.name == "openai":
            # A server counts the prompt's tokens, which are not known here, and refuses what does not fit: half of its
            # context is left to the prompt.
            context = self.fingerprint(index).facts.get("max_model_len")
            thinks = thinking == "on" or thinking in LEVELS
            return ThoughtRoom(thinks, context // 2 if isinstance(context, int) else None)
        model = self.resolve(self.variants[index])
        assert model is not None
        return thought_room(model, thinking)

    def sampling(self, index: int) -> Sampling:
        """The sampling parameters of the variant at this position. Raises as ``sampling.sampling_of`` does."""
        return sampling_of(self.settings, self.resolve(self.variants[index]))

    def stated_settings(self) -> SettingsJson:
        """The settings as results.json has them: the sampling parameters are those that the first variant gets."""
        return cast("SettingsJson", asdict(self.settings) | dict(stated(self.sampling(0))))

    @property
    def local(self) -> bool:
        """Whether the model is a checkpoint that one of the suite's engines loads on this machine."""
        return self.name not in ("replay", "openai") and not is_own_engine(self.name)

    @property
    def waits(self) -> bool:
        """Whether an output takes time, so that asking for one at a time would keep the engine idle."""
        return self.name != "replay" or self._latency() > 0

    def placement(self, index: int) -> Placement | None:
        """Where the variant at this position goes on the visible GPUs, decided once, before anything is loaded.

        None where it runs on a CPU or elsewhere. Raises ``PlacementError`` where it cannot fit, except under
        ``--rescore``, which loads nothing.
        """
        if index not in self._placements:
            model = self.resolve(self.variants[index])
            if model is not None and model.recorded is not None:
                model = None
            try:
                self._placements[index] = None if model is None else _placed(self.name, model, self.settings)
            except PlacementError:
                if not self.settings.rescore:
                    raise
                self._placements[index] = None
        return self._placements[index]

    def largest_placement(self) -> Placement | None:
        """The placement with the largest groups: every variant fits on each of them. None without a GPU."""
        found = [self.placement(index) for index in range(len(self.variants))]
        placed = [placement for placement in found if placement is not None]
        return max(placed, key=lambda placement: (placement.tensor_parallel, -placement.replicas), default=None)

    def gpu(self, index: int) -> Gpu:
        """The devices that the variant at this position has in this process."""
        from pytest_thinkslm.machine import gpus

        if not self.local:
            where = {"replay": "recorded outputs", "openai": "the model runs on the server"}.get(
                self.name, "its own matter"
            )
            return gpus.Gpu("none", (), 1, 1, f"--engine {self.name}: {where}")
        placement = self.placement(index)
        if placement is None:
            return gpus.Gpu("cpu", (), 1, 1, _on_cpu(self.name, self.settings))
        groups = placement.groups[: _replicas(self.name, self.settings, len(placement.groups))]
        found = gpus.devices()
        used = [found[position] for group in groups for position in group]
        if self._share.devices is not None:
            used = [replace(device, index=self._share.devices[device.index]) for device in used]
        return gpus.Gpu("cuda", tuple(used), placement.tensor_parallel, len(groups), placement.reason)

    def build(self, index: int, log: TextIO | None) -> Engine:
        """The engine of the variant at this position."""
        engine, thinking = self._recalibrated(index, self._backend(index, log), log), self.settings.thinking
        if self.name == "replay" or thinking is None or is_own_engine(self.name):
            return engine
        if self.name == "openai":
            from pytest_thinkslm.engines.openai_engine import OpenAIEngine

            assert isinstance(engine, OpenAIEngine)
            if not self.settings.rescore:
                try:
                    engine.confirm(thinking)
                except ThinkSLMError:
                    engine.close()
                    raise
        elif not thinking.isdecimal():
            return engine
        from pytest_thinkslm.engines.thinking import ThinkingEngine

        return ThinkingEngine(engine, unmarked_is_thought=self.name == "openai")

    def scorer(self, index: int, log: TextIO | None) -> Scorer:
        """The engine of the variant at this position, to score texts; of a GGUF model transformers, which says so.

        Raises:
            ModelError: transformers cannot take the weights of a GGUF model.
        """
        engine = self._dequantized(index, log) if self.name == "llamacpp" else self._backend(index, log)
        assert isinstance(engine, Scorer)
        return engine

    def _check_drift(self) -> None:
        """Raises ``UsageError`` where ``--drift`` could measure nothing."""
        if len(self.variants) < 2:
            raise UsageError(
                "--drift holds variants against each other, and there is one: give several, say --quant none,w8a8"
            )
        if self.name not in ("transformers", "vllm", "llamacpp"):
            raise UsageError(
                f"--drift needs the model's probabilities of a given text, and the engine {self.name} does not give "
                "them: --engine transformers, vllm and llamacpp do"
            )
        if self.name == "llamacpp":
            from pytest_thinkslm.models.dequantize import lacking

            if missing := lacking():
                raise UsageError(
                    "--drift scores GGUF models through transformers, on their dequantized weights, and here is no "
                    f"{', '.join(missing)}: install 'pytest-thinkslm[transformers]'"
                )
            if cached := [one.quant for one in self.variants if parts_of(one.quant)[1] is not None]:
                raise UsageError(
                    "--drift scores GGUF models through transformers, which has no such cache of keys and values: "
                    f"leave out --drift, or {', '.join(cached)}"
                )

    def _recalibrated(self, index: int, engine: Engine, log: TextIO | None) -> Engine:
        """The engine, whose further runs have calibrations of their own where the first variant was calibrated here."""
        model = self.resolve(self.variants[index])
        if index or model is None or model.source != "on-demand":
            return engine
        from pytest_thinkslm.engines.recalibrated import Recalibrated

        runs = range(1, 1 + self.settings.noise_floor)
        found = {run: self._found(self.variants[index], seed=run) for run in runs}
        further = {run: self._backend(index, log, own) for run, own in found.items() if own.path != model.path}
        return Recalibrated(engine, further) if further else engine

    def _backend(self, index: int, log: TextIO | None, model: ResolvedModel | None = None) -> Engine:
        if self.name == "replay":
            from pytest_thinkslm.engines.replay import ReplayEngine

            file, variant = self._files[index]
            return ReplayEngine(file, variant, self._latency())
        settings = self.settings
        if self.name == "openai":
            from pytest_thinkslm.engines.openai_engine import OpenAIEngine

            assert settings.server_url is not None
            name = self._arguments[self.variants[index]]
            return OpenAIEngine(
                name, server_url=settings.server_url, engine_args=settings.engine_args, log=log, say=self._say
            )
        if is_own_engine(self.name):
            from pytest_thinkslm.engines.own import EngineSpec, make_engine

            own = self.variants[index]
            quant, given = self._asked_quant(own), dict(settings.engine_args)
            spec = EngineSpec(self._arguments[own], quant, given, settings.thinking, log)
            return make_engine(self.name, spec)
        model = model or self.resolve(self.variants[index])
        assert model is not None
        if self.name == "vllm":
            from pytest_thinkslm.engines.vllm_engine import VLLMEngine

            return VLLMEngine(
                model,
                engine_args=self.engine_args(self.variants[index]),
                trust_remote_code=settings.trust_remote_code,
                log=log,
                placement=self.placement(index),
                beside=self._share.workers,
            )
        if self.name == "llamacpp":
            from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine

            arguments = self.engine_args(self.variants[index])
            return LlamaCppEngine(model, engine_args=arguments, log=log, beside=self._share.workers)
        from pytest_thinkslm.engines.transformers_engine import TransformersEngine

        place = self.placement(index)
        return TransformersEngine(
            model,
            engine_args=settings.engine_args,
            trust_remote_code=settings.trust_remote_code,
            log=log,
            gpu=0 if place is None else place.groups[0][0],
            beside=self._share.workers,
        )

    def _dequantized(self, index: int, log: TextIO | None) -> Engine:
        """transformers on the weights of the GGUF model at this position."""
        from pytest_thinkslm.engines.transformers_engine import TransformersEngine
        from pytest_thinkslm.models.dequantized import dequantized

        model = self.resolve(self.variants[index])
        assert model is not None
        return TransformersEngine(dequantized(model, self._say), log=log, beside=self._share.workers)

    @property
    def scored_as(self) -> str | None:
        """What is scored where it is not what answers; None: it is."""
        return "dequantized weights, by transformers" if self.name == "llamacpp" else None

    def fingerprint(self, index: int) -> Fingerprint:
        """What the outputs of the variant at this position depend on; asked of the engine once."""
        if self.variants[index] in self._recalled:
            return self._recalled[self.variants[index]].fingerprint
        if index not in self._fingerprints:
            engine = self._backend(index, None)
            try:
                self._fingerprints[index] = engine.fingerprint()
            except ModelError as error:
                recalled = recalled_of_server(self.settings, self._arguments[self.variants[index]])
                if recalled is None:
                    raise
                self._say(f"{error}; it is scored by what the journal has of it")
                self._fingerprints[index] = recalled.fingerprint
            finally:
                engine.close()
        return self._fingerprints[index]

    def remember(self, index: int) -> None:
        """Note in the journal what the variant at this position is, so that it can be scored without being here."""
        variant = self.variants[index]
        asked = (self._arguments[variant], self._asked_quant(variant), self.name)
        remember(self.settings.journal_dir, self.fingerprint(index), variant, asked, self.resolve(variant))

    def _asked_quant(self, variant: Variant) -> str | None:
        return asked_quant(variant.quant if self.settings.quants else None, local=self.local)

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

    def _replayed(self, recorded: Sequence[ReplayFile]) -> tuple[Variant, ...]:
        variants: list[Variant] = []
        self._latency()
        for file in recorded:
            for position, variant in enumerate(file.variants):
                if self.settings.quants and variant.quant not in self.settings.quants:
                    continue
                if variant in variants:
                    raise UsageError(
                        f"--model: {variant.model} ({variant.quant}) is in more than one file: "
                        "rename one, or give its lines a field model, so that it is another"
                    )
                variants.append(variant)
                self._files.append((file, position))
        if not variants:
            there = ", ".join(sorted({variant.quant for file in recorded for variant in file.variants}))
            asked = ",".join(self.settings.quants)
            raise UsageError(f"--quant {asked}: the recorded outputs have no such variant: there are {there}")
        return tuple(variants)


def recorded_outputs(settings: Settings, item_counts: Callable[[str], int | None]) -> tuple[ReplayFile, ...]:
    """The files that ``--engine replay`` plays; none with another engine.

    Args:
        settings: what is asked for.
        item_counts: number of items of a task, None where it is unknown.

    Raises:
        UsageError: a file cannot be read or has nothing to play.
    """
    if settings.engine != "replay":
        return ()
    from pytest_thinkslm.engines.replay import read_replay_file

    return tuple(read_replay_file(expanded(model).absolute(), item_counts) for model in settings.models)


def _engines(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The engine's name, and the engines that ``auto`` passed over.

    ``auto`` is the first of vLLM, transformers and llama.cpp that is installed and loads every variant here.
    """
    if settings.engine != "auto":
        return settings.engine, ()
    from pytest_thinkslm.models import loading
    from pytest_thinkslm.models.variants import loads_with

    machine = loading.this_machine()
    quants: list[tuple[str | None, str | None]] = [*map(parts_of, settings.quants)] or [(None, None)]
    wanted = [(model, quant) for model in settings.models for quant, _ in quants]
    able = [
        engine
        for engine in loading.LOCAL_ENGINES
        if all(cache is None or engine in KV_CACHES[cache] for _, cache in quants)
        and all(loads_with(model, quant, engine, machine) for model, quant in wanted)
    ]
    from pytest_thinkslm.models.gguf_models import find_gguf

    if any(find_gguf(model, (quant,)) is not None for model, quant in wanted):
        return able[0] if able else "llamacpp", ()  # no other reads such files
    name = able[0] if able else "vllm" if "vllm" in machine.modules else "transformers"
    return name, tuple(engine for engine in ("vllm", "transformers") if engine != name)


def _placed(engine: str, model: ResolvedModel, settings: Settings) -> Placement | None:
    """Where the model goes on this machine's GPUs, None where it runs on the CPU. Raises ``PlacementError``.

    vLLM spreads a model over several GPUs; transformers takes one, and makes its batches as small as they have to be.
    """
    from pytest_thinkslm.machine import gpus
    from pytest_thinkslm.machine.placement import BATCH, need_of_checkpoint, place

    if engine == "llamacpp":
        return None  # it spreads layers over what it has been built for, by itself
    hardware = _hardware(engine, settings)
    devices = gpus.devices() if hardware.device == "cuda" else ()
    if not devices:
        return None
    size = _asked(settings, "tensor_parallel_size") if engine == "vllm" else 1
    batch = BATCH if engine == "vllm" else 1
    what = need_of_checkpoint(model.path, model.config, hardware.dtype, batch=batch)
    return place(what, devices, model.display, size)


def _hardware(engine: str, settings: Settings) -> DeviceChoice:
    """Device and dtype as the engine will decide them. Raises UsageError for an argument that is not valid."""
    from pytest_thinkslm.machine.hardware import decide

    given = settings.engine_args
    if engine in ("vllm", "llamacpp"):
        return decide()
    return decide(given.get("device", "auto"), given.get("dtype", "auto"))


def _on_cpu(engine: str, settings: Settings) -> str:
    hardware = _hardware(engine, settings)
    return hardware.reason if hardware.device == "cpu" else "no GPU is visible through NVML (nvidia-ml-py)"


def _replicas(engine: str, settings: Settings, groups: int) -> int:
    """How many of the groups are used: transformers takes the first; vLLM all, or ``replicas=N``."""
    return 1 if engine == "transformers" else min(groups, _asked(settings, "replicas") or groups)


def _asked(settings: Settings, name: str) -> int | None:
    """A whole number among vLLM's arguments, spelled as vLLM takes them; None without one, or for it to refuse."""
    spelled = {key.strip().removeprefix("--").replace("-", "_"): text for key, text in settings.engine_args.items()}
    text = spelled.get(name, "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None
