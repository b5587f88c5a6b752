"""From chat messages to prompt token ids: the checkpoint's chat template, or a plain format for a base model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.errors import EngineError
from pytest_thinkslm.records import Message

if TYPE_CHECKING:
    from pytest_thinkslm.models.resolve import ResolvedModel

#: What ends an answer of a base model: the next question that it makes up.
PLAIN_STOP = ("\nQuestion:",)
#: Names that chat templates use for switching the thought on or off.
_SWITCHES = ("enable_thinking", "thinking")


def render(
    tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None = None
) -> list[int]:
    """Prompt token ids of ``messages`` up to where the model's answer begins, with at most one leading BOS.

    The chat template is rendered to ids in one step, never to text that is tokenized again: that would add a second
    BOS and move scores by tens of points. A checkpoint without a template gets ``plain_text``.

    Args:
        tokenizer: a transformers tokenizer.
        messages: the chat, the last turn being the user's.
        resolved: the model, which says whether there is a template.
        thinking: ``"on"``, ``"off"``, a number of tokens as text, or None for the model's own default.

    Raises:
        EngineError: the template refuses the messages, knows no switch for ``thinking``, or doubles the BOS.
    """
    ids = (
        _templated(tokenizer, messages, resolved, thinking)
        if resolved.has_chat_template
        else _plain(tokenizer, messages, resolved, thinking)
    )
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise EngineError(
            f"{resolved.name}: the prompt begins with two BOS tokens ({tokenizer.bos_token!r}); "
            "the chat template and the tokenizer both add one"
        )
    return ids


def plain_text(messages: Sequence[Message]) -> str:
    """``Question: ...\\nAnswer: ...`` turns for a model without a chat template; a system message stands in front."""
    parts: list[str] = []
    for message in messages:
        if message.role == "system":
            parts.append(f"{message.content}\n\n")
        elif message.role == "user":
            parts.append(f"Question: {message.content}\nAnswer:")
        else:
            parts.append(f" {message.content}\n\n")
    return "".join(parts)


def thinking_variables(template: str, thinking: str) -> dict[str, object]:
    """The template variables that switch the thought on or off; empty where the template has no such switch."""
    blocks = " ".join(re.findall(r"\{[{%](.*?)[%}]\}", template, re.DOTALL))
    code = re.sub(r"'[^']*'|\"[^\"]*\"", "''", blocks)  # without literals such as '<thinking>'
    used = {name for name in (*_SWITCHES, "thinking_budget") if re.search(rf"(?<![.\w]){name}\b", code)}
    values: dict[str, object] = {name: thinking != "off" for name in _SWITCHES if name in used}
    if values and thinking not in ("on", "off") and "thinking_budget" in used:
        values["thinking_budget"] = int(thinking)
    return values


def _templated(tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None) -> list[int]:
    import jinja2

    switches: dict[str, object] = {}
    if thinking is not None:
        switches = thinking_variables(resolved.chat_template or "", thinking)
        if not switches:
            raise EngineError(f"{resolved.name}: its chat template has no switch for thinking ({thinking!r} was asked)")
    chat = [{"role": message.role, "content": message.content} for message in messages]
    try:
        encoded = tokenizer.apply_chat_template(
            chat,
            chat_template=resolved.chat_template,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            **switches,
        )
    except jinja2.TemplateError as problem:
        roles = ", ".join(message.role for message in messages)
        raise EngineError(f"{resolved.name}: its chat template refuses these messages ({roles}): {problem}") from None
    return [int(token) for token in encoded["input_ids"]]


def _plain(tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None) -> list[int]:
    if thinking is not None:
        raise EngineError(f"{resolved.name} has no chat template, so thinking cannot be switched ({thinking!r})")
    return [int(token) for token in tokenizer(plain_text(messages))["input_ids"]]
