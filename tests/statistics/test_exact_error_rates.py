"""The error rates of single runs that the docstring states, by the enumeration of benchmarks/exact_error_rates.py."""

from __future__ import annotations

import re

import exact_error_rates
import pytest
import simulate_statistics

from pytest_thinkslm.statistics import compare_paired

#: What is stated: false alarms of regression, and false passes of non-inferiority from 5 items on.
DOCUMENTED = " ".join((compare_paired.__doc__ or "").split())
STATED = re.search(r"at most ([\d.]+)% .*?at most ([\d.]+)% for non-inferiority", DOCUMENTED)


@pytest.mark.parametrize(("n", "margin"), [(3, 0.02), (6, 0.01), (8, 0.0), (20, 0.05)])
def test_the_edges_give_what_all_tables_give(n: int, margin: float) -> None:
    edges, tables = exact_error_rates.largest(n, margin), simulate_statistics.exact_sizes(n, margin)
    assert edges == pytest.approx(tables, abs=2e-3)


@pytest.mark.parametrize("n", [5, 6, 9, 13, 40, 75, 200, 321])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05])
def test_no_rate_is_above_what_is_stated(n: int, margin: float) -> None:
    assert STATED
    alarm, wrongly = exact_error_rates.largest(n, margin)
    assert 100 * alarm <= float(STATED[1]) + 0.05  # stated to one digit
    assert 100 * wrongly <= float(STATED[2]) + 0.05
