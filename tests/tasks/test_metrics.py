"""Metrics beyond accuracy: hand-computed tables, undefined values, and invariants."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.tasks.metrics import (
    gsm_plus_metrics,
    math_metrics,
    matthews,
    mr_ben_metrics,
    mr_gsm_metrics,
    review_metrics,
    sorting_metrics,
)
from pytest_thinkslm.tasks.registry import all_tasks

NUMBERS = itertools.count(5000)


def record(verdict="correct", *, item=None, role="item", task="t", failure=None, cluster="", judge=None, **facets):
    facts = {
        "task": task,
        "item": item or str(next(NUMBERS)),
        "style": "direct",
        "repeat": 1,
        "role": role,
        "cluster": cluster,
    }
    return {**facts, "verdict": verdict, "failure": failure, "facets": facets, "judge": judge, "answer": "", "gold": ""}


def review(gold, answer, *, step=True, judge=None, subject="math"):
    """A reviewed solution: its label, the model's judgement (None: unparsed), and whether its error step was right."""
    right = gold == answer and (gold == "correct" or step)
    verdict = "correct" if right else "unparsed" if answer is None else "incorrect"
    reply = None if answer is None else {"judgement": answer, "first_error_step": "1" if answer == "wrong" else None}
    label = {"judgement": gold, "first_error_step": "1" if gold == "wrong" else None}
    return {**record(verdict, judge=judge, subject=subject, question_type="original"), "gold": label, "answer": reply}


def value(entry):
    assert entry["value"] is not None, entry
    return entry["value"]


def plain(entry):
    """Without intervals."""
    if "value" in entry:
        return {name: inner for name, inner in entry.items() if name != "ci95"}
    return {name: plain(inner) for name, inner in entry.items()}


def test_every_metric_has_its_interval_by_cluster():
    def variation(number, right, seed_right):
        item = f"{number // 2:04d}"
        seed = record("correct" if seed_right else "incorrect", item=item, role="seed")
        own = record("correct" if right else "incorrect", item=f"{number:04d}", cluster=f"gsm8k-{item}")
        return [own, seed] if number % 2 == 0 else [own]

    records = [line for n in range(200) for line in variation(n, n % 4 < 2, n % 8 < 6)]
    metrics = gsm_plus_metrics(records)
    for name in ("pdr", "asp", "seed_accuracy"):
        low, high = metrics[name]["ci95"]
        assert low < value(metrics[name]) < high
    # Of 100 clusters of two like items, not of 200 items: 50% +- 1.96 x 5 points.
    assert metrics["by_perturbation"]["?"]["ci95"] == pytest.approx([0.4035, 0.5965], abs=0.003)
    reviews = [
        {
            **review(("correct", "wrong")[n % 2], ("correct", "wrong")[n % 3 % 2], subject="ab"[n % 2 == n % 5]),
            "item": f"{n}",
        }
        for n in range(120)
    ]
    for name in ("mcc", "acc_step"):
        low, high = review_metrics(reviews)[name]["ci95"]
        assert low < value(review_metrics(reviews)[name]) < high
    judged = [{**line, "judge": {"verdict": ("correct", "incorrect")[n % 2]}} for n, line in enumerate(reviews)]
    low, high = review_metrics(judged)["mr_score"]["ci95"]
    assert low < value(review_metrics(judged)["mr_score"]) < high
    low, high = mr_ben_metrics(reviews)["macro"]["mcc"]["ci95"]
    assert low < value(mr_ben_metrics(reviews)["macro"]["mcc"]) < high


def test_math_by_subject_and_level_in_order():
    records = [
        record(level="10", subject="B"),
        record("incorrect", level="2", subject="A"),
        record(level="2", subject="A"),
    ]
    metrics = math_metrics(records)
    assert list(plain(metrics["by_level"]).items()) == [("2", {"value": 0.5, "n": 2}), ("10", {"value": 1.0, "n": 1})]
    assert list(metrics["by_subject"]) == ["A", "B"]


def test_errors_are_left_out_and_seeds_are_no_items():
    records = [record(level="1"), record("error", level="1"), record("incorrect", role="seed", level="1")]
    assert plain(math_metrics(records)["by_level"]) == {"1": {"value": 1.0, "n": 1}}


def test_sorting_by_error_class_and_length():
    records = [
        record(length="8"),
        record("incorrect", failure="order", length="8"),
        record("incorrect", failure="dropped", length="16"),
        record("truncated", length="16"),
        record("unparsed", failure="repetition", length="16"),
    ]
    metrics = sorting_metrics(records)
    assert {name: entry["value"] for name, entry in metrics["by_error"].items()} == {
        "dropped": 0.2,
        "order": 0.2,
        "repetition": 0.2,
        "truncated": 0.2,
    }
    assert plain(metrics["by_length"]["8"]) == {"value": 0.5, "n": 2}
    assert sorting_metrics([]) == {"by_error": {}, "by_length": {}}


# GSM-Plus


def variation(verdict, seed, perturbation="adding operation", repeat=1):
    return {**record(verdict, cluster=f"gsm8k-{seed}", perturbation=perturbation), "repeat": repeat}


def seed(verdict, item, repeat=1):
    return {**record(verdict, item=item, role="seed", task="gsm8k"), "repeat": repeat}


def test_gsm_plus_pdr_and_asp_by_hand():
    records = [
        *(seed("correct", "0001"), seed("correct", "0002"), seed("incorrect", "0003"), seed("correct", "0009")),
        *(variation("correct", "0001"), variation("incorrect", "0001", "critical thinking")),
        *(variation("unparsed", "0002"), variation("correct", "0003"), variation("incorrect", "0003")),
        *(variation("error", "0001"), variation("correct", "0777")),
    ]
    metrics = gsm_plus_metrics(records)
    assert value(metrics["seed_accuracy"]) == pytest.approx(2 / 3), "seed 0009 has no variation beside it"
    assert value(metrics["pdr"]) == pytest.approx((2 / 3 - 2 / 5) / (2 / 3))
    assert plain(metrics["asp"]) == {"value": 1 / 5, "n": 5}
    assert plain(metrics["by_perturbation"]["critical thinking"]) == {"value": 0.0, "n": 1}


def test_gsm_plus_with_and_without_critical_thinking():
    seeds = [{**record(role="seed", item="0007"), "repeat": 1}]
    records = [*seeds, variation("correct", "0007"), variation("incorrect", "0007", "critical thinking")]
    metrics = gsm_plus_metrics(records)
    assert (value(metrics["pdr"]), value(metrics["asp"])) == (0.5, 0.5)
    without = metrics["without_critical_thinking"]
    assert plain(without["accuracy"]) == {"value": 1.0, "n": 1}
    assert (value(without["pdr"]), value(without["asp"]), value(without["seed_accuracy"])) == (0.0, 1.0, 1.0)
    assert "without_critical_thinking" not in gsm_plus_metrics(records[:2])


def test_gsm_plus_pairs_are_of_one_repeat():
    records = [seed("correct", "0001", 1), seed("incorrect", "0001", 2), variation("correct", "0001", repeat=2)]
    assert value(gsm_plus_metrics(records)["asp"]) == 0
    assert gsm_plus_metrics(records)["pdr"]["undefined"].startswith("no seed question was answered right")


@pytest.mark.parametrize(
    "records", [[], [variation("correct", "0001")], [seed("error", "0001"), variation("correct", "0001")]]
)
def test_gsm_plus_without_seeds_is_undefined(records):
    metrics = gsm_plus_metrics(records)
    for name in ("seed_accuracy", "pdr", "asp"):
        assert metrics[name] == {"value": None, "undefined": "no variation has its seed question beside it"}


# Reviews


def test_mcc_against_the_formula():
    assert matthews(6, 2, 1, 3) == pytest.approx((6 * 3 - 1 * 2) / math.sqrt(7 * 8 * 4 * 5))


@given(*[st.integers(0, 1000)] * 4)
def test_mcc_is_a_correlation_and_zero_where_undefined(tp, fn, fp, tn):
    mcc = matthews(tp, fn, fp, tn)
    assert -1 - 1e-9 <= mcc <= 1 + 1e-9
    assert mcc == pytest.approx(-matthews(fn, tp, tn, fp))
    if not (tp + fp and tp + fn and tn + fp and tn + fn):
        assert mcc == 0


def test_review_metrics_without_a_judge_have_no_score():
    records = [
        *(review("correct", "correct"), review("correct", "wrong"), review("correct", None)),
        *(
            review("wrong", "wrong"),
            review("wrong", "wrong", step=False),
            review("wrong", "correct"),
            review("wrong", None),
        ),
    ]
    metrics = review_metrics(records)
    assert set(metrics) == {"mcc", "acc_step"}
    assert plain(metrics["acc_step"]) == {"value": 1 / 4, "n": 4}
    # An unparsed judgement is a miss of either class: tp 1, fn 2, fp 2, tn 2.
    assert value(metrics["mcc"]) == pytest.approx(matthews(1, 2, 2, 2))


def test_mr_score_with_a_judge():
    records = [
        review("correct", "correct"),
        review("correct", "wrong"),
        review("wrong", "wrong", judge={"verdict": "correct"}),
        review("wrong", "wrong", judge={"verdict": "incorrect"}),
        review("wrong", "correct", judge=None),
    ]
    metrics = review_metrics(records)
    assert plain(metrics["acc_reason"]) == {"value": 1 / 3, "n": 3}
    expected = 0.2 * matthews(1, 1, 1, 2) + 0.3 * 2 / 3 + 0.5 * 1 / 3
    assert value(metrics["mr_score"]) == pytest.approx(expected)


def test_a_reason_left_open_by_the_judge_is_neither_right_nor_wrong():
    records = [review("correct", "correct"), review("wrong", "wrong", judge={"verdict": None})]
    metrics = review_metrics(records)
    assert plain(metrics["acc_reason"]) == {"value": None, "undefined": "the judge left 1 of 1 reasons open"}
    assert "acc_reason is undefined" in metrics["mr_score"]["undefined"]


def test_negative_mcc_counts_as_zero_in_the_score():
    records = [review("correct", "wrong"), review("wrong", "correct", judge={"verdict": "incorrect"})]
    metrics = review_metrics(records)
    assert value(metrics["mcc"]) == -1
    assert value(metrics["mr_score"]) == 0


def test_a_model_that_always_says_one_thing_divides_nothing_by_zero():
    metrics = review_metrics([review("correct", "correct"), review("wrong", "correct")])
    assert value(metrics["mcc"]) == 0
    assert value(metrics["acc_step"]) == 0


def test_wrong_solutions_only_leave_mcc_undefined():
    metrics = mr_gsm_metrics([review("wrong", "wrong"), review("wrong", "correct")])
    assert metrics["mcc"]["value"] is None
    assert "wrong solutions only" in metrics["mcc"]["undefined"]
    assert value(metrics["acc_step"]) == 0.5
    assert plain(metrics["by_question_type"]) == {"original": {"value": 0.5, "n": 2}}


def test_correct_solutions_only_leave_both_undefined():
    metrics = review_metrics([review("correct", "correct")])
    assert "correct solutions only" in metrics["mcc"]["undefined"]
    assert metrics["acc_step"]["undefined"] == "no wrong solutions in the data"


def test_mr_ben_by_subject_and_unweighted_mean():
    records = [
        *(review("correct", "correct", subject="math"), review("wrong", "wrong", subject="math")),
        *(review("correct", "correct", subject="physics"), review("wrong", "correct", subject="physics")),
        *(review("wrong", "wrong", subject="physics"), review("wrong", "correct", subject="physics")),
    ]
    metrics = mr_ben_metrics(records)
    assert list(metrics["by_subject"]) == ["math", "physics"]
    assert value(metrics["macro"]["acc_step"]) == pytest.approx((1 + 1 / 3) / 2)
    assert value(metrics["macro"]["mcc"]) == pytest.approx((1 + matthews(1, 0, 2, 1)) / 2)
    assert "mr_score" not in metrics["macro"]


def coding(gold, answer, *, step=True, accepted=None):
    judge = None if accepted is None else {"verdict": "correct" if accepted else "incorrect"}
    return review(gold, answer, step=step, judge=judge, subject="coding")


def test_mr_ben_coding_in_both_readings():
    records = [
        *(coding("correct", "correct"), coding("wrong", "correct")),
        *(coding("wrong", "wrong", step=False, accepted=True), coding("wrong", "wrong", accepted=False)),
        *(review("correct", "correct"), review("wrong", "wrong", judge={"verdict": "correct"})),
    ]
    metrics = mr_ben_metrics(records)
    ours, script = metrics["by_subject"]["coding"], metrics["script"]["by_subject"]["coding"]
    # Ours: the second has the right line and no accepted reason; the script's: the first one's reason is accepted.
    assert (value(ours["acc_step"]), value(ours["acc_reason"])) == (1 / 3, 0)
    assert (value(script["acc_step"]), value(script["acc_reason"])) == (1 / 3, 1 / 3)
    assert script["mcc"] == ours["mcc"]
    expected = 0.2 * value(script["mcc"]) + 0.8 / 3
    assert value(script["mr_score"]) == pytest.approx(expected)
    assert value(metrics["script"]["macro"]["mr_score"]) == pytest.approx((expected + 1) / 2)
    assert value(metrics["macro"]["mr_score"]) == pytest.approx((0.2 * value(ours["mcc"]) + 0.1 + 1) / 2)


def test_mr_ben_without_a_judge_has_no_steps_in_the_scripts_reading():
    records = [coding("correct", "correct"), coding("wrong", "wrong"), review("correct", "correct")]
    script = mr_ben_metrics(records)["script"]
    assert script["by_subject"]["coding"]["acc_step"]["undefined"].startswith("no judge")
    assert script["macro"]["acc_step"]["undefined"].startswith("undefined in")
    assert "mr_score" not in script["by_subject"]["coding"]


def test_mr_ben_without_coding_has_one_reading():
    assert "script" not in mr_ben_metrics([review("correct", "correct"), review("wrong", "wrong")])


def test_mr_ben_mean_is_undefined_where_a_subject_is():
    records = [review("wrong", "wrong", subject="physics"), review("wrong", "wrong", subject="math")]
    assert mr_ben_metrics(records)["macro"]["mcc"]["undefined"].startswith("undefined in math: wrong solutions only")


def test_mr_ben_subject_in_which_nothing_was_found_was_judged_all_the_same():
    records = [
        *(review("correct", "correct", subject="math"), review("wrong", "wrong", judge={"verdict": "correct"})),
        *(review("correct", "correct", subject="physics"), review("wrong", "correct", subject="physics")),
    ]
    metrics = mr_ben_metrics(records)
    assert value(metrics["by_subject"]["physics"]["acc_reason"]) == 0
    assert value(metrics["macro"]["acc_reason"]) == 0.5


@given(
    st.lists(
        st.builds(
            review,
            st.sampled_from(["correct", "wrong"]),
            st.sampled_from(["correct", "wrong", None]),
            step=st.booleans(),
            judge=st.sampled_from([None, {"verdict": "correct"}, {"verdict": "incorrect"}]),
        )
    )
)
def test_reason_never_passes_step_and_order_does_not_matter(records):
    metrics = review_metrics(records)
    assert review_metrics(records[::-1]) == metrics
    if "acc_reason" in metrics and metrics["acc_reason"]["value"] is not None:
        assert metrics["acc_reason"]["value"] <= value(metrics["acc_step"])


def test_no_records_at_all_is_no_crash():
    for task in all_tasks().values():
        if task.metrics is not None:
            assert task.metrics([]) is not None
