"""Reading reviews of a solution: both layouts, whole words, three values."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import Case, Output, Review
from pytest_thinkslm.scoring.answers import review_phrases
from pytest_thinkslm.scoring.answers.region import Region, final_region
from pytest_thinkslm.scoring.answers.reviews import _code_line, judgement_in, read_review, same_step
from pytest_thinkslm.tasks.prompts import prompt_messages

CODE = ("def f(x):", "    y = x + 1", "", "    return y")


def layout(judgement: str, step: str = "N/A", reason: str = "N/A") -> str:
    labels = ("Step-by-step Evaluation", "Final Judgement", "First Error Step", "Error Analysis")
    return "\n".join(map("{}: {}".format, labels, ("fine.", judgement, step, reason)))


def read(text: str, *, cut: bool = False) -> object:
    return read_review(Region(text, cut=cut)).value


@pytest.mark.parametrize(
    ("value", "judgement"),
    [
        *(
            ("correct", "correct"),
            ("incorrect", "wrong"),
            ("wrong", "wrong"),
            ("**Correct**", "correct"),
            ("WRONG.", "wrong"),
        ),
        *(
            ("not correct", "wrong"),
            ("not wrong", "correct"),
            ("not entirely correct", "wrong"),
            ("partially correct", "wrong"),
        ),
        *(("correct or wrong", None), ("correct|wrong", None), ("correct/incorrect", None), ("...", None), ("", None)),
        *(
            ("incorrect or correct", None),
            ("the correct answer is 5", None),
            ("correctness", None),
            ("incorrectly", None),
        ),
        ("The solution is wrong because the correct answer is 5", "wrong"),
    ],
)
def test_judgements_are_whole_words_and_three_valued(value: str, judgement: str | None) -> None:
    assert judgement_in(value) == judgement


@pytest.mark.parametrize(
    ("text", "review"),
    [
        (layout("correct"), Review("correct")),
        (layout("correct", "Step 2"), Review("correct")),
        (layout("wrong", "Step 2", "4 * 3 is 12."), Review("wrong", "2", "4 * 3 is 12.")),
        (layout("incorrect", "2"), Review("wrong", "2")),
        (layout("wrong", "step two"), Review("wrong", "2")),
        (layout("**wrong**", "**2**"), Review("wrong", "2")),
        (layout("wrong", "N/A or a step number", "N/A or the analysis"), Review("wrong")),
        (layout("correct or wrong", "N/A or a step number"), None),
        (f"{layout('correct')}\n\n{layout('wrong', '4')}", Review("wrong", "4")),
        (f"{layout('wrong', '4')}\n\n{layout('correct or wrong', 'N/A or a step number')}", Review("wrong", "4")),
        ("**Final Judgement:** Wrong\n\n**First Error Step:** Step 2: 4 * 3 = 13", Review("wrong", "2")),
        ("Final Judgement: wrong First Error Step: 3 Error Analysis: x", Review("wrong", "3", "x")),
        ("### Final Judgement:\nwrong\n### First Error Step:\nStep 5", Review("wrong", "5")),
        (
            "Solution Analysis: a\nSolution Correctness: incorrect\nFirst Error Step: 2\nError Reason: b",
            Review("wrong", "2", "b"),
        ),
    ],
)
def test_layouts(text: str, review: Review | None) -> None:
    assert read(text) == review


@pytest.mark.parametrize(
    ("text", "review"),
    [
        ("The solution is correct.", Review("correct")),
        ("You've solved the problem correctly.", Review("correct")),
        ("The solution is not correct. The first error is in step 2.", Review("wrong", "2")),
        ("The solution is incorrect.", Review("wrong")),
        ("The answer is: 22", None),
        ("22", None),
        ("Check whether the solution is correct.", None),
        ("The problem was not solved correctly at first, he says.", None),
        ("Step 1 is correct.", None),
    ],
)
def test_explicit_sentences_count_where_no_label_is_filled(text: str, review: Review | None) -> None:
    answer = read_review(Region(text))
    assert answer.value == review
    assert (answer.rule == "sentence") is (review is not None)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is: 22",
        r"The sum is \boxed{22}.",
        layout("<correct or wrong>", "<number, or N/A>"),
        "Step-by-step Evaluation: 1\n\nStep-by-step Evaluation: 1",
    ],
)
def test_an_unfilled_layout_or_an_answer_to_the_question_is_a_wrong_format(text: str) -> None:
    assert read_review(Region(text)).rule == "wrong-format"
    assert read_review(Region("I like turtles.")).rule == "none"


@pytest.mark.parametrize("task", ["mr_gsm", "mr_ben"])
def test_the_form_copied_from_the_prompt_is_no_review(task: str) -> None:
    case = Case(task, 0, "review", "How many?", Review("wrong", "1"), steps=CODE, facets={"subject": "coding"})
    (prompt,) = prompt_messages(case, "direct")
    form = prompt.content.partition("labels:\n")[2]
    assert form.count(":") == 4
    assert read_review(Region(form), CODE).rule == "wrong-format"
    filled = re.sub(r"(Final Judgement|Solution Correctness): .*", r"\1: wrong", form)
    assert read_review(Region(filled), CODE).value == Review("wrong")


@pytest.mark.parametrize("line", ["```", '"""', "_, x = f(y)", "*rest, last = xs"])
def test_a_line_of_code_may_begin_or_end_with_marks(line: str) -> None:
    code = ("def f(y):", line, "    return y")
    for label in ("First Error Step:", "**First Error Step:**"):
        text = f"Solution Correctness: incorrect\n{label} {line}\nError Reason: x"
        assert read_review(Region(text), code).value == Review("wrong", line, "x"), text


@pytest.mark.parametrize(
    ("text", "review"),
    [
        ("**Correctness:** Incorrect\n\n**First error step:** Step 2", Review("wrong", "2")),
        ("Final verdict: Incorrect (Step 3)", Review("wrong", "3")),
        ("### Verdict\nThe answer is **wrong**. The **first error** is in **Step 4**.", Review("wrong", "4")),
        ('{"correctness": "wrong", "first_error_step": "2"}', Review("wrong", "2")),
        ("**Correctness:** Correct\n**First error step:** None", Review("correct")),
        # Of single steps, or in prose: the solution as a whole is not judged.
        ("Step 1: 2 + 2 = 4\nCorrectness: correct\nStep 2: 4 * 2 = 9\nCorrectness: wrong", None),
        ("I checked its correctness: wrong numbers are easily overlooked.", None),
        ("Step 1\nCorrectness: correct\nStep 2\nCorrectness: correct\nFinal Judgement: wrong", Review("wrong")),
    ],
)
def test_labels_of_its_own_count_where_there_is_one(text: str, review: Review | None) -> None:
    assert read(text) == review


def test_a_step_in_a_box_is_read() -> None:
    assert read("\\boxed{\\text{Incorrect}}\n\nFirst error step: \\boxed{3}") == Review("wrong", "3")


def test_layout_as_a_table() -> None:
    table = (
        "| Field | Value |\n|---|---|\n| Final Judgement | wrong |\n| First Error Step | 2 |\n| Error Analysis | x |"
    )
    value = read(table)
    assert isinstance(value, Review)
    assert (value.judgement, value.first_error_step) == ("wrong", "2")


@pytest.mark.parametrize(
    ("prose", "step"),
    [
        ("There is a mistake in its second step. Hence the solution is wrong.", "2"),
        ("The first error occurs in step 3. The solution is wrong.", "3"),
        ("The solution is wrong.", None),
        ("The second step is fine. The solution is wrong.", None),
    ],
)
def test_the_step_that_prose_names(prose: str, step: str | None) -> None:
    assert read(prose) == Review("wrong", step)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        *(
            ("y = x + 1", CODE[1]),
            ("`y = x + 1`", CODE[1]),
            ("```python\n    y = x + 1\n```", CODE[1]),
            ("Line 2", CODE[1]),
        ),
        *(("2", CODE[1]), ("Step 4: return y", CODE[3]), ("blank line", ""), ("99", None), ("N/A", None)),
    ],
)
def test_in_coding_the_step_is_a_line(said: str, line: str | None) -> None:
    text = f"Solution Correctness: incorrect\nFirst Error Step: {said}\nError Reason: none given"
    value = read_review(Region(text), CODE).value
    assert isinstance(value, Review)
    assert value.first_error_step == line


@pytest.mark.parametrize(
    ("said", "gold", "same"),
    [
        *(
            ("2", "2", True),
            ("Step 2", "2", True),
            ("2", "12", False),
            (None, None, True),
            (None, "2", False),
            ("2", None, False),
        ),
        *(("y = x + 1", "    y  = x + 1", True), ("y = x", "y = x + 1", False), ("", "    ", True), (None, "", False)),
    ],
)
def test_same_step(said: str | None, gold: str | None, same: bool) -> None:
    assert same_step(Review("wrong", said), Review("wrong", gold)) is same
    assert same_step(Review("wrong", gold), Review("wrong", said)) is same


def test_a_judgement_at_the_cut_does_not_count() -> None:
    assert read_review(Region("Final Judgement: correct", cut=True)).rule == "cut"
    assert read("Final Judgement: wrong\nFirst Error", cut=True) == Review("wrong")
    assert read_review(Region("Step-by-step Evaluation:\n1. The", cut=True)).rule == "cut"


def test_an_unfinished_thought_is_no_review() -> None:
    region = final_region(Output("<think>Final Judgement: wrong"))
    assert read_review(region).rule == "unfinished-thought"


PIECES = st.sampled_from(
    [
        *(
            "Final Judgement:",
            "correct",
            "wrong",
            " or ",
            "First Error Step",
            ": ",
            "\n",
            "Step 3",
            "`",
            "```",
            "**",
            "N/A",
        ),
        *("Error Reason:", "the solution is ", "not ", "in", "\x00", "\ud800", "\u202e", "y = x + 1", "٣", "²"),
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=200), st.booleans())
def test_no_text_raises(text: str, cut: bool) -> None:
    for code in (CODE, ()):
        value = read_review(Region(text, cut=cut), code).value
        assert value is None or isinstance(value, Review)


HOSTILE = (
    "Final Judgement: ",
    "First Error Step: ",
    "solution is ",
    "solved ",
    "{",
    "1",
    " ",
    "\n",
    "\x00",
    "* ",
    "`",
    "error ",
)


@ends_a_hang
@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert calls(lambda: read_review(Region(text), CODE)) <= CALLS_A_CHARACTER * len(text)


@pytest.mark.parametrize(
    ("text", "review"),
    [
        ("Correct", Review("correct")),
        ("**Correct** ✅", Review("correct")),
        ("Incorrect.", Review("wrong")),
        ("Not correct.", Review("wrong")),
        ("right", Review("correct")),
        ("Right. Let us look at the steps first.", None),
        ("Correct answer: 7", None),
        ("Correctness matters.", None),
        ("Wrong. Step 2.", Review("wrong", "2")),
        ("Incorrect, step 3", Review("wrong", "3")),
        ("Step 1 adds up.\nStep 2 does, too.\n\nCorrect", Review("correct")),
        ("Step 1\nCorrect.\nStep 2\nIncorrect.", None),
        (r"\boxed{CORRECT}", Review("correct")),
        (r"The first error is in step 2. $\boxed{\text{Incorrect}}$", Review("wrong", "2")),
        (r"\boxed{correct}. Wait: the solution is wrong, the error is in step 1.", Review("wrong", "1")),
        (r"The solution is wrong at first sight. \boxed{correct}", Review("correct")),
        (r"\boxed{7}", None),
        (f"{layout('wrong', '2', 'x')}\n\\boxed{{7}}", Review("wrong", "2", "x\n\\boxed{7}")),
        (
            '{"final_judgement": "wrong", "first_error_step": 2, "error_analysis": "3 + 4"}',
            Review("wrong", "2", "3 + 4"),
        ),
        ('{"final_judgement": "correct", "first_error_step": null}', Review("correct")),
        ('{"correct": false}', Review("wrong")),
        ("### Final Judgement\n**Wrong**\n\n### First Error Step\n**Step 2**", Review("wrong", "2")),
        ('Final Judgement: wrong\nFirst Error Step: "5 pears are bad, so 48 - 5 = 42" (Step 2)', Review("wrong", "2")),
        ('Final Judgement: wrong\nFirst Error Step: "5 pears are bad"', Review("wrong")),
        ('Final Judgement: wrong\nFirst Error Step: "2"', Review("wrong", "2")),
        ("There are no errors in this solution.", Review("correct")),
        ("There is no error in step 1.", None),
        ("There is a mistake in step 2.", Review("wrong", "2")),
        ("Say whether there is an error.", None),
        ("The code is right.", Review("correct")),
        ("This is wrong", Review("wrong")),
        ("This is correct. Next, step 2.", None),
        ("The solution is partially correct.", Review("wrong")),
        ("Final Judgement (correct|wrong): wrong", Review("wrong")),
        ("<answer>wrong</answer>", Review("wrong")),
    ],
)
def test_judgements_without_a_label(text: str, review: Review | None) -> None:
    assert read(text) == review


def test_a_bare_judgement_that_the_limit_cut_is_none() -> None:
    assert read("Incorrect", cut=True) is None
    assert read(r"\boxed{Incorrect} since step", cut=True) == Review("wrong")


BARE = ("{}", "{}.", "**{}**", "\\boxed{{{}}}", "$\\boxed{{\\text{{{}}}}}$", "Final Judgement: {}", "It is so.\n{}")
WORDS = ("correct", "wrong", "incorrect")


@given(st.sampled_from(BARE), st.sampled_from([*WORDS, *map(str.upper, WORDS), *map(str.title, WORDS)]))
def test_a_judgement_in_any_form_comes_back(form: str, word: str) -> None:
    assert read(form.format(word)) == Review("correct" if word.lower() == "correct" else "wrong")


@pytest.mark.parametrize(
    ("text", "step", "reason"),
    [
        (
            "Judgement: wrong\nFirst Error Step: 1\nFirst Error Step: 2\nError Reason: a\nError Reason: b",
            "2",
            "b",
        ),
        ("Final Judgement: wrong\nFirst Error Step: 03", "3", None),
        ("Final Judgement: wrong\nFirst Error Step: 00", "0", None),
        ("Final Judgement: wrong\nFirst Error Step: N/A\nError Reason: an error in step 3", None, "an error in step 3"),
        ("Final Judgement: correct\n" * 300 + "Final Judgement: wrong", None, None),
        ("Wrong\nstep 2", "2", None),
        ("Wrong. Step 2\nFirst Error Step: 3", "3", None),
        ("The solution is wrong.\nFirst Error Step: 3", "3", None),
    ],
)
def test_the_last_filled_label_counts(text: str, step: str | None, reason: str | None) -> None:
    assert read_review(Region(text)).value == Review("wrong", step, reason)


@pytest.mark.parametrize(("number", "line"), [("0", None), ("1", 0), ("2", 1), ("3", 2), ("4", None)])
def test_a_number_points_to_a_line_of_code(number: str, line: int | None) -> None:
    code = ("def f(x):", "    y = x", "    return y")
    said = read_review(Region(f"Final Judgement: wrong\nFirst Error Step: {number}"), code).value
    assert said == Review("wrong", None if line is None else code[line])


# Other languages: labels, judgements and steps by one table of phrases.

LAYOUTS = {
    "Chinese": ("最终判断：{said}\n第一个错误步骤：第{step}步", "该解答是{said}的。", "正确", "错误"),
    "Japanese": (
        "最終判断：{said}\n最初の誤りのステップ：ステップ{step}",
        "この解答は{said}。",
        "正しい",
        "正しくない",
    ),
    "Korean": ("최종 판단: {said}\n첫 번째 오류 단계: {step}단계", "이 풀이는 {said}.", "올바릅니다", "틀렸습니다"),
    "Spanish": (
        "Juicio final: {said}\nPrimer paso erróneo: paso {step}",
        "La solución es {said}.",
        "correcta",
        "incorrecta",
    ),
    "Portuguese": (
        "Julgamento final: {said}\nPrimeiro passo errado: passo {step}",
        "A solução está {said}.",
        "correta",
        "errada",
    ),
    "French": (
        "Jugement final : {said}\nPremière étape erronée : étape {step}",
        "La solution est {said}.",
        "correcte",
        "fausse",
    ),
    "German": (
        "Urteil: {said}\nErster falscher Schritt: Schritt {step}",
        "Die Lösung ist {said}.",
        "richtig",
        "nicht richtig",
    ),
    "Italian": (
        "Giudizio finale: {said}\nPrimo passo errato: passo {step}",
        "La soluzione è {said}.",
        "corretta",
        "sbagliata",
    ),
    "Russian": ("Суждение: {said}\nПервый ошибочный шаг: шаг {step}", "Решение {said}.", "верное", "неверное"),
}


def test_every_language_of_the_table_has_a_layout() -> None:
    assert LAYOUTS.keys() == {language.name for language in review_phrases.LANGUAGES}


@given(st.sampled_from(sorted(LAYOUTS)), st.booleans(), st.integers(1, 60), st.sampled_from(["", "**"]))
def test_judgements_of_other_languages(language: str, right: bool, step: int, mark: str) -> None:
    layout, sentence, correct, wrong = LAYOUTS[language]
    said = correct if right else wrong
    judgement, named = ("correct", None) if right else ("wrong", str(step))
    kept = f"Final Judgement: {mark}{said}{mark}\nFirst Error Step: {step}"
    for text in (layout.format(said=f"{mark}{said}{mark}", step=step), kept):
        review = read_review(Region(text)).value
        assert (review.judgement, review.first_error_step) == (judgement, named), text
    for text in (f"{mark}{said}{mark}", f"{said}.", rf"\boxed{{{said}}}", f"2 + 2 = 4.\n{sentence.format(said=said)}"):
        assert read_review(Region(text)).value.judgement == judgement, text
    both = f"Final Judgement: {correct} / {wrong}"  # an unfilled layout
    assert read_review(Region(both)).value is None


@pytest.mark.parametrize("text", ["正确的答案是 5。", "La respuesta correcta es 5.", "Die richtige Antwort ist 5."])
def test_the_right_answer_in_another_language_judges_nothing(text: str) -> None:
    assert read_review(Region(text)).value is None


@pytest.mark.parametrize("value", ["**return x**", "Line 2: **return x**", "The bug is in `**return x**`"])
def test_a_line_of_code_may_be_bold(value: str) -> None:
    assert _code_line(value, ("def f(x):", "    return x")) == "    return x"
