"""Transformations keep the gold: properties on made-up and real cases, and tables of what must be left alone."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.tasks import registry, stress
from pytest_thinkslm.tasks.prompts import prompt_messages
from pytest_thinkslm.tasks.stress import layout, numbers
from pytest_thinkslm.tasks.stress.text import sentences

LETTERS = "ABCDEFGH"
DATA = os.environ.get("THINKSLM_DATA_DIR", "")


def word_problem(question: str) -> Case:
    return Case("gsm8k", 0, "number", question, "7")


def choice(*options: str, question: str = "Which of these is a metal?", gold: str = "A") -> Case:
    return Case("arc_easy", 0, "choice", question, gold, options=options)


def gold_text(case: Case) -> str:
    return case.options[LETTERS.index(str(case.gold))]


def check(case: Case, name: str, variant: int, seed: int) -> bool:
    """What must hold of a changed form, whatever the case; whether there is one."""
    changed = stress.changed(case, name, variant, seed)
    assert changed == stress.changed(case, name, variant, seed)
    if changed is None:
        return False
    assert prompt_messages(changed, "direct") == prompt_messages(
        stress.apply(case, f"{name}-{variant}", seed), "direct"
    )
    assert changed != case
    assert (changed.task, changed.index, changed.kind, changed.cluster) == (
        case.task,
        case.index,
        case.kind,
        case.cluster,
    )
    if case.kind == "choice":
        assert gold_text(changed) == gold_text(case)
        assert sorted(changed.options) == sorted(case.options)
        if changed.places:
            assert [case.options[place] for place in changed.places] == list(changed.options)
    elif case.kind == "list":
        assert changed.gold == tuple(sorted(changed.given)) == case.gold
        assert all(str(number) in changed.question for number in changed.given)
    else:
        assert changed.gold == case.gold
    if name in ("names", "distractor", "typos", "layout"):
        assert re.findall(r"\d[\d,.:/]*", changed.question) == re.findall(r"\d[\d,.:/]*", case.question)
    if name in ("names", "typos"):
        assert len(changed.question.split()) == len(case.question.split())
    if name == "numbers":
        assert numbers.values(changed.question) == numbers.values(case.question)
    if name == "order" and case.kind == "number":
        assert sorted(changed.question.split()) == sorted(case.question.split())
    if name == "layout":
        assert layout.words(changed.question) == layout.words(case.question)
    if name == "typos":
        assert sorted(changed.question) == sorted(case.question)
    return True


PEOPLE = ("Maria", "Tom", "Anna", "Blake")
SENTENCES = (
    "{a} has {n} apples.",
    "{b} buys {m} red pencils at a shop.",
    "Each apple costs ${n}.",
    "They walk for {m} minutes.",
    "On May {d}, {a} gives {b} 1/2 of them.",
    "The bus leaves at {d}:30 pm.",
    "{b} is {n} years old.",
    "A box holds {big} nails.",
    "Mr. Lee sees $x = {n}$ on page {d}.",
    "It takes twenty-two days and {m} hours.",
    "He pays {n}% of it.",
)


@st.composite
def problems(draw: st.DrawFn) -> Case:
    parts = draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6))
    fill = {name: draw(st.sampled_from(PEOPLE)) for name in "ab"}
    fill |= {
        name: draw(st.one_of(st.integers(0, 40).map(str), st.sampled_from(["two", "nine", "twelve"]))) for name in "nm"
    }
    fill |= {
        "d": str(draw(st.integers(1, 12))),
        "big": draw(st.sampled_from(["1200", "1,200", "25000", "2,500,000", "1850"])),
    }
    return word_problem(" ".join(parts).format(**fill) + " How many apples are left?")


@given(problems(), st.sampled_from(["numbers", "names", "distractor", "typos", "order", "layout"]), st.integers(1, 5))
def test_word_problems_keep_their_numbers(case: Case, name: str, variant: int) -> None:
    check(case, name, variant, 0)


@given(
    st.lists(
        st.text("abcdef ghij0123", min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=5, unique=True
    ),
    st.integers(0, 4),
    st.sampled_from(["options", "labels", "distractor", "typos", "layout"]),
    st.integers(1, 5),
)
def test_choices_keep_their_gold(options: list[str], gold: int, name: str, variant: int) -> None:
    check(choice(*options, gold=LETTERS[gold % len(options)]), name, variant, 0)


@given(
    st.sampled_from(sorted(task for task in registry.all_tasks() if task.startswith("sort"))),
    st.integers(0, 99),
    st.integers(),
)
def test_lists_keep_their_gold(task: str, index: int, seed: int) -> None:
    generate = registry.get(task).generate
    assert generate is not None
    for name in ("order", "layout", "distractor"):
        assert check(generate(0, index), name, 1, seed)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="THINKSLM_DATA_DIR is not set")
@pytest.mark.parametrize("task", sorted(registry.all_tasks()))
def test_real_cases_keep_their_gold(task: str) -> None:
    """Every item of every task, about 20,000; the order of sentences is free in few word problems."""
    known = registry.get(task)
    cases = load_cases(known, range(known.count), Path(DATA), data_seed=0).cases
    for name, one in stress.TRANSFORMATIONS.items():
        if known.kind in one.kinds:
            changed = sum(check(case, name, 1, 0) for case in cases.values())
            assert changed > 0, f"{name} changes no item of {task}"


@pytest.mark.parametrize(
    ("options", "question"),
    [
        (("gold", "wood", "all of the above"), ""),
        (("gold", "wood", "None of these"), ""),
        (("both A and B", "x"), ""),
        (("gold", "A and C"), ""),
        (("gold", "neither"), ""),
        (("gold", "wood"), "Is option B right, or (A)?"),
        (("the first two", "wood"), ""),
    ],
)
def test_options_that_speak_of_others_stay(options: tuple[str, ...], question: str) -> None:
    assert stress.changed(choice(*options, question=question or "Which?"), "options", 1, 0) is None
    assert stress.changed(choice(*options, question=question or "Which?"), "labels", 1, 0) is None


@pytest.mark.parametrize(
    "question",
    [
        "He pays 12% of it.",
        "Add 1/2 of it.",
        "It is 2:30 pm.",
        "On May 5 he left.",
        "It was 12.5 km.",
        "He owes $12.",
        "In 1984 he left.",
        "She has twenty-two cats.",
        "Read page 12.",
        "He is the 5th.",
        "The 3-year loan.",
        "Bus 12A came.",
        "Two men came.",
        "A 2 x 4 board.",
        "He saw Apollo 13 fly.",
        "It costs 15$.",
        "Give 5 hundred.",
        "Find $12 + 5$.",
    ],
)
def test_numbers_that_are_parts_of_something_stay(question: str) -> None:
    assert stress.changed(word_problem(question), "numbers", 1, 0) is None


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("He has 12 cats.", "He has twelve cats."),
        ("He has nine cats, 5 are old.", None),
        ("A box of 12000.", "A box of 12,000."),
        ("A box of 1,200 nails.", "A box of 1200 nails."),
    ],
)
def test_numbers_change_their_form(question: str, expected: str | None) -> None:
    changed = stress.changed(word_problem(question), "numbers", 1, 0)
    assert changed is not None
    assert expected is None or changed.question == expected
    assert numbers.values(changed.question) == numbers.values(question)


@pytest.mark.parametrize(
    ("question", "changes"),
    [
        ("Ann has $5 and Maria has $7. Who has more?", True),
        ("Maria solves $x + 1$. Who is right?", False),
        ("Maria solves $3$ and $4$. Who is right?", False),
    ],
)
def test_two_prices_are_no_formula(question: str, changes: bool) -> None:
    assert (stress.changed(word_problem(question), "names", 1, 0) is not None) is changes


def test_a_distractor_comes_between_no_pronoun_and_its_noun() -> None:
    for question, place in (("Tom has 3 cats. How many of them sleep?", 0), ("Tom has 3 cats. Do cats sleep?", 1)):
        changed = stress.changed(word_problem(question), "distractor", 1, 0)
        assert changed is not None
        assert sentences(changed.question)[place] not in sentences(question)


def test_quotes_stay_out_of_formulas() -> None:
    case = replace(word_problem("Find $x$ in\n\\[x +\n1\\] now."), task="math", kind="expression")
    forms = [stress.changed(case, "layout", 1, seed) for seed in range(30)]
    assert all(form is not None and "> 1" not in form.question for form in forms)


def test_a_slip_makes_no_other_word() -> None:
    for word in ("trail", "tried", "silver", "angle"):
        assert stress.changed(word_problem(f"A {word}."), "typos", 1, 0) is None


@pytest.mark.parametrize(
    "question",
    ["He moved to New London.", "Lake Victor is deep.", "Anna Smith came.", "The Boston Bulls won.", "St. Thomas"],
)
def test_names_that_are_parts_of_others_stay(question: str) -> None:
    assert stress.changed(word_problem(question), "names", 1, 0) is None


def test_a_name_is_exchanged_throughout() -> None:
    changed = stress.changed(word_problem("Anna met Tom. Tom likes Anna's cat."), "names", 1, 0)
    assert changed is not None
    found = re.match(r"(\w+) met (\w+)\. \2 likes \1's cat\.\Z", changed.question)
    assert found is not None
    assert not set(found.groups()) & {"Anna", "Tom"}


@pytest.mark.parametrize(
    "question",
    [
        "Tom has 3 cats. He has 2 dogs. How many?",
        "Tom has 3 cats. Anna has 2 more. How many?",
        "Tom has 3 cats. Tom has 5 dogs. How many?",
        "Tom has 3 cats. Anna has 5 dogs. She sells 2. How many?",
        "Kira bought 3 apples. Lola ate 2 of the fruit. How many?",
        "Tom has 3 cats. Then Anna comes. How many?",
    ],
)
def test_sentences_that_depend_on_each_other_stay(question: str) -> None:
    assert stress.changed(word_problem(question), "order", 1, 0) is None


def test_independent_sentences_change_places() -> None:
    changed = stress.changed(word_problem("Tom has 3 cats. Anna has 5 dogs. How many pets are there?"), "order", 1, 0)
    assert changed is not None
    assert changed.question == "Anna has 5 dogs. Tom has 3 cats. How many pets are there?"


@given(st.text("ab. ?!A1\n", max_size=60))
def test_sentences_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize("form", [1, 2, 3])
def test_every_label_is_read_back(form: int) -> None:
    """The gold answered as its label stands, and as its text, is correct in every form of labels."""
    case = choice("iron", "wood", "stone", "glass", gold="C")
    changed = stress.changed(case, "labels", form, 0)
    assert changed is not None
    label = changed.labels[2].strip("().")
    for said in ([label] if label != "-" else []) + ["stone"]:
        assert grade(changed, Output(f"Answer: {said}")).verdict.name == "correct"
        wrong = changed.labels[0].strip("().") if said == label else "iron"
        assert grade(changed, Output(f"Answer: {wrong}")).verdict.name == "incorrect"
    assert "letter" not in prompt_messages(changed, "direct")[0].content or label == "c"


def test_what_is_asked_for_is_parsed() -> None:
    assert stress.parse(["options:1", "typos"]) == ("options-1", "typos-1", "typos-2", "typos-3")


@pytest.mark.parametrize(
    "value", ["optons", "options:", "options:0", "options:x", "options:101", ":3", "options:-1", "options:٣"]
)
def test_what_is_no_transformation_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="--stress"):
        stress.parse([value])


def test_a_case_has_no_more_forms_than_it_has() -> None:
    """Three kinds of labels, all different; there is no fourth."""
    case = choice("iron", "wood", "stone", gold="A")
    forms = [stress.changed(case, "labels", variant, 0) for variant in (1, 2, 3, 4)]
    assert len({form.labels for form in forms if form is not None}) == 3
    assert forms[3] is None


def test_a_transformation_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        stress.parse(["options", "options:2"])


def test_seeds_and_variants_give_other_forms() -> None:
    case = choice(*"abcde", question="Which?")
    forms = [stress.changed(case, "options", variant, seed) for variant in range(1, 9) for seed in (0, 1)]
    assert len({form.options for form in forms if form is not None}) > 8


def test_answers_are_mapped_back_to_the_item() -> None:
    from pytest_thinkslm.core.identity import ItemKey
    from pytest_thinkslm.runs.items import item_record

    case = choice("iron", "wood", "stone", gold="A")
    changed = stress.changed(case, "options", 1, 0)
    assert changed is not None
    key = ItemKey("m", "none", "arc_easy", "t", "direct", "0000", role="stress", stress="options-1")
    record = item_record(key, changed, graded=grade(changed, Output(f"Answer: {changed.gold}")))
    assert (record["verdict"], record["plain_answer"]) == ("correct", "A")
