"""GGUF models as plain Hugging Face folders in bfloat16, each made once; imports no torch.

llama.cpp's server gives no probabilities of a given text. Dequantized, the same weights are scored by transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.cache import cache_folder
from pytest_thinkslm.models.dequantize import write
from pytest_thinkslm.models.hashes import file_hash
from pytest_thinkslm.models.resolve import ResolvedModel, described

#: Counts up when the folder's content changes for the same file.
_RECIPE = 1
#: A header that says no context.
_CONTEXT = 8192

Progress = Callable[[str], None]


def dequantized(model: ResolvedModel, progress: Progress) -> ResolvedModel:
    """The checkpoint that a GGUF model's weights make in bfloat16: two bytes a weight in the cache.

    Raises:
        ModelError: the model is split into several files, transformers does not read its architecture, or packages are
            missing.
    """
    import filelock

    assert model.gguf is not None
    if len(model.gguf.files) > 1:
        raise ModelError(f"{model.display}: transformers reads no GGUF model that is split into several files")
    file = model.gguf.files[0]
    folder = cache_folder("gguf") / f"{file.stem}-{file_hash(file)[:12]}-bf16-r{_RECIPE}"
    if not folder.is_dir():  # renamed into place when complete
        with filelock.FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                progress(f"dequantizing {file.name} to bfloat16 (once)")
                write(file, folder, model.context or _CONTEXT, model.display)
    found = described(str(folder), "folder", folder, f"{model.display}, dequantized to bf16")
    return replace(found, chat_template=model.chat_template, context=model.context or found.context)
