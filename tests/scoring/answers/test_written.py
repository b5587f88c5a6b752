"""What a box or a final statement may hold: any gold in any dress comes back, and another value does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.scoring.answers.anchors import NOUNS, anchors
from pytest_thinkslm.scoring.answers.boxgroups import box_groups
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.answers.region import boxes
from pytest_thinkslm.scoring.answers.written import clean, result_side, written_value
from pytest_thinkslm.scoring.verdicts import decide


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (r"\;42\;", "42"),
        ("42\\ ", "42"),
        ("42\\", "42"),
        (r"{\color{blue} 5}", "5"),
        (r"\textcolor{red}{x = 5}", "x = 5"),
        (r"\text{ANSWER: } \$460", r"\$460"),
        (r"\text{ANSWER: 460}", "460"),
        ("Result: 42", "42"),
        (r"\text{The value of } x \text{ is } 5", "x=5"),
        (r"5 \text{ is the answer}", "5"),
        (r"\textbf{(B)}\ 12", "12"),
        (r"\textbf{(B)}", r"\textbf{(B)}"),
        (r"x = 1 \text{ or } x = -2", "x = 1, x = -2"),
        (r"(x, y) = (5, 8) \quad \text{and} \quad (8, 5)", "(x, y) = (5, 8), (8, 5)"),
        ("1; 2", "1, 2"),
        (r"7, -2, \text{ and } -5", "7, -2, -5"),
        (r"\text{black and white}", r"\text{black and white}"),
        (r"\text{not } 5", r"\text{not } 5"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
)
def test_written_values(content: str, value: str) -> None:
    assert written_value(content) == value


@pytest.mark.parametrize(
    ("formula", "side"),
    [
        ("3+4=7", "7"),
        ("y = 2x", "y = 2x"),
        ("2 = x", "x = 2"),
        (r"n = 2 \cdot 5 = 10", "10"),
        (r"\frac{\sqrt3}{3} \approx 0.577", r"\frac{\sqrt3}{3}"),
        (r"x = 1/3 \approx 0.33", "x = 1/3"),
        (r"x \approx 11", "11"),
        (r"\approx 16.67", "16.67"),
        (r"\frac{14}{3} = 4.667", r"\frac{14}{3}"),
        (r"\frac{14}{3} = 4.667\ldots", r"\frac{14}{3}"),
        (r"\frac{14}{3} = 5", "5"),
        (r"\frac{5}{2} = 2.5", "2.5"),
        (r"\frac{3}{4} = 0.8", r"\frac{3}{4}"),
        (r"x = \frac{2}{3} = 0.667", r"x = \frac{2}{3}"),
        (r"5 = \frac{10}{2} = \frac{2}{3} = 0.667", r"\frac{2}{3}"),
    ],
)
def test_the_side_that_is_the_value(formula: str, side: str) -> None:
    assert result_side(formula) == side


PIECES = (*r"\{}[]()$ ,;:=.~5x", r"\text{", r"\color{", r"\quad", " or ")


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_cleaning_settles_and_raises_for_no_text(text: str) -> None:
    assert isinstance(written_value(text), str)
    once = clean(text)
    assert len(once) <= len(text)


GOLDS = (
    *(
        "5",
        "-3",
        r"\frac{3}{4}",
        r"-\frac{1}{2}",
        r"2\sqrt{3}",
        r"\frac{\sqrt{2}}{2}",
        r"\frac{\pi}{6}",
        "1.25",
        "12,500",
    ),
    *(
        "x^2+1",
        r"\frac{n(n+1)}{2}",
        "2^{10}",
        r"6+9i",
        "(3,-2)",
        "[0,1)",
        r"(-\infty,2]\cup[3,\infty)",
        "1,-2",
        r"\{1,2\}",
    ),
    *(r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", r"\text{even}", "1001_2", r"10\%", "y = 2x+3"),
)
CONSTANTS = GOLDS[:8]
LABELS = (
    "{}",
    r"\text{{The answer is }} {}",
    r"\text{{Answer: }} {}",
    r"\color{{blue}}{{{}}}",
    r"\boxed{{{}}}",
    "Answer: {}",
)
LEFT_SIDES = (
    "{}",
    "AB = {}",
    "f(2) = {}",
    "a+b = {}",
    r"\text{{Area}} = {}",
    "x = {}",
    r"\angle ABC = {}",
    "P(A) = {}",
)
UNITS = ("{}", r"{}\text{{ cm}}", r"{} \text{{ square units}}", r"{}\ \mathrm{{km/h}}", r"{}\,\text{{cm}}^2")
SPACING = ("{}", r"{}\,", r"\;{}\;", "{}\\ ", r"\quad {} \quad", " {} ", "{}.", "{}~")
STATEMENTS = (
    *(
        r"So \boxed{{{}}}.",
        r"\[\boxed{{{}}}\]",
        "The final answer is ${}$.",
        "Answer: ${}$",
        "答案是${}$。",
        "Ответ: ${}$.",
    ),
    *(
        "La respuesta es ${}$.",
        "La réponse est ${}$.",
        "Die Antwort lautet ${}$.",
        "답은 ${}$입니다.",
        "答えは ${}$ です。",
    ),
    *(r"We found \boxed{{7777}} first. The answer is ${}$.", r"\boxed{{7777}}. Wait, no: \boxed{{{}}}."),
)


def correct(output: str, gold: str) -> bool:
    case = Case("math", 0, "expression", "", gold)
    return decide(case, Output(output), read_answer(case, Output(output))).name == "correct"


@settings(deadline=None)
@given(st.data())
def test_any_gold_in_any_dress_comes_back_and_another_value_does_not(data: st.DataObject) -> None:
    gold = data.draw(st.sampled_from(GOLDS))
    other = data.draw(st.sampled_from([one for one in GOLDS if one != gold]))
    forms = [data.draw(st.sampled_from(LABELS)), data.draw(st.sampled_from(SPACING))]
    if gold in CONSTANTS and other in CONSTANTS:
        forms = [data.draw(st.sampled_from(UNITS)), data.draw(st.sampled_from(LEFT_SIDES)), *forms]
    statement = data.draw(st.sampled_from(STATEMENTS))
    outputs = []
    for value in (gold, other):
        for form in forms:
            value = form.format(value)
        outputs.append(statement.format(value))
    assert correct(outputs[0], gold)
    assert not correct(outputs[1], gold)


@settings(deadline=None)
@given(
    st.integers(-99, 99),
    st.integers(-99, 99),
    st.sampled_from((" and ", " or ", ", ", r" \text{ and } ", " and $y$ = ")),
)
def test_boxes_that_stand_together_are_one_list(one: int, two: int, between: str) -> None:
    text = rf"The roots are $\boxed{{{one}}}${between}$\boxed{{{two}}}$."
    if one != two:
        assert not correct(text, str(two))
        assert not correct(text, str(one))
    assert correct(text, f"{two},{one}" if one != two else str(one))


@pytest.mark.parametrize(
    "between",
    [" is wrong. It is ", ", so we get ", "\n\nThe other way round: ", ", and therefore the sum is ", " + 3 = "],
)
def test_a_later_box_after_more_reasoning_stands_alone(between: str) -> None:
    text = rf"\boxed{{3}}{between}\boxed{{5}}"
    assert [len(group.boxes) for group in box_groups(text, boxes(text))] == [1, 1]
    assert correct(text, "5")


@pytest.mark.parametrize("language", sorted(NOUNS))
def test_every_language_has_an_anchor(language: str) -> None:
    texts = {
        "en": "Final answer: 5",
        "es": "Respuesta: 5",
        "fr": "Réponse : 5",
        "de": "Ergebnis: 5",
        "pt": "Resposta: 5",
        "it": "Risposta: 5",
        "nl": "Antwoord: 5",
        "pl": "Odpowiedź: 5",
        "ru": "Ответ: 5",
        "tr": "Cevap: 5",
        "id": "Jawaban: 5",
        "vi": "Đáp án: 5",
    }
    (found,) = anchors(texts[language])
    assert texts[language][found.end :] == "5"
