"""The plot of accuracy against cost."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.reports.pareto import Point, front, pareto_svg

points = st.lists(st.builds(Point, st.just("m"), st.floats(0.01, 1e4), st.floats(0, 1)), max_size=12)


@given(points)
def test_the_front_is_beaten_by_nothing_and_beats_the_rest(given: list[Point]) -> None:
    best = front(given)
    for point in given:
        beaten = [
            other
            for other in given
            if other.cost <= point.cost
            and other.accuracy >= point.accuracy
            and (other.cost, other.accuracy) != (point.cost, point.accuracy)
        ]
        assert bool(beaten) != (point in best)


def test_of_a_speed_more_is_better() -> None:
    slow, fast, poor = Point("slow", 10, 0.9), Point("fast", 90, 0.8), Point("poor", 20, 0.1)
    assert front([slow, fast, poor], more_is_better=True) == [fast, slow]


def test_equal_ones_are_both_on_the_front() -> None:
    one, other, beaten = Point("one", 1, 0.5), Point("other", 1, 0.5), Point("beaten", 2, 0.5)
    assert front([one, beaten, other]) == [one, other]


def test_the_drawing_is_xml_and_names_are_text() -> None:
    assert pareto_svg([Point("a", 1, 0.5)], "disk") == ""
    drawn = pareto_svg([Point("<b>&", 1, 0.5), Point("c", 1, 0.5), Point("d", 3, 0.4)], "disk, GiB")
    assert len(ElementTree.fromstring(drawn).findall("circle")) == 3
    assert "<b>" not in drawn
