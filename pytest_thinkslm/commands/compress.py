"""``thinkslm compress``: make a compressed checkpoint, or the environment that makes them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.schemes import named
from pytest_thinkslm.models.compression import recipes
from pytest_thinkslm.settings.values import checked_path

if TYPE_CHECKING:
    from pytest_thinkslm.models.resolve import ResolvedModel

HELP = "make a compressed checkpoint"
DESCRIPTION = """\
Compress a checkpoint with llm-compressor and write it to a folder, which --model takes. 'pytest --model M --quant Q'
does the same by itself, into the cache, where nobody publishes the model so compressed.

llm-compressor's pins clash with those of serving engines. It runs in this environment where it is installed
(pytest-thinkslm[compress]), else in the one that THINKSLM_COMPRESS_PYTHON names, else in one that --setup-env makes.
Nothing is installed without --setup-env."""

EXAMPLES = """\
examples:
  thinkslm compress --setup-env
  thinkslm compress embedded --quant w8a8 --out smollm2-w8a8
  thinkslm compress Qwen/Qwen2.5-0.5B-Instruct --quant gptq4 --data-dir data --out qwen-gptq4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="'embedded', a catalogue key, a folder or a hub id")
    parser.add_argument("--quant", metavar="Q", help=f"the scheme: {', '.join(recipes.on_demand())}")
    parser.add_argument("--out", metavar="DIR", help="the folder to write; must not exist yet")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder with GSM8K's training split to calibrate with (default: the hub's, else made-up problems)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the choice of calibration samples (0)")
    parser.add_argument("--trust-remote-code", action="store_true", help="run Python code of the model's repository")
    parser.add_argument("--setup-env", action="store_true", help="make the environment for llm-compressor; asks first")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``ThinkSLMError``."""
    if arguments.setup_env and not _set_up(arguments.yes):
        return 1
    if arguments.model is None:
        if arguments.setup_env:
            return 0
        raise UsageError("compress: which model? thinkslm compress MODEL --quant Q --out DIR")
    for name in ("quant", "out"):
        if not getattr(arguments, name):
            raise UsageError(
                f"compress {arguments.model}: --{name} is missing: thinkslm compress MODEL --quant Q --out DIR"
            )
    _compress(arguments)
    return 0


def _set_up(yes: bool) -> bool:
    from pytest_thinkslm.models.compression import environment

    if not environment.is_set_up() and not _confirmed(environment.what_it_takes(), yes):
        return False
    environment.set_up(_say)
    return True


def _confirmed(what: str, yes: bool) -> bool:
    """Say what would be installed, and ask unless ``--yes`` was given."""
    _say(f"--setup-env {what}")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("compress --setup-env: nobody is there to confirm it; add --yes to go on")
    if input("go on? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    _say("nothing was installed")
    return False


def _compress(arguments: argparse.Namespace) -> None:
    from pytest_thinkslm.models.compression import on_demand
    from pytest_thinkslm.models.compression.environment import interpreter
    from pytest_thinkslm.models.compression.plan import check_room, planned

    out = checked_path(arguments.out, "out").absolute()
    if out.exists():
        raise UsageError(f"compress: --out {out} exists already; name a folder that does not, or remove it")
    data_dir = checked_path(arguments.data_dir, "data-dir") if arguments.data_dir else None
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError(f"compress: --data-dir {data_dir} is no folder")
    scheme = named(arguments.quant)
    recipes.recipe(scheme)
    python = interpreter()
    plan = planned(_resolved(arguments), scheme, arguments.seed)
    texts = on_demand.texts_for(plan, data_dir, _say)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        check_room(plan, out.parent)
        for left in out.parent.glob(f".{out.name}.part-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.part-") as folder:
            log, made = out.with_name(f"{out.name}.log"), Path(folder) / "out"
            trust = arguments.trust_remote_code
            on_demand.make(plan, texts, made, python=python, trust_remote_code=trust, log=log, progress=_say)
            os.replace(made, out)
            log.unlink()
    except OSError as problem:
        raise UsageError(f"compress: --out {out} cannot be written: {problem.strerror or problem}") from problem
    _say(f"wrote {out}; run it with: pytest --model {arguments.out}")


def _resolved(arguments: argparse.Namespace) -> ResolvedModel:
    from pytest_thinkslm.models.variants import resolve_variant

    return resolve_variant(
        arguments.model,
        None,
        "transformers",
        trust_remote_code=arguments.trust_remote_code,
        check=False,
        progress=_say,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
