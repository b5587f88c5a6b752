"""Where the readers' rules change sides: windows, limits, and what they say of a place besides the value."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pytest_thinkslm.scoring.answers import (
    arithmetic,
    choice_statements,
    equality,
    evaluate,
    list_forms,
    lists,
    mathpool,
    mathspans,
    number_statements,
    written,
)
from pytest_thinkslm.scoring.answers.choice_names import Named
from pytest_thinkslm.scoring.answers.optiontext import Options

CITIES = Options(("London", "Paris", "Rome", "Madrid"))
FAR, NEAR = "than" + 12 * " ", "than" + 11 * " "


@pytest.mark.parametrize(
    ("text", "start", "named"),
    [
        ("given that (B) fits", 0, Named("B", 13, "given that (B")),
        (90 * "x" + " (B) fits", 0, Named("B", 93, 77 * "x" + " (B")),
        ("(A), (B)", 0, Named(None, 8, "several letters in one statement")),
        ("(B), (B)", 0, Named("B", 7, "(B), (B")),
        ("not (A), (B)", 0, Named("B", 11, "not (A), (B")),
        (f"{FAR}(A)", 0, Named("A", 18, f"{FAR}(A")),
        (f"{NEAR}(A)", 0, None),
        ("not (A)", 4, Named("A", 6, "(A")),  # what stands before the statement denies nothing in it
        ("the town of Paris, of course", 0, Named("B", 28, "the town of Paris, of course")),
        (90 * "a" + " Paris", 0, Named("B", 96, 80 * "a")),
        ("London, Paris", 0, None),
        ("none of this", 0, None),
    ],
)
def test_an_option_named_within_a_statement(text: str, start: int, named: Named | None) -> None:
    assert choice_statements._named_within(text, start, len(text), CITIES) == named


def test_values_are_close_within_so_many_digits_of_the_larger() -> None:
    number = arithmetic.mp_context().mpf
    with arithmetic.mp_context().workdps(120):
        for scale in ("1", "-1", "1e50", "1e-30"):
            value = number(scale)
            for digits in (35, 40):
                step = abs(value) * number(10) ** -digits
                assert evaluate._close(value, value + step * number("0.999"), digits)
                assert evaluate._close(value + step * number("0.999"), value, digits)
                assert not evaluate._close(value, value + step * number("1.001"), digits)
        # Near nothing a difference counts in digits of the smallest value that is told from it.
        assert evaluate._close(number(0), number("0.999e-80"), 40)
        assert not evaluate._close(number(0), number("1.001e-80"), 40)
        third = Fraction(1, 3)
        assert evaluate._close(third, number(1) / 3, 40)
        assert evaluate._close(third, third, 40)
        assert not evaluate._close(third, third + Fraction(1, 10**90), 40)  # rationals are exact


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", ("matrix 2,2", ("1", "2", "3", "4"), True)),
        (r"\begin{pmatrix}1\\2\\\end{pmatrix}", ("matrix 1,1", ("1", "2"), True)),
        (r"\begin{pmatrix}1\end{pmatrix}+\begin{pmatrix}1\end{pmatrix}", None),
        (r"(0,1)\cup(2,3)", ("union", ("(0,1)", "(2,3)"), False)),
        ("1,2", ("set", ("1", "2"), False)),
        (r"\{1,2\}", ("set", ("1", "2"), False)),
        (r"\{1\}", ("set", ("1",), False)),
        ("{1,2}", ("set", ("1", "2"), False)),
        (r"{1\pm2,3}", ("set", ("1+2", "1-2", "3"), False)),
        ("{1}", None),
        ("(1,2]", ("tuple (]", ("1", "2"), True)),
        ("[1,2)", ("tuple [)", ("1", "2"), True)),
        (r"(1\pm2,3)", ("tuple ()", (r"1\pm2", "3"), True)),
        ("(1)", None),
        ("(1,2", None),
        (r"1\pm2", ("set", ("1+2", "1-2"), False)),
        (r"\pm2", ("set", ("2", "-2"), False)),
        ("5", None),
    ],
)
def test_collections(text: str, found: tuple[str, tuple[str, ...], bool] | None) -> None:
    assert equality._collection(text) == (None if found is None else equality._Collection(*found))


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (r"1 \leq 2", "1 ,    2"),
        (r"1 \quad 2", "1 ,     2"),
        (r"x \leq 2", r"x \leq 2"),
        (r"1 \leq x", r"1 \leq x"),
        (r"1, \leq 2", "1,      2"),
        (r"1 \leq , 2", "1      , 2"),
        (r"1 $)} \to (2", "1 $)} ,   (2"),
        (r"1    \leq 2", "1    ,    2"),
        (r"1     \leq 2", r"1     \leq 2"),
        (r"1,2 \leq 3", "1,2      3"),
        (r"1, 23 \leq 2", "1, 23 ,    2"),
        ("1 => 2", "1 ,  2"),
        ("a => b", "a => b"),
    ],
)
def test_links_of_a_chain(text: str, spelled: str) -> None:
    assert list_forms.with_commas(text) == spelled


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("xs = [3, 1]", []),
        ("sorted_xs = [1, 3]", [((1, 3), 12, 18, False)]),
        ("x = [1, 3]", [((1, 3), 4, 10, False)]),
        (60 * "q" + " = [1, 3]", [((1, 3), 63, 69, False)]),  # no name is as long
        (40 * "q" + " = [1, 3]", []),
        ("[1, 3] [", [((1, 3), 0, 6, False)]),
        ("[1, 3], [4, 5", [((1, 3), 0, 6, False), ((4, 5), 8, 13, True)]),
        ("a [4", [((0,), 2, 4, True)]),
        ("[4", [((0,), 0, 2, True)]),
        ("[4]", []),
        ("[1, 2" + 7_994 * " ", [((1, 2), 0, 7_999, True)]),
        ("[1, 2" + 7_995 * " ", []),
        (r"\{1, 2\}", [((1, 2), 0, 8, False)]),
    ],
)
def test_lists_in_brackets(text: str, found: list[tuple[object, ...]]) -> None:
    said = lists._bracketed(text, thousands=False)
    assert [(one.items, one.start, one.end, one.open) for one in said] == found
    assert {one.rule for one in said} <= {"brackets"}


def test_of_many_lists_the_last_are_read() -> None:
    text = "[1, 2] [1, 3] " + 199 * "[1, 4] "
    assert [one.items for one in lists._bracketed(text, thousands=False)] == [(1, 3)] + 199 * [(1, 4)]
    lines = "1\n1\nx\n2\n2\nx\n" + 199 * "3\n3\nx\n"
    assert [one.items for one in lists._in_lines(lines, thousands=False)] == [(2, 2)] + 199 * [(3, 3)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1\n2", [((1, 2), 0, 3, True)]),
        ("1\n2\n", [((1, 2), 0, 3, False)]),
        ("1", []),
        ("1\n\n2", [((1, 2), 0, 4, True)]),
        ("a\n1\n2\nb", [((1, 2), 2, 5, False)]),
        ("1. 5\n2. 6\n3. 7", [((5, 6, 7), 0, 14, True)]),
        ("2. 5\n3. 6", []),
        ("1. 5\n3. 6\n4. 7", []),
        ("| 1 | 5 |\n| 2 | 6 |", [((5, 6), 0, 19, True)]),
        ("1\n2\n\nx\n3\n4", [((1, 2), 0, 3, False), ((3, 4), 7, 10, True)]),
        ("5\n6" + 38 * " ", [((5, 6), 0, 41, True)]),
        ("4\n5\n6" + 39 * " ", [((4, 5), 0, 3, False)]),  # a line as long is no item
        ("1\nx\n2\n3", [((2, 3), 4, 7, True)]),
    ],
)
def test_lists_in_lines(text: str, found: list[tuple[object, ...]]) -> None:
    assert [(one.items, one.start, one.end, one.open) for one in lists._in_lines(text, thousands=False)] == found


@pytest.mark.parametrize(
    ("text", "value", "end", "direct", "roughly"),
    [
        ("$5$ is", "5", 4, True, False),
        ("$$5$$ and", "5", 5, True, False),
        (r"\[5\]", "5", 5, True, False),
        ("$a$ and $b$", "a, b", 11, True, False),
        ("$a$, or $b$ but $c$", "a, b", 12, True, False),
        ("$a$ but $b$", "a", 4, True, False),
        ("so that $a$ but $b$", "b", 19, False, False),
        ("about $5$", "5", 9, True, True),
        ("about 5", "5", 7, True, True),
        ("5 apples", "5 apples", 8, True, False),
        ("it has 5 apples and a pear", "5", 26, False, False),
        ("$5 is what she has left now", "$5", 27, True, False),
        ("−5 is what she has left now", "-5", 27, True, False),
        ("five", "five", 4, False, False),
        ("one two three", "one two three", 13, False, False),
        ("one two three four", None, 18, False, False),
        ("yes: ", None, 5, False, False),
        ("**7**", "7", 5, True, False),
        ("* ", None, 2, False, False),
        ("the largest $n$ is 34", "34", 21, True, False),
        ("exactly $7$ here", "7", 12, True, False),
        ("roughly 3.5 metres", "3.5 metres", 18, True, True),
        ("5. Next", "5", 3, True, False),
        ("", None, 0, False, False),
    ],
)
def test_stated_values(text: str, value: str | None, end: int, direct: bool, roughly: bool) -> None:
    said = mathspans.stated_value(text, 0)
    assert (said.value, said.end, said.direct, said.roughly, said.prose) == (value, end, direct, roughly, "")
    later = mathspans.stated_value(f"so: {text}", 4)
    assert (later.value, later.end, later.direct, later.roughly) == (value, end + 4, direct, roughly)


def test_prose_among_several_numbers_is_left_to_the_reader_of_numbers() -> None:
    said = mathspans.stated_value("from 5 we get 6 apples then. Or 7", 0)
    assert (said.value, said.prose, said.direct) == (None, "from 5 we get 6 apples then", False)


@pytest.mark.parametrize(
    ("said", "value", "length", "equation", "touches_end"),
    [
        ("She has 5 left after 3 days. Well", 5, 27, False, False),
        ("5 days", 5, 6, False, False),
        ("3 + 4 = 7 apples", 7, 16, True, False),
        ("3 + 4 = 7", 7, 9, True, True),
        ("in 7 hours she runs 50 miles", 50, 28, False, False),
        ("5 or 6 are left", None, 15, False, False),
        ("5, which is 3 more", 5, 1, False, False),
        ("12", 12, 2, False, True),
        ("the cost is 12 dollars", 12, 22, False, True),
        ("about 5 is 6 less", 6, 17, False, False),
        ("5 has 6", 6, 7, False, True),
        ("she has " + 382 * "x" + " has 12", 12, 397, False, True),
    ],
)
def test_what_a_label_introduces(said: str, value: int | None, length: int, equation: bool, touches_end: bool) -> None:
    text = f"Answer: {said}"
    (found,) = number_statements._read_labelled(text, text, 0, 8, "")
    assert (found.rule, found.start, found.equation, found.touches_end) == ("answer-is", 0, equation, touches_end)
    assert (found.value, found.stop) == (value, 8 + length)
    assert number_statements._read_labelled("Answer: none", "Answer: none", 0, 8, "") == []


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("1, 2 = 3 = 4", "1, 4"),
        (r"1 \approx 1.0, 2", "1, 2"),
        ("x = 1, y = 2", "x = 1, y = 2"),
        ("x=1=2, 3", "2, 3"),
        ("1;2", "1, 2"),
        ("; 5", "; 5"),
        ("", ""),
        (r"\frac12 \approx 0.5", r"\frac12"),
        (3_990 * "a" + " = 5 = 6", "6"),
        (f" {4_000 * 'a'}= 5 = 6 ", f"{4_000 * 'a'}= 5 = 6"),  # too long to be read: only its ends are cut
    ],
)
def test_written_values(content: str, value: str) -> None:
    assert written.written_value(content) == value


class _Worker:
    """In place of a process: answers from a script, of which None is a death."""

    alive = True

    def __init__(self, replies: list[bool | None], seconds: float = 0.0) -> None:
        self.replies, self.seconds = replies, seconds
        self.asked: list[tuple[dict[str, object], float]] = []
        self.closed = False

    def ask(self, message: dict[str, object], deadline: float) -> tuple[dict[str, object] | None, float]:
        self.asked.append((message, deadline))
        equal = self.replies.pop(0)
        return (None if equal is None else {"equal": equal, "seconds": 0.25}), self.seconds

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[_Worker]:
    """The workers that are started, in order; none is made but these."""
    workers: list[_Worker] = []
    monkeypatch.setattr(mathpool, "_Worker", lambda: workers.pop(0))
    return workers


def pool_of(*idle: _Worker) -> mathpool.MathPool:
    pool = mathpool.MathPool()
    pool._idle = list(idle)  # type: ignore[arg-type]
    return pool


def test_a_comparison_asks_in_one_order_and_keeps_its_worker(fresh: list[_Worker]) -> None:
    worker = _Worker([True, False])
    pool = pool_of(worker)
    assert pool.compare("b", "a", 3.0) == mathpool.Comparison("equal", 0.25)
    assert pool.compare("a", "b") == mathpool.Comparison("different", 0.25)
    assert worker.asked == [
        ({"left": "a", "right": "b", "deadline": 3.0}, 3.0 * mathpool.PATIENCE),
        ({"left": "a", "right": "b", "deadline": 5.0}, 5.0 * mathpool.PATIENCE),
    ]
    assert pool._idle == [worker]
    assert not worker.closed


def test_a_worker_that_was_dying_already_is_replaced_once(fresh: list[_Worker]) -> None:
    old, new = _Worker([None], seconds=0.9), _Worker([True])
    fresh.append(new)
    pool = pool_of(old)
    assert pool.compare("a", "b", 2.0) == mathpool.Comparison("equal", 0.25)
    assert new.asked == old.asked == [({"left": "a", "right": "b", "deadline": 2.0}, 2.0 * mathpool.PATIENCE)]
    assert (old.closed, new.closed, pool._idle) == (True, False, [new])


@pytest.mark.parametrize("seconds", [1.0, 1.5])
def test_a_worker_that_died_of_the_question_is_a_timeout(fresh: list[_Worker], seconds: float) -> None:
    old = _Worker([None], seconds)
    pool = pool_of(old)
    assert pool.compare("a", "b", 2.0) == mathpool.Comparison("timeout", seconds)
    assert (old.closed, pool._idle) == (True, [])


def test_what_kills_a_fresh_worker_is_the_question(fresh: list[_Worker]) -> None:
    first = _Worker([None], 0.1)
    fresh.append(first)
    assert pool_of().compare("a", "b", 2.0) == mathpool.Comparison("timeout", 0.1)
    again = _Worker([None], 0.2)
    fresh.append(again)
    pool = pool_of(_Worker([None], 0.1))
    assert pool.compare("a", "b", 2.0) == mathpool.Comparison("timeout", 0.2)
    assert (first.closed, again.closed, pool._idle) == (True, True, [])


def test_an_expression_past_the_limit_is_compared_by_nobody(fresh: list[_Worker]) -> None:
    longest, longer = mathpool.LENGTH_LIMIT * "x", (mathpool.LENGTH_LIMIT + 1) * "x"
    pool = pool_of(_Worker([True, True]))
    assert pool.compare(longest, "a").status == pool.compare("a", longest).status == "equal"
    for pair in ((longer, "a"), ("a", longer)):
        assert pool.compare(*pair) == mathpool.Comparison("different", 0.0)
