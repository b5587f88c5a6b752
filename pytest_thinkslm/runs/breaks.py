"""Where an output went wrong, without a judge: the first false equation in it, and a class for a lost item. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from pytest_thinkslm.core.identity import GroupKey
from pytest_thinkslm.core.item_record import ItemLine, group_key
from pytest_thinkslm.runs.cuts import loops
from pytest_thinkslm.runs.lengths import can_be_looked_for, question_of, text_of, value_position
from pytest_thinkslm.runs.types import Break, BreaksJson
from pytest_thinkslm.scoring.answers.evaluate import value_of

#: False equations that a row keeps, each of an item of its own.
SHOWN = 3

_RUN = r"[-+*/^().,\d \t]"
_EQUATION = re.compile(rf"(?P<left>{_RUN}*)=(?P<right>{_RUN}*)(?P<after>\\?\S?\w*)")
_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-", "–": "-", "$": " ", "\u00a0": " "})
_COMMANDS = re.compile(r"\\(times|cdot|div|left|right|,|;)")
_OPERATION = re.compile(r"\d\s*\)*\s*[-+*/^]\s*\(*\s*-?\d")
_NUMBER = re.compile(r"-?\d+(?:\.(?P<decimals>\d+))?")
#: What before an expression makes it a part of a larger one; and words after a number that scale it.
_PART_OF = re.compile(r"\b(?:of|times|plus|minus|by|over|than|to|from|x)\s*$|[\w%)\]}^]$", re.IGNORECASE)
_SCALES = frozenset({"million", "billion", "thousand", "hundred", "dozen", "mod", "percent", "remainder"})


def false_equation(text: str) -> str | None:
    """The first equation of numbers in a text that is wrong, as it stands there; None where all are right.

    Only what is surely understood is looked at: an expression with an operation on the left, written in one piece, and
    a number on the right. A number that is rounded or cut to its own digits is right, as is a whole quotient.
    """
    for line in text.splitlines():
        plain = _COMMANDS.sub(lambda match: _sign(match).ljust(len(match.group())), line.translate(_SIGNS))
        start = 0
        while (match := _EQUATION.search(plain, start)) is not None:
            start = match.start("right")
            left = _last_part(match["left"])
            before = plain[: match.end("left") - len(left)]
            right = re.split(r"[.,](?=\s|$)", match["right"], maxsplit=1)[0]
            whole = right == match["right"]
            if _is_part(before, left) or (whole and _goes_on(match["after"])):
                continue
            if _is_false(left, right):
                return " ".join(line[match.end("left") - len(left) : match.start("right") + len(right)].split())
    return None


def breaks(lines: Iterable[ItemLine], lost: Mapping[GroupKey, frozenset[str]]) -> dict[GroupKey, BreaksJson]:
    """Of each group's lost items the classes of where their first wrong output broke.

    Args:
        lines: whole item records (role ``item``), in order.
        lost: names of the lost items, by group.
    """
    found: dict[GroupKey, BreaksJson] = {}
    seen: set[tuple[GroupKey, str]] = set()
    for line in lines:
        key = group_key(line)
        if line["item"] not in lost.get(key, ()) or line["verdict"] == "correct" or (key, line["item"]) in seen:
            continue
        seen.add((key, line["item"]))
        own = found.setdefault(key, {"classes": {}, "false_equations": []})
        name, equation = where_it_broke(line)
        own["classes"][name] = own["classes"].get(name, 0) + 1
        if equation is not None and len(own["false_equations"]) < SHOWN:
            own["false_equations"].append({"item": line["item"], "equation": equation[:120]})
    return found


def where_it_broke(line: ItemLine) -> tuple[Break, str | None]:
    """The class of a wrong output, the first that fits, and its first false equation.

    ``loop``; ``cut`` at its limit; ``form``: the right value is there, and no answer could be read; ``abandoned``: it
    is there, and another one was answered; ``equation``: an equation is false; ``plan``: none of these.
    """
    text = text_of(line)
    equation = false_equation(text)
    reached = can_be_looked_for(line["gold"], question_of(line)) and value_position(text, line["gold"]) is not None
    if loops(line):
        return "loop", equation
    if line.get("finish_reason") == "length":
        return "cut", equation
    if reached:
        return ("form" if line["answer"] is None else "abandoned"), equation
    return ("plan" if equation is None else "equation"), equation


def _sign(match: re.Match[str]) -> str:
    return {"times": "*", "cdot": "*", "div": "/"}.get(match[1], "")


def _last_part(text: str) -> str:
    """The end of a run of arithmetic that is one expression: after a comma, a full stop or a list's number."""
    return re.split(r"[.,](?:\s|$)", text)[-1].lstrip(" \t")


def _is_part(before: str, left: str) -> bool:
    """Whether the expression goes on to the left of what was read: a variable, a percentage, a word of arithmetic."""
    if left.startswith("-") and before.rstrip()[-1:].isalnum():
        return True
    return left[:1] in tuple("+*/^)") or _PART_OF.search(before) is not None


def _goes_on(after: str) -> bool:
    """Whether what stands right behind a number belongs to it: 42x, 42%, 3 million, a bracket that opens."""
    if not after:
        return False
    if after.startswith("\\"):
        return not after[1:].startswith(("]", ")", "\\", "text", "quad"))
    return after.lower() in _SCALES or after[0] in "%([{_=:" or (len(after) == 1 and after.isalpha())


def _is_false(left: str, right: str) -> bool:
    left, right = (re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", side).strip() for side in (left, right))
    if not _OPERATION.search(left) or re.search(r"\d\s+\d", left) or left.count("(") != left.count(")"):
        return False
    number = _NUMBER.fullmatch(right)
    value = value_of(left)
    if number is None or not isinstance(value, Fraction):
        return False
    stated, digits = Fraction(right), len(number["decimals"] or "")
    step = Fraction(1, 10**digits)
    exact = (value / step).denominator == 1
    return value != stated if exact else abs(value - stated) >= step
