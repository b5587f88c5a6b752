"""What keeps a checkpoint from being run on this machine, found before it is fetched, and said in one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_thinkslm.core.configs import Config, text_config
from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.machine.placement import GIB, Need
from pytest_thinkslm.models import hub, loading, quant_methods
from pytest_thinkslm.models.catalogue import Entry, Format, architectures
from pytest_thinkslm.models.checkpoint import quantization_of
from pytest_thinkslm.models.loading import LOCAL_ENGINES, Machine


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted.

    Attributes:
        model: as typed after ``--model``.
        quant: as typed after ``--quant``; None where nothing was: the checkpoint as it is.
        engine: the engine that is to load it.
        others: engines that would have done as well (``--engine auto``), for messages.
        trust_remote_code: ``--trust-remote-code``.
    """

    model: str
    quant: str | None
    engine: str
    others: tuple[str, ...] = ()
    trust_remote_code: bool = False

    def __str__(self) -> str:
        return f"--model {self.model}" + (f" --quant {self.quant}" if self.quant else "")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a checkpoint before it is loaded.

    Attributes:
        title: its hub id, or what else it is called.
        stored: its format; ``"unknown"`` where only its own config would tell.
        scheme: key of ``SCHEMES``; None where it is not known or has no key.
        need: memory in bytes; None where it is not known. ``exact`` where it was read from the weights themselves.
        fetch: bytes that have to be fetched first; None where that is nothing, or not known.
        entry: its catalogue entry.
        config: content of its config.json, where that is here already.
    """

    title: str
    stored: Format
    scheme: str | None
    need: Need | None = None
    fetch: int | None = None
    entry: Entry | None = None
    config: Config | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Preflight:
    """Checks of one request on one machine. ``machine`` None checks nothing but what the options rule out."""

    asked: Asked
    machine: Machine | None

    def require(self, known: Known, *, hub_problem: ModelError | None = None) -> None:
        """Raises ModelError with everything that is missing; none of it is fetched or loaded then."""
        missing = self.missing(known)
        if hub_problem is not None:
            missing.append(("the hub", hub_problem.reason))
        if missing:
            raise ModelError(self._message(known, missing)) from hub_problem

    def refuse_unloadable(self, known: Known) -> None:
        """Raises ModelError for a checkpoint that no current engine loads anywhere: the hub is not even asked."""
        if _loadable_nowhere(known) and (missing := self.missing(known)):
            raise ModelError(self._message(known, missing))

    def missing(self, known: Known) -> list[tuple[str, str]]:
        """(what, why) of each obstacle."""
        found: list[tuple[str, str]] = []
        engines = dict.fromkeys(
            (self.asked.engine, *self.asked.others, *(LOCAL_ENGINES if _loadable_nowhere(known) else ()))
        )
        per_engine = {engine: self._engine_obstacles(known, engine) for engine in engines}
        if per_engine[self.asked.engine]:
            shared = {why for whys in per_engine.values() for why in whys if all(why in w for w in per_engine.values())}
            found += [("the checkpoint", why) for why in sorted(shared)]
            found += [(engine, why) for engine, whys in per_engine.items() for why in whys if why not in shared]
        if _runs_code(known) and not self.asked.trust_remote_code:
            found.append(
                (
                    "--trust-remote-code",
                    "the checkpoint brings code of its own, which runs only with that option: look at it first",
                )
            )
        if self.machine is not None and known.need is not None and not per_engine[self.asked.engine]:
            too_large = loading.too_large(self._grown(known, known.need), self.asked.engine, self.machine, known.title)
            found += [("memory", too_large)] if too_large else []
        if known.fetch is not None:
            folder, free = hub.free_disk()
            if known.fetch > free:
                found.append(
                    (
                        "disk",
                        f"{_gib(known.fetch)} have to be fetched into {folder}, where {_gib(free)} are free: make "
                        "room, or set HF_HOME to a folder on a larger disk",
                    )
                )
        return found

    def _engine_obstacles(self, known: Known, engine: str) -> list[str]:
        model_type = text_config(known.config).get("model_type") if known.config else None
        never = architectures().get(str(model_type), {}) or (known.entry.no_engine if known.entry else {})
        if engine in never:
            return [never[engine]]
        if self.machine is None:
            principle = loading.in_principle(known.stored, engine)
            return [principle] if loading.LOADERS[known.stored, engine].never and principle else []
        found = loading.obstacles(known.stored, known.scheme, engine, self.machine)
        method = (quantization_of(known.config) or {}).get("quant_method") if known.config else None
        if not found and known.stored == "unknown" and method:
            found = quant_methods.obstacles(str(method).lower(), engine, gpu=bool(self.machine.gpus))
        return found

    def _grown(self, known: Known, need: Need) -> Need:
        """Weights as transformers holds them: compressed-tensors turned back into 16 bits, all in 32 on some CPUs."""
        if self.asked.engine != "transformers" or self.machine is None:
            return need
        if known.stored == "compressed-tensors" and known.entry is not None:
            return replace(need, weights=max(need.weights, int(known.entry.params * 2e9)))
        if known.stored == "safetensors" and self.machine.dtype == "float32" and not known.exact:
            return replace(need, weights=2 * need.weights)
        return need

    def _message(self, known: Known, missing: list[tuple[str, str]]) -> str:
        scheme = SCHEMES.get(known.scheme or "")
        what = [known.title]
        facts = [scheme.title if scheme else "", f"{known.entry.params:g}B parameters" if known.entry else ""]
        if any(facts):
            what.append(f"({', '.join(filter(None, facts))})")
        lines = [f"{self.asked} cannot be run here", f"  checkpoint: {' '.join(what)}"]
        if needs := self._needs(known):
            lines.append(f"  it needs: {'; '.join(needs)}")
        lines.append("  what is missing:")
        lines += [f"  - {name}: {why}" for name, why in missing]
        lines.append(
            "  Other ways: a machine that has it all, with --engine openai --server-url here; a folder with the "
            "checkpoint (--model /path/to/folder); --model embedded, which needs neither hub nor GPU. "
            "'thinkslm models' lists what else there is"
        )
        return "\n".join(lines)

    def _needs(self, known: Known) -> list[str]:
        needs = []
        if known.fetch is not None:
            folder, free = hub.free_disk()
            needs.append(f"{_gib(known.fetch)} of disk in {_short(folder)} ({_gib(free)} free)")
        if known.need is not None:
            has = ""
            if self.machine is not None and self.machine.gpus:
                first = self.machine.gpus[0]
                has = f" (here: {len(self.machine.gpus)} x {first.name}, {_gib(first.free_bytes)} free on the first)"
            elif self.machine is not None:
                left = "unknown" if self.machine.memory is None else _gib(self.machine.memory)
                has = f"; here no GPU is visible, and {left} of memory are available to a CPU, which is slow"
            needs.append(
                f"{_gib(known.need.share(1))} of GPU memory, {_gib(known.need.weights)} of it for weights{has}"
            )
        never = known.entry.no_engine if known.entry is not None else {}
        engines = loading.requirements(known.stored, never)
        if engines and known.stored != "unknown":
            needs.append(engines)
        if known.entry is not None and known.fetch is not None:
            gated = any(one.gated and one.hub_id == known.title for one in known.entry.checkpoints.values())
            needs += [f"its terms accepted on https://huggingface.co/{known.title}, and HF_TOKEN"] if gated else []
        return needs


def no_engine(entry: Entry, stored: Format) -> Mapping[str, str]:
    """Engine -> why no current release of it loads a checkpoint of an entry; empty text where it does."""
    return {engine: entry.no_engine.get(engine) or loading.in_principle(stored, engine) for engine in LOCAL_ENGINES}


def _loadable_nowhere(known: Known) -> bool:
    return known.entry is not None and all(no_engine(known.entry, known.stored).values())


def _runs_code(known: Known) -> bool:
    """Whether its repository brings modeling code that transformers has no other code for."""
    return known.entry is not None and known.entry.remote_code


def _short(folder: Path) -> str:
    home = expanded("~")
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


__all__ = ["LOCAL_ENGINES", "Asked", "Known", "Preflight"]
