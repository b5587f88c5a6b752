"""Whether a chat template is sound, and what of it a user should know; imports no torch.

A template that asks for the date of today makes another prompt every day: it is given one day, always the same.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Mapping

from pytest_thinkslm.models.rendering import rendered, variables_of

#: The day that templates are told: the one that Llama's own fall back to.
DAY = datetime.datetime(2024, 7, 26)
#: A question and an answer that no template has of its own.
_QUESTION, _ANSWER = "0d9f6c1e?", "7b2a4d90."


def asks_for_date(template: str) -> bool:
    """Whether prompts of a template would be others tomorrow, or lack a date that they name."""
    return _calls_clock(template) or bool(day_variables(template))


@functools.lru_cache(maxsize=64)
def dated(template: str) -> str:
    """The template with ``strftime_now`` on ``DAY``.

    Templates take no functions from outside, so that a macro of that name stands in front; the line end behind it is
    the one that blocks swallow.
    """
    if not _calls_clock(template):
        return template
    replaced = "".join(f" | replace('%{code}', '{text}')" for code, text in _CODES.items())
    return (
        f"{{% macro strftime_now(format) %}}{{{{ format{replaced} | replace('%%', '%') }}}}{{% endmacro %}}\n{template}"
    )


@functools.lru_cache(maxsize=64)
def day_variables(template: str) -> Mapping[str, object]:
    """``date_string`` on ``DAY``, for a template that takes it without a default of its own; else empty."""
    if "date_string" not in variables_of(template) or re.search(r"\bdate_string\s+is\s+(?:not\s+)?defined\b", template):
        return {}
    return {"date_string": DAY.strftime("%d %b %Y")}


#: Of strftime, on that day at midnight, in English on every machine ("%-d" is a day without its zero).
_CODES: Mapping[str, str] = {
    "-d": "26", "-m": "7", "-H": "0", "-I": "12", "-M": "0", "-S": "0", "-j": "208", "-y": "24",
    "a": "Fri", "A": "Friday", "b": "Jul", "h": "Jul", "B": "July", "c": "Fri Jul 26 00:00:00 2024", "C": "20",
    "d": "26", "D": "07/26/24", "e": "26", "f": "000000", "F": "2024-07-26", "g": "24", "G": "2024", "H": "00",
    "I": "12", "j": "208", "k": " 0", "l": "12", "m": "07", "M": "00", "n": "\\n", "p": "AM", "P": "am",
    "r": "12:00:00 AM", "R": "00:00", "s": "1721952000", "S": "00", "t": "\\t", "T": "00:00:00", "u": "5", "U": "29",
    "V": "30", "w": "5", "W": "30", "x": "07/26/24", "X": "00:00:00", "y": "24", "Y": "2024", "z": "", "Z": "",
}  # fmt: skip


def _calls_clock(template: str) -> bool:
    return re.search(r"\bstrftime_now\b", template) is not None


def problem_of(template: str) -> str:
    """Why no prompt can be made with a template; empty where one can, as far as one question tells."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # transformers' own tag marks tokens for training and renders nothing.
    text = re.sub(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}", r"{%\1 if true %}{% endif \2%}", template)
    try:
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).from_string(text)
    except jinja2.TemplateSyntaxError as problem:
        return f"it is damaged: line {problem.lineno}: {problem.message}"
    except (jinja2.TemplateError, RecursionError) as problem:
        return f"it is damaged: {problem}"
    if _prompt(template) == "":
        return "it makes an empty prompt of a question"
    return ""


@functools.lru_cache(maxsize=64)
def remarks(template: str) -> tuple[str, ...]:
    """What to know of the prompts of a template, in sentences without a subject."""
    found = []
    if asks_for_date(template):
        found.append(f"asks for today's date, and is told {DAY:%d %B %Y} on every day")
    if header := _missing_header(template):
        found.append(
            f"has no generation prompt: its assistant's turns begin with {header!r}, and the prompt ends before that"
        )
    return tuple(found)


def holds(prompt: str, content: str) -> bool:
    """Whether a rendered prompt has a turn's text in it, as it is or escaped; spaces count as one."""
    escaped = json.dumps(content, ensure_ascii=False)[1:-1]
    return any(_plain(wanted) in _plain(prompt) for wanted in (content, escaped))


def shows_parts(prompt: str) -> bool:
    """Whether a list of parts stands in a prompt as such, brackets and all, which no template means."""
    return re.search(r"""['"]type['"]\s*:\s*['"]text['"]""", prompt) is not None


def _missing_header(template: str) -> str:
    """What the template puts in front of an assistant's turn, where the prompt lacks it; empty where it has it."""
    prompt, without = _prompt(template), _prompt(template, add_generation_prompt=False)
    turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    whole = rendered(template, turns)
    if not prompt or prompt != without or whole is None or _ANSWER not in whole:
        return ""
    before = whole.partition(_ANSWER)[0]
    return before.removeprefix(prompt).strip() if before.startswith(prompt) else ""


def _prompt(template: str, *, add_generation_prompt: bool = True) -> str | None:
    """The prompt of one question; None where it cannot be rendered here (it wants what is not known)."""
    return rendered(template, [{"role": "user", "content": _QUESTION}], add_generation_prompt=add_generation_prompt)


def _plain(text: str) -> str:
    return " ".join(text.split())
