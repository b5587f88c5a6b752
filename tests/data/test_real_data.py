"""The real data sets, where THINKSLM_DATA_DIR names a folder: counts, pins, both forms of every record."""

import functools
import re
from collections import Counter
from dataclasses import replace

import pytest
from hub_form import HUB_FORMS, QUESTIONS, broken, records, regraded

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import UNANSWERABLE, Review
from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.prompts import prompt_messages, render_text
from pytest_thinkslm.tasks.registry import get

pytestmark = pytest.mark.data

COUNTS = {
    "gsm8k": 1319,
    "math": 5000,
    "mathqa": 2985,
    "arc_easy": 2376,
    "arc_challenge": 1172,
    "commonsenseqa": 1221,
    "openbookqa": 500,
    "hellaswag": 3243,
    "gsm_plus": 2400,
    "mr_gsm": 590,
    "mr_ben": 4534,
}


@functools.cache
def load(key, folder):
    task = get(key)
    return load_cases(task, range(item_count(task, folder)), folder, data_seed=0)


@pytest.mark.parametrize("key", COUNTS)
def test_counts_and_pins(key, real_data):
    data = load(key, real_data)
    assert len(data.cases) == data.state.records == COUNTS[key]
    assert data.state.pin == "ok"
    header = pins.header(key)
    assert header is not None
    assert header.records == COUNTS[key]


@pytest.fixture
def hub_of(real_data, monkeypatch):
    """A function that lets the hub serve a task's real records in the hub's form, changed as asked."""

    def serve(key, change=lambda rows: rows):
        rows = [HUB_FORMS[key](record) for record in records(real_data / load(key, real_data).state.source)]
        if key == "math":  # the hub has seven configurations, joined in the order of their names
            rows.sort(key=lambda row: row["type"])
        rows = change(rows)
        first = get(key).source.configs[0]

        def fetch_rows(hub_id, config, split, revision):
            assert (hub_id, split) == (get(key).source.hub, get(key).source.split)
            return rows if config == first else []

        monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)

    return serve


@pytest.mark.parametrize("key", COUNTS)
def test_hub_form_gives_the_same_cases_in_the_same_order(key, real_data, hub_of):
    local = load(key, real_data)
    hub_of(key)
    hub = load_cases(get(key), local.cases, None, data_seed=0)
    assert hub.cases == local.cases
    assert (hub.state.pin, hub.state.differing, hub.state.missing, hub.left_out) == ("ok", (), (), {})


@pytest.mark.parametrize("key", COUNTS)
def test_a_few_records_that_differ_cannot_be_built_or_are_gone(key, real_data, hub_of):
    local = load(key, real_data)

    def change(rows):
        rows[7], rows[8] = regraded(key, rows[7])[0], broken(key, rows[8])
        return [*rows[:20], *rows[21:], varied_row(key, rows[20])]

    hub_of(key, change)
    hub = load_cases(get(key), local.cases, None, data_seed=0)
    assert len(hub.left_out) == 3
    assert len(hub.state.unverified) == 2
    assert hub.cases == {index: case for index, case in local.cases.items() if index not in hub.left_out}
    with pytest.raises(DataError, match="--strict-data lets no difference pass"):
        load_cases(get(key), local.cases, None, data_seed=0, strict_data=True)


@pytest.mark.parametrize("key", COUNTS)
def test_many_records_that_differ(key, real_data, hub_of):
    local = load(key, real_data)
    hub_of(key, lambda rows: [regraded(key, row)[0] if n < 40 else row for n, row in enumerate(rows)])
    with pytest.raises(DataError, match="40 differ"):
        load_cases(get(key), local.cases, None, data_seed=0)
    accepted = load_cases(get(key), local.cases, None, data_seed=0, accept_data=True)
    assert (len(accepted.cases), accepted.state.pin) == (COUNTS[key], "accepted")
    same = [index for index in local.cases if index not in accepted.state.differing]
    assert len(same) == COUNTS[key] - 40
    elsewhere = load_cases(get(key), same[:100], None, data_seed=0)
    assert elsewhere.cases == {index: local.cases[index] for index in same[:100]}
    assert elsewhere.state.pin == "ok"
    assert any(note.startswith("40 records that were not asked for differ") for note in elsewhere.state.notes)


def varied_row(key, row):
    return {**row, QUESTIONS[key]: f"Another question altogether: {row[QUESTIONS[key]]}"}


def test_partial_sets_are_named(real_data):
    assert {key: load(key, real_data).state.partial for key in ("hellaswag", "mr_gsm", "mr_ben", "gsm8k")} == {
        "hellaswag": "3243 of 10042 records, ActivityNet only",
        "mr_gsm": "590 of 2999 records, wrong solutions only",
        "mr_ben": "4534 of 5975 records, without the subject logic",
        "gsm8k": None,
    }


def test_gsm_plus_seeds_are_the_gsm8k_items_that_they_are(real_data):
    gsm8k = load("gsm8k", real_data).cases
    variations = load("gsm_plus", real_data).cases.values()
    for case in variations:
        (seed,) = case.auxiliary
        assert (seed.role, seed.case) == ("seed", gsm8k[seed.case.index])
        assert case.cluster == f"gsm8k-{seed.case.item}"
    assert set(Counter(case.cluster for case in variations).values()) == {8}
    assert len({case.cluster for case in variations}) == 300
    unanswerable = {case.facets["perturbation"] for case in variations if case.gold == UNANSWERABLE}
    assert unanswerable == {"critical thinking"}


def test_math_gold_is_the_derived_answer(real_data):
    golds = [case.gold for case in load("math", real_data).cases.values()]
    derived = [record["answer"] for record in records(real_data / "math_test_answers_derived.jsonl")]
    assert [gold for gold, answer in zip(golds, derived, strict=True) if gold != answer.strip()] == []


def test_math_levels_and_subjects(real_data):
    cases = load("math", real_data).cases.values()
    assert [Counter(c.facets["level"] for c in cases)[level] for level in "12345"] == [437, 894, 1131, 1214, 1324]
    assert Counter(c.facets["subject"] for c in cases)["Counting & Probability"] == 474


def test_mathqa_options_are_all_split(real_data):
    cases = load("mathqa", real_data).cases.values()
    assert [case.index for case in cases if case.note] == []
    assert all(len(case.options) == 5 for case in cases)
    leftover = re.compile(r"(?<![a-z])[a-e] \)|^,|,$")
    assert [case.options for case in cases if any(leftover.search(option) for option in case.options)] == []


def test_choices_of_three_to_five(real_data):
    sizes = {key: Counter(len(c.options) for c in load(key, real_data).cases.values()) for key in COUNTS}
    assert sizes["arc_easy"] == {4: 2365, 3: 7, 5: 4}
    assert sizes["arc_challenge"] == {4: 1165, 3: 4, 5: 3}
    assert set(sizes["commonsenseqa"]) == {5}
    assert set(sizes["openbookqa"]) == set(sizes["hellaswag"]) == {4}


def test_clusters(real_data):
    clusters = {key: {c.cluster for c in load(key, real_data).cases.values()} for key in ("hellaswag", "mr_ben")}
    assert len(clusters["mr_ben"]) == 1532
    assert 1 < len(clusters["hellaswag"]) < 3243


def test_mr_ben_subjects_and_labels(real_data):
    cases = load("mr_ben", real_data).cases.values()
    table = Counter((c.facets["subject"], c.gold.judgement) for c in cases)
    assert {subject for subject, _ in table} == {"biology", "chemistry", "coding", "math", "medicine", "physics"}
    assert (table["coding", "correct"], table["coding", "wrong"]) == (74, 164)
    assert (table["math", "correct"], table["math", "wrong"]) == (149, 769)


def test_mr_gsm_variants_of_a_question_share_their_cluster(real_data):
    """Against the most similar GSM8K question, for the variants at hand (labelled or not)."""
    build = get("mr_gsm").build
    seeds = {}
    for case in load("gsm8k", real_data).cases.values():
        like = {"uuid": "", "question": case.question, "question_type": "original", "model_output_steps": []}
        labels = {f"model_output_solution_{name}": "correct" for name in ("correctness", "first_error_step")}
        found = build({**like, **labels, "model_output_solution_first_error_reason": None}, 0)
        seeds.setdefault(found.cluster, []).append(case.index)
    assert sorted(len(items) for items in seeds.values())[-4:] == [1, 2, 2, 2]
    variants = load("mr_gsm", real_data).cases.values()
    assert all(case.cluster in seeds for case in variants)


@pytest.mark.parametrize("key", ["mr_gsm", "mr_ben"])
def test_review_prompts_do_not_tell_the_gold(key, real_data):
    for case in load(key, real_data).cases.values():
        other = Review("correct" if case.gold.judgement == "wrong" else "wrong", "99", "made up")
        shown = {render_text(prompt_messages(variant, "direct")) for variant in (case, replace(case, gold=other))}
        assert len(shown) == 1
