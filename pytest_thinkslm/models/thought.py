"""``--thinking``: what a checkpoint can be told, whether its model thinks by default. Imports no torch."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.models.marks import has_end_mark
from pytest_thinkslm.models.rendering import variables_of
from pytest_thinkslm.models.switches import BUDGET, LEVELS, ON_OFF, SYSTEM, Chat, Switch, switches_of
from pytest_thinkslm.scoring.answers.thoughts import mentions_thought, opening_mark

if TYPE_CHECKING:
    from pytest_thinkslm.models.resolve import ResolvedModel


def check_thinking(resolved: ResolvedModel, thinking: str | None, system: str | None = None) -> None:
    """Whether ``--thinking`` can be had from this checkpoint, asked before anything is loaded.

    Args:
        resolved: the checkpoint.
        thinking: on, off, an effort, a number of tokens; None: nothing is asked.
        system: the run's system message: some templates put their switch into one of their own.

    Raises:
        UsageError: there is no chat template, it does nothing for this value, or no end of a thought is known (for a
            number of tokens). The message says what the template takes.
    """
    if thinking is None:
        return
    asked = f"--thinking {thinking}: {resolved.display}"
    template = resolved.chat_template
    if template is None:
        raise UsageError(f"{asked} has no chat template (a base model), so no thought can be asked for: leave it out")
    if switch_for(template, thinking, system=system is not None) is None:
        alone = system is not None and switch_for(template, thinking) is not None
        raise UsageError(f"{asked} {_beside_system(thinking) if alone else _refusal(template, thinking)}")
    if thinking == "on" and switches_of(template).on is None and _answers(resolved):
        raise UsageError(
            f"{asked} has a chat template without a switch for thinking; it cuts thoughts out of earlier turns, but "
            "the model is called one that answers at once (instruct): leave --thinking out"
        )
    if thinking.isdecimal() and not has_end_mark(resolved.path, template):
        raise UsageError(
            f"{asked} thinks when it is told to, but what ends its thought is not known, so it cannot be bounded: "
            f"{_advice(template)}, and bound the whole output with --max-tokens"
        )


def check_system(resolved: ResolvedModel, system: str | None) -> None:
    """Whether this checkpoint's chat template puts a system message into the prompt.

    Raises:
        UsageError: it refuses one, or leaves it out.
    """
    template = resolved.chat_template
    if system is None or template is None:
        return
    with_it, without = Chat(template, system=True).prompt(), Chat(template).prompt()
    if without is None:
        return  # it wants what is not known here, and says so when the prompts are made
    if with_it is None or SYSTEM not in with_it:
        does = "refuses a system message" if with_it is None else "leaves a system message out"
        raise UsageError(f"--system: {resolved.display} has a chat template that {does}: leave --system out")


@dataclass(frozen=True, slots=True)
class ThoughtRoom:
    """What the default token limits of a variant depend on, beside the task.

    ``thinks``: a thought without a bound of its own comes before the answer. ``context`` is the longest sequence in
    tokens, None where it is not known.
    """

    thinks: bool
    context: int | None


def thought_room(resolved: ResolvedModel, thinking: str | None) -> ThoughtRoom:
    """Whether this checkpoint will think: as it is told, else as its chat template has it by default."""
    template = resolved.chat_template
    asked = thinking == "on" or thinking in LEVELS
    thinks = asked or (thinking is None and template is not None and thinks_by_default(template))
    return ThoughtRoom(thinks, resolved.context)


@functools.cache
def switch_for(template: str, thinking: str, *, system: bool = False) -> Switch | None:
    """How ``thinking`` (on, off, an effort, a number of tokens) is set; None where the template has nothing for it.

    ``system``: the chat has a system message of the user's own.
    """
    known = switches_of(template, system=system)
    if thinking == "off":
        return known.off
    if thinking in LEVELS:
        return known.levels.get(thinking)
    on = known.on if known.on is not None else Switch() if thinks_by_default(template, system=system) else None
    if on is None or thinking == "on" or not known.budget:
        return on
    return Switch({**on.variables, BUDGET: int(thinking)}, on.command, on.place)


@functools.cache
def thinks_by_default(template: str, *, system: bool = False) -> bool:
    """Whether a model with this chat template writes a thought unless it is told not to.

    It does where the template opens a thought in the prompt (DeepSeek-R1, QwQ), where the prompt by default is the
    one with the switch on and differs from the one with it off (Qwen3, SmolLM3; not Granite), and, for want of a
    switch, where the template cuts thoughts out of earlier turns, that is, names an end-of-thought mark. A template
    that cannot be rendered here counts as thinking where it names one, or reads a switch.
    """
    chat = Chat(template, system)
    plain = chat.prompt()
    if plain is None:
        return mentions_thought(template) or not variables_of(template).isdisjoint(ON_OFF)
    if opening_mark(plain):
        return True
    known = switches_of(template, system=system)
    if known.on is None or known.off is None:
        return mentions_thought(template)
    return plain == chat.prompt(known.on) != chat.prompt(known.off)


def offers(template: str) -> tuple[str, ...]:
    """The values of ``--thinking`` that a template takes; TOKENS for a number."""
    values = ("on", "off", *LEVELS, "512")
    taken = [value for value in values if switch_for(template, value) is not None]
    return tuple("TOKENS" if value == "512" else value for value in taken)


def _answers(resolved: ResolvedModel) -> bool:
    """Whether only a word in its template speaks for a thought, and the model's name against it."""
    template = resolved.chat_template or ""
    prompt = Chat(template).prompt() or ""
    name = f"{resolved.name} {resolved.hub_id or ''} {resolved.path.name}"
    word = re.search(r"(?i)instruct", name) and not re.search(r"(?i)think|reason|r1", name)
    return bool(word) and not opening_mark(prompt) and not mentions_thought(prompt)


def _beside_system(thinking: str) -> str:
    return (
        f"has a chat template that sets --thinking {thinking} in a system message of its own, and not beside another: "
        "leave --system or --thinking out"
    )


def _refusal(template: str, thinking: str) -> str:
    if thinking.isdecimal():
        return (
            "has a chat template that knows neither a switch for thinking nor a thought: leave --thinking out, and "
            "bound the answer with --max-tokens"
        )
    kind = "levels of effort" if thinking in LEVELS else "a switch for thinking"
    if thinking in LEVELS and switches_of(template).levels:
        kind = f"the level {thinking}"
    always = "; it thinks always" if thinking == "off" and thinks_by_default(template) else ""
    return f"has a chat template without {kind}{always}: {_advice(template)}"


def _advice(template: str) -> str:
    taken = offers(template)
    there = f"it takes --thinking {', '.join(taken)}; or " if taken else ""
    system = "" if taken else " (where its model card names a system message for it, give that with --system)"
    return f"{there}leave --thinking out{system}"
