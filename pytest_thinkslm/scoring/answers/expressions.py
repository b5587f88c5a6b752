r"""LaTeX answers: reading the last ``\boxed``, or what stands for it."""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.anchors import Anchor, anchors, is_supposed
from pytest_thinkslm.scoring.answers.boxgroups import BoxGroup, box_groups
from pytest_thinkslm.scoring.answers.degenerate import is_code
from pytest_thinkslm.scoring.answers.mathspans import math_spans, stated_in_formula, stated_value
from pytest_thinkslm.scoring.answers.numbers import read_result
from pytest_thinkslm.scoring.answers.region import Region, boxes, is_placeholder
from pytest_thinkslm.scoring.answers.units import is_unit
from pytest_thinkslm.scoring.answers.written import rounds, written_value

# "3. ... so the answer is 27.\n4. Now ...": a step of a text that was cut while it went on reasoning.
_NEXT_STEP = re.compile(r"\n\s*(?:\*\*)?(?:step\s+\d|\d{1,2}[.)]\s)", re.IGNORECASE)
_LAST_NUMBER = re.compile(
    r"[-−\d](?<![\w.,/].)(?:(?<=\d)|(?<=[-−])\d)(?:[\d,]{0,40}\d)?(?:\.\d{1,40})?(?:/\d{1,40})?(?!\w)"
)
_ANCHORS_READ = 64
# "x = 1 or x = 2" is a set of solutions; "either 1 or 2" leaves it open.
_EITHER = re.compile(r"\s*either\b[^.\n]{1,200}?\bor\b", re.IGNORECASE)
_SEVERAL = "several"
_CONCLUDES = re.compile(r"\W*(?:so|therefore|thus|hence|in total|finally)\b", re.IGNORECASE)


def read_expression(region: Region, question: str = "") -> Answer:
    """The LaTeX string that a final region gives as its answer.

    In order: the last explicit statement, which is a balanced box that is no placeholder (boxes that stand together
    are one list), or "the answer is", ``Answer:`` with its value; the whole text where it is nothing but an expression;
    then, unless the text was cut, the result that it ends on, its last formula or last number (not anchored).
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    found = boxes(region.text)
    if region.cut and found and not found[-1].closed:
        return Answer(None, "cut", detail=found[-1].content[:80])
    groups = box_groups(region.text, [box for box in found if box.closed and not is_placeholder(box.content)])
    boxed = groups[-1] if groups else None
    if boxed is None and not region.cut and is_code(region.text):
        return Answer(None, "none", detail="code")
    stated = _last_statement(region, boxed, question)
    if stated == _SEVERAL:
        return Answer(None, "several")
    if stated:
        return Answer(stated, "answer-is", anchored=True)
    if boxed is not None:
        return _boxed_answer(boxed)
    if region.cut:
        return Answer(None, "cut")
    unclosed = found[-1].content if found and not found[-1].closed else ""
    return _fallback(region.text, unclosed, question)


def _boxed_answer(group: BoxGroup) -> Answer:
    values = list(dict.fromkeys(written_value(box.content) for box in group.boxes))
    if len(values) > 1 and group.either:
        return Answer(None, "several", detail=values[-1][:80])
    return Answer(", ".join(values), "boxed", anchored=True)


def _last_statement(region: Region, boxed: BoxGroup | None, question: str) -> str | None:
    """The value of the last "the answer is"; after a box only one that gives another value outright.

    A box is the more deliberate statement: remarks behind it that give no value of their own, suppose something else,
    or round what it holds, are no answers.
    """
    text = region.text
    after = 0 if boxed is None else boxed.end
    for anchor in reversed(anchors(text, after)[-_ANCHORS_READ:]):
        if boxed is None and _EITHER.match(text, anchor.end):
            return _SEVERAL
        stated = stated_in_formula(text, anchor.start) or stated_value(text, anchor.end)
        value = read_result(stated.prose, question).value if stated.prose else stated.value
        if not isinstance(value, str) or is_placeholder(value) or "boxed" in value:
            continue
        if boxed is not None and (not stated.direct or stated.roughly or _is_remark(text, anchor, value, boxed)):
            continue
        if region.cut:
            rest = text[stated.end :]
            if not rest or (not anchor.final and _NEXT_STEP.search(rest)):
                continue
        return value
    return None


def _is_remark(text: str, anchor: Anchor, value: str, boxed: BoxGroup) -> bool:
    if is_supposed(text, anchor.start, anchor.end):
        return True
    return len(boxed.boxes) == 1 and rounds(value, written_value(boxed.boxes[0].content))


def _fallback(text: str, unclosed: str, question: str) -> Answer:
    first_line = unclosed.partition("\n")[0].strip().rstrip("$.")
    if first_line and not is_placeholder(first_line):
        return Answer(written_value(first_line), "unclosed-box")
    bare = text.strip()
    stated = stated_value(bare, 0)
    whole = stated.value is not None and "\n" not in bare and stated.end >= len(bare) and not _says_something(bare)
    if whole and not is_placeholder(stated.value or ""):
        return Answer(stated.value, "bare", anchored=True)
    spans = [span for span in math_spans(text) if not is_placeholder(span.content)]
    spans = [span for span in spans if "boxed" not in span.content]
    number = None
    for number in _LAST_NUMBER.finditer(text):  # noqa: B007
        pass
    if spans and not (number and _is_concluded(text, number.start(), spans[-1].end)):
        return Answer(written_value(spans[-1].content), "last-formula")
    if not spans and _is_prose(bare[-2_000:]):
        plain = _plain_formula(bare)
        return Answer(plain, "last-formula") if plain else read_result(text, question)
    return Answer(number[0].replace("−", "-"), "last-number") if number else Answer(None, "none")


_PLAIN_VALUE = re.compile(r"(?:\b(?:is|are|equals|be)|=)\s+(?=\S*[\dπ√])([^\n=.]{1,80}?)[.!]?\s*$")
_PLAIN_MATHEMATICS = re.compile(r"[π√^*/]|sqrt|pi\b")
_PLAIN_WORD = re.compile(r"(?<![A-Za-z])(?!(?:sqrt|pi|sin|cos|tan|log|ln)(?![A-Za-z]))[A-Za-z]{2,}")


def _plain_formula(text: str) -> str | None:
    """A formula without marks of one that ends a sentence: "So the length is 2*sqrt(5)."."""
    found = _PLAIN_VALUE.search(text[-300:])
    if found is None or not _PLAIN_MATHEMATICS.search(found[1]):
        return None
    words = _PLAIN_WORD.search(found[1])
    value, unit = (found[1][: words.start()], found[1][words.start() :]) if words else (found[1], "")
    return written_value(value) if is_unit(f" {unit}") and value.strip() else None


_PROSE_WORD = re.compile(r"[^\W\d_]{2,}")
_LATEX_WORD = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_FAR_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def _is_prose(text: str) -> bool:
    """Whether a text has words of a sentence beside its mathematics."""
    if not text.isascii() and _FAR_EAST.search(text):
        return True
    return len(_PROSE_WORD.findall(_LATEX_WORD.sub(" ", text[:2_000]))) > 4


def _says_something(text: str) -> bool:
    """Whether a short reply is a sentence: prose, or three words and more without a figure, a sign or a bracket."""
    if _is_prose(text):
        return True
    words = _LATEX_WORD.sub(" ", text)
    long = sum(len(word) > 1 for word in _ANY_WORD.findall(words))
    return len(_ANY_WORD.findall(words)) > 2 and long > 1 and not _MATHEMATICAL.search(words)


_ANY_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_MATHEMATICAL = re.compile(r"[\d=+*/^<>|()\[\]{}$\\,:;π√∞-]")


def _is_concluded(text: str, position: int, formula_end: int) -> bool:
    """Whether a number stands behind the last formula in a closing line of its own: "So, it is 3."."""
    line_start = text.rfind("\n", 0, position) + 1
    return formula_end <= line_start and bool(_CONCLUDES.match(text, line_start)) and not text[position:].count("\n")
