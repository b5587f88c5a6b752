"""Files of the OpenAI batch form: requests that a batch service answers, and its results as recorded outputs.

OpenAI's batches and vLLM's ``run-batch`` hand back nothing of a request but its custom id, so that the id says what the
item is: ``TASK/STYLE/ITEM/REPEAT``, and ``/FORM`` behind it for a changed form (``--stress``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.engines.openai_reply import read_error, read_reply

#: The endpoint that requests are for.
URL = "/v1/chat/completions"


def custom_id(request: Request) -> str:
    """What names a request in a batch: ``gsm8k/direct/0017/1``, ``gsm8k/direct/0017/1/names-2``."""
    form = f"/{request.stress}" if request.stress else ""
    return f"{request.task}/{request.style}/{request.item}/{request.repeat}{form}"


def batch_request(request: Request, model: str) -> dict[str, object]:
    """One line of a batch's input. Parameters at their neutral values are left out, but for temperature and top-p."""
    sampling = request.sampling
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    further = {
        "seed": sampling.seed,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "presence_penalty": sampling.presence_penalty or None,
    }
    body |= {name: value for name, value in further.items() if value is not None}
    return {"custom_id": custom_id(request), "method": "POST", "url": URL, "body": body}


def plain_entry(entry: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """A line of recorded outputs as the replay engine has it; a batch's result is turned into one.

    Returns what is wrong, as text, where the line is a batch's and cannot be used. A request that failed is an entry
    with ``error`` and an empty output.
    """
    if "custom_id" not in entry or "output" in entry:
        return entry
    task, slash, rest = str(entry["custom_id"]).partition("/")
    parts = rest.split("/")
    if not slash or len(parts) not in (3, 4) or not (parts[1] + parts[2]).isdecimal():
        return f"custom_id {entry['custom_id']!r} is none that 'thinkslm prompts' writes (TASK/STYLE/ITEM/REPEAT)"
    style, item, repeat, *form = parts
    known: dict[str, object] = {"task": task, "style": style, "item": int(item), "repeat": int(repeat)}
    known |= {"stress": form[0]} if form else {}
    response = entry.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    status = response.get("status_code", 200) if isinstance(response, dict) else None
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        known["model"] = body["model"]
    error = entry.get("error")
    if error:
        said = error.get("message") or error.get("code") if isinstance(error, dict) else error
        return {**known, "output": "", "error": f"the batch failed on it: {safe_line(str(said), 300)}"}
    if isinstance(status, int) and status != 200:
        failed = read_error(status, json.dumps(body).encode(), {})
        return {**known, "output": "", "error": f"the batch failed on it: {failed.message}"}
    found = read_reply(json.dumps(body).encode())
    if not isinstance(found, Output):
        return {**known, "output": "", "error": f"the batch failed on it: {found.message}"}
    return {
        **known,
        "output": found.text,
        "reasoning": found.reasoning,
        "finish_reason": found.finish_reason,
        "prompt_tokens": found.prompt_tokens,
        "output_tokens": found.output_tokens,
    }
