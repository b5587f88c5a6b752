"""From chat messages to prompt token ids: the checkpoint's chat template, or a plain format for a base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Message
from pytest_thinkslm.models.marks import own_marks
from pytest_thinkslm.models.switches import Switch
from pytest_thinkslm.models.thought import switch_for
from pytest_thinkslm.scoring.answers.thoughts import opening_mark

if TYPE_CHECKING:
    from pytest_thinkslm.models.resolve import ResolvedModel

#: What ends an answer of a base model: the next question that it makes up.
PLAIN_STOP = ("\nQuestion:",)
#: Tokens at the end of a prompt in which a start-of-thought mark is looked for: the longest one is far shorter.
_TAIL = 24


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    resolved: ResolvedModel,
    thinking: str | None = None,
    prefix: str = "",
) -> list[int]:
    """Prompt token ids of ``messages`` up to where the model's answer goes on, with at most one leading BOS.

    The chat template is rendered to ids in one step, never to text that is tokenized again: that would add a second
    BOS and move scores by tens of points. A checkpoint without a template gets ``plain_text``.

    Args:
        tokenizer: a transformers tokenizer.
        messages: the chat, the last turn being the user's.
        resolved: the model, which says whether there is a template.
        thinking: ``"on"``, ``"off"``, an effort, a number of tokens as text, or None for the model's own default.
        prefix: what the answer begins with. A start-of-thought mark that the template has put there already is not
            repeated.

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
    if prefix:
        opened = opened_thought(tokenizer, ids, resolved.chat_template)
        if prefix.startswith(opened):
            prefix = prefix.removeprefix(opened)
        elif prefix.startswith(opened.rstrip()):
            prefix = prefix.removeprefix(opened.rstrip()).lstrip()
        prefix = own_marks(resolved.chat_template).spelled(prefix)
        ids += [int(token) for token in tokenizer(prefix, add_special_tokens=False)["input_ids"]]
    return ids


def opened_thought(tokenizer: Any, prompt: Sequence[int], template: str | None = None) -> str:
    """The start-of-thought mark that a prompt ends with, empty where it ends otherwise.

    What the model says then lacks it; engines put it in front, so that a thought without an end is seen as one.
    """
    tail = str(tokenizer.decode(prompt[-_TAIL:], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    return opening_mark(own_marks(template).shown(tail))


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


def _templated(tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None) -> list[int]:
    import jinja2

    own = bool(messages) and messages[0].role == "system"
    switch = Switch() if thinking is None else switch_for(resolved.chat_template or "", thinking, system=own)
    if switch is None:
        raise EngineError(f"{resolved.name}: its chat template has nothing for --thinking {thinking}")
    chat = [{"role": message.role, "content": message.content} for message in switch.messages(messages)]
    try:
        encoded = tokenizer.apply_chat_template(
            chat,
            chat_template=resolved.chat_template,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            **switch.variables,
        )
    except jinja2.TemplateError as problem:
        roles = ", ".join(message.role for message in messages)
        raise EngineError(f"{resolved.name}: its chat template refuses these messages ({roles}): {problem}") from None
    return [int(token) for token in encoded["input_ids"]]


def _plain(tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None) -> list[int]:
    if thinking is not None:
        raise EngineError(f"{resolved.name} has no chat template, so thinking cannot be switched ({thinking!r})")
    return [int(token) for token in tokenizer(plain_text(messages))["input_ids"]]
