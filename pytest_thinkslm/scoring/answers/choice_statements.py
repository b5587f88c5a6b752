r"""Explicit statements of a choice: "The answer is B", ``\boxed{B}``, ``{"answer": "B"}``, "B is correct", "答案是B".

The last of them wins; a statement that denies names nothing, and one that offers several options is no choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers import phrases
from pytest_thinkslm.scoring.answers.anchors import lower
from pytest_thinkslm.scoring.answers.choice_names import Named, is_recited, joined, match_end, name_at
from pytest_thinkslm.scoring.answers.optiontext import Options

# How much of a text is looked at: the last anchors, the stretch that an anchor governs.
_ANCHORS_READ = 64
_LINES_READ = 8
_WINDOW = 300

_NOUN = r"(?:answer|ans|option|choice|selection|statement|letter|ending)"
_IS = r"(?:is|are|was|would\s+be|will\s+be|must\s+be|should\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be)"
_PICK = r"(?:choose|chose|pick|select|say|answer|guess|go\s+with|opt\s+for|vote(?:\s+for)?|settle\s+on)"
# Group "head": the answer follows. Group "tail": it went before. A noun may be the key of JSON or the name of a call.
_ANCHOR = re.compile(
    r"(?:(?P<head>\\(?:boxed|fbox)(?![a-z])|####|<(?:final_?)?answer>"
    rf"|(?<![^\W_])(?:{_NOUN}|answers)(?:_?(?:letter|choice|option))?\b(?:\s+choice\b)?"
    rf"(?:\s+(?:here\b|to\s+(?:the|this)\s+\w{{1,12}}))?(?:\s*(?::|=|-+>|→|\s[-–—]\s|\b{_IS}\b(?!n't)\s*:?)"
    r"|(?:(?<=answer)|(?<=answers)|(?<=choice)|(?<=selection)|(?<=_option)|(?<=_letter))(?:[\"']\s*[:=]|\((?=[\"']|[A-Z]\))))"
    rf"|\b(?:I|we|you|one)(?:\s*(?:'d|'ll)|\s+(?:would|will|should|must|can|am\s+going\s+to))?"
    rf"(?:\s+(?:therefore|thus|have\s+to))?\s+{_PICK}\b\s*:?"
    rf"|\b(?:I\s+(?:think|believe)|so|therefore|thus|hence),?\s+(?:that\s+)?(?:it\s+is|it's)\b"
    r"|(?:correction|on\s+(?:reflection|second\s+thought)|actually|no,?\s+wait|wait,?\s+no|rather)\b\s*[,:]?\s+"
    r"(?=[(\"']?[A-Z][)\"']?(?:[.,;!]|\s*\n|\s*$))"
    # The mark of a dialogue, "A: (C) iron": what it answers is a letter of its own.
    rf"|(?:^|(?<=\n))A:[ \t]{{0,4}}(?=\([A-Z]\)|[A-Z](?:[.):]\s|\s*$))(?![^\n]{{0,400}}\n\s{{0,3}}B[.:)]))"
    rf"|(?P<tail>\b{_IS}(?!n't)(?:\s+(?:the|a|an|both|all|most|clearly|definitely|indeed|likely|therefore|probably))*"
    rf"\s+(?:(?:correct|right|best|appropriate|proper|likely)\s+{_NOUN}\b"
    rf"|(?:correct|right)(?:\s+one)?\b(?=\s*(?:[.,;!)\n]|$|because|since|as\b)))))",
    re.IGNORECASE,
)
# How an anchor begins, in lower case: the pattern is tried there alone. Words that begin many a sentence are looked at
# with the word behind them. Every branch begins with a character, so that the search skips from one to the next.
_IT = r"\b,?\s+(?:that\s+)?it"
_PRAISE = (
    r"\b(?=\s+(?:the|an?|both|all|most|clearly|definitely|indeed|likely|therefore|probably|correct|right|best|appropriate"
    r"|proper)\b)"
)
_SPEAKS = (
    r"(?=\s*'(?:d|ll)|\s+(?:would|will|should|must|can|am|therefore|thus|have|think|believe|choose|chose|pick|select|say"
    r"|answer|guess|go|opt|vote|settle)\b)"
)
_FIRST_WORDS = {
    "a": r"ns|ppears\s+to|ctually|re" + _PRAISE + "|:",
    "c": r"hoice(?!s)|orrection",
    "e": "nding",
    "h": rf"as\s+to\s+be|ence{_IT}",
    "i": rf"s{_PRAISE}|{_SPEAKS}",
    "l": "etter",
    "m": r"ust\s+be",
    "n": r"o\b,?\s+wait",
    "o": rf"ption(?!s)|n\s+(?:re|se)|ne{_SPEAKS}",
    "r": "ather",
    "s": rf"elec|eems\s+to|tate|hould\s+be|o{_IT}",
    "t": rf"(?:herefore|hus){_IT}",
    "w": rf"e(?:re{_PRAISE}|{_SPEAKS})|as{_PRAISE}|ait\b,?\s+no|(?:ould|ill)\s+be",
    "y": rf"ou{_SPEAKS}",
}
_BEGINS = re.compile(
    r"\\f?box|####|<(?:final|answer)|"
    + "|".join(rf"{first}(?<![^\W_]{first})(?:{rest})" for first, rest in _FIRST_WORDS.items())
)
# "I do not think the answer is", "if the answer is", "whether".
_UNSAID = re.compile(
    r"(?:\b(?:not|never|cannot)|n't)\s+(?:think|believe|say|mean|sure|claim|agree)(?:\s+that)?(?:\s+the)?\s*$"
    r"|\b(?:if|whether|unless|when)(?:\s+the)?(?:\s+(?:correct|right))?\s*$",
    re.IGNORECASE,
)
# "If the spoon were of wood, the answer would be B."
_HYPOTHESIS = re.compile(r"\b(?:if|had|were|suppose)\b[^.!?\n]{0,200}$", re.IGNORECASE)
_SUPPOSED = re.compile(r"\bwould\s+be\b", re.IGNORECASE)


def stated(text: str, options: Options, *, cut: bool) -> Answer | None:
    """The last anchored statement that names an option; ``cut``: not one that touches the end of the text."""
    open_end = cut and text[-1:].isalnum()
    later: Named | None = None
    later_start = 0
    for start, named, boxed in _statements_from_the_end(text, options):
        if open_end and named.end >= len(text):
            continue
        if later is None:
            later, later_start = named, start
            if boxed and named.letter is not None:
                continue  # a box beside it may hold another letter
        elif boxed and named.letter != later.letter and _TOGETHER.fullmatch(text, named.end, later_start):
            return Answer(None, "several", anchored=True, detail=text[start : later.end][:80])
        break
    if later is None:
        return None
    if later.letter is None:
        return Answer(None, "several", anchored=True, detail=later.detail)
    return Answer(later.letter, "anchor", anchored=True, detail=later.detail)


# Between two boxes that are one statement.
_TOGETHER = re.compile(
    r"[\s}$.,;&/\\]{0,12}(?:\\?(?:text|mathrm)?\{?\s{0,3}(?:or|and)\s{0,3}\}?[\s$]{0,8})?", re.IGNORECASE
)


def _statements_from_the_end(text: str, options: Options) -> Iterator[tuple[int, Named, bool]]:
    """Start, option named, and whether it is a box, of every anchored statement that names one; the last one first."""
    for anchor in islice(_anchors_from_the_end(text), _ANCHORS_READ):
        start = _start(anchor)
        if _UNSAID.search(text, max(0, start - 60), start):
            continue
        boxed = False
        if isinstance(anchor, phrases.Statement):
            named = _named_in_another_language(text, anchor, options)
        elif anchor["head"] is not None:
            if _SUPPOSED.search(anchor[0]) and _HYPOTHESIS.search(text, max(0, start - _WINDOW), start):
                continue
            named = _named_after(text, anchor.end(), options, _ENGLISH)
            boxed = anchor[0].startswith("\\")
        else:
            named = _named_before(text, start, options, several=anchor[0][:3].lower() == "are")
        if named is not None:
            yield start, named, boxed


def _anchors_from_the_end(text: str) -> Iterator[re.Match[str] | phrases.Statement]:
    """Every anchor, the last one first; what stands before the last lines is searched when it is asked for."""
    lowered = lower(text)
    if languages := phrases.spoken(lowered):
        anchors: list[re.Match[str] | phrases.Statement] = [*_anchors(text, lowered, 0)]
        anchors += phrases.statements(text, languages)
        anchors.sort(key=_start)
        yield from reversed(anchors)
        return
    closing = _closing_lines(text)
    yield from reversed(list(_anchors(text, lowered, closing)))
    if closing:
        yield from reversed(list(takewhile(lambda anchor: anchor.start() < closing, _anchors(text, lowered, 0))))


def _anchors(text: str, lowered: str, start: int) -> Iterator[re.Match[str]]:
    """The anchors from ``start`` on, none within another."""
    end = start
    for begin in _BEGINS.finditer(lowered, start):
        if begin.start() >= end and (anchor := _ANCHOR.match(text, begin.start())):
            yield anchor
            end = anchor.end()


def _closing_lines(text: str) -> int:
    """Where the last lines begin, behind a line that ends its sentence: no anchor reaches over that."""
    line_end = len(text.rstrip())
    for _ in range(_LINES_READ):
        line_end = text.rfind("\n", 0, line_end)
        if line_end < 0:
            break
        if text[max(0, line_end - 8) : line_end].rstrip()[-1:] in (".", "!", "?"):
            return line_end + 1
    return 0


def _start(anchor: re.Match[str] | phrases.Statement) -> int:
    return anchor.start if isinstance(anchor, phrases.Statement) else anchor.start()


@dataclass(frozen=True, slots=True)
class _Words:
    """What may stand between an anchor and its option, what denies the option there, and whether "A" is an article."""

    filler: re.Pattern[str]
    denial: re.Pattern[str]
    article: bool = False


_OPENING = re.compile(r"[\s{(\[\"'<:]{0,12}")
_ENGLISH = _Words(
    filler=re.compile(
        r"(?:the|an?|is|it|it's|that|therefore|thus|then|definitely|clearly|most|likely|probably|indeed|simply|indicated|"
        r"by|either|both|correct|right|best|option|choice|letter|number|answer|statement|ending|surely|certainly|"
        r"obviously|for\s+(?:sure|certain)|without\s+(?:a\s+)?doubt)\b\s*:?,?",
        re.IGNORECASE,
    ),
    denial=re.compile(
        r"(?:definitely\s+|clearly\s+|certainly\s+)?(?:not\b|never\b|neither\b|none\b|n't)", re.IGNORECASE
    ),
    article=True,
)
# "not A but B", "not A, it is B"
_INSTEAD = re.compile(
    r"not\s+[(\"']?[A-Z][)\"']?\s?[,;]?\s+(?:but(?:\s+rather)?|rather|(?:it\s+is|it's))\s+(?:option\s+)?[(\"']?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_FILLERS_READ = 5


def _named_after(text: str, position: int, options: Options, words: _Words) -> Named | None:
    """What the words after "the answer is" name; None where they deny, or name nothing."""
    both = crossed = False
    for _ in range(_FILLERS_READ):
        here = match_end(_OPENING, text, position)
        crossed = crossed or "\n" in text[position:here]
        if words.denial.match(text, here):
            instead = _INSTEAD.match(text, here)
            return name_at(text, instead.end(), options) if instead else None
        if named := name_at(text, here, options, any_case=True, article=words.article):
            if crossed and is_recited(text, named, options):
                return Named(None, named.end, "options recited")
            return named
        filler = words.filler.match(text, here)
        if filler is None or filler.end() == here:
            break
        both = both or filler[0].lower() in ("both", "either")
        position = filler.end()
    if crossed or words is not _ENGLISH:
        return None
    stop = _SENTENCE.search(text, here, here + _WINDOW)
    end = stop.start() if stop else min(len(text), here + _WINDOW)
    return _named_within(text, here, end, options)


def _named_in_another_language(text: str, statement: phrases.Statement, options: Options) -> Named | None:
    """The option of a statement of another language; None where it is denied."""
    language = statement.language
    if statement.letter is None:
        words = _Words(phrases.filler(language), phrases.denial(language))
        named = _named_after(text, statement.end, options, words)
    else:
        letter = text[statement.letter]
        named = Named(letter, statement.end, text[statement.letter : statement.end])
        before = text[max(0, statement.letter - 12) : statement.letter]
        if letter not in options.letters or phrases.denial_before(language).search(before):
            return None
        joined = phrases.joined_before(before)
        if joined and joined != letter and joined in options.letters:
            return Named(None, statement.end, text[statement.letter - 12 : statement.end])
    if named is None or phrases.denied(language).match(text, named.end):
        return None
    return named


_STANDING = re.compile(
    r"(?:\b(?:option|choice)\s+|\(|,\s*|:\s*|\bis\s+)[\"'(]?([A-Z])(?=[)\"'.,:;\s]|$)", re.IGNORECASE
)
_OTHER_THAN = re.compile(r"\b(?:not|than|neither|nor)\s*$")


def _named_within(text: str, start: int, end: int, options: Options) -> Named | None:
    """The one option named inside the sentence of an anchor, by a letter that stands apart or by its text."""
    letters = {}
    for match in _STANDING.finditer(text, start, end):
        letter = options.letter_at(text, match.start(1))
        if letter and not _OTHER_THAN.search(text[max(start, match.start() - 15) : match.start()]):
            letters[letter.letter] = letter.end
    if len(letters) == 1:
        (letter_named, letter_end), *_ = letters.items()
        return Named(letter_named, letter_end, text[start:letter_end][-80:])
    if letters:
        return Named(None, end, "several letters in one statement")
    mentioned = options.mentioned(text[start:end])
    if len(mentioned) == 1:
        return Named(mentioned.pop(), end, text[start:end][:80])
    return None


_SUBJECT_START = re.compile(r"\n|[.!?](?<!\b[A-Z][.!?])\s")
_LEAD_IN = re.compile(
    r"(?:(?:so|therefore|thus|hence|then|I\s+(?:think|believe)|that|both|either|option|choice|ending),?\s+)*", re.I
)
_LAST_LETTER = re.compile(
    r"(?:\b(?:option|choice|answer|so|that|but|and|means)\s+|[(\"',]\s*)[\"'(]?([A-Z])[\"')]?[.:,]?\s*$"
)


def _named_before(text: str, tail: int, options: Options, *, several: bool) -> Named | None:
    """What the subject of "... is the correct answer" names; ``several``: "are", of which a letter is one at most."""
    start = max(0, tail - _WINDOW)
    for boundary in _SUBJECT_START.finditer(text, start, tail):
        start = boundary.end()
    lead = _LEAD_IN.match(text, match_end(_OPENING, text, start), tail)
    head = match_end(_OPENING, text, lead.end() if lead else start)
    if head < tail:
        letter = options.letter_at(text, head) or options.number_at(text, head)
        if letter and letter.end <= tail:
            if several:
                return Named(None, tail, text[head:tail][:80])
            return joined(text, Named(letter.letter, letter.end, text[head:tail][:80]), options)
        by_text = options.text_at(text, head)
        if by_text and not re.search(r"\w", text[by_text.end : tail]):
            return Named(by_text.letter, tail, text[head:tail][:80])
    last = _LAST_LETTER.search(text, start, tail)
    if last and last[1] in options.letters:
        return Named(None if several else last[1], tail, last[0])
    return None
