"""Reviews of a solution: is it correct, the first wrong step, and why (MR-GSM8K and MR-Ben layouts).

Judgements are read as whole words and are three-valued: "incorrect" does not contain "correct", and a layout copied
without being filled in ("Final Judgement: correct or wrong") is no judgement.
"""

from __future__ import annotations

import re

from pytest_thinkslm.core.records import Answer, Review
from pytest_thinkslm.scoring.answers import review_phrases
from pytest_thinkslm.scoring.answers.anchors import lower, matches
from pytest_thinkslm.scoring.answers.judgements import judgement_in, unlabelled_judgement
from pytest_thinkslm.scoring.answers.region import Region

_LABELS = {
    "evaluation": r"step[\s_-]*by[\s_-]*step[\s_]+evaluation|solution[\s_]+analysis",
    "judgement": r"(?:final[\s_]+|overall[\s_]+)?judge?ment|solution[\s_]+correctness",
    "step": r"first[\s_]+(?:error|incorrect|wrong)[\s_]+(?:step|line)|first[\s_]+error",
    "reason": r"error[\s_]+(?:analysis|reason)",
    # Labels that nobody asked for; of a single step as often as of the whole, so that one counts and several do not.
    "verdict": r"(?:(?:final|overall)[\s_]+)?(?:verdict|correctness|assessment)",
}
_NAMED = "|".join(rf"(?P<{name}>{pattern})" for name, pattern in _LABELS.items())
# "**Final Judgement:** wrong", "Final Judgement - wrong", "| Final Judgement | wrong |", "First error step is 3",
# {"final_judgement": "wrong"}, and a heading of its own ("### Final Judgement").
_LABEL = re.compile(
    rf"(?<![^\W_])(?:{_NAMED})\b(?:[ ]?\([^()\n]{{1,40}}\))?"
    r"(?:[\s*_`\"']{0,4}(?:[:：=|]|[-–—](?=\s)|\bis\b)[ \t]{0,6}"
    r"|(?P<heading>[ \t*_]{0,4}(?=\n)))",
    re.IGNORECASE,
)
# One of these begins every label.
_LABEL_BEGINS = ("step", "solution", "final", "overall", "judg", "first", "error", "verdict", "correctness", "assess")
_LINE_BEGINS = re.compile(r"(?:^|[\n{,|])[\s>#*_\d.)\"'-]{0,12}\Z")
_HEADING_BEGINS = re.compile(r"(?:^|\n)[ \t>#*_\d.)-]{0,12}\Z")
_VALUE_LIMIT = 2_000
_LABELS_READ = 256


def read_review(region: Region, code: tuple[str, ...] = ()) -> Answer:
    """The ``Review`` that a final region gives.

    Rules: ``label`` (the last filled label of each kind wins), ``boxed`` and ``sentence`` (a box or an explicit "The
    solution is wrong." where no label is filled, whichever comes last), ``bare`` (a reply that begins or ends with
    nothing but the judgement), else ``wrong-format`` (an unfilled layout, or an answer to the question under review),
    ``none``, ``cut`` or ``unfinished-thought``. Under ``region.cut`` a judgement that touches the text's end does not
    count. ``code`` are the lines of a solution that is a program: there the first error step is the quoted line, or
    the line that a given number points to.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    text = region.text
    values = _label_values(text)
    if region.cut:
        for name in ("judgement", "verdict"):
            values[name] = [value for value in values[name] if value[1] < len(text)]
    judgement = next((found for value, _ in reversed(values["judgement"]) if (found := judgement_in(value))), None)
    if judgement is None and len(values["verdict"]) == 1:
        judgement = judgement_in(values["verdict"][0][0])
    rule = "label"
    if judgement is None and (unlabelled := unlabelled_judgement(text, cut=region.cut)):
        judgement, rule = unlabelled.judgement, unlabelled.rule
        if unlabelled.rest and not values["step"]:
            values["step"] = [(unlabelled.rest, len(text))]
    if judgement is None:
        if region.cut:
            return Answer(None, "cut")
        other = any(values.values()) or _OTHER_ANSWER.search(text)
        return Answer(None, "wrong-format" if other else "none")
    if judgement == "correct":
        return Answer(Review("correct"), rule, anchored=True)
    step = next((said for value, _ in reversed(values["step"]) if (said := _step_in(value, code)) is not None), None)
    if step is None and not any(_NOT_APPLICABLE.match(value) for value, _ in values["step"]):
        step = _sentence_step(text)
    reason = next((said for value, _ in reversed(values["reason"]) if (said := _reason_in(value))), None)
    return Answer(Review("wrong", step, reason), rule, anchored=True)


def same_step(answer: Review, gold: Review) -> bool:
    """Whether two reviews name the same first error step: by number, or by the line of code without regard to blanks.

    Gold's few blank lines of code equal only an answer that names a blank line; None equals only None.
    """
    if answer.first_error_step is None or gold.first_error_step is None:
        return answer.first_error_step is gold.first_error_step
    left, right = (_bare_step(review.first_error_step or "") for review in (answer, gold))
    return left == right


def _label_values(text: str) -> dict[str, list[tuple[str, int]]]:
    """For each label its values in order, with the position in ``text`` where each ends."""
    values: dict[str, list[tuple[str, int]]] = {name: [] for name in _LABELS}
    labels = [label for label in matches(_LABEL, text, lower(text), _LABEL_BEGINS) if _is_label(label, text)]
    labels = labels[-_LABELS_READ:]
    foreign = list(review_phrases.LABEL.finditer(text))[-_LABELS_READ:] if review_phrases.is_possible(text) else []
    if foreign:
        labels = sorted([*labels, *foreign], key=re.Match.start)
    ends = [*(label.start() for label in labels[1:]), len(text)][: len(labels)]
    for label, end in zip(labels, ends, strict=True):
        end = min(end, label.end() + _VALUE_LIMIT)
        name = label.lastgroup or ""
        if name == "heading":
            if not _HEADING_BEGINS.search(text, max(0, label.start() - 16), label.start()):
                continue
            name = next(name for name in _LABELS if label[name])
        raw = text[label.end() : end]
        if name in ("judgement", "verdict"):
            # One line; the next where the label stands alone on its own.
            line = _ONE_LINE.match(raw)
            raw = line[0] if line else ""
        values[name].append((raw, label.end() + len(raw)))
    return values


def _is_label(label: re.Match[str], text: str) -> bool:
    """Words of prose ("its correctness is plain") are none."""
    if label["verdict"] is None:
        return True
    return label[0][-3:].strip().lower() != "is" and bool(
        _LINE_BEGINS.search(text, max(0, label.start() - 16), label.start())
    )


_ONE_LINE = re.compile(r"\s*[^\n]*")


_NOT_APPLICABLE = re.compile(
    r"[\s*_`\"'(]*(?:n\s?/\s?a|none|no\s+(?:error|mistake)s?|not\s+applicable|null|nil|-+\s*$)\b", re.I
)
_UNFILLED = re.compile(
    r"[\s*_`\"'(\[<]*(?:n\s?/\s?a\s+or\b|(?:a|the)\s+step\s+number|the\s+(?:analysis|reason)|\.\.\."
    r"|the\s+(?:number\s+of\s+the\s+)?first\s+wrong\s+(?:step|line)|explain\s+that\s+error)",
    re.I,
)
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NUMBERS = {word: str(number) for words in (_ONES, _ORDINALS) for number, word in enumerate(words, 1)}
_STEP = re.compile(
    rf"[\s*_`\"'(\[#]*(?:(?:in|at|is|it|the|solution)\s+)*(?:(?:step|line)\s*(?:number|no\.?)?\s*#?\s*)?[*_(]*"
    rf"(?P<step>\d{{1,3}}|{'|'.join(_NUMBERS)})(?![\w/=+*(\[]|\.\d|\s*[-+*/=<>])",
    re.IGNORECASE,
)
_LATEX = re.compile(r"\\(?:boxed|text(?:bf|it|rm)?|math(?:bf|rm))\s?\{|[{}$]")
_QUOTED = re.compile(r"[\s*_]*[\"'`(]*[\"'`]")
_QUOTE_ENDS = re.compile(r"[\"'`.:),]")
_STEP_NAMED = re.compile(rf"\b(?:step|line)\s*(?:number|no\.?)?\s*#?\s*(?P<step>\d{{1,3}}|{'|'.join(_ONES)})\b", re.I)
_BLANK_LINE = re.compile(r"[\s\"'(]*(?:(?:a|the)\s+)?(?:blank|empty)(?:\s+line)?[\s\"').]*", re.IGNORECASE)


def _step_in(value: str, code: tuple[str, ...]) -> str | None:
    if _UNFILLED.match(value) or _NOT_APPLICABLE.match(value):
        return None
    if code and (line := _code_line(value, code)) is not None:
        return line
    value = value if code else _LATEX.sub("", value)
    match = _STEP.match(value.replace("**", ""))
    if _QUOTED.match(value) and not (match and _QUOTE_ENDS.match(value.replace("**", ""), match.end())):
        # A number at the start of a quoted step is the step's, not its number.
        match = _STEP_NAMED.search(value.partition("\n")[0])
    if match is None and (foreign := review_phrases.STEP.match(value)):
        step = foreign["step"] or foreign["before"]
    elif match is None:
        return None
    else:
        step = match["step"]
    number = _NUMBERS.get(step.lower(), step.lstrip("0") or "0")
    if code:
        return code[int(number) - 1] if 1 <= int(number) <= len(code) else None
    return number


def _code_line(value: str, code: tuple[str, ...]) -> str | None:
    """The line of the solution that a value quotes; failing that, what it quotes in a code fence or backticks."""
    known = {_bare_step(line): line for line in code if line.strip()}
    if (whole := _bare_step(value.removeprefix("**"))) in known:
        return known[whole]  # a line may be nothing but a code fence
    lines = [line for line in value.splitlines() if line.strip() and not line.strip().startswith("```")][:3]
    for line in lines:
        without_number = re.sub(r"^\s*(?:step|line)\s*\d{1,3}\s*[:.)-]\s*", "", line, flags=re.IGNORECASE)
        for quoted in (line, without_number, *re.findall(r"`([^`\n]+)`", line)):
            unmarked = quoted.strip().removeprefix("**").strip(" `\"'")
            for form in (_bare_step(quoted), _bare_step(unmarked), _bare_step(unmarked.rstrip("*."))):
                if form in known:
                    return known[form]
    if lines and _BLANK_LINE.fullmatch(lines[0]):
        return ""
    quoted_code = re.search(r"`([^`\n]+)`", value)
    if quoted_code and "```" not in value:
        return quoted_code[1].strip()
    return None


def _bare_step(step: str) -> str:
    """A step for comparison: the number of "Step 3", or a line of code with its blanks collapsed."""
    bare = " ".join(step.split())
    number = re.fullmatch(r"(?:step\s*)?0*(\d{1,4})[.:]?", bare, re.IGNORECASE)
    return number[1] if number else bare


_JSON_VALUE = re.compile(r'\s*"((?:[^"\\]|\\.){1,2000})"\s*[,}]')


def _reason_in(value: str) -> str | None:
    if _UNFILLED.match(value) or _NOT_APPLICABLE.match(value):
        return None
    if quoted := _JSON_VALUE.match(value):
        return quoted[1].strip() or None
    return value.strip(" \t\r\n*_") or None


_SENTENCE_STEP = re.compile(
    rf"\b(?:error|mistake|wrong|incorrect)\b[^.!?\n]{{0,60}}?\b(?:(?:step|line)\s+(?P<step>\d{{1,3}}|{'|'.join(_ONES)})"
    rf"|(?P<ordinal>{'|'.join(_ORDINALS)})\s+(?:step|line))\b",
    re.IGNORECASE,
)
_TEXT_READ = 20_000
# An answer to the question that the solution under review is about.
_OTHER_ANSWER = re.compile(r"\\boxed|####|\banswer\s*(?::|\bis\b)", re.IGNORECASE)


def _sentence_step(text: str) -> str | None:
    """The step that prose names: "the first error occurs in step 3", "a mistake in its second step"."""
    match = _SENTENCE_STEP.search(text[:_TEXT_READ])
    if match is None:
        return None
    said = match["step"] or match["ordinal"]
    return _NUMBERS.get(said.lower(), said)
