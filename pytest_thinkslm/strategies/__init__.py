"""Hypothesis strategies of reasoning questions with known gold, asked many at a time: property-based tests of a model.

    from hypothesis import given
    from pytest_thinkslm import strategies, verify

    def test_sorts(slm):
        strategies.check(slm, strategies.lists(max_size=4), examples=100, wrong=10)

    @strategies.batched
    @given(case=strategies.word_problems())
    def test_solves(slm, case):
        verify(case, slm.ask_cases([case])[0])

Hypothesis (the extra ``test``, or ``pip install hypothesis``) is needed. docs/stress.md.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from pytest_thinkslm.core.records import AnswerValue, Case, Output
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.generating.shrinking import shrink
from pytest_thinkslm.scoring.grading import grade
from pytest_thinkslm.strategies.families import FAMILIES, KINDS, NAMES, doubled, problem
from pytest_thinkslm.tasks import stress
from pytest_thinkslm.tasks.stress.smaller import Reduced, smaller

if TYPE_CHECKING:
    from pytest_thinkslm.plugin.fixtures import Model

__all__ = [
    "FAMILIES",
    "Relation",
    "Share",
    "batched",
    "check",
    "choices",
    "consistency",
    "draw",
    "lists",
    "relations",
    "word_problems",
]

_LETTERS = "ABCDEFGH"


def lists(min_size: int = 2, max_size: int = 8, low: int = 1, high: int = 100) -> st.SearchStrategy[Case]:
    """Lists of distinct integers from ``low`` to ``high`` to be sorted; never sorted already."""
    numbers = st.lists(st.integers(low, high), min_size=max(2, min_size), max_size=max_size, unique=True)
    return numbers.filter(lambda given: given != sorted(given)).map(_list_case)


def _list_case(given: list[int]) -> Case:
    shown = ", ".join(map(str, given))
    return Case(
        "generated",
        0,
        "list",
        f"Sort this list of integers in ascending order: [{shown}]",
        tuple(sorted(given)),
        given=tuple(given),
    )


@st.composite
def choices(draw: st.DrawFn, min_options: int = 2, max_options: int = 5) -> Case:
    """Which of these is a metal, a fruit, ...: one option is of the kind, the others are of other kinds."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    others = sorted(word for other, words in KINDS.items() if other != kind for word in words)
    count = draw(st.integers(min_options, max_options))
    right = draw(st.sampled_from(KINDS[kind]))
    wrong = draw(st.lists(st.sampled_from(others), min_size=count - 1, max_size=count - 1, unique=True))
    place = draw(st.integers(0, count - 1))
    options = (*wrong[:place], right, *wrong[place:])
    return Case("generated", 0, "choice", f"Which of these is {kind}?", _LETTERS[place], options=options)


@st.composite
def word_problems(draw: st.DrawFn, *families: str) -> Case:
    """Word problems of templates with drawn names and numbers, after GSM-Symbolic (Mirzadeh et al., 2024).

    Args:
        families: keys of ``FAMILIES``; all of them where none is given.
    """
    family = FAMILIES[draw(st.sampled_from(sorted(families or FAMILIES)))]
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
    values = {name: draw(st.integers(*ends)) for name, ends in family.numbers.items()}
    return problem(family.key, names, values)


def draw(strategy: st.SearchStrategy[Case], count: int, seed: int = 0) -> list[Case]:
    """Up to ``count`` different cases, the same for the same seed: to be asked all at once."""
    found: list[Case] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(case: Case) -> None:
        if case not in found:
            found.append(case)

    collect()
    return found[:count]


def check(
    slm: Model,
    strategy: st.SearchStrategy[Case],
    *,
    examples: int = 100,
    wrong: int = 0,
    seed: int = 0,
    budget: int = 200,
    batch: int = 32,
    style: str = "direct",
    max_tokens: int = 512,
) -> list[tuple[Case, Output]]:
    """Draw cases, ask them all at once, and fail where more than ``wrong`` are answered wrongly.

    Args:
        slm: the model under test (the fixture).
        strategy: of cases with a gold.
        examples: cases to draw.
        seed: of the draw.
        budget: further inputs that are asked, ``batch`` at a time, to find the smallest one that fails.
        style: prompt style, ``direct`` or ``cot``.
        max_tokens: of each output.

    Returns:
        The cases with their outputs.

    Raises:
        AssertionError: the message has the smallest failing case.
    """
    cases = draw(strategy, examples, seed)
    outputs = slm.ask_cases(cases, style=style, max_tokens=max_tokens)
    failed = [case for case, output in zip(cases, outputs, strict=True) if not _right(case, output)]
    if len(failed) > wrong:

        def fails(batch_of: Sequence[Reduced]) -> list[bool]:
            asked = [case for one in batch_of if (case := one.case(seed)) is not None]
            found = slm.ask_cases(asked, style=style, max_tokens=max_tokens)
            return [not _right(case, output) for case, output in zip(asked, found, strict=True)]

        start = Reduced(min(failed, key=_size))
        least = shrink(start, smaller, fails, key=lambda one: one.key, budget=budget, batch=batch).value.case(seed)
        assert least is not None
        (output,) = slm.ask_cases([least], style=style, max_tokens=max_tokens)
        options = "".join(f" {letter}. {text}" for letter, text in zip(least.letters, least.options, strict=True))
        raise AssertionError(
            f"{len(failed)} of {len(cases)} wrong, at most {wrong} may be; the smallest that was found: "
            f"{least.question}{options} -> {grade(least, output).verdict.reason}; output: {preview(output.text, 200)}"
        )
    return list(zip(cases, outputs, strict=True))


def batched(test: Callable[..., None]) -> Callable[..., None]:
    """Let a test under ``@given`` have its outputs generated together: put it on top of ``@given``.

    The test's examples are drawn once beforehand, with the test's body left at its first question, and these questions
    are asked at once; then the test runs as Hypothesis runs it, and is answered from there. What Hypothesis asks beyond
    them (to shrink a failing example) is asked as it comes. The test takes the fixture ``slm`` by its name.
    """
    hypothesis.seed(0)(test)
    inner = test.hypothesis.inner_test  # type: ignore[attr-defined]

    def run(slm: Model) -> None:
        recorded = _Recorder(slm)

        def first_question(*arguments: Any, **named: Any) -> None:
            with contextlib.suppress(_Asked):
                inner(*arguments, **named)

        test.hypothesis.inner_test = first_question  # type: ignore[attr-defined]
        try:
            test(slm=recorded)
        finally:
            test.hypothesis.inner_test = inner  # type: ignore[attr-defined]
        recorded.ask()
        test(slm=recorded)

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


class _Asked(BaseException):
    """A question was noted; the rest of the test's body needs its answer."""


class _Recorder:
    """Stands in for ``slm``: notes the questions to ``ask_cases``, then answers them."""

    def __init__(self, slm: Model) -> None:
        self._slm = slm
        self._wanted: list[tuple[Sequence[Case], dict[str, Any]]] = []
        self._known: list[tuple[Case, dict[str, Any], Output]] = []
        self._answers = False

    def ask_cases(self, cases: Sequence[Case], **how: Any) -> list[Output]:
        if not self._answers:
            self._wanted.append((list(cases), how))
            raise _Asked
        known = [self._find(case, how) for case in cases]
        new = [case for case, output in zip(cases, known, strict=True) if output is None]
        fresh = iter(self._slm.ask_cases(new, **how) if new else [])
        outputs = [next(fresh) if output is None else output for output in known]
        self._known += [(case, how, output) for case, output in zip(cases, outputs, strict=True)]
        return outputs

    def ask(self) -> None:
        """Ask everything that was noted, each way of asking at once."""
        self._answers = True
        ways: list[tuple[dict[str, Any], list[Case]]] = []
        for cases, how in self._wanted:
            place = next((own for known, own in ways if known == how), None)
            if place is None:
                ways.append((how, place := []))
            place += [case for case in cases if case not in place]
        for how, cases in ways:
            outputs = self._slm.ask_cases(cases, **how)
            self._known += [(case, how, output) for case, output in zip(cases, outputs, strict=True)]

    def _find(self, case: Case, how: dict[str, Any]) -> Output | None:
        return next((output for own, way, output in self._known if own == case and way == how), None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slm, name)


# --- metamorphic relations: consistency where no gold is needed


@dataclass(frozen=True, slots=True)
class Relation:
    """A case, and what its answer must be by the answer to another one, whatever is right.

    Attributes:
        says: the relation in a few words.
        case: the related case.
        expected: from the answer to the first case the answer to this one.
    """

    says: str
    case: Case
    expected: Callable[[AnswerValue], AnswerValue]


@dataclass(frozen=True, slots=True)
class Share:
    """How often a relation held, of the pairs in which both were answered; ``unanswered`` are the others."""

    held: int
    n: int
    unanswered: int


def relations(case: Case, seed: int = 0) -> list[Relation]:
    """The relations that hold of a case; none of them looks at its gold.

    The sorted list of a permutation is the same; a choice among reordered options is the same option; with its amounts
    doubled, a problem of a family has the doubled answer; with other names, the same.
    """
    rng = random.Random(f"relations|{seed}|{case.question}|{case.options}")
    found = []
    if case.kind == "list" and len(case.given) > 2:
        permuted = stress.TRANSFORMATIONS["order"].change(case, rng)
        if permuted is not None:
            found.append(Relation("permuted list, same answer", permuted, lambda answer: answer))
    if case.kind == "choice":
        reordered = stress.TRANSFORMATIONS["options"].change(case, rng)
        if reordered is not None:
            found.append(Relation("reordered options, same option", reordered, _follow(reordered)))
    if case.kind == "number":
        renamed = stress.TRANSFORMATIONS["names"].change(case, rng)
        if renamed is not None:
            found.append(Relation("other names, same answer", renamed, lambda answer: answer))
        twice = doubled(case)
        if twice is not None:
            found.append(Relation("doubled amounts, doubled answer", twice, _double))
    return found


def consistency(
    slm: Model, cases: Sequence[Case], *, seed: int = 0, style: str = "direct", max_tokens: int = 512
) -> Mapping[str, Share]:
    """How often each relation holds over these cases, by what it says; everything is asked at once, no gold is used."""
    related = [(case, relation) for case in cases for relation in relations(case, seed)]
    asked = [*cases, *(relation.case for _, relation in related)]
    outputs = slm.ask_cases(asked, style=style, max_tokens=max_tokens)
    answers = [grade(case, output).answer.value for case, output in zip(asked, outputs, strict=True)]
    own = {id(case): answer for case, answer in zip(cases, answers, strict=False)}
    held: dict[str, list[bool | None]] = {}
    for (case, relation), after in zip(related, answers[len(cases) :], strict=True):
        before = own[id(case)]
        known = None if before is None or after is None else relation.expected(before) == after
        held.setdefault(relation.says, []).append(known)
    return {
        says: Share(sum(map(bool, found)), sum(one is not None for one in found), sum(one is None for one in found))
        for says, found in held.items()
    }


def _follow(reordered: Case) -> Callable[[AnswerValue], AnswerValue]:
    def expected(answer: AnswerValue) -> AnswerValue:
        if not isinstance(answer, str) or answer not in reordered.letters:
            return answer
        return reordered.letters[reordered.places.index(reordered.letters.index(answer))]

    return expected


def _double(answer: AnswerValue) -> AnswerValue:
    from fractions import Fraction

    try:
        value = 2 * Fraction(str(answer))
    except (ValueError, ZeroDivisionError):
        return answer
    return str(value)


def _right(case: Case, output: Output) -> bool:
    return grade(case, output).verdict.name == "correct"


def _size(case: Case) -> tuple[int, int, int]:
    return len(case.given) or len(case.options), sum(map(abs, case.given)), len(case.question)
