"""Limits of new tokens: the table, its page, and what bounds it."""

import re
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.tasks.limits import LIMITS, default_max_tokens, limit_of
from pytest_thinkslm.tasks.registry import all_tasks, get
from pytest_thinkslm.tasks.task import Limit

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
STYLES = ("direct", "cot", "5shot", "5shot-cot", "8shot")
TABLE = {
    "gsm8k gsm_plus mathqa": (1024, 8192),
    "math": (4096, 16384),
    "arc_* commonsenseqa openbookqa hellaswag": (512, 8192),
    "mr_gsm mr_ben": (2048, 16384),
    "sort8_*": (512, 8192),
    "sort16_*": (1024, 8192),
    "sort32_*": (2048, 8192),
}


@pytest.mark.parametrize("key", list(all_tasks()))
def test_every_task_has_the_limits_of_the_table(key):
    (expected,) = [limits for keys, limits in TABLE.items() if any(fnmatch(key, one) for one in keys.split())]
    assert limit_of(get(key)) == Limit(*expected)
    for style in STYLES:
        assert default_max_tokens(get(key), style) == expected[0]
        assert default_max_tokens(get(key), style, thinks=True) == sum(expected)


def test_the_page_has_the_same_table():
    rows = re.findall(r"^\| ([a-z0-9_, ]+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    shown = {
        key: Limit(int(answer.replace(",", "")), int(thought.replace(",", "")))
        for keys, answer, thought in rows
        for key in keys.split(", ")
    }
    assert shown == {key: limit_of(task) for key, task in all_tasks().items()}


def test_a_user_s_task_has_its_kind_s_limits_its_own_or_those_of_a_style():
    plain = replace(get("gsm8k"), key="mine")
    assert limit_of(plain) == LIMITS["number"]
    own = replace(plain, limit=Limit(64, 100), max_tokens={"cot": 80})
    assert [default_max_tokens(own, style) for style in ("direct", "cot")] == [64, 80]
    assert default_max_tokens(own, "cot", thinks=True) == 180


@given(st.sampled_from(list(all_tasks())), st.booleans(), st.integers(1, 200_000))
def test_the_context_bounds_what_is_asked_for(key, thinks, context):
    free = default_max_tokens(get(key), "direct", thinks=thinks)
    assert default_max_tokens(get(key), "direct", thinks=thinks, context=context) == min(free, context)
