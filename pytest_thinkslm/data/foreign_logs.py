"""Sample logs of other evaluation tools, read into one form: lm-evaluation-harness, inspect_ai, EvalScope.

Forms as written by lm_eval 0.4.13 (``samples_*.jsonl``), inspect_ai 0.3 (``.json`` and ``.eval``) and EvalScope 1.x
(``reviews/*.jsonl``, ``predictions/*.jsonl``). Nothing here knows the suite's tasks.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.finish import finish_reason
from pytest_thinkslm.core.records import FinishReason

TOOLS = ("lm-eval", "inspect", "evalscope")

#: What reading a log that is none, or damaged, may raise: of its values, its JSON, its archive.
_DAMAGE = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Their:
    """What another tool says of an output: ``right`` is None where its score is neither full nor none."""

    scorer: str
    right: bool | None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and one output of it.

    Attributes:
        place: where it stands, for messages.
        model: the model's name, as far as the log says it.
        texts: what holds the question: the sample's input, or the prompt; the likeliest first.
        record: the data set's own record, where the log has it.
        repeat: counted from 1.
        output: the model's text.
        reasoning: its thought, where the tool keeps it apart.
        ended: its finish reason; ``unknown`` where the log has none.
        theirs: the tool's own verdicts, one a scorer.
    """

    place: str
    model: str
    texts: tuple[str, ...]
    record: Mapping[str, object] | None
    repeat: int
    output: str
    theirs: tuple[Their, ...]
    reasoning: str | None = None
    ended: FinishReason = "unknown"


def read_log(tool: str, path: Path) -> list[Sample]:
    """The samples of one log; those without an output (errors, log-likelihoods) are left out.

    Raises ``UsageError`` for a file that cannot be read or is no log of the tool.
    """
    read = {"lm-eval": _lm_eval, "inspect": _inspect, "evalscope": _evalscope}[tool]
    try:
        return list(read(path))
    except OSError as error:
        raise UsageError(f"import {tool}: {path} cannot be read ({error.strerror or error})") from None
    except _DAMAGE as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"import {tool}: {path} is no sample log of {tool}, or damaged: {what}") from None


# --- lm-evaluation-harness


def _lm_eval(path: Path) -> Iterator[Sample]:
    model = _lm_eval_model(path)
    found: dict[tuple[object, int], Sample] = {}
    for number, line in _lines(path):
        theirs = tuple(
            Their(f"{metric},{line['filter']}", _right(line.get(metric)), _text(line.get("filtered_resps")))
            for metric in line["metrics"]
        )
        for place, output in enumerate(_flat(line["resps"])):
            if not isinstance(output, str):
                continue  # a log-likelihood
            repeat = place + int(line.get("repeat", 1))  # "thinkslm export" writes a line a repeat
            key = (line["doc_id"], repeat)
            if key in found:  # another filter of the same output
                found[key] = replace(found[key], theirs=(*found[key].theirs, *theirs))
                continue
            prompts = [text for each in line["arguments"].values() for text in _strings(each)]
            record = line["doc"] if isinstance(line["doc"], dict) else None
            found[key] = Sample(f"{path.name} line {number}", model, tuple(prompts), record, repeat, output, theirs)
    yield from found.values()


def _lm_eval_model(path: Path) -> str:
    """The name in the results file that was written with the samples, else the folder's."""
    for results in sorted(path.parent.glob("results_*.json")):
        if results.stem.removeprefix("results_") in path.name:
            name = json.loads(files.read_bytes(results)).get("model_name")
            if isinstance(name, str) and name:
                return name
    return path.absolute().parent.name


def _flat(responses: Sequence[Any]) -> list[object]:
    """One list of outputs: the samples of one request, or of several."""
    flat: list[object] = []
    for each in responses:
        if isinstance(each, list) and not (each and isinstance(each[0], float | int)):
            flat += each
        else:
            flat.append(each)
    return flat


# --- inspect_ai


def _inspect(path: Path) -> Iterator[Sample]:
    if path.suffix == ".eval":
        try:
            with files.open_file(path) as file, zipfile.ZipFile(file) as archive:
                names = sorted(name for name in archive.namelist() if name.startswith("samples/"))
                samples = [json.loads(archive.read(name)) for name in names]
                model = json.loads(archive.read("header.json"))["eval"]["model"]
        except NotImplementedError:  # zstandard, which zipfile reads from Python 3.14 on
            raise UsageError(
                f"import inspect: {path} is compressed in a way that this Python cannot read: convert it with "
                f"'inspect log convert --to json --output-dir DIR {path}'"
            ) from None
    else:
        log = json.loads(files.read_bytes(path))
        samples, model = log["samples"], log["eval"]["model"]
    for sample in samples:
        output = sample["output"]
        if sample.get("error") or not output.get("choices"):
            continue
        choice = output["choices"][0]
        text, thought = _content(choice["message"]["content"])
        given = sample["input"]
        theirs = tuple(
            Their(name, _right(score["value"]), _text(score.get("answer")))
            for name, score in (sample.get("scores") or {}).items()
        )
        yield Sample(
            f"{path.name} sample {sample['id']} epoch {sample['epoch']}",
            str(output.get("model") or model),
            tuple([given] if isinstance(given, str) else _user_texts(given)),
            sample.get("metadata") or None,
            int(sample["epoch"]),
            text,
            theirs,
            thought or None,
            finish_reason(choice.get("stop_reason")),
        )


def _user_texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The user's turns, the last one first."""
    return [_content(turn["content"])[0] for turn in reversed(messages) if turn.get("role") == "user"]


def _content(content: object) -> tuple[str, str]:
    """Text and thought of a message's content."""
    if isinstance(content, str):
        return content, ""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts), "".join(
        str(part.get("reasoning") or "") for part in parts
    )


# --- EvalScope


def _evalscope(path: Path) -> Iterator[Sample]:
    for number, line in _lines(path):
        place, model = f"{path.name} line {number}", path.absolute().parent.name
        if "sample_score" in line:
            score, given = line["sample_score"]["score"], line["input"]
            output, thought, ended = str(score["prediction"]), "", None
            theirs = tuple(
                Their(name, _right(value), _text(score.get("extracted_prediction")))
                for name, value in score["value"].items()
            )
        else:
            choice = line["model_output"]["choices"][0]
            output, thought = _content(choice["message"]["content"])
            ended, given, theirs = choice.get("stop_reason"), line["messages"], ()
            model = line.get("model") or model
        texts = [given] if isinstance(given, str) else _user_texts(given)
        yield Sample(place, model, tuple(texts), None, 1, output, theirs, thought or None, finish_reason(ended))


# --- all of them


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in files.read_lines(path):
        if line.strip():
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON ({error})") from None
            if not isinstance(entry, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield number, entry


def _right(value: object) -> bool | None:
    """Whether a score is full marks or none; None for anything between, and for what is no score."""
    if isinstance(value, str):
        return {"C": True, "I": False}.get(value)
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    return None


def _text(value: object) -> str:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _strings(value: object) -> Iterator[str]:
    """The texts in a log's arguments; chat turns, which lm_eval keeps as JSON in a text, are opened."""
    if isinstance(value, str):
        try:
            turns = json.loads(value)
        except ValueError:
            turns = None
        if isinstance(turns, list) and all(isinstance(turn, dict) and "content" in turn for turn in turns):
            yield from _user_texts(turns)
        else:
            yield value
    elif isinstance(value, list | dict):
        for each in value if isinstance(value, list) else value.values():
            yield from _strings(each)
