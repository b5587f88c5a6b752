r"""Explicit statements of a choice: "The answer is B", ``\boxed{B}``, ``{"answer": "B"}``, "B is correct", "答案是B".

Two ranks. Anchored statements say that an option is the answer, and the last of them wins. Weak ones ("It's B.", "That
leaves B.", "B fits best") count where there is none of the first rank. A statement that denies names nothing; one that
offers several options is no choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers import phrases
from pytest_thinkslm.scoring.answers.optiontext import Options

# How much of a text is looked at: the last anchors, the stretch that an anchor governs.
_ANCHORS_READ = 64
_WINDOW = 300

_NOUN = r"(?:answer|option|choice|selection|statement|letter|ending)"
_IS = r"(?:is|are|was|would\s+be|will\s+be|must\s+be|should\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be)"
_PICK = r"(?:choose|chose|pick|select|say|answer|guess|go\s+with|opt\s+for|vote\s+for|settle\s+on)"
# Group "head": the answer follows. Group "tail": it went before. A noun may be the key of JSON or the name of a call.
# What it may begin with is looked at first: most characters begin no anchor.
_ANCHOR = re.compile(
    r"(?:(?=[\\#<])|(?<![^\W_])(?=[acehilmostwy]))(?:"
    r"(?P<head>\\(?:boxed|fbox)(?![a-z])|####|<(?:final_?)?answer>"
    rf"|(?<![^\W_])(?:{_NOUN}|answers)(?:_?(?:letter|choice|option))?\b(?:\s+choice\b)?"
    rf"(?:\s+(?:here\b|to\s+(?:the|this)\s+\w{{1,12}}))?(?:\s*(?::|=|-+>|→|\s[-–—]\s|\b{_IS}\b(?!n't)\s*:?)"
    r"|(?:(?<=answer)|(?<=answers)|(?<=choice)|(?<=selection)|(?<=_option)|(?<=_letter))(?:[\"']\s*[:=]|\((?=[\"']|[A-Z]\))))"
    rf"|\b(?:I|we|you|one)(?:\s*(?:'d|'ll)|\s+(?:would|will|should|must|can|am\s+going\s+to))?"
    rf"(?:\s+(?:therefore|thus|have\s+to))?\s+{_PICK}\b\s*:?"
    rf"|\b(?:I\s+(?:think|believe)|so|therefore|thus|hence),?\s+(?:that\s+)?(?:it\s+is|it's)\b"
    # The mark of a dialogue, "A: (C) iron": what it answers is a letter of its own.
    rf"|(?:^|(?<=\n))A:[ \t]{{0,4}}(?=\([A-Z]\)|[A-Z](?:[.):]\s|\s*$))(?![^\n]{{0,400}}\n\s{{0,3}}B[.:)]))"
    rf"|(?P<tail>\b{_IS}(?!n't)(?:\s+(?:the|a|an|most|clearly|definitely|indeed|likely|therefore|probably))*"
    rf"\s+(?:(?:correct|right|best|appropriate|proper|likely)\s+{_NOUN}\b"
    rf"|(?:correct|right)(?:\s+one)?\b(?=\s*(?:[.,;!)\n]|$|because|since|as\b)))))",
    re.IGNORECASE,
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


@dataclass(frozen=True, slots=True)
class Named:
    """An option that a statement names (letter None: several of them), and where the name ends."""

    letter: str | None
    end: int
    detail: str = ""


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
    lowered = text.replace("İ", "I").lower()
    anchors: list[re.Match[str] | phrases.Statement] = [*_ANCHOR.finditer(text, _first_hint(text, lowered))]
    if languages := phrases.spoken(lowered):
        anchors += phrases.statements(text, languages)
        anchors.sort(key=_start)
    for anchor in anchors[: -_ANCHORS_READ - 1 : -1]:
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
            named = _named_before(text, start, options)
        if named is not None:
            yield start, named, boxed


def _start(anchor: re.Match[str] | phrases.Statement) -> int:
    return anchor.start if isinstance(anchor, phrases.Statement) else anchor.start()


# Every anchor has one of these in it; finding them is many times faster than trying the pattern everywhere.
_HINTS = (
    *("boxed", "fbox", "####", "answer", "opt", "choice", "choose", "chose", "select", "statement", "letter", "pick"),
    *("say", "guess", "go", "vote", "settle", "correct", "right", "ending", "a:"),
)
_IT_IS = re.compile(r"it(?:\s+is|'s)")


def _first_hint(text: str, lowered: str) -> int:
    """Start of the line before the first one that can hold an anchor, which may begin a line earlier."""
    found = [position for hint in _HINTS if (position := lowered.find(hint)) >= 0]
    if it_is := _IT_IS.search(lowered):
        found.append(it_is.start())
    if not found:
        return len(text)
    line = text.rfind("\n", 0, min(found))
    return max(0, text.rfind("\n", 0, line)) if line >= 0 else 0


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
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_FILLERS_READ = 5


def _named_after(text: str, position: int, options: Options, words: _Words) -> Named | None:
    """What the words after "the answer is" name; None where they deny, or name nothing."""
    both = crossed = False
    for _ in range(_FILLERS_READ):
        here = _end(_OPENING, text, position)
        crossed = crossed or "\n" in text[position:here]
        if words.denial.match(text, here):
            return None
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


def name_at(
    text: str, position: int, options: Options, *, any_case: bool = False, article: bool = True
) -> Named | None:
    """The option named exactly here: by its text (whole), its letter, or its number.

    ``any_case`` takes a lower-case letter, too, where nothing but a letter can stand; ``article``: "A" may be one.
    """
    by_text = options.text_at(text, position)
    letter = options.letter_at(text, position, any_case=any_case, article=article)
    if by_text and (letter is None or by_text.end > letter.end + 1):
        # "Paris (B)": letter against text, the letter.
        after = _IN_BRACKETS.match(text, by_text.end)
        if after and after[1] in options.letters:
            return Named(after[1], after.end(), after[0])
        return joined(text, Named(by_text.letter, by_text.end, text[position : by_text.end]), options)
    if letter:
        return joined(text, Named(letter.letter, letter.end, text[position : letter.end]), options)
    if number := options.number_at(text, position):
        return Named(number.letter, number.end, text[position : number.end])
    return None


_IN_BRACKETS = re.compile(r"\s?[\"']?\s?\((?:option\s+)?([A-Z])\)")
_CONNECTOR = re.compile(
    rf"[\"')\]}}.]{{0,3}}\s*(,?\s*\b(?:or|and)\b|/|&|,|;|\+|{phrases.JOINERS})\s*(?:(?:either|option|choice)\s+)?[\"'(\[]{{0,2}}",
    re.IGNORECASE,
)
# "(A) conduction (C) convection", "B C": a letter that follows without a word, in brackets or as bare as the first.
_BESIDE = re.compile(
    r"[\"')\]},.]{0,3}[ \t]+[(\[](?=([A-Z])[)\]])|[\"')\]},]{0,3}[ \t]+(?=([A-Z])(?![\w'’-]))", re.ASCII
)
_CLOSERS = re.compile(r"[\"')\]}.:]{0,3}\s*[(\"']?")
_VERB = re.compile(
    r"[\"')\]}.:]{0,3}\s+(?!or\b|and\b|are\b)(?:is|was|has|does|can|would|will|because|\w+s)\b|'s\b", re.IGNORECASE
)
_CLAUSE = re.compile(r",?\s*(?:and)?|;", re.IGNORECASE)


def joined(text: str, named: Named, options: Options) -> Named:
    """``named``, or no choice where another option is offered beside it ("A or B", "(A) iron (C) gold", "A, B and C").

    The text of an option may stand between its letter and what joins the next one.
    """
    end = _after_own_text(text, named.letter, named.end, options)
    lower = text[named.end - 1 : named.end].islower() and named.detail[-1:].islower() and len(named.detail) == 1
    other = None
    if connector := _CONNECTOR.match(text, end):
        other = options.letter_at(text, connector.end(), any_case=lower) or options.text_at(text, connector.end())
    elif (beside := _BESIDE.match(text, end)) and (beside[1] or end == named.end):
        other = options.letter_at(text, beside.end())
    if other is None or other.letter == named.letter:
        return named
    # "B, A is wrong" and "B and C are ..." differ: a clause of its own follows a comma or "and", never an "or".
    clause = connector is None or _CLAUSE.fullmatch(connector[1])
    if clause and _VERB.match(text, _after_own_text(text, other.letter, other.end, options)):
        return named
    return Named(None, other.end, text[max(0, named.end - 20) : other.end])


def _after_own_text(text: str, letter: str | None, end: int, options: Options) -> int:
    """Where a named option ends, its own text behind the letter included."""
    own = options.text_at(text, _end(_CLOSERS, text, end))
    return own.end if own and own.letter == letter else end


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


def _named_before(text: str, tail: int, options: Options) -> Named | None:
    """What the subject of "... is the correct answer" names."""
    start = max(0, tail - _WINDOW)
    for boundary in _SUBJECT_START.finditer(text, start, tail):
        start = boundary.end()
    lead = _LEAD_IN.match(text, _end(_OPENING, text, start), tail)
    head = _end(_OPENING, text, lead.end() if lead else start)
    if head < tail:
        letter = options.letter_at(text, head) or options.number_at(text, head)
        if letter and letter.end <= tail:
            return joined(text, Named(letter.letter, letter.end, text[head:tail][:80]), options)
        by_text = options.text_at(text, head)
        if by_text and not re.search(r"\w", text[by_text.end : tail]):
            return Named(by_text.letter, tail, text[head:tail][:80])
    last = _LAST_LETTER.search(text, start, tail)
    if last and last[1] in options.letters:
        return Named(last[1], tail, last[0])
    return None


LINE_LETTER = re.compile(
    r"^[ \t]*(?:[-•>#]+[ \t]*)?(?:(?:option|choice)[ \t]+)?([(\[\"']?)([A-Z])"
    r"(?:[ \t]*([.):\]]+|[ \t][-–—:])[ \t\"']*|[\"']?[ \t]*$)",
    re.MULTILINE,
)


def is_recited(text: str, named: Named, options: Options) -> bool:
    """Whether the line after the one that names an option lists another: ``Answer:`` over a copied list."""
    line_end = text.find("\n", named.end, named.end + 2 * _WINDOW)
    if line_end < 0:
        return False
    after = re.compile(r"\s*").match(text, line_end)
    follower = LINE_LETTER.match(text, after.end() if after else line_end)
    return bool(follower and follower[3] and follower[2] in options.letters and follower[2] != named.letter)


# A letter alone, and what says beside it that it is the answer.
_LETTER_ALONE = re.compile(r"(?<![A-Za-z'’])[A-Z](?![A-Za-z'’])")
_CALLED = r"(?:(?:the|option|choice|answer|letter|ending)\s+){0,2}[(\"']?$"
_WEAK_BEFORE = re.compile(
    r"(?:(?:^|(?<=\W))(?:(?:it|this|that)(?:\s+(?:is|(?:must|should|could|would|may|might|has\s+to)\s+be)|'s)"
    r"|(?:must|should|could|may|might|has\s+to)\s+be"
    r"|(?:only\s+)?leaves(?:\s+us)?(?:\s+with)?(?:\s+only)?|left\s+with(?:\s+only)?|(?:right|correct|best)\s+one\s+is"
    r"|I\s+(?:think|believe|guess)(?:\s+that)?|(?:final|correct|best)\s+(?:answer|option|choice)"
    r"|(?:final|solution|result|correct|pick|guess|conclusion|decision|verdict)\s*:"
    r"|(?:by|through)\s+(?:process\s+of\s+)?elimination,?|down\s+to)\s+"
    r"|(?:^|[.!?\n]\s{0,3})(?:most\s+)?(?:probably|likely|definitely|clearly|obviously|surely|perhaps),?\s+)"
    rf"{_CALLED}",
    re.IGNORECASE,
)
_ENDS_THERE = re.compile(r"[)\"']?(?:[.,;:!)]|\s*\n|\s*$|\s(?:because|since|as|but|with)\b|\s\()", re.IGNORECASE)
_APT = (
    r"(?:(?:most\s+)?(?:likely|plausible|suitable|appropriate|reasonable|logical|fitting|accurate|probable|sensible|natural)\b"
    r"|only\s+(?:correct|right|possible|valid|option|choice|one|answer)\b)"
)
_WEAK_AFTER = re.compile(
    r"[)\"']?(?:\s?\([^()\n]{1,80}\))?\s(?:"
    r"(?:seems|looks|appears|sounds|feels)\s+(?:to\s+be\s+)?(?:the\s+)?(?:most\s+)?(?:right|correct|best|likely|plausible)"
    r"|(?:fits|works|matches|answers|suits)\s+(?:\w+\s+){0,3}best|makes\s+(?:the\s+most\s+)?sense"
    rf"|is\s+(?:the\s+)?(?:{_APT}|best\b))",
    re.IGNORECASE,
)
_ONLY_BEFORE = re.compile(rf"\b(?:only|just)\s+{_CALLED}", re.IGNORECASE)
_ONLY_AFTER = re.compile(
    rf"[)\"']?(?:\s?\([^()\n]{{1,80}}\))?\s(?:remains|works|fits|applies|matches|holds|is\s+(?:left|true|correct|right|possible|valid|{_APT}))",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(rf"\b(?:not|nor|neither|than|or|and)\s+{_CALLED}", re.IGNORECASE)
_SUPPOSING = re.compile(r"\b(?:if|whether|suppose|assume|unless|why|had)\b[^.!?\n]*$", re.IGNORECASE)
_LETTERS_READ = 256
_BEFORE = 50


def weakly_stated(text: str, options: Options) -> Answer | None:
    """The one option that weak statements name: "It's B.", "only B remains", "D works best"."""
    named: dict[str, str] = {}
    for match in list(_LETTER_ALONE.finditer(text))[-_LETTERS_READ:]:
        letter, end = match[0], match.end()
        if letter not in options.letters or letter in named:
            continue
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        if _SUPPOSING.search(before):
            continue
        if (
            (_WEAK_BEFORE.search(before) and _ENDS_THERE.match(text, end))
            or (_WEAK_AFTER.match(text, end) and not _DENIED_BEFORE.search(before))
            or (_ONLY_AFTER.match(text, end) and _ONLY_BEFORE.search(before))
        ):
            named[letter] = text[max(0, match.start() - 30) : end + 30]
    if not named:
        return None
    if len(named) > 1:
        return Answer(None, "several")
    (letter, said), *_ = named.items()
    return Answer(letter, "weak-statement", detail=said)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
