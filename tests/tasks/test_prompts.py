"""Prompts: formats, few-shot turns, exemplars that never leak, and the page of all prompts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import DataError, UsageError
from pytest_thinkslm.core.records import Case, Review
from pytest_thinkslm.data import prompts_page
from pytest_thinkslm.data.exemplars import exemplars
from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.prompts import (
    Exemplar,
    prompt_messages,
)
from pytest_thinkslm.tasks.registry import all_tasks, get

SAMPLES = Path(__file__).parents[2] / "fixtures" / "data"
NUMBER = Case("gsm8k", 0, "number", "What is 6 * 7?", "42")
CHOICE = Case("arc_easy", 0, "choice", "Which is wet?", "B", ("iron", "water", "salt"))
REVIEW = Case(
    "mr_gsm", 0, "review", "What is 2 + 2?", Review("wrong", "2", "it is 4"), steps=("Step 1: a", "Step 2: b")
)
FORMATS = {"number": r"\boxed{}", "expression": r"\boxed{}", "list": r"\boxed{}", "choice": '"Answer:"'}


def samples(key):
    task = get(key)
    indices = range(item_count(task, SAMPLES))
    return load_cases(task, indices, SAMPLES, data_seed=0, accept_data=True).cases.values()


def user_text(case, style):
    (message,) = prompt_messages(case, style)
    assert message.role == "user"
    return message.content


@pytest.mark.parametrize("key", list(all_tasks()))
def test_every_task_in_direct_and_cot_ends_in_the_same_format(key):
    for case in samples(key):
        direct, cot = user_text(case, "direct"), user_text(case, "cot")
        assert case.question in direct
        assert all(option in direct for option in case.options)
        assert all(step in direct for step in case.steps)
        assert "step by step" in cot
        assert "step by step" not in direct
        if case.kind != "review":
            assert FORMATS[case.kind] in direct
            assert FORMATS[case.kind] in cot
            assert direct.rpartition("\n\n")[0] == cot.rpartition("\n\n")[0]


def test_options_are_lettered_by_position():
    assert "A. iron\nB. water\nC. salt" in user_text(CHOICE, "direct")


def test_the_context_stands_before_the_question():
    text = user_text(replace(CHOICE, context="Which ending fits?"), "direct")
    assert text.startswith("Which ending fits?\n\nWhich is wet?\n\nA. iron")


@pytest.mark.parametrize("style", ["direct", "cot"])
def test_no_prompt_shows_a_filled_in_placeholder(style):
    for key in all_tasks():
        for case in samples(key):
            text = user_text(case, style)
            assert r"\boxed{a" not in text
            assert "Answer: X" not in text
            assert "correct|wrong" not in text


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("mr_gsm", ("Step-by-step Evaluation:", "Final Judgement:", "First Error Step:", "Error Analysis:")),
        ("mr_ben", ("Solution Analysis:", "Solution Correctness:", "First Error Step:", "Error Reason:")),
    ],
)
def test_review_layouts(task, labels):
    text = user_text(replace(REVIEW, task=task), "direct")
    positions = [text.index(label) for label in labels]
    assert positions == sorted(positions)


@given(judgement=st.sampled_from(["correct", "wrong"]), step=st.none() | st.text(), reason=st.none() | st.text())
@pytest.mark.parametrize("style", ["direct", "cot"])
def test_review_prompts_do_not_depend_on_the_gold(style, judgement, step, reason):
    changed = replace(REVIEW, gold=Review(judgement, step, reason))
    assert prompt_messages(changed, style) == prompt_messages(REVIEW, style)


def test_steps_without_numbers_get_them_and_code_stays_code():
    assert "Step 1: a\nStep 2: b" in user_text(replace(REVIEW, steps=("a", "b")), "direct")
    code = user_text(replace(REVIEW, steps=("def f():", "    return 1"), facets={"subject": "coding"}), "direct")
    assert "```python\ndef f():\n    return 1\n```" in code
    assert "first wrong line of code" in code


# Few-shot


@pytest.mark.parametrize(("style", "reply"), [("5shot", r"\boxed{1}"), ("5shot-cot", "Because.\n\\boxed{1}")])
def test_exemplars_are_chat_turns(style, reply):
    exemplar = Exemplar(Case("gsm8k", 0, "number", "What is 1 * 1?", "1"), "Because.")
    messages = prompt_messages(NUMBER, style, [exemplar] * 5)
    assert [message.role for message in messages] == ["user", "assistant"] * 5 + ["user"]
    assert messages[1].content == reply
    assert messages[-1] == prompt_messages(NUMBER, "cot" if "cot" in style else "direct")[-1]
    assert messages[0].content.rpartition("\n\n")[2] == messages[-1].content.rpartition("\n\n")[2]


def test_exemplars_reply_in_the_kinds_format():
    choice = prompt_messages(CHOICE, "5shot", [Exemplar(CHOICE)] * 5)[1].content
    sorting = get("sort8_mixed").generate(0, 0)
    ordered = prompt_messages(sorting, "5shot", [Exemplar(sorting)] * 5)[1].content
    assert choice == "Answer: B"
    assert ordered == rf"\boxed{{{', '.join(map(str, sorting.gold))}}}"


def test_exemplars_are_drawn_by_the_data_seed_alone_and_nest():
    gsm8k = get("gsm8k")
    five, eight = (exemplars(gsm8k, style, SAMPLES, 0) for style in ("5shot", "8shot"))
    assert len(eight) == 8
    assert (
        five
        == eight[:5]
        == exemplars(gsm8k, "5shot-cot", SAMPLES, 0)
        == exemplars(get("gsm_plus"), "5shot", SAMPLES, 0)
    )
    assert eight != exemplars(gsm8k, "8shot", SAMPLES, 1)
    assert all("<<" not in exemplar.solution and "####" not in exemplar.solution for exemplar in eight)
    assert exemplars(gsm8k, "direct", SAMPLES, 0) == exemplars(gsm8k, "cot", None, 0) == ()


def test_exemplars_are_disjoint_from_the_evaluated_split():
    gsm8k = get("gsm8k")
    (evaluated, *_) = [exemplar.case for exemplar in exemplars(gsm8k, "5shot", SAMPLES, 0)]
    again = exemplars(gsm8k, "5shot", SAMPLES, 0, evaluated=[evaluated])
    assert evaluated.question not in {exemplar.case.question for exemplar in again}


def test_a_training_question_that_is_pinned_is_never_drawn(tmp_path, monkeypatch):
    records = [json.loads(line) for line in (SAMPLES / "gsm8k_train.jsonl").read_text().splitlines()]
    leaked = {pins.question_hash(record["question"]): index for index, record in enumerate(records[:2])}
    monkeypatch.setattr("pytest_thinkslm.data.exemplars.question_index", lambda key: leaked)
    drawn = exemplars(get("gsm8k"), "5shot", SAMPLES, 0)
    assert not leaked.keys() & {pins.question_hash(exemplar.case.question) for exemplar in drawn}
    with pytest.raises(UsageError, match="has only 7 questions that are not asked"):
        exemplars(get("gsm8k"), "8shot", SAMPLES, 0)


@pytest.mark.parametrize("key", ["sort8_positive", "sort32_mixed"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sorting_exemplars_are_no_items(key, seed):
    task = get(key)
    items = {task.generate(seed, index).gold for index in range(100)}
    drawn = exemplars(task, "8shot", None, seed)
    assert len(drawn) == 8
    assert not items & {exemplar.case.gold for exemplar in drawn}
    assert len({exemplar.case.given for exemplar in drawn}) == 8


@pytest.mark.parametrize(
    ("key", "style", "complaint"),
    [
        ("mr_ben", "5shot", "task mr_ben, style 5shot: the data set has no training split"),
        ("arc_easy", "5shot-cot", "task arc_easy, style 5shot-cot: the training split has no worked solutions"),
        ("math", "8shot", r"task math, style 8shot: .* has no math_train.jsonl\[.gz\]"),
        ("gsm8k", "6shot", "unknown style '6shot'"),
    ],
)
def test_no_exemplars_is_a_clear_error(key, style, complaint):
    with pytest.raises(UsageError, match=complaint):
        exemplars(get(key), style, SAMPLES, 0)


def test_no_training_split_on_the_hub_is_a_clear_error(monkeypatch):
    def fetch_rows(hub_id, config, split, revision):
        raise ConnectionError("no network")

    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)
    with pytest.raises(UsageError, match=r"gsm_plus, style 5shot: .*split train.*--hub-id gsm8k="):
        exemplars(get("gsm_plus"), "5shot", None, 0)


def test_exemplars_from_the_hub(monkeypatch):
    rows = [json.loads(line) for line in (SAMPLES / "gsm8k_train.jsonl").read_text().splitlines()]
    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", lambda hub_id, config, split, revision: rows)
    assert exemplars(get("gsm8k"), "8shot", None, 0) == exemplars(get("gsm8k"), "8shot", SAMPLES, 0)


def test_damaged_training_data(tmp_path):
    (tmp_path / "gsm8k_train.jsonl").write_text('{"question": "Q?", "answer": "no number"}\n')
    with pytest.raises(DataError, match="a training record is damaged"):
        exemplars(get("gsm8k"), "5shot", tmp_path, 0)


def test_wrong_number_of_exemplars_is_refused():
    with pytest.raises(ValueError, match="takes 5 exemplars, not 0"):
        prompt_messages(NUMBER, "5shot")


# The page


def test_the_page_of_prompts_is_current():
    assert prompts_page.PAGE.read_text(encoding="utf-8") == prompts_page.page(), (
        "run python -m pytest_thinkslm.data.prompts_page"
    )


def test_the_page_has_every_task():
    page = prompts_page.page()
    assert all(f"(`{key}`)" in page for key in all_tasks())
    assert "not log-likelihood" in page


def test_checking_the_page(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prompts_page, "PAGE", tmp_path / "docs" / "prompts.md")
    assert prompts_page.main(["--check"]) == 1
    assert prompts_page.main([]) == 0
    assert prompts_page.main(["--check"]) == 0
