from __future__ import annotations

import time

import pytest

from pytest_thinkslm.generating.ahead import Progress
from pytest_thinkslm.plugin.progress import describe, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_first_outputs_take_a_while_and_that_is_said() -> None:
    assert describe(Progress(to_generate=8)) == "0/8 outputs, loading the model or on the first outputs"


def test_pace_and_time_left() -> None:
    progress = Progress(to_generate=20)
    now = time.monotonic()
    progress.clock.begin(20, now - 10)
    for _ in range(10):
        progress.finish("gsm8k|direct", 100, now)
    assert describe(progress) == "10/20 outputs, 100 tokens/s, about 10 s left"


def test_failures_count_as_done() -> None:
    assert describe(Progress(to_generate=8, failed=3)) == "3/8 outputs"
