r"""Number answers: which of an output's numbers is the answer, by ordered rules.

Explicit final statements come first, and the last one wins: a ``\boxed`` that is no placeholder, a ``####`` line,
"the answer is ...". Without one, the whole region if it is a bare number, else the result that the reasoning ends on.
The rule that fired is stored in the answer. The grammar itself is in ``number_grammar``.
"""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.degenerate import is_code
from pytest_thinkslm.scoring.answers.number_grammar import canonical, find_numbers, plain
from pytest_thinkslm.scoring.answers.number_sentences import CONCLUDES, last_result, read_result
from pytest_thinkslm.scoring.answers.number_statements import Statement, find_statements
from pytest_thinkslm.scoring.answers.region import Region
from pytest_thinkslm.scoring.answers.whole_number import parse_number

__all__ = ["canonical", "find_numbers", "parse_number", "read_number", "read_result"]


def read_number(region: Region, question: str = "") -> Answer:
    """The number that an output gives as its answer, as a canonical string.

    Rules: ``boxed``, ``hash``, ``answer-is``, ``bare``, ``conclusion``, ``last-number`` (the only one not anchored),
    and without a value ``several``, ``wrong-format`` (a copied placeholder), ``cut``,
    ``unfinished-thought``, ``none``. Under finish reason ``length`` only a
    complete anchored answer counts, never one that touches the end of the text. ``question`` tells numbers that were
    given from the result, where no explicit statement names it.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    text = plain(region.text)
    statements, unreadable_box = find_statements(region.text, text, question)
    if region.cut:
        complete = [s for s in statements if not (s.equation and s.rule == "answer-is")]
        return _choose_complete(complete, text) if complete else _cut_conclusion(text)
    if statements:
        return _choose(statements, text)
    if is_code(text):
        return Answer(None, "none", detail="code")
    if len(text) < 200 and not unreadable_box and "?" not in text and len(text.split()) <= 4:
        value = None if _SENTENCE_VERB.search(text) else parse_number(region.text.strip().rstrip("!"))
        if value is not None:
            return Answer(canonical(value), "bare", anchored=True, detail=region.text.strip()[:80])
    return last_result(region.text, text, question, strict=unreadable_box)


def _choose(statements: list[Statement], text: str) -> Answer:
    """The last statement; of a run of differing ``####`` lines the one that repeats the statement before it."""
    last = statements[-1]
    first = len(statements) - 1
    while first and _continues(statements[first - 1], statements[first], text):
        first -= 1
    values = {statement.value for statement in statements[first:]}
    if len(values) > 1:
        if first and statements[first - 1].value == statements[first].value:
            last = statements[first]
        elif len(values) > 2:
            return Answer(None, "several", detail=last.detail)
    return _answer(last)


def _continues(previous: Statement, statement: Statement, text: str) -> bool:
    between = text[previous.stop : statement.start] if previous.stop <= statement.start else "-"
    return previous.rule == statement.rule == "hash" and not between.strip(" \t\n#")


def _choose_complete(statements: list[Statement], text: str) -> Answer:
    """The last statement of a text cut by the token limit, if the cut left it whole.

    One that the cut broke is passed over where it begins to repeat the statement before it.
    """
    broken = statements[-1]
    if not broken.touches_end:
        return _choose(statements, text)
    whole = [statement for statement in statements if not statement.touches_end]
    if whole and whole[-1].value is not None:
        begun = "" if broken.value is None else canonical(broken.value)
        if canonical(whole[-1].value).startswith(begun):
            return _choose(whole, text)
    return Answer(None, "cut", detail=broken.detail)


def _answer(statement: Statement) -> Answer:
    if statement.value is None:
        return Answer(None, "wrong-format" if statement.unread else "several", detail=statement.detail)
    return Answer(canonical(statement.value), statement.rule, anchored=True, detail=statement.detail)


_SENTENCE_VERB = re.compile(r"[A-Za-z]\s(?:is|are|was|were)\s")
_SENTENCE = re.compile(r"(?<=[.!?])[)\"']?\s+")
_CALCULATES = re.compile(r"[+*×÷=]|\s[-/x]\s|\\(?:times|cdot|div|frac)")


def _cut_conclusion(text: str) -> Answer:
    """A closing sentence ("So, she has 7 apples in total.") that stands whole as the last paragraph of a cut text."""
    sentence = text[-400:].rstrip().rsplit("\n", 1)[-1]
    numbers = list(find_numbers(sentence))
    whole = sentence.endswith((".", "!")) and len(_SENTENCE.split(sentence)) == 1
    if len(numbers) == 1 and whole and CONCLUDES.match(sentence) and not _CALCULATES.search(sentence):
        return Answer(canonical(numbers[0].value), "conclusion", anchored=True, detail=sentence[:80])
    return Answer(None, "cut")
