"""A llama.cpp server asked in its own words: prompts as token ids on /completion, the tokenizer behind /tokenize."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.finish import finish_reason
from pytest_thinkslm.core.records import Output, Sampling
from pytest_thinkslm.engines.loop_guard import LoopWatch, inside_thought
from pytest_thinkslm.engines.openai_client import ChatClient
from pytest_thinkslm.engines.openai_wire import Chat, Failure
from pytest_thinkslm.models import rendering
from pytest_thinkslm.models.gguf_header import Header

#: Seeds are 32 bits to llama.cpp, the largest of which means "random".
_SEEDS = (1 << 32) - 1
#: In the order of transformers and vLLM: the temperature comes before what is cut off. llama.cpp's own comes last.
_SAMPLERS = ("penalties", "temperature", "top_k", "top_p", "min_p")
#: Seconds for the ids of a prompt, of a server that computes at the same time.
_TOKENIZING = 600.0


@dataclass(frozen=True, slots=True)
class Completion:
    """One prompt to go on from.

    Attributes:
        prompt: its token ids.
        opened: the start-of-thought mark that it ends with.
        stop: texts that end the output.
        kept: special tokens that stay in the text.
        guarded: whether a loop ends it early.
    """

    prompt: Sequence[int]
    opened: str = ""
    stop: Sequence[str] = ()
    kept: Sequence[str] = ()
    guarded: bool = False

    def body(self, sampling: Sampling) -> dict[str, object]:
        """The request's JSON, with every parameter that the server would fill in by itself."""
        return {
            "prompt": list(self.prompt),
            "n_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "typical_p": 1.0,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": len(self.prompt) + sampling.max_tokens,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": 0.0,
            "dry_multiplier": 0.0,
            "xtc_probability": 0.0,
            "samplers": list(_SAMPLERS),
            "seed": (sampling.seed or 0) % _SEEDS,
            "stop": list(self.stop),
            "preserved_tokens": list(self.kept),
            "cache_prompt": True,
            "stream": self.guarded,
            "return_tokens": self.guarded,
        }


@dataclass(frozen=True, slots=True)
class Asked(Chat):
    """A chat that has been rendered already."""

    completion: Completion = field(default_factory=lambda: Completion(()))


class CompletionClient(ChatClient):
    """``ChatClient`` for a server of our own; takes ``Asked`` alone."""

    async def _send(self, client: Any, body: dict[str, object], chat: Chat) -> Any:
        assert isinstance(chat, Asked)
        asked, root = chat.completion, self.endpoint.url.removesuffix("/v1")
        own = asked.body(chat.sampling)
        if not asked.guarded:
            return await client.with_options(timeout=self.timeout).post(f"{root}/completion", body=own, cast_to=str)
        from openai import AsyncStream

        stream = await client.with_options(timeout=self.timeout).post(
            f"{root}/completion", body=own, cast_to=object, stream=True, stream_cls=AsyncStream[object]
        )
        async with stream:
            return json.dumps(await _watched(stream, asked))

    def _read(self, data: bytes, seconds: float, chat: Chat) -> Output | Failure:
        assert isinstance(chat, Asked)
        try:
            reply = json.loads(data)
            text, counted = str(reply["content"]), int(reply["tokens_predicted"])
            prompt, ended = int(reply["tokens_evaluated"]), str(reply["stop_type"])
        except (ValueError, TypeError, KeyError, RecursionError) as problem:
            return Failure(
                "malformed", f"llama.cpp's reply cannot be read ({type(problem).__name__}, {len(data)} bytes)"
            )
        return Output(
            text=chat.completion.opened + text,
            finish_reason=finish_reason(ended, counted, chat.sampling.max_tokens),
            prompt_tokens=prompt,
            output_tokens=counted,
            latency=seconds,
            stopped="loop" if ended == "limit" and reply.get("looped") else None,
        )


async def _watched(stream: Any, asked: Completion) -> Mapping[str, object]:
    """The reply that a stream adds up to, or its beginning where it falls into a loop: closing it ends the request."""
    watch, tokens, parts = LoopWatch(), list[int](), list[tuple[int, str]]()

    def text(count: int) -> str:
        return "".join(part for at, part in parts if at <= count)

    async for event in stream:
        tokens += event.get("tokens") or []
        parts.append((len(tokens), str(event.get("content", ""))))
        if event.get("stop"):
            return {**event, "content": text(len(tokens))}
        if watch.due(len(tokens)):
            at = watch.stop_at(tokens, lambda kept: inside_thought(asked.opened + text(len(kept))))
            if at is not None:
                held = {"content": text(at), "tokens_predicted": at, "tokens_evaluated": len(asked.prompt)}
                return held | {"stop_type": "limit", "looped": True}
    raise EngineError("llama.cpp's stream ended early")


class ServedTokenizer:
    """As much of a transformers tokenizer as ``models.template`` asks of one, with llama.cpp's own vocabulary.

    Args:
        header: of the model.
        client: of the server that has loaded it.
    """

    def __init__(self, header: Header, client: ChatClient) -> None:
        self._header, self._client = header, client
        names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
        found = {name: header.token(own) for name, own in names.items()}
        self._special = {name: token[1] for name, token in found.items() if token is not None}
        bos = found["bos_token"]
        self.bos_token_id = None if bos is None else bos[0]
        self.bos_token = None if bos is None else bos[1]
        self._tokens = header.metadata.get("tokenizer.ggml.tokens")

    def __call__(self, text: str, add_special_tokens: bool = True) -> Mapping[str, list[int]]:
        """Token ids, those of special tokens that stand in the text included."""
        asked = {"content": text, "add_special": add_special_tokens, "parse_special": True}
        # On a busy machine even this can take longer than a stranger's server is given: an item would be lost.
        reply = self._client.post("tokenize", asked, _TOKENIZING)
        try:
            return {"input_ids": [int(token) for token in json.loads(reply or b"")["tokens"]]}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise EngineError("the llama.cpp server does not tokenize") from None

    def apply_chat_template(
        self,
        chat: Sequence[Mapping[str, object]],
        *,
        chat_template: str,
        tokenize: bool,
        add_generation_prompt: bool = False,
        return_dict: bool = False,
        **variables: object,
    ) -> Any:
        """The chat as text, or as token ids, rendered as transformers does."""
        given = {**self._special, **variables}
        text = rendering.render(chat_template, chat, given, add_generation_prompt=add_generation_prompt)
        return self(text, add_special_tokens=False) if tokenize else text

    def decode(self, ids: Sequence[int], **how: object) -> str:
        """About the text of some tokens: exact for special tokens and the white space between them."""
        tokens = self._tokens if isinstance(self._tokens, list) else []
        text = "".join(str(tokens[one]) for one in ids if 0 <= one < len(tokens))
        for written, means in (("Ġ", " "), ("Ċ", "\n"), ("▁", " "), ("<0x0A>", "\n")):
            text = text.replace(written, means)
        return text
