"""Whether an output ends on the statement that its question cannot be answered as it stands."""

from __future__ import annotations

import re

from pytest_thinkslm.scoring.answers.region import boxes, is_placeholder

# The last part of an output: a statement further up is a step of the reasoning, not its result.
_LAST_CHARACTERS = 900
_LAST_SENTENCES = 6

_CANNOT = r"(?:cannot|can\s?not|can't|couldn't|could\s+not|(?:is|are)\s+(?:not|unable)\s+(?:able\s+)?to\s+be)"
_DONE = (
    r"(?:determined|answered|solved|calculated|computed|known|figured\s+out|worked\s+out|inferred|deduced|established)"
)
_DO = (
    r"(?:determine|answer|solve|calculate|compute|tell|say|know|figure\s+out|work\s+out|infer|deduce"
    r"|find\s+(?:out|the|how))"
)
_UNABLE = r"(?:impossible|not\s+possible|unable|not\s+able|no\s+(?:possible\s+)?way)"
_FACTS = r"(?:information|info|data|details?|context|facts)"
_STATEMENT = re.compile(
    rf"\b{_CANNOT}\s+be\s+(?:\w+ly\s+)?(?:{_DONE}\b|found\b(?!\s+(?:in|at|on)\b))"
    rf"|\b{_CANNOT}\s+(?:\w+ly\s+)?{_DO}\b"
    rf"|\b{_UNABLE}\s+(?:for\s+us\s+)?to\s+(?:\w+ly\s+)?{_DO}\b"
    rf"|(?:\b(?:not|without|lacks?|no|never)|n't)\s+(?:\w+\s+){{0,2}}(?:enough|sufficient|adequate)\s+(?:\w+\s+)?{_FACTS}\b"
    rf"|\b(?:insufficient|inadequate|incomplete|too\s+little|missing)\s+(?:\w+\s+)?{_FACTS}\b"
    rf"|\b{_FACTS}\s+(?:\w+\s+){{0,4}}(?:is|are)\s+(?:(?:not|n't)\s+(?:given|provided|enough|sufficient|available|stated)"
    r"|missing|insufficient|incomplete|lacking)\b"
    r"|\b(?:question|problem)\s+(?:is|has|seems|appears\s+to\s+be)\s+(?:unanswerable|unsolvable|not\s+(?:answerable|solvable)"
    r"|incomplete|indeterminate|no\s+(?:\w+\s+)?(?:answer|solution))\b"
    r"|\b(?:number|amount|answer|total|value)\s+(?:is|remains)\s+(?:unknown|undetermined)(?=\s*(?:[.!]|$))"
    r"|\bunanswerable\b|\bindeterminate\b",
    re.IGNORECASE,
)
_GIVEN = (
    r"(?:given|provided|stated|specified|mentioned|told|supplied|listed|included|available|indicated|defined|known)"
)
# Enough where it is the whole answer, too little inside a sentence.
_SHORT_STATEMENT = re.compile(
    rf"\W*(?:unknown|undetermined|undeterminable|n/?a|not\s+(?:determinable|answerable|applicable|enough|possible|clear|{_GIVEN})"
    rf"|unclear|undefined|unspecified|ambiguous|{_FACTS}\s+missing|no\s+(?:\w+\s+)?(?:answer|solution))\W*",
    re.IGNORECASE,
)
# Of a box alone too little: it may be none of the things that are counted.
_NOTHING = re.compile(r"\W*(?:none|null|nil|nan|nothing|\?+)?\W*", re.IGNORECASE)
# That something is not known is a step of many solutions; as an output's last word it says that there is none.
_LACK = re.compile(
    rf"(?:\b(?:not|never|nowhere)|n['’]t)\s+(?:\w+\s+){{0,2}}{_GIVEN}\b"
    r"|\b(?:problem|question|statement|text|passage|information|it|we)\s+d(?:oes|o|id)(?:\s+not|n['’]t)\s+(?:\w+ly\s+)?"
    r"(?:provide|give|specify|state|mention|say|tell|include|indicate|list|have|contain|define)\b"
    r"|\b(?:we|I|you|one)\s+(?:do\s+not|don['’]t)\s+(?:\w+ly\s+)?know\b"
    rf"|\b(?:need|needs|require|requires)\s+(?:to\s+(?:know|be\s+{_GIVEN})|(?:more|additional|further)\s+{_FACTS})\b"
    rf"|\b(?:more|additional|further)\s+{_FACTS}\s+(?:is|are|would\s+be)\s+(?:needed|required|necessary)\b"
    r"|\b(?:is|are|remains?)\s+(?:missing|unspecified|unstated|unclear|unknown|absent|ambiguous|undefined|undetermined)\b"
    r"|\bwithout\s+knowing\b|\bno\s+(?:single|unique|definite|definitive|specific|exact)\s+(?:answer|solution|value)\b",
    re.IGNORECASE,
)
# What follows in the same clause is what is not known, whatever numbers it is about.
_AS_ASKED = re.compile(r"^[^.,;:=!?\n]*")
_CONTRAST = re.compile(r"\W*(?:but|however|yet|unfortunately|still|nevertheless)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:if|whether|unless|when)\b[^.!?\n]{0,40}$|\bnot\s+$", re.IGNORECASE)
_ANCHOR = re.compile(r"####|\b(?:answer|result)\b[*_\s]*(?::|\b(?:is|would\s+be|must\s+be)\b)[*_\s:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\n](?:(?<=\n)\n*|(?<!\n)(?=[\s*_\"')]|$))")
_CONCLUSION = re.compile(r"####|=|\b(?:answer|so|therefore|thus|hence|total|result)\b", re.IGNORECASE)
_WRAPPING = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf)|mbox|boxed|fbox)\s?\{|[{}*`]|\\[ ,]")


def says_unanswerable(text: str) -> bool:
    """Whether the final statement of ``text`` is that the question cannot be answered.

    A statement in the last few sentences, as the stated answer, or in the last box counts, unless a value is concluded
    after it: "we cannot say yet ... The answer is 5" is an answer. Words such as "none" or "cannot carry" are none.
    That something is not given counts where no value is concluded beside it and none follows.
    """
    valued = False
    found = [box for box in boxes(text) if not is_placeholder(box.content)]
    if found and found[-1].closed:
        content = _WRAPPING.sub(" ", found[-1].content[:_LAST_CHARACTERS])
        if _is_statement(content):
            return True
        if _NOTHING.fullmatch(content):
            text = text[: found[-1].start] + text[found[-1].end :]
        else:
            # What follows the box may still take it back.
            text, valued = text[found[-1].end :], True
    tail = _WRAPPING.sub(" ", text[-_LAST_CHARACTERS:])
    ends = [match.end() for match in _SENTENCE_END.finditer(tail.rstrip())]
    if len(ends) > _LAST_SENTENCES:
        tail = tail[ends[-_LAST_SENTENCES - 1] :]
    if not valued and _lacks(tail):
        return True
    stated = _unconditional(_STATEMENT, tail) if _may_state(tail) else []
    if stated:
        return not _concludes(_after_sentence(tail, stated[-1].end()))
    begin = max((match.end() for match in _ANCHOR.finditer(tail)), default=0)
    return bool(_SHORT_STATEMENT.fullmatch(tail, begin))


def _unconditional(statement: re.Pattern[str], tail: str) -> list[re.Match[str]]:
    return [match for match in statement.finditer(tail) if not _CONDITION.search(tail[: match.start()])]


def _lacks(tail: str) -> bool:
    """Whether the last sentences end on what is not given, without a value."""
    stated = _unconditional(_LACK, tail)
    if not stated or re.search(r"\d", _AS_ASKED.sub("", tail[stated[-1].end() :], count=1)):
        return False
    begin = max((match.end() for match in _SENTENCE_END.finditer(tail, 0, stated[-1].start())), default=0)
    return bool(_CONTRAST.match(tail, begin)) or not _concludes(tail[:begin])


# Every statement has one of these words; a plain search for them costs a fraction of the patterns. Of "not" and "no",
# which most texts have, the words behind them are looked at.
_HINTS: tuple[str, ...] = ("cannot", "can't", "couldn't", "unable", "impossible", "enough", "sufficient", "adequate")
_HINTS += ("incomplete", "little", "missing", "lacking", "unknown", "undetermin", "unanswerable", "unsolvable")
_HINTS += ("indeterminate", "info", "data", "detail", "context", "facts")
_NO = re.compile(
    r"no(?:t\s+(?:able|possible|to\s|answerable|solvable|determinable)|\s+(?:possible\s+)?way|\s+(?:\w+\s+)?(?:answer|solution))"
    r"|c(?:an|ould)\s+not"
)


def _may_state(text: str) -> bool:
    """Whether a statement can stand in a text; letters that only case folding makes equal are left to the patterns."""
    if not text.isascii():
        return True
    lowered = text.lower()
    return any(map(lowered.__contains__, _HINTS)) or _NO.search(lowered) is not None


def _is_statement(text: str) -> bool:
    return bool(_STATEMENT.search(text) or _SHORT_STATEMENT.fullmatch(text))


def _after_sentence(tail: str, position: int) -> str:
    """What follows the statement: the next sentences, and a clause after "but" or "so" in its own."""
    end = _SENTENCE_END.search(tail, position)
    clause = re.compile(r"[,;]\s*(?:but|so|however|then|therefore|thus)\b", re.IGNORECASE).search(tail, position)
    if clause and (end is None or clause.start() < end.start()):
        return tail[clause.start() :]
    return tail[end.end() :] if end else ""


def _concludes(rest: str) -> bool:
    """Whether a sentence of ``rest`` draws a conclusion with a number in it."""
    start = 0
    for end in [match.end() for match in _SENTENCE_END.finditer(rest)] + [len(rest)]:
        sentence, start = rest[start:end], end
        if re.search(r"\d", sentence) and _CONCLUSION.search(sentence):
            return True
    return bool(re.fullmatch(r"\W*\d[\d,.]*\W*", rest))
