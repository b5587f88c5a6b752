r"""MATH's gold answers, rewritten in the ways in which models write them, with right and with wrong values.

    python benchmarks/rewritten_golds.py FILE [--limit N] [--show N]

FILE is a JSONL file with MATH records (``solution`` or ``answer``), e.g. ``math500_test.jsonl``. Each gold is put
into each form that applies to it, once as it is and once with another value in its place (a figure changed, a sign
turned, or another item's gold of the same kind). Neighbouring golds are also joined in pairs, for the forms of several
values. Prints a Markdown table: of each form, how many right ones are read
as right and how many wrong ones are.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.scoring.answers.equality import equal
from pytest_thinkslm.scoring.answers.evaluate import value_of
from pytest_thinkslm.scoring.answers.latex import as_fraction, normalise, split_top
from pytest_thinkslm.scoring.answers.reader import read_answer
from pytest_thinkslm.scoring.answers.region import boxes
from pytest_thinkslm.scoring.verdicts import decide


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write an answer: ``{v}`` is the value, ``{o}`` another one; which golds it applies to."""

    family: str
    template: str
    applies: Callable[[str], bool] = field(default=lambda gold: True)


def _is_value(gold: str) -> bool:
    """A single value: no equation, list, tuple, word or unit."""
    text = normalise(gold)
    return not re.search(r"[=<>,]|\\(?:text|leq|geq|cup|in(?![a-z])|begin|mbox|pm)|[A-Za-z]{2,}(?<!\\)$|:", text) and (
        value_of(text) is not None or re.search(r"[a-z]", text) is not None
    )


def _is_number(gold: str) -> bool:
    return _is_value(gold) and as_fraction(normalise(gold)) is not None and "\\%" not in gold and "$" not in gold


def _is_irrational(gold: str) -> bool:
    return _is_value(gold) and isinstance(value_of(normalise(gold)), float)


def _is_fraction(gold: str) -> bool:
    value = as_fraction(normalise(gold))
    return value is not None and "frac" in gold and value.denominator not in (1, 2, 4, 5, 8, 10, 16, 20, 25)


def _is_constant(gold: str) -> bool:
    return _is_value(gold) and value_of(normalise(gold)) is not None


def _is_list(gold: str) -> bool:
    return (
        len(split_top(gold)) > 1 and "text" not in gold and "mbox" not in gold and "\\!" not in gold and "=" not in gold
    )


FORMS = (
    Form("plain", r"\boxed{{{v}}}"),
    Form("plain", r"The answer is $\boxed{{{v}}}$."),
    Form("plain", r"Thus \[\boxed{{{v}}}.\] That is all."),
    Form("spacing", r"\boxed{{{v}\,}}"),
    Form("spacing", r"\boxed{{\;{v}\;}}"),
    Form("spacing", r"\boxed{{{v}\ }}"),
    Form("spacing", r"\boxed{{ \quad {v} \quad }}"),
    Form("spacing", r"\boxed{{\displaystyle {v}~}}"),
    Form("colour and frames", r"\boxed{{\color{{blue}}{{{v}}}}}"),
    Form("colour and frames", r"\boxed{{\textcolor{{red}}{{{v}}}}}"),
    Form("colour and frames", r"\framebox{{{v}}}"),
    Form("colour and frames", r"\boxed{{\boxed{{{v}}}}}"),
    Form("label", r"\boxed{{\text{{The answer is }} {v}}}"),
    Form("label", r"\boxed{{\text{{Answer: }} {v}}}"),
    Form("label", "Answer: ${v}$"),
    Form("label", r"$$\text{{Answer: }} {v}$$"),
    Form("left side", r"\boxed{{AB = {v}}}", _is_constant),
    Form("left side", r"\boxed{{f(2) = {v}}}", _is_constant),
    Form("left side", r"\boxed{{P(A) = {v}}}", _is_constant),
    Form("left side", r"\boxed{{\text{{Area}} = {v}}}", _is_constant),
    Form("left side", r"\boxed{{a+b = {v}}}", _is_constant),
    Form("left side", r"\boxed{{\angle ABC = {v}}}", _is_number),
    Form("left side", r"\boxed{{x = {v}}}", _is_value),
    Form("left side", r"\boxed{{{v} = x}}", _is_number),
    Form("left side", r"$x = \boxed{{{v}}}$"),
    Form("chain", r"\boxed{{n = 2 \cdot 3 + 1 = {v}}}", _is_constant),
    Form("approximation", r"\boxed{{{v} \approx {d}}}", _is_irrational),
    Form("approximation", r"\boxed{{{v} = {d}}}", _is_fraction),
    Form("approximation", r"\boxed{{x = {v} \approx {d}}}", _is_irrational),
    Form("approximation", "The answer is ${v}$, which is about {d}.", _is_constant),
    Form("approximation", r"$\boxed{{{v}}}$. So the answer is approximately {d}.", _is_constant),
    Form("units", r"\boxed{{{v}\text{{ cm}}}}", _is_constant),
    Form("units", r"\boxed{{{v} \text{{ square units}}}}", _is_constant),
    Form("units", r"\boxed{{{v}^\circ}}", _is_number),
    Form("units", r"\boxed{{{v}\ \mathrm{{km/h}}}}", _is_constant),
    Form("units", "The answer is ${v}$ square centimetres.", _is_constant),
    Form("several values", r"\boxed{{{list_or}}}", _is_list),
    Form("several values", r"\boxed{{{list_and}}}", _is_list),
    Form("several values", r"\boxed{{{list_semicolon}}}", _is_list),
    Form("several values", r"\boxed{{{list_named}}}", _is_list),
    Form("several boxes", "${list_boxes}$", _is_list),
    Form("several boxes", "{list_boxes_prose}.", _is_list),
    Form("statement after a box", r"We found $\boxed{{{o}}}$ first. The final answer is ${v}$."),
    Form("statement after a box", "First $\\boxed{{{o}}}$ of them.\n\nAdding the rest, the answer is ${v}$."),
    Form("remark after a box", r"$\boxed{{{v}}}$. If it were otherwise, the answer would be ${o}$."),
    Form("remark after a box", r"$\boxed{{{v}}}$. This is the answer in the form that was asked for."),
    Form("corrected box", "$\\boxed{{{o}}}$. Wait, that is wrong.\n\n$\\boxed{{{v}}}$"),
    Form("formula before the value", "Final Answer: The largest $n$ is {v}.", _is_number),
    Form("formula before the value", "The final answer is that $x$ equals ${v}$."),
    Form("formula before the value", "**Final answer:** the value of $x$ is ${v}$"),
    Form("other languages", "答案是${v}$。"),
    Form("other languages", r"所以，答案是：$\boxed{{{v}}}$。"),
    Form("other languages", "La respuesta es ${v}$."),
    Form("other languages", "La réponse est ${v}$."),
    Form("other languages", "Die Antwort lautet ${v}$."),
    Form("other languages", "Ответ: ${v}$."),
    Form("other languages", "답은 ${v}$입니다."),
    Form("other languages", "したがって、答えは ${v}$ です。"),
    Form("other languages", "因此，三角形的面积是{v}平方厘米。", _is_number),
    Form("no statement", "We compute and get ${v}$."),
    Form("no statement", "${v}$"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--show", type=int, default=0, help="disagreements to print of each form")
    options = parser.parse_args()
    golds = [gold for gold in map(_gold, options.file.read_text(encoding="utf-8").splitlines()) if gold]
    golds = golds[: options.limit]
    pairs = [(gold, wrong) for gold in golds if (wrong := other_value(gold, golds)) is not None]
    singles = [gold for gold in golds if _is_constant(gold)]
    lists = [f"{one}, {two}" for one, two in pairwise(singles) if not equal(one, two).equal]
    pairs += [(one, two) for one, two in pairwise(lists) if not equal(one, two).equal]
    rows: dict[str, list[float]] = {}
    worst = 0.0
    for form in FORMS:
        shown = 0
        for gold, wrong in pairs:
            if not form.applies(gold) or (gold in lists and form.applies is not _is_list):
                continue
            row = rows.setdefault(form.family, [0, 0, 0, 0])
            for value, other, expected in ((gold, wrong, True), (wrong, gold, False)):
                text = fill(form, value, other)
                started = time.process_time()
                said = right(text, gold)
                worst = max(worst, time.process_time() - started)
                row[0 if expected else 2] += 1
                row[1 if expected else 3] += said
                if said != expected and shown < options.show:
                    shown += 1
                    print(f"{'denied' if expected else 'GIVEN'}: gold {gold!r}, output {text!r}")
    print("| form | right | read as right | wrong | read as right |")
    print("|---|---:|---:|---:|---:|")
    for family, (n, good, m, bad) in rows.items():
        print(f"| {family} | {n} | {good / n:.1%} | {m} | {bad / m:.2%} |")
    print(f"\n{len(pairs)} golds; the slowest item took {worst:.2f} s of this process")


def right(text: str, gold: str) -> bool:
    """Whether an output is read as right against a gold."""
    case = Case("math", 0, "expression", "", gold)
    output = Output(text)
    return decide(case, output, read_answer(case, output)).name == "correct"


def fill(form: Form, value: str, other: str) -> str:
    """The output that writes a value in a form."""
    parts = [part.strip() for part in split_top(value)]
    number = value_of(normalise(value))
    return form.template.format(
        v=value,
        o=other,
        d=f"{float(number):.3f}" if number is not None else "",
        list_or=r" \text{ or } ".join(parts),
        list_and=r", ".join(parts[:-1]) + r" \text{ and } " + parts[-1],
        list_semicolon="; ".join(parts),
        list_named=r" \text{ or } ".join(f"x = {part}" for part in parts),
        list_boxes=r" \text{ and } ".join(rf"\boxed{{{part}}}" for part in parts),
        list_boxes_prose=", ".join(rf"$\boxed{{{part}}}$" for part in parts[:-1]) + rf" and $\boxed{{{parts[-1]}}}$",
    )


def _gold(line: str) -> str | None:
    record = json.loads(line)
    if "answer" in record:
        return str(record["answer"])
    found = [box.content for box in boxes(record["solution"]) if box.closed]
    return found[-1] if found else None


def other_value(gold: str, golds: list[str]) -> str | None:
    """Another value of the same kind: one figure changed, else the next gold that is different but alike."""
    for candidate in _changed(gold):
        if not equal(candidate, gold).equal:
            return candidate
    start = golds.index(gold)
    for candidate in golds[start + 1 :] + golds[:start]:
        if ("text" in candidate) == ("text" in gold) and not equal(candidate, gold).equal:
            return candidate
    return None


def _changed(gold: str) -> Iterator[str]:
    if "\\!" in gold or "{,}" in gold:
        return
    for digit in list(re.finditer(r"(?<![\d_])\d", gold))[::-1]:
        yield gold[: digit.start()] + str(int(digit[0]) % 9 + 1) + gold[digit.end() :]


if __name__ == "__main__":
    main()
