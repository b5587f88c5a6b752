"""JSON of a file held against the types that it is read as: ``TypedDict``, ``Literal``, lists, mappings, unions."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

#: Says what is wrong with a value (where in it, then what), or nothing.
Check = Callable[[Any], str]

#: Whole numbers beyond it are none that a run counts.
_LARGEST = 2**53


def misfit(value: object, shape: Any, lenient: Collection[type] = ()) -> str:
    """What is wrong with a value of JSON: ``results[3].n is 'x', no whole number``; empty where it has the shape.

    Args:
        value: as the parser gave it.
        shape: a type as it is annotated.
        lenient: ``TypedDict``s of which keys may be absent (files of earlier versions); of all others none may.
    """
    found = _check(shape, frozenset(lenient))(value)
    return found.removeprefix(".")


@cache
def _check(shape: Any, lenient: frozenset[type]) -> Check:
    origin, arguments = get_origin(shape), get_args(shape)
    if shape in (Any, object):
        return _anything
    if origin in (NotRequired, Required):
        return _check(arguments[0], lenient)
    if origin in (Union, types.UnionType):
        return _one_of([_check(part, lenient) for part in arguments])
    if origin is Literal:
        return _plain(lambda value: isinstance(value, str) and value in arguments, f"none of {', '.join(arguments)}")
    if is_typeddict(shape):
        return _fields(shape, lenient)
    if origin is list:
        return _list(_check(arguments[0], lenient))
    if origin in (dict, Mapping):
        return _mapping(_check(arguments[1], lenient))
    return _PLAIN[shape]


def _plain(fits: Callable[[Any], bool], otherwise: str) -> Check:
    return lambda value: "" if fits(value) else f" is {_shown(value)}, {otherwise}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_PLAIN: Mapping[Any, Check] = {
    str: _plain(lambda value: isinstance(value, str), "no text"),
    bool: _plain(lambda value: isinstance(value, bool), "neither true nor false"),
    int: _plain(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST,
        "no whole number",
    ),
    float: _plain(lambda value: _is_number(value) and abs(value) < 1e300, "no number"),
    type(None): _plain(lambda value: value is None, "not null"),
}


def _anything(value: object) -> str:
    return ""


def _sure(shape: Any) -> frozenset[type]:
    """The types of which every value has the shape, so that most values need no further look."""
    if get_origin(shape) in (NotRequired, Required):
        return _sure(get_args(shape)[0])
    if get_origin(shape) in (Union, types.UnionType):
        return frozenset().union(*map(_sure, get_args(shape)))
    return frozenset({shape}) if shape in (str, bool, type(None)) else frozenset()


def _one_of(checks: list[Check]) -> Check:
    def check(value: Any) -> str:
        found = ""
        for one in checks:
            wrong = one(value)
            if not wrong:
                return ""
            # What is wrong deep inside says more than that it is not null.
            found = wrong if not found.startswith((".", "[")) else found
        return found

    return check


def _list(inner: Check) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, list):
            return f" is {_shown(value)}, no list"
        return next((f"[{place}]{wrong}" for place, part in enumerate(value) if (wrong := inner(part))), "")

    return check


def _mapping(inner: Check) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f" is {_shown(value)}, no object"
        return next((f".{name[:40]}{wrong}" for name, part in value.items() if (wrong := inner(part))), "")

    return check


def _fields(shape: type, lenient: frozenset[type]) -> Check:
    hints = get_type_hints(shape, include_extras=True)
    checks = [(name, _sure(hint), _check(hint, lenient)) for name, hint in hints.items()]
    # What __required_keys__ says is wrong where annotations are kept as text.
    optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    keys: Collection[str] = shape.__required_keys__  # type: ignore[attr-defined]
    needed = frozenset() if shape in lenient else frozenset(keys) - optional

    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f" is {_shown(value)}, no object"
        for name, sure, one in checks:
            if name not in value:
                if name in needed:
                    return f".{name} is missing"
            elif type(part := value[name]) not in sure and (wrong := one(part)):
                return f".{name}{wrong}"
        return ""

    return check


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:40]
