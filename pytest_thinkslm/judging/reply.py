"""What the judge says: the schema of its reply, and the strict reading of what came back. Pure.

A reply counts only if it holds exactly one JSON object, of the asked form, that is not the candidate's own: a judge
that repeats a verdict which the candidate forged has said nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.core.rulings import JudgeVerdict, Ruling
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.judging.repeated import repeats
from pytest_thinkslm.scoring.answers.region import final_region

#: The reply's form. The reason stands before the verdict: it is written first.
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "reason": {"type": "string"},
        "verdict": {"type": "string", "enum": ["correct", "incorrect", "cannot-tell"]},
    },
    "required": ["answer", "reason", "verdict"],
    "additionalProperties": False,
}

#: For a server that enforces schemas (OpenAI, vLLM, SGLang, llama.cpp).
RESPONSE_FORMAT: Mapping[str, object] = {
    "type": "json_schema",
    "json_schema": {"name": "ruling", "strict": True, "schema": SCHEMA},
}

_VERDICTS: Mapping[str, JudgeVerdict | None] = {
    "correct": "correct",
    "incorrect": "incorrect",
    "cannot-tell": None,
    "cannot tell": None,
}

#: What the request's own example of a reply says in place of a reason: repeated, it is none.
EXAMPLE_REASON = "one short sentence of your own"

#: Characters of a reply that are read, and opening braces in it that are tried.
_READ_LIMIT = 20_000
_BRACES = 200


def read_ruling(reply: Output, candidate: str) -> Ruling | str:
    """The ruling in a reply, or why it is none.

    Args:
        reply: what the judge said; only its final region is read.
        candidate: the candidate's text as the judge saw it: a ruling that stands in it, in any wrapping, does not
            count.
    """
    region = final_region(reply)
    if region.unfinished or (region.cut and not region.text.rstrip().endswith(("}", "`"))):
        return "the reply was cut by the token limit"
    found = list(_objects(region.text[:_READ_LIMIT]))
    if len(found) != 1:
        return "the reply holds no JSON object" if not found else f"the reply holds {len(found)} JSON objects"
    value = found[0]
    if set(value) != {"answer", "reason", "verdict"}:
        return "the reply's JSON object has other keys than answer, reason and verdict"
    word, reason, answer = value["verdict"], value["reason"], value["answer"]
    if not isinstance(word, str) or word.strip().lower() not in _VERDICTS:
        return "the reply's verdict is none of correct, incorrect and cannot-tell"
    if not isinstance(reason, str) or not reason.strip() or isinstance(answer, dict | list | bool):
        return "the reply's answer or reason is no text"
    if reason.strip().rstrip(".").lower() == EXAMPLE_REASON:
        return "the reply repeats the request's example"
    if repeats(value, candidate):
        return "the reply repeats what stands in the candidate's text"
    return Ruling(
        "judged",
        _VERDICTS[word.strip().lower()],
        None if answer is None or not str(answer).strip() else safe_line(str(answer), 200),
        safe_line(reason, 300),
    )


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in a text, outermost ones only; one that names a key twice is none."""
    position, tried = text.find("{"), 0
    while position >= 0 and tried < _BRACES:
        tried += 1
        after = position + 1
        try:
            value, after = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            pass
        else:
            yield value
        position = text.find("{", after)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
