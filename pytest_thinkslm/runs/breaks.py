"""Where an output went wrong, without a judge: its first false step, and a class for a lost item. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import AnswerJson, ItemLine, group_key
from pytest_thinkslm.runs.copies import miscopied
from pytest_thinkslm.runs.cuts import loops
from pytest_thinkslm.runs.equation_tokens import NUMBER, TEXT_LIMIT, number_of
from pytest_thinkslm.runs.equations import CONVERSIONS, comparable, false_equation
from pytest_thinkslm.runs.lengths import can_be_looked_for, question_of, text_of, value_position
from pytest_thinkslm.runs.types import Break, BreaksJson, FalseStep, StepKind
from pytest_thinkslm.scoring.answers.evaluate import value_of

#: The classes, in the order in which the first that fits is taken.
CLASSES: tuple[Break, ...] = ("loop", "cut", "form", "abandoned", "copied", "equation", "plan")
#: False steps that a row keeps, each of an item of its own.
SHOWN = 3
#: Characters of a false step that are kept.
_LONGEST = 120

#: What may stand between a sign or word that states a result and the number.
_GAP = r"[\s$*(\\{]*(?:boxed\{|text(?:bf)?\{|mathbf\{)?[\s$*({]*"
_STATES = re.compile(
    rf"(?:[=≈→⇒]|\b(?:is|are|be|makes?|gives?|leaves?|needs?|pays?|gets?|has|have|so|fills|stay|answer:?)(?:\s+(?!not\b)[a-z]+){{0,3}}?)"
    rf"{_GAP}-?(?P<number>{NUMBER})",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\}){0,40}\}){0,400})\}")


@dataclass(frozen=True, slots=True)
class Step:
    """A false step: an equation, or a number that was copied wrong, and where it stands in ``text_of``."""

    kind: StepKind
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Broke:
    """Where a wrong output broke.

    ``name`` is the class, the first that fits: ``loop``; ``cut`` at its limit; ``form``: it ends on the right value in
    a form that was not asked for; ``abandoned``: it has worked the right value out and ends on another one;
    ``copied``, ``equation``: its first false step; ``plan``: none of these. ``step`` is the first false step of any.
    """

    name: Break
    step: Step | None


def broken(lines: Iterable[ItemLine], wanted: Collection[tuple[GroupKey, str]]) -> dict[tuple[GroupKey, str], Broke]:
    """Where the first wrong output of each of the wanted items broke.

    Args:
        lines: whole item records (role ``item``), in order.
        wanted: groups and names of items.
    """
    found: dict[tuple[GroupKey, str], Broke] = {}
    for line in lines:
        key = group_key(line), line["item"]
        if key in wanted and key not in found and line["verdict"] != "correct":
            found[key] = where_it_broke(line)
    return found


def breaks(lost: Mapping[str, Broke], gained: Iterable[Broke]) -> BreaksJson:
    """The table of one row: lost items by where they broke, gained ones by where they had broken before."""
    steps: list[FalseStep] = [
        {"item": item, "kind": broke.step.kind, "text": broke.step.text}
        for item, broke in lost.items()
        if broke.step is not None
    ]
    return {"lost": _by_class(lost.values()), "gained": _by_class(gained), "steps": steps[:SHOWN]}


def _by_class(found: Iterable[Broke]) -> dict[Break, int]:
    counts = Counter(broke.name for broke in found)
    return {name: counts[name] for name in CLASSES if counts[name]}


def where_it_broke(line: ItemLine) -> Broke:
    """The class of a wrong output, and its first false step."""
    text, question, gold = text_of(line), question_of(line), line["gold"]
    step = false_step(text, question)
    if loops(line):
        return Broke("loop", step)
    if line.get("finish_reason") == "length":
        return Broke("cut", step)
    if line["answer"] is None and can_be_looked_for(gold, question) and value_position(text, gold) is not None:
        return Broke("form", step)
    if isinstance(gold, str) and _worked_out(text[: step.start] if step is not None else text, gold, question):
        return Broke("form" if _same_in_another_form(line, text, gold) else "abandoned", step)
    return Broke("plan" if step is None else step.kind, step)


def false_step(text: str, question: str) -> Step | None:
    """The first equation that is false, or number that stands otherwise in the question, whichever comes first."""
    found = []
    if (equation := false_equation(text)) is not None:
        found.append(_step("equation", text, equation.start, equation.end))
    if (place := miscopied(text, question)) is not None:
        found.append(_step("copied", text, *place))
    return min(found, key=lambda step: step.start, default=None)


def _step(kind: StepKind, text: str, start: int, end: int) -> Step:
    return Step(kind, start, end, " ".join(text[start:end].split())[:_LONGEST])


def _worked_out(text: str, gold: str, question: str) -> bool:
    """Whether the right value stands in a text as a result; behind an equals sign, where the question has it, too."""
    wanted = value_of(gold)
    if not isinstance(wanted, Fraction) or not re.fullmatch(rf"-?(?:{NUMBER})", gold):
        return _squeezed(gold) in _squeezed(text)
    only_signs = value_position(question, gold) is not None
    for match in _STATES.finditer(text[:TEXT_LIMIT]):
        if abs(wanted) == number_of(match["number"]) and not (only_signs and match.group()[0].isalpha()):
            return True
    return False


def _same_in_another_form(line: ItemLine, text: str, gold: str) -> bool:
    """Whether an output that has the right value ends on it: no answer could be read, or one that is another form."""
    answer = line["answer"]
    if answer is None:
        return True
    wanted, given = _value(gold), _value(_bare(answer))
    if wanted and given is not None:
        ratio = given / wanted
        if any(abs(ratio - factor) < 1e-9 * factor for one in CONVERSIONS for factor in (one, 1 / one)):
            return True
        digits = len((re.findall(r"\.(\d+)", str(answer)) or [""])[-1])
        for scale in (1, 100):
            if digits and abs(given - scale * wanted) < 10.0**-digits:
                return True
    boxes = _BOX.findall(text)
    return bool(boxes) and _several(boxes[-1])


def _several(box: str) -> bool:
    """Whether a box holds more than a number or a formula: words, or several numbers."""
    words = re.sub(r"\\(?:text|mathrm)\s*\{([^{}]*)\}", r" \1 ", box)
    return bool(re.search(r"(?<!\\)\b[a-zA-Z]{2,}", words)) or len(re.findall(NUMBER, words)) > 2


def _bare(answer: AnswerJson) -> str:
    return answer.replace(",", "").removesuffix("%").removesuffix("\\") if isinstance(answer, str) else ""


def _value(text: str) -> float | None:
    """The value of an expression; None where it has none, or one beyond a float's range (2^{2000})."""
    value = value_of(text)
    return float(value) if value is not None and comparable(value) else None


def _squeezed(text: str) -> str:
    return re.sub(r"\s|\\[,;!]", "", text)
