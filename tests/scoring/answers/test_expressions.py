"""LaTeX answers: reading them out of text, and equality with the gold expression."""

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers.equality import Equality, equal
from pytest_thinkslm.scoring.answers.expressions import read_expression
from pytest_thinkslm.scoring.answers.latex import normalise, split_top
from pytest_thinkslm.scoring.answers.region import Region, final_region

PHRASINGS = Path(__file__).parents[3] / "fixtures" / "labels" / "phrasings.jsonl"
DATA = os.environ.get("THINKSLM_DATA_DIR")
needs_data = pytest.mark.skipif(DATA is None, reason="needs MATH's gold answers: set THINKSLM_DATA_DIR")

VALUES = (
    *(
        r"\frac{1}{2}",
        "5",
        "y = 2x+3",
        r"(-\infty,3)\cup(5,\infty)",
        r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}",
        "4210_7",
    ),
    *(
        r"91^\circ",
        "-2, 4",
        r"\text{even}",
        r"10\%",
        r"\{1,2\}",
        r"\sqrt{7}",
        "x^2+1",
        r"\left(3, \frac{\pi}{2}\right)",
    ),
)


@pytest.mark.parametrize(
    ("text", "value", "rule"),
    [
        (r"so \boxed{4} ... wait, \boxed{3}", "3", "boxed"),
        (r"The answer is 44. \boxed{answer}", "44", "answer-is"),
        (r"We get \boxed{7}. Write it as \boxed{answer}.", "7", "boxed"),
        (r"\fbox{\frac{1}{2}}", r"\frac{1}{2}", "boxed"),
        (r"\boxed{3 + 4 = 7}", "7", "boxed"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2", "boxed"),
        (r"$x=\boxed{1}$, $y=\boxed{2}$", "1, 2", "boxed"),
        (r"$\boxed{2}$ or $\boxed{2}$", "2", "boxed"),
        (r"either $\boxed{1}$ or $\boxed{2}$", None, "several"),
        (r"\boxed{1} is the radius, so the area is \boxed{2}", "2", "boxed"),
        (r"\boxed{1}, and then we get \boxed{2}", "2", "boxed"),
        (r"\boxed{x = 1 \text{ or } x = 2}", "x = 1, x = 2", "boxed"),
        (r"\boxed{\frac{\sqrt3}{3} \approx 0.577}", r"\frac{\sqrt3}{3}", "boxed"),
        (r"\boxed{\frac{14}{3} = 4.667}", r"\frac{14}{3}", "boxed"),
        (r"\boxed{x \approx 11}", "11", "boxed"),
        (r"We found $\boxed{3}$. Adding 2, the answer is 5.", "5", "answer-is"),
        (r"$\boxed{3}$. If it were 2, the answer would be 5.", "3", "boxed"),
        (r"$\boxed{\frac{14}{3}}$. The answer is about 4.667.", r"\frac{14}{3}", "boxed"),
        (r"$\boxed{\frac{14}{3}}$. The answer is 4.667.", r"\frac{14}{3}", "boxed"),
        (r"$\boxed{3}$. The answer is in the form that was asked for.", "3", "boxed"),
        ("Final Answer: The largest $n$ is 34.", "34", "answer-is"),
        ("The final answer is that $n$ equals 34.", "34", "answer-is"),
        ("因此，三角形的面积是12平方厘米。", "12", "last-number"),
        ("答案是12。", "12", "answer-is"),
        ("La respuesta es $12$.", "12", "answer-is"),
        ("Result: 42", "42", "bare"),
        (r"\boxed{\color{blue}{5}\;}", "5", "boxed"),
        (r"\boxed{\text{The answer is } 9}", "9", "boxed"),
        (r"\boxed{\text{not } 9}", r"\text{not } 9", "boxed"),
        (r"\boxed{x = 5}", "x = 5", "boxed"),
        ("The final answer is 2.\n\nNote that the sequence is $x = 4$.", "2", "answer-is"),
        (r"So the answer is $\frac{4}{2} = 2$.", "2", "answer-is"),
        ("The answer is $x=2$ or $x=3$.", "x=2, x=3", "answer-is"),
        ("The answer is: 180\n\nThe answer is: 180", "180", "answer-is"),
        (r"\[a = b = 5\] and that is all.", "5", "last-formula"),
        (
            r"\begin{aligned}x\end{aligned} no. $$\begin{aligned} a &= 1 \\ b &= 2+2 = 4 \end{aligned}$$",
            "4",
            "last-formula",
        ),
        ("It costs $5 and then $6 more, so 11 dollars", "11", "last-number"),
        ("x^2 + 1", "x^2 + 1", "bare"),
        ("", None, "none"),
    ],
)
def test_reading(text: str, value: str | None, rule: str) -> None:
    answer = read_expression(Region(text))
    assert (answer.value, answer.rule) == (value, rule)


@pytest.mark.parametrize(
    "text",
    [
        r"The answer is \boxed{4",
        r"We have \boxed{3}, hence \boxed{4",
        r"So, the final answer is $\frac{6",
        "Then the total is 12 and",
        "The answer is 12.",
        "3. So the answer is 3 * 9 = 27.\n4. Now we want the largest of the",
    ],
)
def test_a_cut_text_without_a_complete_answer_is_truncated(text: str) -> None:
    answer = read_expression(Region(text, cut=True))
    assert (answer.value, answer.rule) == (None, "cut")


def test_a_complete_answer_before_the_cut_counts() -> None:
    assert read_expression(Region(r"\boxed{4}. Let us check that", cut=True)).value == "4"
    assert read_expression(Region("So the answer is 100.\n\nThis is the only possible", cut=True)).value == "100"


def test_two_values_left_open_are_no_answer() -> None:
    answer = read_expression(Region(r"The answer is either $\frac{1}{2}$ or $\frac{1}{3}$."))
    assert (answer.value, answer.rule) == (None, "several")
    assert read_expression(Region("The answer is $x=1$ or $x=2$.")).value == "x=1, x=2"


def test_a_program_that_was_not_run_is_no_answer() -> None:
    program = "```python\nfrom sympy import solve\nx = 3\nprint(solve(x**2 - 3*x + 2, x))\n```"
    assert read_expression(Region(program)).value is None
    assert read_expression(Region(program + "\nThis gives \\boxed{2}.")).value == "2"


def test_a_number_concluded_behind_the_last_formula() -> None:
    assert read_expression(Region("We round $563.5$ to the nearest one.\n\nSo, it is 564.")).value == "564"
    assert read_expression(Region("We get $x = 564$.\nI checked it 2 times.")).value == "x = 564"


def test_an_unfinished_thought_is_no_answer() -> None:
    assert read_expression(final_region(Output(r"<think>\boxed{4}"))).rule == "unfinished-thought"


def test_phrasings_read_as_gold_and_not_as_the_wrong_value() -> None:
    templates = [json.loads(line) for line in PHRASINGS.read_text().splitlines()]
    for entry in (entry for entry in templates if entry["kind"] == "expression"):
        for gold, wrong in zip(VALUES, (*VALUES[1:], VALUES[0]), strict=True):
            value = read_expression(final_region(Output(entry["template"].format(g=gold, w=wrong)))).value
            assert isinstance(value, str)
            assert equal(value, gold).equal, (entry["template"], gold, value)
            assert not equal(value, wrong).equal, (entry["template"], wrong, value)


EQUAL = [
    *((r"10\%", "10", "string"), ("11_2", "11_{2}", "string"), ("x=5", "5", "string"), (r"\frac12", "0.5", "number")),
    *((r"\dfrac{1}{2}", "1/2", "number"), (r"58,\!500", "58500", "number"), ("15{,}600", "15,600", "string")),
    *(("70,110", "110, 70", "tuple"), (r"6 \frac{3}{4}", "6.75", "number"), (r"\frac{4}{3}", r"1\frac13", "number")),
    *((r"\{1,2\}", "2,1", "tuple"), (r"1\pm\sqrt{5}", r"1-\sqrt5, 1+\sqrt5", "tuple"), ("x=1, x=2", "1,2", "tuple")),
    *(
        (r"162\text{ minutes}", "162", "string"),
        ("162 minutes", "162", "string"),
        (r"440\text{ cm}^2", "440", "string"),
    ),
    *((r"\text{(C)}", "C", "string"), (r"\text{Friday}", "friday", "string"), (r"12\text{ and }13", "13, 12", "tuple")),
    *(
        (r"7, -2, \text{ and } -5", "-5,-2,7", "tuple"),
        (r"9\text{ a.m.}", "9 am", "string"),
        ("30^\\circ", "30", "string"),
    ),
    *(
        (r"(-\infty,-8)\cup (8,\infty)", r"(8,\infty)\cup(-\infty,-8)", "tuple"),
        (r"0.\overline{3}", r"\frac13", "number"),
    ),
    *(
        (r"x \in [-2,7]", "[-2,7]", "string"),
        (r"\$15,\!000", "15000", "number"),
        (r"-\frac{1}{2}", r"\frac{-1}{2}", "number"),
    ),
    (
        r"\begin{pmatrix} 1/5 \\ -3/5 \end{pmatrix}",
        r"\begin{bmatrix} \frac{1}{5} \\ -\frac{3}{5} \end{bmatrix}",
        "tuple",
    ),
    *(("2x+3", "y=3+2x", "number"), ("(x+1)(x-2)", "(x-2)(x+1)", "number")),
    *((r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt2}", "number"), ("4x-5y=-50", "8x-10y=-100", "number")),
    *(("x<2", "2>x", "math-verify"), (r"\emptyset", r"\varnothing", "string"), ("{1,2}", r"\{2,1\}", "tuple")),
    (r"\left[\begin{array}{cc}1 & 2\end{array}\right]", r"\begin{pmatrix}1&2\end{pmatrix}", "string"),
    *((r"1.25\text{ million}", "1250000", "number"), ("1.250.000", "1250000", "string"), ("6:00", "6:00", "string")),
    *((r"\sqrt{17}", "4.123105625617661", "number"), ("2sqrt(3)", r"\sqrt{12}", "number")),
]


@pytest.mark.parametrize(("one", "two", "method"), EQUAL)
def test_equal_both_ways(one: str, two: str, method: str) -> None:
    assert equal(one, two) == equal(two, one)
    assert (equal(one, two).equal, equal(one, two).method) == (True, method)


def test_percent_is_the_number_shown_not_the_fraction() -> None:
    assert equal(r"10\%", "10").equal
    assert not equal(r"10\%", "0.1").equal


def test_a_numeral_in_a_base_is_neither_its_digits_nor_its_value() -> None:
    assert not equal("11_2", "11").equal
    assert not equal("11_2", "3").equal
    assert not equal("11_2", "11_3").equal


def test_a_decimal_is_not_the_value_it_approximates() -> None:
    assert not equal("1.333", r"\frac{4}{3}").equal
    assert not equal("1.414214", r"\sqrt{2}").equal
    assert not equal("3.14", r"\pi").equal


def test_an_interval_is_no_inequality() -> None:
    assert not equal(r"(-\infty,3)", "x<3").equal


@pytest.mark.parametrize("relation", ["2x+3=7", "4x-5y=7", r"x\neq 7", "x>7", r"n\equiv 7", "x=y=3=7"])
def test_a_relation_is_no_value(relation: str) -> None:
    assert not equal(relation, "7").equal
    assert not equal("7", relation).equal


LEFT_SIDES = ("AB", "x", "f(2)", "f(f(2))", "P(A)", "a+b", "ab", r"\angle ABC", r"\sin x", r"\text{gcd}(34,51)", "C_2")
VALUES_NAMED = ("17", r"\frac{1}{2}", r"\sqrt{3}", "-5", r"(3,2)", "[0,1)")


@pytest.mark.parametrize("left", LEFT_SIDES)
def test_the_left_side_of_an_answer_names_what_was_asked_for(left: str) -> None:
    for value, other in zip(VALUES_NAMED, (*VALUES_NAMED[1:], VALUES_NAMED[0]), strict=True):
        assert equal(f"{left} = {value}", value).equal
        assert not equal(f"{left} = {value}", other).equal
    assert equal("f^{-1}(x)=2x+1", "2x+1").equal
    assert equal("2 = x", "2").equal


def test_the_left_side_of_a_gold_equation_is_asked_for() -> None:
    assert not equal("-50", "4x-5y=-50").equal
    assert not equal("1", r"\frac{x^2}{16} - \frac{y^2}{9} = 1").equal


def test_an_expression_in_a_variable_is_no_number() -> None:
    assert equal("2x+1", "5") == equal("5", "2x+1") == Equality(False, method="number")
    assert equal(r"\sqrt{4}", "2").equal
    assert equal("-i^2", "1") == Equality(True, method="number")


def test_sides_of_an_equation_may_change_places() -> None:
    assert equal("x=5", "5=x").equal
    assert equal("y=2x", "2x=y").equal
    assert not equal("x=5", "6=x").equal


def test_order_matters_in_tuples_not_in_sets() -> None:
    assert not equal("(1,2)", "(2,1)").equal
    assert equal(r"\{1,2\}", r"\{2,1\}").equal
    assert not equal("(1,2)", "[1,2]").equal
    assert not equal("1,2", "1,2,2").equal


@pytest.mark.parametrize(
    ("one", "two"),
    [
        *(
            ("x=5", "x=6"),
            ("x=5", "y=5"),
            (r"\text{even}", r"\text{odd}"),
            (r"9\text{ a.m.}", r"9\text{ p.m.}"),
            ("2xy", "2"),
        ),
        *((r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}"), (r"\frac{1}{2006!}", r"\frac{1}{2004!}")),
        *((r"\frac{1}{99!}", r"\frac{1}{99!}-\frac{1}{100!}"), (r"\sqrt{2}+10^{-40}", r"\sqrt{2}"), ("100!", "100!+1")),
        *((r"5\text{ or }6", "5"), (r"5\text{ million}", "5"), ("5 or less", "5"), (r"5\text{ squared}", "5")),
        *(("1:00", "12:00"), (r"4\sqrt(2)", "4"), ("1.414213562", r"\sqrt{2}")),
        *(("", "5"), ("", ""), ("2+3i", "2-3i"), ("(1,2)", "1"), (r"\text{stale}", r"\text{least}"), ("1{,}000", "1")),
    ],
)
def test_different(one: str, two: str) -> None:
    assert not equal(one, two).equal
    assert not equal(two, one).equal


@ends_a_hang
@pytest.mark.parametrize(
    "heavy",
    [
        "9^{9^{9^9}}",
        r"\binom{10^9}{5\cdot10^8}",
        "999999999!",
        r"\prod_{k=1}^{999999} k",
        "\\sin(" * 300 + "1" + ")" * 300,
        "(x+1)^{100000}",
        r"2^{2^{2^{2^{2^{2}}}}}",
        ",".join(f"\\sqrt{{{number}}}" for number in range(60)),
    ],
)
def test_no_heavy_expression_is_computed(heavy: str) -> None:
    equal("x<2", "2>x")  # a worker is up
    assert not equal(heavy, "5").equal


def test_what_passes_every_bound_says_so() -> None:
    said = equal("9^{9^{9^9}}", "5", deadline=0.5)
    assert (said.equal, said.timeout, said.method) == (False, True, "math-verify")


def test_long_expressions_are_compared_as_strings_alone() -> None:
    long = "x+" * 2_000 + "1"
    assert equal(long, long).equal
    assert not equal(long, "5").equal


LATEX = st.lists(
    st.sampled_from(
        [
            *r"0123456789.,=+-^_/(){}[]<>%$&x ",
            r"\frac",
            r"\sqrt",
            r"\pi",
            r"\text{",
            r"\pm",
            r"\cup",
            r"\\",
            r"\{",
            r"\}",
        ]
    )
    | st.sampled_from(
        [r"\begin{pmatrix}", r"\end{pmatrix}", r"\infty", "\x00", "\ud800", "\u202e", "−", r"\boxed{", "answer is "]
    ),
    max_size=14,
).map("".join)


@given(LATEX | st.text(max_size=60))
def test_normalising_settles_and_raises_for_no_text(text: str) -> None:
    once = normalise(text)
    assert isinstance(once, str)
    if once:
        assert equal(text, text).method == "string"


@given(LATEX | st.text(max_size=200), st.booleans())
def test_reading_raises_for_no_text(text: str, cut: bool) -> None:
    value = read_expression(Region(text, cut=cut)).value
    assert value is None or isinstance(value, str)


@settings(max_examples=60, deadline=None)
@given(LATEX, LATEX)
def test_equality_is_symmetric_and_raises_for_no_text(one: str, two: str) -> None:
    if "=" in one + two:
        equal(one, two, deadline=2)
        return  # the left side of an answer names its value, that of a gold is asked for
    assert equal(one, two, deadline=2).equal == equal(two, one, deadline=2).equal


@ends_a_hang
@pytest.mark.parametrize(
    "piece", ["{", "}", "$", "$$", r"\[", r"\(", "answer is ", r"\boxed{", "1", "a", " ", "\n", "\x00", "="]
)
def test_reading_takes_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert calls(lambda: read_expression(Region(text))) <= CALLS_A_CHARACTER * len(text)


@pytest.fixture(scope="module")
def gold_answers() -> list[str]:
    path = Path(DATA or "") / "math_test_answers_derived.jsonl"
    return [json.loads(line)["answer"] for line in path.read_text().splitlines()]


@needs_data
@pytest.mark.data
def test_every_gold_answer_equals_itself_without_a_worker(
    gold_answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_worker(*_: object) -> None:
        raise AssertionError("the cheap path must decide")

    monkeypatch.setattr("pytest_thinkslm.scoring.answers.equality.compare", no_worker)
    assert len(gold_answers) == 5_000
    for gold in gold_answers:
        assert equal(gold, gold).equal, gold
        assert equal(f"${gold}$.", gold).equal, gold


@needs_data
@pytest.mark.data
def test_gold_answers_that_differ_are_not_equal(gold_answers: list[str]) -> None:
    pairs = random.Random(7)
    distinct = sorted(set(gold_answers))
    values = {normalise(gold) for gold in distinct}
    assert len(values) > 1_500
    checked = 0
    while checked < 200:
        one, two = pairs.sample(distinct, 2)
        # "\frac{1}{2}" and "0.5" are two spellings of one gold value.
        if normalise(one) == normalise(two) or (equal(one, two).method == "number" and equal(one, two).equal):
            continue
        assert not equal(one, two).equal, (one, two)
        checked += 1


def test_intervals_differ_by_their_ends() -> None:
    kinds = ["(1,2)", "[1,2]", "(1,2]", "[1,2)"]
    found = [[equal(one, other).equal for other in kinds] for one in kinds]
    assert found == [[one == other for other in kinds] for one in kinds]
    assert not equal("1,2)", "(1,2)").equal


@given(
    st.lists(
        st.sampled_from(["I", "you", "like", "turtles", "hello", "there", "know", "a", "my"]), min_size=3, max_size=4
    )
)
def test_a_short_sentence_is_no_value(words: list[str]) -> None:
    if sum(len(word) > 1 for word in words) > 1:
        assert read_expression(Region(" ".join(words).capitalize() + ".")).value is None


@pytest.mark.parametrize(
    "value", ["Evelyn", "June 20", "Thursday", "even", "x and y", "no solution", "5 or 6", r"\text{all real numbers}"]
)
def test_a_value_in_words_is_one(value: str) -> None:
    assert read_expression(Region(value)).rule == "bare"


@pytest.mark.parametrize(("ratio", "value"), [("3:1", "3"), ("1:2", r"\frac{1}{2}"), ("2:4", "1:2"), ("10:4", "2.5")])
def test_a_ratio_is_its_quotient(ratio: str, value: str) -> None:
    assert equal(ratio, value) == Equality(True, method="number")
    assert equal(value, ratio).equal
    assert equal(ratio, "7") == Equality(False, method="number")


@pytest.mark.parametrize("word", ["even", "Evelyn", "CD", r"\overline{CD}", "2n+1", "x=3y"])
def test_no_number_is_a_word_or_a_name(word: str) -> None:
    assert equal("123456789", word).method != "math-verify"
    assert not equal("123456789", word).equal
    assert not equal("x=123456789", f"y={word}").equal


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        ("X=3", "=", ["X", "3"]),
        ("f(x, y), [0,1)", ",", ["f(x, y)", " [0,1)"]),
        (r"\{1, 2\}, 3", ",", [r"\{1, 2\}", " 3"]),
        (r"1\,000, 2", ",", [r"1\,000", " 2"]),
        (r"\begin{matrix} 1, 2 \end{matrix}, 3", ",", [r"\begin{matrix} 1, 2 \end{matrix}", " 3"]),
    ],
)
def test_parts_are_split_outside_of_brackets(text: str, separator: str, parts: list[str]) -> None:
    assert split_top(text, separator) == parts


def test_a_variable_is_not_trimmed_away() -> None:
    assert (normalise("X"), normalise("2X. "), normalise("X=2,")) == ("X", "2X", "X=2")
