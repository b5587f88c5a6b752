"""The figures of changed forms tell scripted models apart, and put known variance where it belongs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pytest_thinkslm.core.identity import ItemKey
from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.runs.items import item_record, slim
from pytest_thinkslm.runs.stressed import stressed
from pytest_thinkslm.runs.types import StressRow
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.statistics.forms import Tree, form_change, position_bias, variance_components
from pytest_thinkslm.tasks import stress

WORDS = "iron wood glass stone paper wool rubber clay cotton silk copper leather ice wax salt sand".split()
FORMS = ("options-1", "options-2", "options-3", "distractor-1", "typos-1", "layout-1")

Script = Callable[[Case, random.Random], str]


def questions(count: int = 100) -> list[Case]:
    rng = random.Random(1)
    return [
        Case(
            "arc_easy",
            index,
            "choice",
            f"Which of these materials did the builders choose for bridge {index}?",
            rng.choice("ABCD"),
            options=tuple(rng.sample(WORDS, 4)),
        )
        for index in range(count)
    ]


def row_of(script: Script, noise: int = 0) -> StressRow:
    """The figures of a model that answers by a script, on a hundred questions and their changed forms."""
    records: dict[str, list[object]] = {"item": [], "stress": []}
    for case in questions():
        for form in ("", *FORMS):
            asked = stress.apply(case, form, 0) if form else case
            assert asked is not None
            rng = random.Random(f"{noise}|{case.index}|{form}")
            graded = grade(asked, Output(f"Answer: {script(asked, rng)}"))
            role = "stress" if form else "item"
            key = ItemKey("m", "none", "arc_easy", "t", "direct", case.item, role=role, stress=form)
            records[role].append(slim(item_record(key, asked, graded=graded)))
    (row,) = stressed(records["item"], records["stress"]).rows  # type: ignore[arg-type]
    return row


def right_at_random(case: Case, rng: random.Random) -> str:
    return str(case.gold) if rng.random() < 0.8 else rng.choice([one for one in case.letters if one != case.gold])


def by_length(case: Case, rng: random.Random) -> str:
    """Looks at the options alone, whatever is asked."""
    return case.letters[max(range(4), key=lambda place: (len(case.options[place]), case.options[place]))]


def test_the_right_figure_tells_each_script() -> None:
    always_b = row_of(lambda case, rng: "B")
    first = row_of(lambda case, rng: case.options[0])
    wordless = row_of(by_length)
    noisy = row_of(right_at_random)
    perfect = row_of(lambda case, rng: str(case.gold))

    for row, place in ((always_b, 1), (first, 0)):  # a position, whatever stands there
        bias = row["position_bias"]
        assert bias["p"] < 1e-6
        assert bias["picked"][place] == 1.0
        assert (row["transformations"]["options"]["same_answer"] or 0) < 0.1
        assert row["transformations"]["layout"]["same_answer"] == 1.0
    # The same option wherever it stands and whatever is asked: never moved, and right as often as chance.
    assert wordless["consistency"] == 1.0
    assert wordless["position_bias"]["p"] > 0.01
    assert 0.1 < wordless["transformations"]["options"]["accuracy"] < 0.4
    # Right by chance in every form alike: nothing of the variance is the item's.
    shares = {one["source"]: one["share"] for one in noisy["variance"]}
    assert shares["item"] < 0.1
    assert shares["form"] > 0.75
    assert (noisy["consistency"] or 0) < 0.5
    assert noisy["position_bias"]["p"] > 0.01
    assert all(one["p_corrected"] > 0.05 for one in noisy["transformations"].values())
    assert perfect["consistency"] == 1.0
    assert "variance" not in perfect


def test_items_of_a_solid_model_carry_the_variance() -> None:
    row = row_of(lambda case, rng: str(case.gold) if case.index % 2 else "ABCD"["BCDA".index(str(case.gold))])
    assert {one["source"]: one["share"] for one in row["variance"]}["item"] > 0.9


def test_a_transformation_that_harms_is_seen() -> None:
    row = row_of(lambda case, rng: "A" if "**" in case.question or "#" in case.question else str(case.gold))
    assert row["transformations"]["layout"]["change"] < -0.2
    assert row["transformations"]["layout"]["p_corrected"] < 0.01
    assert row["transformations"]["typos"]["change"] == 0


def of_normal(rng, variances) -> Tree:  # type: ignore[no-untyped-def]
    return simulated(rng, variances)


def right_or_wrong(rng, variances) -> Tree:  # type: ignore[no-untyped-def]
    """Scores of 0 and 1: an item's chance of being right, that of each transformation, of each form, and its luck."""
    chance = rng.beta(0.5, 0.5)
    tree = []
    for count in (3, 3, 3, 1):
        of_transformation = rng.beta(8 * chance + 1e-9, 8 * (1 - chance) + 1e-9)
        forms = rng.beta(8 * of_transformation + 1e-9, 8 * (1 - of_transformation) + 1e-9, size=count)
        tree.append([[float(rng.random() < form) for _ in range(2)] for form in forms])
    return tree


#: A beta variable of mean m whose parameters sum to c has the variance m (1 - m) / (c + 1); the rest is within.
_PARTS = [1 / 2, 1 / 18, 4 / 81, 32 / 81]


@pytest.mark.parametrize(
    ("item", "truth", "n"),
    [
        (of_normal, [0.5, 0.2, 0.1, 0.2], 20),
        (of_normal, [0.1, 0.05, 0.05, 0.8], 40),
        (right_or_wrong, _PARTS, 60),
    ],
)
def test_known_variance_components_are_recovered(item: Callable[..., Tree], truth: list[float], n: int) -> None:
    """In about 95 of 100 simulations each, also of few items."""
    import numpy

    rng = numpy.random.default_rng(11)
    sources = ("item", "transformation", "form", "repeat")
    hits = numpy.zeros(4)
    for _ in range(100):
        found = variance_components([item(rng, numpy.array(truth)) for _ in range(n)], sources)
        hits += [found[name].interval.low <= share <= found[name].interval.high for name, share in zip(sources, truth)]  # noqa: B905
    assert (hits >= 90).all(), hits


def simulated(rng, variances) -> Tree:  # type: ignore[no-untyped-def]
    """An item with four transformations of one to three forms, each asked twice."""
    item, transformation, form, repeat = variances**0.5
    own = rng.normal(0, item)
    tree = []
    for count in rng.integers(1, 4, size=4):
        of_transformation = own + rng.normal(0, transformation)
        forms = of_transformation + rng.normal(0, form, size=count)
        tree.append([[value + rng.normal(0, repeat) for _ in range(2)] for value in forms])
    return tree


def test_a_source_that_nothing_tells_is_left_out() -> None:
    single: list[Tree] = [[[[float(n % 2)]], [[0.0]]] for n in range(10)]
    assert set(variance_components(single, ("item", "transformation", "form", "repeat"))) == {"item", "transformation"}
    assert variance_components(single[:1], ("item", "transformation", "form", "repeat")) == {}


def test_false_alarms_are_as_rare_as_they_say() -> None:
    """p of a change and of a preference under "none": below 0.05 in about 5% of simulations."""
    rng = random.Random(3)
    changes = biases = 0
    for _ in range(200):
        items = [(float(rng.random() < 0.6), [float(rng.random() < 0.6) for _ in range(3)]) for _ in range(40)]
        changes += form_change(items).p < 0.05
        picks = {str(n): [(rng.randrange(4), rng.randrange(4)) for _ in range(3)] for n in range(60)}
        found = position_bias(picks, 4)
        assert found is not None
        biases += found.p < 0.05
    assert 1 <= changes <= 24
    assert 1 <= biases <= 24
