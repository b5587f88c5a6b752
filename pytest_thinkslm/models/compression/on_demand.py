"""A compressed checkpoint from the cache, or made now: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import shorten

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.models import marker
from pytest_thinkslm.models.cache import cache_folder
from pytest_thinkslm.models.compression import calibration, weights
from pytest_thinkslm.models.compression.calibration import Calibration
from pytest_thinkslm.models.compression.environment import Interpreter, interpreter
from pytest_thinkslm.models.compression.locks import held, is_free
from pytest_thinkslm.models.compression.plan import Plan, check_room, planned
from pytest_thinkslm.models.compression.recipes import RECIPES, CompressionError
from pytest_thinkslm.models.compression.run import Job, run
from pytest_thinkslm.models.resolve import ResolvedModel

Progress = Callable[[str], None]
_PART = ".part-"
_HUB: Mapping[str, object] = {"source": "openai/gsm8k"}


def compressed(
    source: ResolvedModel,
    scheme: str,
    *,
    progress: Progress,
    data_dir: Path | None = None,
    seed: int = 0,
    trust_remote_code: bool = False,
) -> Path:
    """Folder of the checkpoint ``source`` compressed to ``scheme``: from the cache, or made now.

    The cache is keyed by the source's identity, the recipe, its seed and the calibration's texts. Several processes
    that want the same make it once. A folder gets its name when it is complete; what a killed process left is
    removed by the next one.

    Args:
        source: an uncompressed checkpoint.
        scheme: key of ``SCHEMES`` that can be made.
        progress: receives lines for the user.
        data_dir: folder with GSM8K's training split to calibrate with; without it the hub's, else made-up problems.
        seed: of the choice of calibration samples.
        trust_remote_code: run the checkpoint's own Python code.

    Raises:
        UsageError: a scheme that is unknown or cannot be made.
        CompressionError: the model is compressed already, no group size fits, disk or memory do not suffice, there is
            no llm-compressor, or the job failed.
    """
    plan = planned(source, scheme, seed)
    root = cache_folder("compressed")
    for known in _candidates(plan, data_dir):
        if (root / known).is_dir():
            return root / known
    python = interpreter()
    texts = texts_for(plan, data_dir, progress)
    target = root / _name(plan, _origin(texts))
    waiting = f"waiting for another process that is {plan.label}"
    with held(root / f"{target.name}.lock", progress, waiting):
        if not target.is_dir():
            _remove_leftovers(root, target)
            check_room(plan, root)
            with tempfile.TemporaryDirectory(dir=root, prefix=f"{target.name}{_PART}") as folder:
                out = Path(folder) / "out"
                log = cache_folder("compressed/log") / f"{target.name}.log"
                make(
                    plan,
                    texts,
                    out,
                    python=python,
                    trust_remote_code=trust_remote_code,
                    log=log,
                    progress=progress,
                )
                os.replace(out, target)
    return target


def make(
    plan: Plan,
    texts: Calibration | None,
    out: Path,
    *,
    python: Interpreter,
    trust_remote_code: bool,
    log: Path,
    progress: Progress,
) -> None:
    """Compress into ``out``, which must not exist; its parent is for the job's own files. Raises CompressionError."""
    job = Job(
        source=str(plan.source.path),
        out=str(out),
        title=plan.recipe.title,
        modifiers=plan.recipe.modifiers(plan.group),
        calibration=texts.records if texts else (),
        max_tokens=calibration.MAX_TOKENS,
        chat=plan.source.has_chat_template,
        seed=plan.seed,
        trust_remote_code=trust_remote_code,
    )
    size = "" if plan.group is None else f", group size {plan.group}"
    about = "" if texts is None else f", calibrated with {len(texts.records)} problems ({texts.source})"
    progress(f"{plan.label}{size}{about}; llm-compressor in {python.found}")
    facts = run(job, python, plan.label, log, progress)
    zeros = _checked(plan, out)
    tokens = facts["calibration_tokens"]
    marker.write(
        out,
        marker.Marker(
            scheme=plan.scheme,
            method=plan.recipe.method,
            seed=plan.seed,
            group_size=plan.group,
            sparsity=round(zeros.zeros, 4),
            pattern=round(zeros.two_of_four, 4),
            calibration=None
            if texts is None
            else {**(_origin(texts) or {}), "sha256": texts.sha256, "samples": len(texts.records), "tokens": tokens},
            source={"name": plan.source.display, **plan.source.identity()},
            recipe=plan.recipe.modifiers(plan.group),
            versions=facts["versions"],
        ),
    )
    for file in out.iterdir():
        file.chmod(0o644)
    written = sum(file.stat().st_size for file in out.iterdir())
    progress(f"{plan.label}: done, {written / 1e6:.0f} MB (before: {plan.source.disk_bytes / 1e6:.0f} MB)")


def _checked(plan: Plan, out: Path) -> weights.Sparsity:
    """Hold the result against what was asked; a library that skipped its work must not go unnoticed."""
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    scheme = plan.facts
    if scheme.weight_bits < 16 and not config.get("quantization_config"):
        raise CompressionError(f"{plan.label}: llm-compressor wrote a checkpoint that is not quantized")
    if not scheme.sparsity:
        return weights.Sparsity(0.0, 0.0)
    zeros = weights.sparsity(weights.linear(out))
    if zeros.two_of_four < 0.999:
        raise CompressionError(
            f"{plan.label}: only {zeros.two_of_four:.1%} of the groups of four weights have two zeros in the result"
        )
    return zeros


def texts_for(plan: Plan, data_dir: Path | None, progress: Progress) -> Calibration | None:
    """What to calibrate with: the data folder's training split, else the hub's, else made-up problems.

    None where the recipe looks at weights alone. Raises DataError for a damaged file.
    """
    if not plan.recipe.calibrated:
        return None
    found = calibration.from_folder(data_dir, plan.seed) if data_dir else None
    if found is not None:
        return found
    try:
        progress("looking for GSM8K's training split on the hub, to calibrate with")
        return calibration.from_hub(plan.seed)
    except DataError as problem:
        cause = shorten(str(problem), 200, placeholder=" ...")
        progress(f"{plan.label}: no training split is at hand, so made-up problems are used ({cause})")
        return calibration.generated(plan.seed)


def _candidates(plan: Plan, data_dir: Path | None) -> Sequence[str]:
    """Names that the result can have, without asking the network what the hub has today."""
    if not plan.recipe.calibrated:
        return [_name(plan, None)]
    found = calibration.from_folder(data_dir, plan.seed) if data_dir else None
    if found is not None:
        return [_name(plan, _origin(found))]
    return [_name(plan, _HUB), _name(plan, _origin(calibration.generated(plan.seed)))]


def _origin(texts: Calibration | None) -> Mapping[str, object] | None:
    """What names the calibration; the hub's data set goes by its name, so that the cache is found without a network."""
    if texts is None:
        return None
    return _HUB if texts.source == _HUB["source"] else {"source": texts.source, "sha256": texts.sha256}


def _name(plan: Plan, texts: Mapping[str, object] | None) -> str:
    key = {
        "source": plan.source.identity(),
        "scheme": plan.scheme,
        "recipe": plan.recipe.modifiers(plan.group),
        "recipes": RECIPES,
        "calibration": texts and [texts, calibration.SAMPLES, calibration.MAX_TOKENS],
        "seed": plan.seed if texts else None,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    stem = re.sub(
        r"[^A-Za-z0-9.-]+", "-", plan.source.path.name if plan.source.kind == "folder" else _short(plan.source)
    )
    return f"{stem}-{plan.scheme}-{digest}"


def _short(source: ResolvedModel) -> str:
    return (source.hub_id or source.display).split("/")[-1].split(" ")[0]


def _remove_leftovers(root: Path, mine: Path) -> None:
    """Remove what killed processes left: unfinished folders whose lock nobody holds (mine: I do)."""
    for folder in root.glob(f"*{_PART}*"):
        owner = folder.name.partition(_PART)[0]
        if owner == mine.name or is_free(root / f"{owner}.lock"):
            shutil.rmtree(folder, ignore_errors=True)
