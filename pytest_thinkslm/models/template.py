"""From chat messages to prompt token ids: the checkpoint's chat template, or a plain format for a base model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Message, Request
from pytest_thinkslm.models.chat_templates import dated, day_variables, holds, shows_parts
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
    *,
    parts: bool = False,
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
        parts: give contents as lists of parts, as templates of multi-modal models want them.

    Raises:
        EngineError: the template refuses the messages, knows no switch for ``thinking``, or doubles the BOS.
    """
    ids = (
        [int(token) for token in _templated(tokenizer, messages, resolved, thinking, parts)["input_ids"]]
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


class Prompts:
    """The prompts of one model. The first of each task and style is looked at: does the question stand in it?

    A template of a multi-modal model may loop over parts of a content and drop one that is plain text: then the prompts
    of all questions are the same, and scored. Contents are given in the form, text or parts, in which the template
    keeps them.

    Args:
        tokenizer: a transformers tokenizer.
        resolved: the model.
    """

    def __init__(self, tokenizer: Any, resolved: ResolvedModel) -> None:
        self._tokenizer, self._resolved = tokenizer, resolved
        self._forms: dict[tuple[str, str], bool | EngineError] = {}

    def ids(self, request: Request) -> list[int]:
        """Prompt token ids of a request; see ``render``.

        Raises:
            EngineError: as ``render``, or the template leaves the question out.
        """
        parts = False
        if self._resolved.has_chat_template:
            group = (request.task, request.style)
            if group not in self._forms:
                self._forms[group] = self._form(request)
            form = self._forms[group]
            if isinstance(form, EngineError):
                raise form
            parts = form
        return render(self._tokenizer, request.messages, self._resolved, request.thinking, request.prefix, parts=parts)

    def _form(self, request: Request) -> bool | EngineError:
        """Whether contents go as parts; an error where neither form keeps the user's last turn."""
        asked = next((one for one in reversed(request.messages) if one.role == "user"), request.messages[-1])
        problem: EngineError | None = None
        for parts in (False, True):
            try:
                text = _templated(
                    self._tokenizer, request.messages, self._resolved, request.thinking, parts, tokenize=False
                )
            except EngineError as error:
                problem = problem or error
                continue
            if holds(str(text), asked.content) and not (parts and shows_parts(str(text))):
                return parts
        return problem or EngineError(
            f"{self._resolved.name}: its chat template leaves the question out of the prompt, given as text and as a "
            "list of parts, so that every prompt would be the same: it is damaged, or made for other messages than "
            "user and assistant turns"
        )


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


def _templated(
    tokenizer: Any,
    messages: Sequence[Message],
    resolved: ResolvedModel,
    thinking: str | None,
    parts: bool,
    *,
    tokenize: bool = True,
) -> Any:
    """What the tokenizer makes of the chat template: an encoding, or text where ``tokenize`` is off."""
    template = resolved.chat_template or ""
    own = bool(messages) and messages[0].role == "system"
    switch = Switch() if thinking is None else switch_for(template, thinking, system=own)
    if switch is None:
        raise EngineError(f"{resolved.name}: its chat template has nothing for --thinking {thinking}")
    chat = [{"role": message.role, "content": content_of(message, parts)} for message in switch.messages(messages)]
    try:
        return tokenizer.apply_chat_template(
            chat,
            chat_template=dated(template),
            tokenize=tokenize,
            add_generation_prompt=True,
            return_dict=tokenize,
            **day_variables(template),
            **switch.variables,
        )
    except Exception as problem:  # a template is others' code, and raises anything
        roles = ", ".join(message.role for message in messages)
        raise EngineError(f"{resolved.name}: its chat template refuses these messages ({roles}): {problem}") from None


def content_of(message: Message, parts: bool) -> object:
    """A message's content as templates take it: text, or a list of parts."""
    return [{"type": "text", "text": message.content}] if parts else message.content


def _plain(tokenizer: Any, messages: Sequence[Message], resolved: ResolvedModel, thinking: str | None) -> list[int]:
    if thinking is not None:
        raise EngineError(f"{resolved.name} has no chat template, so thinking cannot be switched ({thinking!r})")
    return [int(token) for token in tokenizer(plain_text(messages))["input_ids"]]
