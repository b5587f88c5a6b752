"""What other packages bring: the objects of an entry point group, loaded once a process, and what a conftest adds."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from types import ModuleType
from typing import TypeVar

from pytest_thinkslm.core.errors import UsageError

_Kind = TypeVar("_Kind")

#: By group and what the entry point names: a package that is installed twice over (a checkout over a wheel) loads once.
_loaded: dict[tuple[str, str], object] = {}


#: What was added without an entry point, by group and name.
_added: dict[tuple[str, str], object] = {}


def add(group: str, name: str, found: object) -> None:
    """Have an object count as the entry point ``name`` of a group; one that was added before is replaced."""
    _added[group, name] = found


def names(group: str) -> tuple[str, ...]:
    """The names in a group, sorted; loads nothing."""
    added = (name for own, name in _added if own == group)
    return tuple(sorted({*added, *(point.name for point in metadata.entry_points(group=group))}))


def find(group: str, name: str) -> object | None:
    """The object of one name; None where nobody has it. Raises ``UsageError`` where it cannot be loaded."""
    if (group, name) in _added:
        return _added[group, name]
    points = [point for point in metadata.entry_points(group=group) if point.name == name]
    return _load(group, points[0]) if points else None


def load_all(group: str, what: str, kind: type[_Kind]) -> Iterator[_Kind]:
    """The objects of a group. Modules are loaded for what they register, and left out.

    Args:
        group: the group's name.
        what: what its entry points have to be, with its article, for messages.
        kind: the type that they must have.

    Raises:
        UsageError: an entry point cannot be loaded, or is something else.
    """
    for point in metadata.entry_points(group=group):
        found = _load(group, point)
        if isinstance(found, kind):
            yield found
        elif not isinstance(found, ModuleType):
            raise UsageError(
                f"the entry point {point.name!r} ({point.value}) of {group} is a {type(found).__name__}; it must be "
                f"{what} or a module that registers one"
            )


def _load(group: str, point: metadata.EntryPoint) -> object:
    if (group, point.value) not in _loaded:
        try:
            _loaded[group, point.value] = point.load()
        except Exception as error:  # whatever a foreign module raises, the user has to know whose it is
            raise UsageError(
                f"the entry point {point.name!r} ({point.value}) of {group} cannot be loaded: {error!r}; mend or "
                "uninstall the package that declares it"
            ) from error
    return _loaded[group, point.value]
