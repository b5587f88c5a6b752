r"""Prompts: a case and a style become chat messages; few-shot exemplars are drawn from the training split.

The final answer is asked for in one format per answer kind, the same in every style: ``\boxed{...}`` for numbers,
expressions and lists, ``Answer: X`` for choices, labelled lines for reviews. The wording shows no filled-in
template, since small models copy one as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Case, Message, Review
from pytest_thinkslm.scoring.answers.custom import custom_reader

STYLES = ("direct", "cot", "5shot", "5shot-cot", "8shot")
#: Number of exemplars of a style.
SHOTS = {"direct": 0, "cot": 0, "5shot": 5, "5shot-cot": 5, "8shot": 8}

_ASK: Mapping[str, str] = {
    "number": r"give the final number inside \boxed{}.",
    "expression": r"give the final answer inside \boxed{}.",
    "list": r"give the sorted list, separated by commas, inside \boxed{}.",
    "choice": 'give the letter of the correct option after "Answer:".',
}
_THINK = "Think step by step. Then "
_ANSWER = "answer."
_SOLVE_FIRST = "Solve the question yourself step by step before you judge the solution. Then "


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A solved item of the training split. ``solution`` is the worked solution; empty where there is none."""

    case: Case
    solution: str = ""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The labelled lines of a review task, and its words for right and wrong."""

    steps: str
    judgement: str
    wrong: str
    error_step: str
    reason: str


_LAYOUTS: Mapping[str, _Layout] = {
    "mr_gsm": _Layout("Step-by-step Evaluation", "Final Judgement", "wrong", "First Error Step", "Error Analysis"),
    "mr_ben": _Layout("Solution Analysis", "Solution Correctness", "incorrect", "First Error Step", "Error Reason"),
}


def prompt_messages(case: Case, style: str, exemplars: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
    """The chat turns that ask ``case``: exemplars as user and assistant turns, then the question.

    Raises ``UsageError`` for an unknown style and ``ValueError`` where the number of exemplars is not the style's.
    """
    check_style(style)
    if len(exemplars) != SHOTS[style]:
        raise ValueError(f"style {style} takes {SHOTS[style]} exemplars, not {len(exemplars)}")
    turns = []
    for exemplar in exemplars:
        turns.append(Message("user", _question(exemplar.case, style)))
        turns.append(Message("assistant", _solved(exemplar, style)))
    return (*turns, Message("user", _question(case, style)))


def check_style(style: str) -> None:
    """Raise ``UsageError`` where there is no such style."""
    if style not in STYLES:
        raise UsageError(f"unknown style {style!r}: valid: {', '.join(STYLES)}")


def render_text(messages: Iterable[Message]) -> str:
    """Messages as readable text, a heading line a turn (for documentation)."""
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def _question(case: Case, style: str) -> str:
    if case.kind == "review":
        return _review_question(case, style)
    parts = [case.context, case.question]
    if case.kind == "choice":
        labels = case.labels or tuple(f"{letter}." for letter in case.letters)
        parts.append("\n".join(f"{label} {text}" for label, text in zip(labels, case.options, strict=True)))
    own = custom_reader(case.task, case.kind)
    ask = (own.ask if own is not None else "") or _ASK.get(case.kind, "")
    if case.labels:
        ask = f'give the {_named_by(case.labels[0])} after "Answer:".'
    if "cot" in style:
        parts.append(_THINK + (ask or _ANSWER))
    else:
        parts.append(ask[:1].upper() + ask[1:])
    return "\n\n".join(part for part in parts if part)


def _named_by(label: str) -> str:
    """How a choice among options with such labels is named."""
    if not any(char.isalnum() for char in label):
        return "correct option, in its own words,"
    return f"{'number' if any(map(str.isdigit, label)) else 'letter'} of the correct option"


def _review_question(case: Case, style: str) -> str:
    """Question, solution under review, and the labelled lines that are asked for; nothing of the gold."""
    layout = _LAYOUTS.get(case.task, _LAYOUTS["mr_gsm"])
    if case.facets.get("subject") == "coding":
        solution, unit, name = (
            "```python\n" + "\n".join(case.steps) + "\n```",
            "line of code",
            "the first wrong line of code",
        )
    else:
        # The data sets' steps carry their own numbers, which the labels refer to.
        numbered = any(step.lstrip().startswith("Step") for step in case.steps)
        steps = case.steps if numbered else [f"Step {number}: {step}" for number, step in enumerate(case.steps, 1)]
        solution, unit, name = "\n".join(steps), "step", "the number of the first wrong step"
    ask = (
        "reply in this form, with these four labels:\n"
        f"{layout.steps}: say of each {unit} whether it is right\n"
        f"{layout.judgement}: one word for the whole solution, correct or {layout.wrong}\n"
        f"{layout.error_step}: {name}, or N/A if there is none\n"
        f"{layout.reason}: explain that error, or N/A if there is none"
    )
    ask = _SOLVE_FIRST + ask if "cot" in style else ask[0].upper() + ask[1:]
    return f"Check whether a solution is correct.\n\nQuestion:\n{case.question}\n\nSolution:\n{solution}\n\n{ask}"


def _solved(exemplar: Exemplar, style: str) -> str:
    """An exemplar's reply: the answer alone in the final format, after the worked solution in a -cot style."""
    gold = exemplar.case.gold
    if isinstance(gold, Review):
        raise ValueError("reviews have no exemplars")
    text = gold if isinstance(gold, str) else ", ".join(map(str, gold))
    final = rf"\boxed{{{text}}}" if exemplar.case.kind in _ASK else text
    if exemplar.case.kind == "choice":
        final = f"Answer: {text}"
    return f"{exemplar.solution}\n{final}" if "cot" in style else final
