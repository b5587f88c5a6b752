"""The clock that runs while something is in hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.engines.clock import BusyClock


def test_pauses_between_two_pieces_of_work_do_not_count() -> None:
    clock = BusyClock()
    assert clock.seconds(5.0) == 0.0
    clock.begin(2, 10.0)
    clock.end(1, 12.0)
    assert (clock.seconds(), clock.seconds(14.0)) == (2.0, 4.0)
    clock.end(1, 15.0)
    assert (clock.seconds(), clock.seconds(99.0)) == (5.0, 5.0)
    clock.begin(1, 100.0)
    assert (clock.seconds(), clock.seconds(101.0)) == (5.0, 6.0)
    clock.end(1, 103.0)
    assert clock.seconds() == 8.0


def test_what_is_dropped_costs_nothing_after_the_last_answer() -> None:
    clock = BusyClock()
    clock.begin(3, 0.0)
    clock.end(1, 4.0)
    clock.drop(2)
    assert clock.seconds(50.0) == 4.0


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "drop"]), st.integers(0, 10)), max_size=60))
def test_it_never_runs_backwards_nor_faster_than_time(steps: list[tuple[str, int]]) -> None:
    clock, now, before = BusyClock(), 0, 0.0
    for what, waited in steps:
        now += waited
        if what == "begin":
            clock.begin(1, now)
        elif clock.in_hand:
            clock.end(1, now) if what == "end" else clock.drop(1)
        assert before - 1e-9 <= clock.seconds() <= clock.seconds(now) + 1e-9 <= now + 1e-6
        before = clock.seconds()
