"""Why an output ended, in the words of every engine and server, as one of this suite's three."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from pytest_thinkslm.core.records import FinishReason

#: What they say where the model ended its turn, and where a bound on tokens did. In lower case, words joined by "_".
_STOPPED = (
    "stop",  # OpenAI, vLLM, SGLang, Ollama, Gemini
    "eos",  # llama.cpp (stop_type), older TGI
    "eos_token",  # TGI, Together
    "end_turn",  # Anthropic
    "end_of_turn",
    "end_of_text",
    "stop_sequence",  # Anthropic, TGI
    "stop_string",
    "stop_token",
    "stop_word",
    "word",  # llama.cpp
    "complete",  # Cohere
    "completed",  # OpenAI's Responses
    "finished",
    "tool_calls",  # OpenAI
    "tool_call",
    "tool_use",  # Anthropic
    "function_call",
)
_CUT = (
    "length",  # OpenAI, vLLM, SGLang, TGI, Ollama
    "limit",  # llama.cpp
    "max_tokens",  # Anthropic, Cohere, Gemini
    "max_length",
    "max_new_tokens",
    "max_output_tokens",  # OpenAI's Responses
    "max_completion_tokens",
    "token_limit",
    "length_limit",
    "model_length",  # Mistral: the context was full
    "context_length",
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",  # Anthropic
    "error_limit",  # Cohere
)
_REASONS: Mapping[str, FinishReason] = {**dict.fromkeys(_STOPPED, "stop"), **dict.fromkeys(_CUT, "length")}
#: Generating was given up: what there is of the text is no output.
_BROKEN_OFF = frozenset(
    {
        "abort",
        "aborted",
        "error",
        "cancel",
        "cancelled",
        "canceled",
        "failed",
        "error_toxic",
        "insufficient_system_resource",  # DeepSeek
        "network_error",  # Z.ai
        "interrupted",
        "timeout",
        "timed_out",
        "internal_error",
        "server_error",
    }
)


#: An output that ended at its limit may have so many tokens less: some engines do not count the one that ends the turn,
#: or the last of a draft.
_UNDER = 8
#: Characters of text that a token has at most on average; where there are more, not all of the tokens were counted.
_LONGEST = 12


def context_full(reason: FinishReason, output_tokens: int | None, limit: int | None, characters: int) -> bool:
    """Whether an output was cut before the limit that was asked for, so that a context had no room for more.

    Args:
        reason: its finish reason.
        output_tokens: its new tokens, as counted by the engine; nothing is concluded where they are not known.
        limit: the bound on new tokens that was asked for.
        characters: of its text and thought; where they are too many for ``output_tokens``, some were left uncounted.
    """
    if reason != "length" or output_tokens is None or limit is None:
        return False
    return output_tokens < limit - _UNDER and characters <= _LONGEST * output_tokens


def finish_reason(said: object, output_tokens: int | None = None, limit: int | None = None) -> FinishReason:
    """The finish reason that an engine's word stands for; ``"unknown"`` for one that is not in the table.

    Where the word is none or unknown, an output that has all the new tokens that were asked for was cut by that limit.
    """
    found = _REASONS.get(_plain(said), "unknown")
    if found == "unknown" and output_tokens is not None and limit is not None and output_tokens >= limit:
        return "length"
    return found


def broken_off(said: object) -> bool:
    """Whether the word says that generating was given up (aborted, an error), so that there is no output."""
    return _plain(said) in _BROKEN_OFF


def _plain(said: object) -> str:
    """``MAX_TOKENS``, ``FinishReason.MAX_TOKENS``, ``maxTokens`` and ``["max_tokens"]`` are one word."""
    if isinstance(said, list | tuple) and len(said) == 1:
        said = said[0]
    return _spelled(said) if isinstance(said, str) else ""


@lru_cache(maxsize=256)
def _spelled(said: str) -> str:
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", said.strip().rpartition(".")[2])
    return re.sub(r"[\s-]+", "_", word).lower()
