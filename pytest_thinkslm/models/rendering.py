"""A chat template rendered as text, as transformers would but for the special tokens; imports no torch."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jinja2 import Template

#: Turns as templates take them: role, content, and whatever else a template may look for.
Turn = Mapping[str, object]


def rendered(
    template: str,
    turns: Sequence[Turn],
    variables: Mapping[str, object] | None = None,
    *,
    add_generation_prompt: bool = True,
) -> str | None:
    """The text that a template makes of ``turns``; None where it refuses them or cannot be rendered here."""
    given = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "") | dict(variables or {})
    try:
        return render(template, turns, given, add_generation_prompt=add_generation_prompt)
    except Exception:  # a template is others' code: it wants what is not known here (tools, parts), or divides by zero
        return None


def render(
    template: str, turns: Sequence[Turn], variables: Mapping[str, object], *, add_generation_prompt: bool = True
) -> str:
    """The text of ``turns`` as transformers renders it; ``variables`` has the special tokens, ``bos_token`` and so on.

    Raises what jinja2 and the template raise.
    """
    given = {"tools": None, "documents": None, "add_generation_prompt": add_generation_prompt, **variables}
    return _compiled(template).render(messages=[dict(turn) for turn in turns], **given)


def variables_of(template: str) -> frozenset[str]:
    """The names that a template takes from outside; a name that it sets itself, or mentions in a text, is none.

    Empty for a template with an error in it.
    """
    import jinja2
    from jinja2 import meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(_without_tags(template))))
    except jinja2.TemplateError:
        return frozenset()


def texts_of(template: str) -> frozenset[str]:
    """The string literals of a template's code; empty for a template with an error in it."""
    import jinja2
    from jinja2 import nodes

    try:
        tree = _environment().parse(_without_tags(template))
    except jinja2.TemplateError:
        return frozenset()
    return frozenset(node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str))


def _without_tags(template: str) -> str:
    # transformers' own tag; it marks tokens for training and renders nothing.
    return re.sub(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}", r"{%\1 if true %}{% endif \2%}", template)


@functools.cache
def _environment() -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )

    def as_json(value: object, ensure_ascii: bool = False, **how: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)  # jinja2's own escapes for HTML

    environment.filters["tojson"] = as_json
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: form}
    return environment


@functools.lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    compiled: Template = _environment().from_string(_without_tags(template))
    return compiled
