"""Judgements of a whole solution: in a label's value, a box, a sentence, or as the whole reply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pytest_thinkslm.scoring.answers import review_phrases
from pytest_thinkslm.scoring.answers.region import boxes

Judgement = Literal["correct", "wrong"]


def judgement_in(value: str) -> Judgement | None:
    """The first judgement word of a label's value, with its negation; None for none or for an unfilled "a or b"."""
    for word in _JUDGEMENT.finditer(value[:300]):
        if _ALTERNATIVE.match(value, word.end()):
            return None
        if word["attributive"] and not word["negation"] and word[0][:4].lower() == "the ":
            continue  # "the correct answer is 5" judges nothing
        positive = (word["positive"] is not None) != (word["negation"] is not None)
        return "correct" if positive and not word["partly"] else "wrong"
    foreign = list(islice(review_phrases.JUDGEMENT.finditer(value[:300].partition("\n")[0]), 2))
    # "正确或错误" offers both.
    return None if len({*map(review_phrases.judgement, foreign)}) != 1 else review_phrases.judgement(foreign[0])


_JUDGEMENT = re.compile(
    r"(?P<negation>\b(?:not|isn't|wasn't|aren't|never|isn’t)\s+)?(?:(?:entirely|fully|completely|totally|quite|all|the)\s+)*"
    r"(?P<partly>\b(?:partially|partly|mostly|almost|nearly)\s+)?"
    r"\b(?:(?P<positive>correct|right|valid|accurate)|incorrect|wrong|false|flawed|invalid|inaccurate|erroneous)\b"
    r"(?P<attributive>\s+(?:answer|result|value|total|number|step|calculation|approach|method|way|order|equation)s?\b)?",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(r"[\s*_`\"']*(?:\bor\b|/|\||,)[\s*_`\"']*(?:in)?(?:correct|wrong)\b", re.IGNORECASE)


_SUBJECT = r"(?:solution|reasoning|answer|work|response|approach|code|program|function|implementation)"
_ERROR = r"(?:errors?|mistakes?|flaws?)"
_ONE_STEP = r"\s+(?:in|until|before|up\s+to|at)\s+(?:the\s+)?(?:step|line|first|second|third|calculation)"
# What they may begin with is looked at first: most characters begin none.
_SENTENCE = re.compile(
    rf"(?<![^\W_])(?=[acfiprsw])(?:(?P<subject>{_SUBJECT})\b(?P<between>[^.!?\n:]{{0,40}}?)"
    r"\s(?:is|was|seems|appears\s+to\s+be)(?P<not>\s+not|n't)?\s+"
    r"(?:(?:therefore|indeed|also|entirely|completely|fully|totally|clearly)\s+)*(?P<partly>(?:partially|partly|mostly)\s+)?(?P<word>correct|incorrect|wrong|right|flawed)\b"
    r"(?!\s+(?:answer|to|by|but)\b)"
    r"|(?:solved|answered)\b[^.!?\n]{0,80}?\b(?P<manner>correctly|incorrectly|wrongly)\b)",
    re.IGNORECASE,
)
_ERRORS = re.compile(
    rf"\b(?P<flawless>(?:there[ ](?:is|are)|contains|has|have|found|see)[ ]no[ ](?:\w+[ ])?{_ERROR}\b(?!{_ONE_STEP}))"
    rf"|\bthere[ ](?:is|are)[ ](?:an?|some|one|two|three|several)[ ](?:\w+[ ])?(?P<faulty>{_ERROR})\b"
    r"|[\"'](?:is_)?correct[\"']\s*:\s*(?P<flag>true|false)\b",
    re.IGNORECASE,
)
_HAS_ERRORS = re.compile(r"[ ]no[ ]|here[ ](?:is|are)[ ]|correct[\"']")
_UNSAID = re.compile(
    r"\b(?:if|whether|unless|determine|check|verify|judge|not|never|n't)\b[^.!?\n]{0,60}$", re.IGNORECASE
)
_ASKED = re.compile(r"\b(?:whether|if)\b", re.IGNORECASE)
_SENTENCES_READ = 64
_TAIL_READ = 20_000

_WRAPPING = re.compile(
    r"\\(?:text(?:bf|it|rm|sf)?|math(?:rm|bf|sf)|mbox|boldsymbol)\s?\{|[{}$*_`#>\"'()\[\]✅❌✓✗✔✘]|\\[,;! ]|</?answer>"
)
_ALONE = re.compile(
    r"\s*(?:(?:final\s+)?(?:verdict|answer|judge?ment)\s*:\s*)?(?:(?:yes|no),?\s+)?(?P<it>(?:it|this|that)(?:\s+is|'s)\s+)?"
    r"(?P<said>(?:not\s+)?(?:correct|incorrect|wrong|right|invalid|valid|flawed))\s*(?P<end>[.!]|$|[,:;–—-]\s*(?=(?:the\s+|in\s+|at\s+|first\s+|error\s+){0,4}(?:step|line)\b))",
    re.IGNORECASE,
)
_BARE_READ = 400
_LINE = 80


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A judgement without a label, the rule that found it, and what a bare one is followed by (a step, perhaps)."""

    judgement: Judgement
    rule: str
    rest: str = ""


def unlabelled_judgement(text: str, *, cut: bool) -> Unlabelled | None:
    """The last box or explicit sentence about the whole solution, near the end of the text; else a bare judgement."""
    text = text[-_TAIL_READ:]
    sentence, position = _sentence_judgement(text, cut)
    for box in reversed(boxes(text)):
        if box.closed and (boxed := _alone(box.content)) and boxed.rest == "":
            if box.start > position:
                return Unlabelled(boxed.judgement, "boxed")
            break
    if sentence is not None:
        return Unlabelled(sentence, "sentence")
    return None if cut else _bare(text)


def _bare(text: str) -> Unlabelled | None:
    """The judgement that a reply begins with, or its last line is, where no other line is another one."""
    stripped = text.strip()
    first, _, after = stripped.partition("\n")
    if opening := _alone(first[:_BARE_READ]):
        return Unlabelled(opening.judgement, "bare", f"{opening.rest} {after[:_BARE_READ]}".strip())
    last = _alone(stripped.rpartition("\n")[2][:_BARE_READ])
    if last is None or last.rest:
        return None
    others = {found.judgement for line in stripped.split("\n") if len(line) < _LINE and (found := _alone(line))}
    if len(others) > 1:
        return None  # a column of judgements, one a step
    return Unlabelled(last.judgement, "bare")


def _alone(text: str) -> Unlabelled | None:
    """The judgement that a text is, or that it begins with as a sentence of its own ("Wrong. Step 2.")."""
    plain = " ".join(_WRAPPING.sub(" ", text).split())
    match = _ALONE.match(plain)
    if match is None:
        foreign = review_phrases.ALONE.fullmatch(plain[:_LINE])
        return Unlabelled(review_phrases.judgement(foreign), "bare") if foreign and len(plain) <= _LINE else None
    rest = plain[match.end() :].strip()
    if rest and (match["it"] or match["said"].lower() == "right"):
        return None  # "Right. Let us look at the steps." and "This is correct. Next, ..."
    judgement = judgement_in(match["said"])
    return Unlabelled(judgement, "bare", rest) if judgement else None


def _sentence_judgement(text: str, cut: bool) -> tuple[Judgement | None, int]:
    """The last explicit sentence about the whole solution, and where it stands."""
    found = list(_SENTENCE.finditer(text))
    if _HAS_ERRORS.search(text):
        found = sorted([*found, *_ERRORS.finditer(text)], key=re.Match.start)
    for match in found[: -_SENTENCES_READ - 1 : -1]:
        if _UNSAID.search(text[max(0, match.start() - 80) : match.start()]) or (cut and match.end() >= len(text)):
            continue
        if _ALTERNATIVE.match(text, match.end()):
            continue
        if match.re is _ERRORS:
            right = (match["flag"] or "").lower() == "true" or match["flawless"] is not None
        elif match["manner"]:
            right = match["manner"].lower() == "correctly"
        elif _ASKED.search(match["between"]):
            continue
        else:
            right = (match["word"].lower() in ("correct", "right")) != (match["not"] is not None) and not match[
                "partly"
            ]
        return ("correct" if right else "wrong"), match.start()
    foreign = list(review_phrases.SENTENCE.finditer(text))[-1:] if review_phrases.is_possible(text) else []
    if foreign and not (cut and foreign[0].end() >= len(text)):
        return review_phrases.judgement(foreign[0]), foreign[0].start()
    return None, -1
