"""The generated lists of the sorting tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks.registry import get, select

SORTING = [task.key for task in select(["sort*"])]


@pytest.mark.parametrize("key", SORTING)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 99))
def test_lists_are_what_the_condition_says(key, seed, index):
    case = get(key).generate(seed, index)
    length, condition = key.removeprefix("sort").split("_")
    assert len(case.given) == len(set(case.given)) == int(length)
    assert case.gold == tuple(sorted(case.given)) != case.given
    if condition == "positive":
        assert min(case.given) >= 1
        assert max(case.given) <= 100
    else:
        assert -100 <= min(case.given) < 0 < max(case.given) <= 100
    assert str(list(case.given)) in case.question


def test_lists_depend_on_seed_task_and_index_alone():
    lists = {
        (key, seed, index): get(key).generate(seed, index).given
        for key in SORTING
        for seed in (0, 1)
        for index in range(100)
    }
    assert len(set(lists.values())) == len(lists)
    assert lists["sort8_mixed", 0, 0] == (-16, 71, -81, 38, -50, -13, 99, -14), "runs must stay comparable"


@pytest.mark.parametrize("key", SORTING)
def test_a_hundred_items_without_any_data_file(key, tmp_path):
    task = get(key)
    assert item_count(task, None) == item_count(task, tmp_path) == 100
    data = load_cases(task, [99, 0], tmp_path, data_seed=3)
    assert list(data.cases) == [99, 0]
    assert data.state.pin == "ok"
    assert data.cases[99].index == 99
