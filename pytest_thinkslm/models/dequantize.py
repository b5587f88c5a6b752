"""A GGUF checkpoint made into a plain Hugging Face folder that transformers and vLLM both load.

Made in a process of its own (``python -m pytest_thinkslm.models.dequantize GGUF OUT CONTEXT``), so that neither torch
nor the memory that it takes stays in the process that only asks for the folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models import gguf_header

_NEEDED = ("torch", "transformers", "gguf", "accelerate")


def lacking() -> list[str]:
    """The packages that it takes and that are not installed."""
    return [name for name in _NEEDED if not importlib.util.find_spec(name)]


def write(gguf: Path, folder: Path, context: int, asked: str) -> None:
    """Make ``folder`` of a file, in a process of its own; it gets its name when it is complete.

    Raises:
        ModelError: packages are missing, or transformers cannot read the file; ``asked`` stands in front.
    """
    if missing := lacking():
        raise ModelError(
            f"{asked}: {', '.join(missing)} missing to convert it; install 'pytest-thinkslm[transformers]'"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="prepare-") as name:
        out = Path(name) / "out"
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", "pytest_thinkslm.models.dequantize", str(gguf), str(out), str(context)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise ModelError(f"{asked}: dequantizing {gguf} failed: {''.join(last)[:300]}")
        for file in out.iterdir():
            file.chmod(0o644)
        os.replace(out, folder)


def dequantize(gguf: Path, out: Path, context: int) -> None:
    """Write config, bfloat16 safetensors, tokenizer and chat template of ``gguf`` into the folder ``out``."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(out)

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.model_max_length = context
    if gguf_header.read(gguf, gguf.name).metadata.get("tokenizer.ggml.pre") == "smollm":
        # Digits are split off before the byte-level rule. The conversion drops that step, which changes the tokens of
        # white space in front of numbers.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    tokenizer.save_pretrained(out)

    _edit(out / "config.json", {"_model_name_or_path": None})
    # The neutral name of the class is known to older readers, too.
    _edit(
        out / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "is_local": None, "local_files_only": None, "backend": None},
    )


def _edit(path: Path, changes: dict[str, object]) -> None:
    """Set the keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    dequantize(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
