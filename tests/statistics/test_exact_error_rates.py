"""The error rates of single runs that the docstring states, by the enumeration of benchmarks/exact_error_rates.py."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_thinkslm.statistics import compare_paired

SCRIPTS = Path(__file__).parents[2] / "benchmarks"

#: What is stated: false alarms of regression, and false passes of non-inferiority from 5 items on.
DOCUMENTED = " ".join((compare_paired.__doc__ or "").split())
STATED = re.search(r"at most ([\d.]+)% .*?at most ([\d.]+)% for non-inferiority", DOCUMENTED)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("n", "margin"), [(3, 0.02), (6, 0.01), (8, 0.0), (20, 0.05)])
def test_the_edges_give_what_all_tables_give(n: int, margin: float) -> None:
    edges, tables = script("exact_error_rates").largest(n, margin), script("simulate_statistics").exact_sizes(n, margin)
    assert edges == pytest.approx(tables, abs=2e-3)


@pytest.mark.parametrize("n", [5, 6, 9, 13, 40, 75, 200])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05])
def test_no_rate_is_above_what_is_stated(n: int, margin: float) -> None:
    assert STATED
    alarm, wrongly = script("exact_error_rates").largest(n, margin)
    assert 100 * alarm <= float(STATED[1]) + 0.05  # stated to one digit
    assert 100 * wrongly <= float(STATED[2]) + 0.05
