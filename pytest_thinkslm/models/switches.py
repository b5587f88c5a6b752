"""What a chat template can be told about thinking. Found by rendering it, never by its words; imports no torch.

A name in a template is no switch, and neither is a command that it merely shows: a value exists where it renders
another prompt than its opposite does.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_thinkslm.core.records import Message
from pytest_thinkslm.models.rendering import rendered, texts_of, variables_of

LEVELS = ("low", "medium", "high")

#: Names of template variables: true or false for a thought, an effort, a bound in tokens.
ON_OFF = ("enable_thinking", "thinking", "enable_reasoning", "reasoning")
EFFORT = ("reasoning_effort", "thinking_effort", "reasoning_strength")
BUDGET = "thinking_budget"
#: Efforts that mean no thought at all; taken only where the template's code has the word as a text of its own.
_NO_EFFORT = ("none", "no_think", "off")
#: Commands in a message, on and off.
_COMMANDS = (("/think", "/no_think"), ("/think", "/nothink"))

_NOTHING: Mapping[str, object] = MappingProxyType({})
_QUESTION = "q7c1e"
#: The system message of a rendered example.
SYSTEM = "s4d0b"
#: Stands where a command would, and means nothing.
_NO_COMMAND = "/c3x9e"


@dataclass(frozen=True, slots=True)
class Switch:
    """How one value of ``--thinking`` is set: template variables, or a command in a message. Empty: by default."""

    variables: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    command: str = ""
    place: Literal["system", "user"] = "system"

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """The chat with the command in its place: behind the system message or behind the last question."""
        found = list(messages)
        if not self.command:
            return found
        if self.place == "system" and (not found or found[0].role != "system"):
            return [Message("system", self.command), *found]
        at = 0 if self.place == "system" else max(i for i, turn in enumerate(found) if turn.role == "user")
        found[at] = Message(found[at].role, f"{found[at].content}\n{self.command}")
        return found


@dataclass(frozen=True, slots=True)
class Switches:
    """What a template takes: ``on`` and ``off`` together or not at all, and the efforts that there are.

    ``budget``: it takes a bound in tokens, too.
    """

    on: Switch | None = None
    off: Switch | None = None
    levels: Mapping[str, Switch] = field(default_factory=dict)
    budget: bool = False


@functools.cache
def switches_of(template: str, *, system: bool = False) -> Switches:
    """The switches of a chat template, in chats with a system message of the user's own or without one.

    Some templates (Granite's) put theirs into a system message, and do nothing where there is another.
    """
    names = variables_of(template)
    chat = Chat(template, system)
    on, off = next(_pairs(chat, names), (None, None))
    levels: dict[str, Switch] = {}
    for name in (name for name in EFFORT if name in names):
        lit = {} if on is None else {key: value for key, value in on.variables.items() if key not in EFFORT}
        prompts = {level: chat.prompt(Switch({**lit, name: level})) for level in LEVELS}
        taken = effective(prompts, chat.prompt(Switch(lit)))
        levels = {level: Switch({**lit, name: level}) for level in taken}
        if levels:
            break
    return Switches(on, off, levels, BUDGET in names)


def effective(prompts: Mapping[str, object | None], default: object) -> list[str]:
    """The values that do something: another prompt than by default, or the default where all others differ from it.

    A value that is refused has None for its prompt.
    """
    other = {value for value, prompt in prompts.items() if prompt is not None and prompt != default}
    same = {value for value, prompt in prompts.items() if prompt is not None and prompt == default}
    return [value for value in prompts if value in other or (other and same == {value})]


@dataclass(frozen=True, slots=True)
class Chat:
    """One question to a template, behind a system message where ``system``."""

    template: str
    system: bool = False

    def prompt(self, switch: Switch | None = None) -> str | None:
        """The prompt with a switch set; None where the template refuses it."""
        messages = [Message("system", SYSTEM)] if self.system else []
        messages.append(Message("user", _QUESTION))
        switch = switch or Switch()
        told = switch.messages(messages)
        plain = [{"role": turn.role, "content": turn.content} for turn in told]
        parts = [{"role": turn.role, "content": [{"type": "text", "text": turn.content}]} for turn in told]
        found = rendered(self.template, plain, switch.variables)
        return rendered(self.template, parts, switch.variables) if found is None else found


def _pairs(chat: Chat, names: Collection[str]) -> Iterator[tuple[Switch, Switch]]:
    """Ways to switch a thought on and off, the best first."""
    used = [name for name in ON_OFF if name in names]
    for group in (used, *([name] for name in used)):
        on, off = Switch(dict.fromkeys(group, True)), Switch(dict.fromkeys(group, False))
        if group and _differ(chat.prompt(on), chat.prompt(off)):
            yield on, off
    if BUDGET in names and _differ(chat.prompt(), chat.prompt(Switch({BUDGET: 0}))):
        yield Switch(), Switch({BUDGET: 0})
    words = texts_of(chat.template)
    for name in (name for name in EFFORT if name in names):
        for word in (word for word in _NO_EFFORT if word in words):
            off = Switch({name: word})
            for on in (Switch(), Switch({name: "high"}), Switch({name: "medium"})):
                if _differ(chat.prompt(off), chat.prompt(on)):
                    yield on, off
    yield from _commanded(chat)


def _commanded(chat: Chat) -> Iterator[tuple[Switch, Switch]]:
    places: tuple[Literal["system", "user"], ...] = ("system", "user")
    for place in places:
        for on_word, off_word in _COMMANDS:
            on, off = Switch(command=on_word, place=place), Switch(command=off_word, place=place)
            if _obeyed(chat, off):
                yield (on if _obeyed(chat, on) else Switch()), off
            elif _obeyed(chat, on):
                yield on, Switch()


def _obeyed(chat: Chat, switch: Switch) -> bool:
    """Whether a command does more to the prompt than to stand in it, or to be taken out of it."""
    told = chat.prompt(switch)
    control = chat.prompt(Switch(command=_NO_COMMAND, place=switch.place))
    if told is None or control is None:
        return False
    shown, gone = control.replace(_NO_COMMAND, switch.command), control.replace(_NO_COMMAND, "")
    return "".join(told.split()) not in ("".join(shown.split()), "".join(gone.split()))


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other
