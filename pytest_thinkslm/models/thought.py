"""What a chat template has to do with thoughts: its switch, whether its model thinks by default. Imports no torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.scoring.answers.thoughts import mentions_thought, opening_mark

if TYPE_CHECKING:
    from pytest_thinkslm.models.resolve import ResolvedModel

#: Names that chat templates use for switching the thought on or off, and for its bound in tokens.
_SWITCHES = ("enable_thinking", "thinking")
_BUDGET = "thinking_budget"


def check_thinking(resolved: ResolvedModel, thinking: str | None) -> None:
    """Whether ``--thinking`` can be had from this checkpoint, asked before anything is loaded.

    Raises:
        UsageError: there is no chat template, it has no switch (for on and off), or no sign of a thought (for a
            number of tokens).
    """
    if thinking is None:
        return
    asked = f"--thinking {thinking}: {resolved.display}"
    template = resolved.chat_template
    if template is None:
        raise UsageError(f"{asked} has no chat template (a base model), so no thought can be asked for: leave it out")
    if thinking_variables(template, thinking):
        return
    always = thinks_by_default(template)
    if thinking in ("on", "off"):
        advice = (
            "it thinks always; leave --thinking out, or bound the thought with --thinking TOKENS"
            if always
            else "leave --thinking out"
        )
        raise UsageError(f"{asked} has a chat template without a switch for thinking: {advice}")
    if not always:
        raise UsageError(
            f"{asked} has a chat template that knows neither a switch for thinking nor a thought: leave --thinking "
            "out, and bound the answer with --max-tokens"
        )


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
    thinks = thinking == "on" or (thinking is None and template is not None and thinks_by_default(template))
    return ThoughtRoom(thinks, resolved.context)


def thinking_variables(template: str, thinking: str) -> dict[str, object]:
    """The template variables for ``thinking`` (on, off, a number of tokens); empty where it has no such switch."""
    blocks = " ".join(re.findall(r"\{[{%](.*?)[%}]\}", template, re.DOTALL))
    code = re.sub(r"'[^']*'|\"[^\"]*\"", "''", blocks)  # without literals such as '<thinking>'
    used = {name for name in (*_SWITCHES, _BUDGET) if re.search(rf"(?<![.\w]){name}\b", code)}
    values: dict[str, object] = {name: thinking != "off" for name in _SWITCHES if name in used}
    if thinking not in ("on", "off") and _BUDGET in used:
        values[_BUDGET] = int(thinking)
    return values


@functools.cache
def thinks_by_default(template: str) -> bool:
    """Whether a model with this chat template writes a thought unless it is told not to.

    It does where the template opens a thought in the prompt (DeepSeek-R1, QwQ), where the prompt by default is the
    one with the switch on and differs from the one with it off (Qwen3, SmolLM3; not Granite), and, for want of a
    switch, where the template cuts thoughts out of earlier turns, that is, names an end-of-thought mark. A template
    that cannot be rendered here counts as thinking where it has a switch or such a mark.
    """
    plain = _prompt(template, {})
    switch_on, switch_off = thinking_variables(template, "on"), thinking_variables(template, "off")
    if plain is None:
        return bool(switch_on) or mentions_thought(template)
    if opening_mark(plain):
        return True
    if switch_on:
        return plain == _prompt(template, switch_on) != _prompt(template, switch_off)
    return mentions_thought(template)


def _prompt(template: str, variables: Mapping[str, object]) -> str | None:
    """The prompt for one question, as transformers would render it but for the special tokens; None where it fails."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    given: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "")
    given |= {"tools": None, "documents": None, "add_generation_prompt": True, **variables}
    # transformers' own tag; it marks tokens for training and renders nothing.
    text = re.sub(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}", r"{%\1 if true %}{% endif \2%}", template)
    try:
        return environment.from_string(text).render(
            messages=[{"role": "user", "content": "?"}],
            raise_exception=refuse,
            strftime_now=lambda form: form,
            **given,
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError):
        return None  # it wants what is not known here (tools, a content of several parts)
