from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.item_record import AnswerJson
from pytest_thinkslm.engines.scoring import TokenScore
from pytest_thinkslm.generating.drifting import chosen
from pytest_thinkslm.runs.drift import answer_span, drift_figures, item_drift


def token(
    kl: float = 0.1,
    *,
    kind: str = "other",
    agrees: bool = True,
    rank: int = 1,
    thought: tuple[float, float] | None = None,
) -> TokenScore:
    logs = math.log(0.5), math.log(0.25)
    return TokenScore(kind, kl, 2 * kl, agrees, *logs, rank, 0.75, 0.5, thought)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("12 and 12, so 1,200 it is: 1,200.00", "1200", "1,200.00"),
        ("A is wrong. Answer: B. Because of B12 and AB", "B", "B"),
        (r"so \boxed{\frac{3}{4}}", r"\frac{3}{4}", r"\frac{3}{4}"),
        ("[3, 1, 2] sorted: [1, 2, 3], not 11, 2, 3", [1, 2, 3], "1, 2, 3"),
        ("correct? It is incorrect.", {"judgement": "correct", "first_error_step": None}, "correct"),
        ("correct? It is incorrect.", {"judgement": "wrong", "first_error_step": "1"}, "incorrect"),
        ("Paris", "B", None),
        ("twelve", "12", None),
        ("", None, None),
        ("1, 2", [], None),
    ],
)
def test_the_answer_is_found_where_it_stands_last(text: str, answer: AnswerJson, found: str | None) -> None:
    span = answer_span(text, answer)
    assert (None if span is None else text[slice(*span)]) == found
    if isinstance(answer, str) and found is not None:
        assert span is not None
        assert answer_span(text[: span[0]], answer) != span


def test_an_item_is_one_observation_however_long_its_text() -> None:
    """A short text that is far, and a long one that is near."""
    short = item_drift([token(1.0, agrees=False, rank=3), token(3.0, kind="end")], "a", ended=True)
    long = item_drift([token(0.0, kind="digit")] * 98, "b", ended=False)
    found = drift_figures([short, long])
    assert (found["items"], found["tokens"]) == (2, 100)
    assert (found["kl_mean"], found["kl_most"]) == (1.0, 2.0)
    assert (found["top1_agreement"], found["rank"]) == (0.75, 1.5)
    assert found["perplexity"] == {"before": pytest.approx(2), "now": pytest.approx(4)}
    assert (found["diverged"], found["first_divergence"]) == (0.5, 0)
    assert found["end_probability"] == {"before": 0.75, "now": 0.5}
    assert found["classes"]["digit"] == {"tokens": 98, "kl_mean": 0, "top1_agreement": 1}
    assert found["classes"]["other"]["top1_agreement"] == 0
    assert found["kl_low"] == 0


def test_one_item_has_no_interval_and_one_without_an_end_no_probability_of_it() -> None:
    found = drift_figures([item_drift([token()], "a", ended=False)])
    assert (found["kl_low"], found["kl_high"]) == (None, None)
    assert found["end_probability"] == {"before": None, "now": None}
    assert found["first_divergence"] is None


def test_the_end_of_a_thought_is_told_of_the_texts_that_end_one() -> None:
    thinking = [
        item_drift([token(), token(kind="end", thought=thought), token(kind="end")], "a", ended=True)
        for thought in ((0.5, 0.25), (1.0, 0.75))
    ]
    plain = item_drift([token(kind="end")], "b", ended=True)
    assert drift_figures([*thinking, plain]).get("thought_end_probability") == {"before": 0.75, "now": 0.5}
    assert "thought_end_probability" not in drift_figures([plain])


@given(st.lists(st.floats(0, 5), min_size=2, max_size=30))
def test_the_interval_encloses_the_mean_and_clusters_widen_it(values: list[float]) -> None:
    alone = drift_figures([item_drift([token(value)], place, ended=False) for place, value in enumerate(values)])
    assert alone["kl_low"] is not None
    assert alone["kl_high"] is not None
    assert alone["kl_low"] <= alone["kl_mean"] * (1 + 1e-5)
    assert alone["kl_mean"] <= alone["kl_high"] * (1 + 1e-5)
    twice = drift_figures(
        [item_drift([token(value)], place, ended=False) for place, value in enumerate(values) for _ in (1, 2)]
    )
    assert twice["kl_high"] == pytest.approx(alone["kl_high"], rel=1e-4)


def test_items_are_drawn_alike_for_every_variant_and_style() -> None:
    group = GroupKey("m", "none", "gsm8k", "test_gsm8k", "direct")
    keys = [
        ItemKey(*own, f"{item:04d}", repeat)
        for own in (group, group._replace(style="cot"))
        for item in range(40)
        for repeat in (1, 2)
    ]
    found = chosen(keys, 5, data_seed=0)
    by_style = {style: {key.item for key in found if key.style == style} for style in ("direct", "cot")}
    assert by_style["direct"] == by_style["cot"]
    assert len(by_style["direct"]) == 5
    assert {key.repeat for key in found} == {1}
    assert found < chosen(keys, 6, data_seed=0)
    assert {key.item for key in chosen(keys, 5, data_seed=1)} != by_style["direct"]
