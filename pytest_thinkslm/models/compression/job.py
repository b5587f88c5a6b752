"""Compresses one checkpoint with llm-compressor: ``python job.py JOB.json``, in an environment that has it.

The environment of the benchmark and that of llm-compressor need not agree on any package, so this file imports
nothing of pytest_thinkslm. ``JOB.json``: see ``Job`` in ``run.py``, which writes it. Lines of JSON on the standard
output tell how far it is: ``{"stage": text}``, at the end ``{"done": facts}``; everything that libraries print goes to
the standard error. The end of the standard input ends the job: its parent is gone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

#: Files of a checkpoint that are written anew; everything else (tokenizer, template, code) is copied as it is.
_WRITTEN = ("config.json", "model.safetensors.index.json")
_COPIED = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".py")
_PLAIN = "Question: {question}\nAnswer: {answer}"


def main(arguments: Sequence[str]) -> None:
    """Do the job that the file describes."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    say = _Voice()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    facts = compress(job, say)
    say(done=facts)


def compress(job: Mapping[str, Any], say: _Voice) -> dict[str, object]:
    """Load, calibrate, save; returns versions and what was calibrated with."""
    say(stage="starting torch and llm-compressor")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(job["seed"])
    source, out, trust = job["source"], Path(job["out"]), job["trust_remote_code"]
    say(stage="loading the model")
    common = {"trust_remote_code": trust, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source, **common)
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", use_safetensors=True, **common)
    model.eval()
    rows = [_token_ids(tokenizer, record, job["chat"])[: job["max_tokens"]] for record in job["calibration"]]
    from llmcompressor import oneshot

    say(stage=job["title"], tokens=sum(map(len, rows)))
    batches = [{"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row)).long()} for row in rows]
    if batches:
        loader = torch.utils.data.DataLoader(batches, batch_size=None)
        # The pipeline's bars count its layers: they are the progress.
        with _Bars(say, job["title"]):
            oneshot(model=model, tokenizer=tokenizer, recipe=_recipe(job), dataset=loader, pipeline="sequential")
    else:
        with _Bars(say, job["title"]):
            oneshot(model=model, tokenizer=tokenizer, recipe=_recipe(job))
    say(stage="saving")
    model.save_pretrained(out, save_compressed=True)
    _copy_the_rest(Path(source), out)
    return {
        "versions": {name: version(name) for name in ("llmcompressor", "compressed-tensors", "torch", "transformers")},
        "calibration_tokens": sum(map(len, rows)),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def _recipe(job: Mapping[str, Any]) -> list[Any]:
    """The modifiers, by their class names and arguments as in the job."""
    from llmcompressor.modifiers import autoround, gptq, pruning, quantization
    from llmcompressor.modifiers.transform import awq, smoothquant

    rooms = (autoround, awq, gptq, pruning, quantization, smoothquant)
    names = [name for name, _ in job["modifiers"]]
    known = {name: next(getattr(room, name) for room in rooms if hasattr(room, name)) for name in names}
    if "AWQModifier" in known:
        _leave_unpinned()
    return [known[name](**arguments) for name, arguments in job["modifiers"]]


def _leave_unpinned() -> None:
    """Keep AWQ from pinning memory where there is no accelerator that could read it: torch then refuses to."""
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = lambda *_, **__: None


def _token_ids(tokenizer: Any, record: Mapping[str, str], chat: bool) -> list[int]:
    """A solved question as the model meets it: in its chat template, or plain for a base model."""
    if not chat:
        return list(tokenizer(_PLAIN.format(**record))["input_ids"])
    turns = [{"role": "user", "content": record["question"]}, {"role": "assistant", "content": record["answer"]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _copy_the_rest(source: Path, out: Path) -> None:
    """Tokenizer and template byte for byte, so that both models are asked with the same token ids."""
    for file in source.iterdir():
        if file.is_file() and file.suffix in _COPIED and file.name not in _WRITTEN:
            shutil.copyfile(file, out / file.name)


class _Voice:
    """Lines of JSON on the real standard output; whatever else is printed goes to the standard error."""

    def __init__(self) -> None:
        self._stream: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def __call__(self, **content: object) -> None:
        with self._lock:
            self._stream.write(json.dumps(content) + "\n")
            self._stream.flush()


class _Bars:
    """Turns the pipeline's progress bars ("(3/31): Calibrating") into progress lines."""

    def __init__(self, say: _Voice, saying: str) -> None:
        self._say, self._saying = say, saying

    def __enter__(self) -> None:
        import tqdm as bars

        original = self._original = bars.tqdm.__init__
        say, saying = self._say, self._saying

        def started(bar: Any, *given: Any, **named: Any) -> None:
            original(bar, *given, **named)
            step = re.fullmatch(r"\((\d+)/(\d+)\): (\w+)", str(named.get("desc") or ""))
            if step:
                say(stage=f"{saying}: step {step[1]} of {step[2]}, {step[3].lower()}")

        bars.tqdm.__init__ = started

    def __exit__(self, *_: object) -> None:
        import tqdm as bars

        bars.tqdm.__init__ = self._original


def _die_with_parent() -> None:
    for _ in _until_closed(sys.stdin):
        pass
    os._exit(9)


def _until_closed(stream: TextIO) -> Iterator[str]:
    while text := stream.read(1):
        yield text


if __name__ == "__main__":
    main(sys.argv[1:])
