"""Print the oldest releases of direct dependencies that pyproject.toml admits, as constraints for pip.

Usage: python .ci/oldest.py EXTRA... > constraints.txt. A lower bound must be a release that exists: pip fails on the
constraint otherwise. A requirement without a lower bound is an error, since nobody could have tested it. What stands
in ``UNTESTED`` is left to pip, and pyproject.toml says so beside the bound.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

#: Older builds for the CPU are not to be had from the package index.
UNTESTED = frozenset({"torch"})


def lower_bounds(project: dict[str, object], extras: list[str]) -> list[str]:
    """``name==version`` for each direct dependency of the project and of the named extras."""
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    assert isinstance(project["dependencies"], list)
    requirements = [*map(Requirement, project["dependencies"])]
    waiting = list(extras)
    while waiting:
        for requirement in map(Requirement, optional[waiting.pop()]):
            if requirement.name == project["name"]:  # an extra that takes in others
                waiting += requirement.extras
            else:
                requirements.append(requirement)
    bounds: dict[str, str] = {}
    for requirement in requirements:
        lowest = [one.version for one in requirement.specifier if one.operator in (">=", "==")]
        if len(lowest) != 1:
            raise SystemExit(f"pyproject.toml: {requirement} has no lower bound")
        if requirement.name not in UNTESTED:
            bounds[requirement.name] = lowest[0]
    return [f"{name}=={version}" for name, version in bounds.items()]


if __name__ == "__main__":
    read = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(lower_bounds(read["project"], sys.argv[1:])))
