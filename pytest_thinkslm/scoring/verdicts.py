"""Answer and gold -> verdict: a pure function, so that rescoring equals a fresh run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pytest_thinkslm.core.records import FULL_CONTEXT, UNANSWERABLE, Answer, Case, Output, Review, Verdict
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.scoring.answers.custom import FAULT, compare_with, custom_reader
from pytest_thinkslm.scoring.answers.degenerate import degenerate, is_code
from pytest_thinkslm.scoring.answers.lists import classify_list
from pytest_thinkslm.scoring.answers.region import boxes
from pytest_thinkslm.scoring.answers.whole_number import parse_number


def decide(case: Case, output: Output, answer: Answer, *, prompt_text: str = "") -> Verdict:
    """The verdict on one item: ``correct``, ``incorrect``, ``unparsed`` or ``truncated``.

    ``truncated``: no answer, and the text was cut by the token limit or its thought never ended. ``unparsed``: no
    answer otherwise. ``prompt_text`` lets a restated question be recognised. ``error``: a user's own reader failed; of
    engines and data it never comes from here. Model text in the reason is escaped.
    """
    if answer.rule == FAULT:
        return Verdict("error", answer.detail)
    if answer.value is None:
        # A review's solution and the options are part of what a model may repeat.
        return _unanswered(case, output, answer, "\n".join((prompt_text, *case.options, *case.steps)))
    outcome = _compare(case, answer)
    if isinstance(outcome, Answer):
        return Verdict("error", outcome.detail)
    reason = f"read {_shown(answer.value)} (rule {answer.rule}), gold {_shown(case.gold)}"
    if outcome.timeout:
        reason += "; comparison ran into its deadline"
    if outcome.equal:
        return Verdict("correct", reason)
    looped = "repetition" if output.stopped == "loop" else None
    failure = outcome.failure or looped or _degenerate(output, prompt_text, restated=False)
    return Verdict("incorrect", reason, failure, grading_timeout=outcome.timeout)


def judged_verdict(parser: Verdict, name: Literal["correct", "incorrect"], reason: str) -> Verdict:
    """The verdict of an item that the judge decides; the parser's stands in its reason.

    The failure class is the parser's where the item is wrong either way: the judge names none.
    """
    failure = parser.failure if name == "incorrect" else None
    return Verdict(name, f"judge: {reason} (parser: {parser.name}, {parser.reason})", failure, parser.grading_timeout)


@dataclass(frozen=True, slots=True)
class _Outcome:
    equal: bool
    failure: str | None = None
    timeout: bool = False


_WHY_NOT = {
    "cut": "cut by the token limit before a complete, anchored answer",
    "unfinished-thought": "the thought was never ended",
    "several": "several answers without a choice",
    "restated": "only the prompt's own list",
    "recited": "only the list of options",
    "wrong-format": "no answer of the asked kind",
}
_NO_ROOM = "cut where the context was full, before the token limit and a complete, anchored answer"
#: Rules of an output without an answer whose failure class is told here.
_RULES_WITHOUT = frozenset({"none", *_WHY_NOT})


def _unanswered(case: Case, output: Output, answer: Answer, prompt_text: str) -> Verdict:
    truncated = output.finish_reason == "length" or answer.rule == "unfinished-thought"
    why = _WHY_NOT.get(answer.rule, _WHY_NOT["cut"] if truncated else "no answer found")
    if output.stopped in FULL_CONTEXT and why == _WHY_NOT["cut"]:
        why = _NO_ROOM
    reason = (
        f"{why}; output ends {safe_line(output.text[-60:])!r}" if output.text.strip() else f"{why}; output is empty"
    )
    if truncated:
        loops = output.stopped == "loop" or _degenerate(output, "", restated=False) == "repetition"
        failure = "unfinished-thought" if answer.rule == "unfinished-thought" else "cut"
        return Verdict("truncated", reason, "repetition" if loops else failure)
    if answer.rule not in _RULES_WITHOUT and custom_reader(case.task, case.kind) is not None:
        return Verdict("unparsed", reason, answer.rule)  # the class that the user's reader names
    return Verdict("unparsed", reason, _why_unparsed(output, answer, prompt_text))


def _why_unparsed(output: Output, answer: Answer, prompt_text: str) -> str:
    """The failure class of an output without an answer: what the reader saw, else how the text is degenerate."""
    seen = {"several": "several", "restated": "restated", "recited": "restated"}.get(answer.rule)
    if seen:
        # A program that was not run holds the prompt's own list or options, too.
        return "code" if is_code(output.text) else seen
    if failure := _degenerate(output, prompt_text, restated=True):
        return failure
    return "wrong-format" if answer.rule == "wrong-format" or boxes(output.text) else "no-final-answer"


def _degenerate(output: Output, prompt_text: str, *, restated: bool) -> str | None:
    found = degenerate(output.text, prompt_text if restated else "")
    return "unfinished-thought" if found == "empty" and output.reasoning else found


def _compare(case: Case, answer: Answer) -> _Outcome | Answer:
    """By the user's own comparison where there is one, else by the kind's; an ``Answer`` says how the user's failed."""
    own = custom_reader(case.task, case.kind)
    if own is None or (own.compare is None and case.kind in _COMPARISONS):
        return _COMPARISONS[case.kind](case, answer)
    found = compare_with(own, case, answer)
    return found if isinstance(found, Answer) else _Outcome(found is True, found if isinstance(found, str) else None)


def _number(case: Case, answer: Answer) -> _Outcome:
    if UNANSWERABLE in (case.gold, answer.value):
        if case.gold == answer.value:
            return _Outcome(True)
        return _Outcome(False, "called-unanswerable" if answer.value == UNANSWERABLE else "answered-unanswerable")
    gold = _parsed(case.gold)
    return _Outcome(gold is not None and (answer.value == case.gold or _parsed(answer.value) == gold))


def _parsed(value: object) -> Fraction | None:
    return parse_number(value) if isinstance(value, str) else None


def _list(case: Case, answer: Answer) -> _Outcome:
    given, gold = answer.value, case.gold
    if not isinstance(given, tuple) or not isinstance(gold, tuple):
        return _Outcome(False, "wrong-format")
    return _Outcome(True) if given == gold else _Outcome(False, classify_list(given, gold))


def _choice(case: Case, answer: Answer) -> _Outcome:
    return _Outcome(answer.value == case.gold)


def _expression(case: Case, answer: Answer) -> _Outcome:
    from pytest_thinkslm.scoring.answers.equality import equal

    equality = equal(str(answer.value), str(case.gold))
    return _Outcome(equality.equal, timeout=equality.timeout)


def _review(case: Case, answer: Answer) -> _Outcome:
    from pytest_thinkslm.scoring.answers.reviews import same_step

    if not isinstance(answer.value, Review) or not isinstance(case.gold, Review):
        return _Outcome(False, "wrong-format")
    if answer.value.judgement != case.gold.judgement:
        return _Outcome(False, "wrong-judgement")
    right = case.gold.judgement == "correct" or same_step(answer.value, case.gold)
    return _Outcome(right, None if right else "wrong-step")


_COMPARISONS: Mapping[str, Callable[[Case, Answer], _Outcome]] = {
    "number": _number,
    "list": _list,
    "choice": _choice,
    "expression": _expression,
    "review": _review,
}


def _shown(value: object) -> str:
    if isinstance(value, Review):
        step = f", first error step {value.first_error_step}" if value.first_error_step else ""
        return safe_line(f"{value.judgement}{step}")
    return safe_line(str(list(value)) if isinstance(value, tuple) else str(value))
