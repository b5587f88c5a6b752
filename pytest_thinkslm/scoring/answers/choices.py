r"""The option letter that an output chooses.

Anchored statements first ("The answer is B", ``\boxed{B}``, "B is correct"), the last one wins; then a bare answer or
lettered line; then a letter that stands alone; then the text of exactly one option. A letter counts in upper case, from
the item's own set, where it stands as an answer; the article "A" never does. A list of options without a choice,
"A or B", and an option named only to deny it are no answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.optiontext import Options, clean
from pytest_thinkslm.scoring.answers.region import Region

# How much of a text is looked at: the last anchors, the first lettered lines, the stretch that an anchor governs.
_ANCHORS_READ = 64
_LINES_READ = 256
_WINDOW = 300


def read_choice(region: Region, options: tuple[str, ...]) -> Answer:
    """The letter (A, B, ... by position) of the option that the final region chooses.

    Rules: ``anchor``, ``bare``, ``lettered-line``, ``letter``, ``option-text``; without an answer ``several``,
    ``recited``, ``wrong-format`` (an "Answer:" that names no option), ``none``, ``cut`` or ``unfinished-thought``.
    Under ``region.cut`` only an anchored statement that does not touch the text's end counts.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    if not region.cut and (closing := _CLOSING_LINE.search(region.text, max(0, len(region.text) - 40))):
        letter = closing[1]
        if letter in _LETTERS[: len(options)]:
            return Answer(letter, "anchor", anchored=True, detail=closing[0].strip())
    known = Options(options)
    text = clean(region.text)
    if anchored := _anchored(text, known, cut=region.cut):
        return anchored
    if region.cut:
        return Answer(None, "cut")
    for rule in (_bare, _lettered_lines, _standing_letter, _option_text):
        if answer := rule(text, known):
            return answer
    return Answer(None, "wrong-format" if _FORMAT.search(text) else "none")


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The asked-for format as the last line: nothing can follow it, so nothing else has to be looked for.
_CLOSING_LINE = re.compile(r"\n[ \t]{0,4}(?:Answer|\*\*Answer):(?:\*\*)?[ \t]{1,4}([A-Z])\.?\s{0,4}\Z")
_FORMAT = re.compile(r"\banswer:[ \t]{0,9}\w", re.IGNORECASE)
_NOUN = r"(?:answer|option|choice|selection|statement|letter)"
_IS = r"(?:is|are|was|would\s+be|will\s+be|must\s+be|should\s+be|has\s+to\s+be|seems\s+to\s+be|appears\s+to\s+be)"
_PICK = r"(?:choose|chose|pick|select|say|answer|guess|go\s+with|opt\s+for|vote\s+for|settle\s+on)"
# Group "head": the answer follows. Group "tail": it went before.
_ANCHOR = re.compile(
    rf"(?P<head>\\(?:boxed|fbox)(?![a-z])|####|<answer>"
    rf"|\b{_NOUN}\b(?:\s+choice\b)?(?:\s+(?:here\b|to\s+(?:the|this)\s+\w{{1,12}}))?\s*(?::|=|-+>|→|\s[-–—]\s|\b{_IS}\b(?!n't)\s*:?)"
    rf"|\b(?:I|we|you|one)(?:\s*(?:'d|'ll)|\s+(?:would|will|should|must|can|am\s+going\s+to))?"
    rf"(?:\s+(?:therefore|thus|have\s+to))?\s+{_PICK}\b\s*:?"
    rf"|\b(?:I\s+(?:think|believe)|so|therefore|thus|hence),?\s+(?:that\s+)?(?:it\s+is|it's)\b)"
    rf"|(?P<tail>\b{_IS}(?!n't)(?:\s+(?:the|a|an|most|clearly|definitely|indeed|likely|therefore|probably))*"
    rf"\s+(?:(?:correct|right|best|appropriate|proper|likely)\s+{_NOUN}\b"
    rf"|(?:correct|right)(?:\s+one)?\b(?=\s*(?:[.,;!)\n]|$|because|since|as\b))))",
    re.IGNORECASE,
)
# "I do not think the answer is", "if the answer is", "whether".
_UNSAID = re.compile(
    r"(?:\b(?:not|never|cannot)|n't)\s+(?:think|believe|say|mean|sure|claim|agree)(?:\s+that)?(?:\s+the)?\s*$"
    r"|\b(?:if|whether|unless|when)(?:\s+the)?(?:\s+(?:correct|right))?\s*$",
    re.IGNORECASE,
)


def _anchored(text: str, options: Options, cut: bool) -> Answer | None:
    """The last anchored statement that names an option."""
    open_end = cut and text[-1:].isalnum()
    for anchor in list(_ANCHOR.finditer(text, _first_hint(text)))[: -_ANCHORS_READ - 1 : -1]:
        if _UNSAID.search(text, max(0, anchor.start() - 60), anchor.start()):
            continue
        if anchor["head"] is not None:
            named = _named_after(text, anchor, options)
        else:
            named = _named_before(text, anchor.start(), options)
        if named is None or (open_end and named.end >= len(text)):
            continue
        if named.letter is None:
            return Answer(None, "several", anchored=True, detail=named.detail)
        return Answer(named.letter, "anchor", anchored=True, detail=named.detail)
    return None


# Every anchor has one of these in it; finding them is many times faster than trying the pattern everywhere.
_HINTS = (
    *("boxed", "fbox", "####", "answer", "opt", "choice", "choose", "chose", "select", "statement", "letter", "pick"),
    *("say", "guess", "go", "vote", "settle", "correct", "right"),
)
_IT_IS = re.compile(r"it(?:\s+is|'s)")


def _first_hint(text: str) -> int:
    """Start of the line before the first one that can hold an anchor, which may begin a line earlier."""
    lowered = text.replace("İ", "I").lower()
    found = [position for hint in _HINTS if (position := lowered.find(hint)) >= 0]
    if it_is := _IT_IS.search(lowered):
        found.append(it_is.start())
    if not found:
        return len(text)
    line = text.rfind("\n", 0, min(found))
    return max(0, text.rfind("\n", 0, line)) if line >= 0 else 0


@dataclass(frozen=True, slots=True)
class _Named:
    """An option that a statement names (letter None: several of them), and where the name ends."""

    letter: str | None
    end: int
    detail: str = ""


_OPENING = re.compile(r"[\s{(\[\"'<:]{0,12}")
_FILLER = re.compile(
    r"(?:the|an?|is|it|it's|that|therefore|thus|then|definitely|clearly|most|likely|probably|indeed|simply|indicated|by|"
    r"either|both|correct|right|best|option|choice|letter|number|answer|statement)\b\s*:?",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"(?:definitely\s+|clearly\s+|certainly\s+)?(?:not\b|never\b|neither\b|none\b|n't)", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_FILLERS_READ = 5


def _named_after(text: str, anchor: re.Match[str], options: Options) -> _Named | None:
    """What the words after "the answer is" name; None where they deny, or name nothing."""
    # Lower case only where nothing but the letter can follow: "answer: b".
    any_case = anchor[0].rstrip().endswith(":") and "answer" in anchor[0].lower()
    position = anchor.end()
    both = False
    crossed = False
    for _ in range(_FILLERS_READ):
        here = _end(_OPENING, text, position)
        crossed = crossed or "\n" in text[position:here]
        if _DENIAL.match(text, here):
            return None
        if named := _name_at(text, here, options, any_case):
            if crossed and _is_recited(text, named, options):
                return _Named(None, named.end, "options recited")
            return named
        filler = _FILLER.match(text, here)
        if filler is None:
            break
        both = both or filler[0].lower() in ("both", "either")
        position = filler.end()
    if crossed:
        return None
    stop = _SENTENCE.search(text, here, here + _WINDOW)
    end = stop.start() if stop else min(len(text), here + _WINDOW)
    return _named_within(text, here, end, options)


def _name_at(text: str, position: int, options: Options, any_case: bool = False) -> _Named | None:
    """The option named exactly here: by its text (whole), its letter, or its number."""
    by_text = options.text_at(text, position)
    letter = options.letter_at(text, position, any_case=any_case)
    if by_text and (letter is None or by_text.end > letter.end + 1):
        # "Paris (B)": letter against text, the letter.
        after = _IN_BRACKETS.match(text, by_text.end)
        if after and after[1] in options.letters:
            return _Named(after[1], after.end(), after[0])
        return _joined(text, _Named(by_text.letter, by_text.end, text[position : by_text.end]), options)
    if letter:
        return _joined(text, _Named(letter.letter, letter.end, text[position : letter.end]), options)
    if number := options.number_at(text, position):
        return _Named(number.letter, number.end, text[position : number.end])
    return None


_IN_BRACKETS = re.compile(r"\s?[\"']?\s?\((?:option\s+)?([A-Z])\)")
_CONNECTOR = re.compile(
    r"[\"')\]}]{0,3}\s*(,?\s*\bor\b|,?\s*\band\b|/|&|,|\+)\s*(?:option\s+|choice\s+)?[\"'(\[]{0,2}", re.I
)
_VERB = re.compile(
    r"[\"')\]}.:]{0,3}\s+(?!or\b|and\b|are\b)(?:is|was|has|does|can|would|will|because|\w+s)\b|'s\b", re.IGNORECASE
)


def _joined(text: str, named: _Named, options: Options) -> _Named:
    """``named``, or no choice where another option is offered beside it ("A or B", "A, B and C")."""
    connector = _CONNECTOR.match(text, named.end)
    if connector is None:
        return named
    other = options.letter_at(text, connector.end()) or options.text_at(text, connector.end())
    if other is None or other.letter == named.letter:
        return named
    # "B, A is wrong" and "B and C are ..." differ: a clause of its own follows a comma or "and", never an "or".
    if "or" not in connector[1].lower() and connector[1] not in "/&+" and _VERB.match(text, other.end):
        return named
    return _Named(None, other.end, text[max(0, named.end - 20) : other.end])


_STANDING = re.compile(
    r"(?:\b(?:option|choice)\s+|\(|,\s*|:\s*|\bis\s+)[\"'(]?([A-Z])(?=[)\"'.,:;\s]|$)", re.IGNORECASE
)


def _named_within(text: str, start: int, end: int, options: Options) -> _Named | None:
    """The one option named inside the sentence of an anchor, by a letter that stands apart or by its text."""
    letters = {}
    for match in _STANDING.finditer(text, start, end):
        letter = options.letter_at(text, match.start(1))
        before = text[max(start, match.start() - 15) : match.start()]
        if letter and not re.search(r"\b(?:not|than|neither|nor)\s*$", before):
            letters[letter.letter] = letter.end
    if len(letters) == 1:
        (letter_named, letter_end), *_ = letters.items()
        return _Named(letter_named, letter_end, text[start:letter_end][-80:])
    if letters:
        return _Named(None, end, "several letters in one statement")
    mentioned = options.mentioned(text[start:end])
    if len(mentioned) == 1:
        return _Named(mentioned.pop(), end, text[start:end][:80])
    return None


_SUBJECT_START = re.compile(r"\n|[.!?](?<!\b[A-Z][.!?])\s")
_LEAD_IN = re.compile(
    r"(?:(?:so|therefore|thus|hence|then|I\s+(?:think|believe)|that|both|either|option|choice),?\s+)*", re.I
)
_LAST_LETTER = re.compile(
    r"(?:\b(?:option|choice|answer|so|that|but|and|means)\s+|[(\"',]\s*)[\"'(]?([A-Z])[\"')]?[.:,]?\s*$"
)


def _named_before(text: str, tail: int, options: Options) -> _Named | None:
    """What the subject of "... is the correct answer" names."""
    start = max(0, tail - _WINDOW)
    for boundary in _SUBJECT_START.finditer(text, start, tail):
        start = boundary.end()
    lead = _LEAD_IN.match(text, _end(_OPENING, text, start), tail)
    head = _end(_OPENING, text, lead.end() if lead else start)
    if head < tail:
        letter = options.letter_at(text, head) or options.number_at(text, head)
        if letter and letter.end <= tail:
            return _joined(text, _Named(letter.letter, letter.end, text[head:tail][:80]), options)
        by_text = options.text_at(text, head)
        if by_text and not re.search(r"\w", text[by_text.end : tail]):
            return _Named(by_text.letter, tail, text[head:tail][:80])
    last = _LAST_LETTER.search(text, start, tail)
    if last and last[1] in options.letters:
        return _Named(last[1], tail, last[0])
    return None


_LINE_LETTER = re.compile(
    r"^[ \t]*(?:[-•>#]+[ \t]*)?(?:(?:option|choice)[ \t]+)?([(\[\"']?)([A-Z])"
    r"(?:[ \t]*([.):\]]+|[ \t][-–—:])[ \t\"']*|[\"']?[ \t]*$)",
    re.MULTILINE,
)


def _is_recited(text: str, named: _Named, options: Options) -> bool:
    """Whether the line after the one that names an option lists another: ``Answer:`` over a copied list."""
    line_end = text.find("\n", named.end, named.end + 2 * _WINDOW)
    if line_end < 0:
        return False
    after = re.compile(r"\s*").match(text, line_end)
    follower = _LINE_LETTER.match(text, after.end() if after else line_end)
    return bool(follower and follower[3] and follower[2] in options.letters and follower[2] != named.letter)


_BOTH = re.compile(r"(?:both|either)\s+", re.IGNORECASE)


def _bare(text: str, options: Options) -> Answer | None:
    """The whole text is a letter, a number of an option, or an option's text."""
    whole = text.strip().strip("\"'.()[]{}: ")
    if len(whole) > _WINDOW * 4 or not whole:
        return None
    start = text.index(whole)
    both = _BOTH.match(text, start)
    offered = _name_at(text, both.end() if both else start, options)
    if offered and offered.letter is None:
        return Answer(None, "several", detail=whole[:80])
    named = options.letter_at(text, start) if len(whole) == 1 else None
    named = named or options.text_at(text, start) or options.number_at(text, start)
    if named is None or named.end < start + len(whole):
        return None
    return Answer(named.letter, "bare", anchored=True, detail=whole[:80])


_DENIED = re.compile(
    r"\W{0,4}\s*(?:is|are|was|were|would\s+be|can(?:not)?\s+be|seems)?(?:n't|\s*\bnot\b|\s*(?:also|clearly|definitely)?\s*"
    r"(?:incorrect|wrong|false|no\b|eliminated|ruled\s+out))|\W*[✗✘❌]",
    re.IGNORECASE,
)
_DENIED_ANYWHERE = re.compile(
    r"\b(?:is|are|was)\s+(?:also\s+|clearly\s+)?(?:incorrect|wrong|false|not\s+(?:correct|right|true|the\s+(?:correct|right|best)))"
    r"|\b(?:incorrect|wrong|ruled\s+out|eliminated)\b\s*\W*$",
    re.IGNORECASE,
)


def _lettered_lines(text: str, options: Options) -> Answer | None:
    """Lines that begin with a letter: one letter is the choice, several are a list."""
    named: list[str] = []
    bare_line, bare_lines = "", 0
    for match in _first(_LINE_LETTER.finditer(text), _LINES_READ):
        letter = match[2]
        if letter not in options.letters:
            continue
        line_end = text.find("\n", match.end())
        line_end = len(text) if line_end < 0 else line_end
        rest = text[match.end() : min(line_end, match.end() + 4 * _WINDOW)]
        if _is_denied(text, match.end(), options, listed=bool(match[3])):
            continue
        bare = not rest.strip(" .)")
        bare_lines += bare
        bare_line = letter if bare and line_end >= len(text.rstrip()) else ""
        named.append(letter)
    if not named:
        return None
    if bare_lines == len(named) and len(set(named)) > 1:
        return Answer(None, "several")  # a column of letters: no choice, whichever comes last
    if bare_line:
        return Answer(bare_line, "bare", anchored=True, detail="last line")
    if len(set(named)) == 1:
        return Answer(named[0], "lettered-line", anchored=True)
    count = len(options.letters)
    if named[:count] == list(options.letters) and len(set(named[count:])) == 1:
        return Answer(named[-1], "lettered-line", anchored=True, detail="after the whole list")
    in_order = named[:3] == list(options.letters[:3])
    return Answer(None, "recited" if in_order or len(set(named)) == count else "several")


def _is_denied(text: str, position: int, options: Options, *, listed: bool = False) -> bool:
    """Whether the line goes on, after a letter and perhaps its option's text, to say that it is wrong.

    ``listed``: a mark closes the letter ("A. is not alive"), so that a mere "is not" may begin an option's text.
    """
    own = options.text_at(text, position)
    start = own.end if own else position
    rest = text[start : start + 4 * _WINDOW].partition("\n")[0]
    return bool((_DENIED.match(rest) and (own or not listed)) or _DENIED_ANYWHERE.search(rest[:80] if own else rest))


_ALONE = re.compile(
    r"(?:\b(?i:option|choice|letter)\s+[\"'(]?|\(|(?:^|[.!?\n]\s{0,3}|\b(?i:so|therefore|thus|hence),?\s+)[\"'(]?)"
    r"(?<![A-Za-z])([A-Z])(?=[)\"'\]]|[.,:;!]|\s*(?:$|\n)|\s+(?:is|because|since)\b)",
    re.MULTILINE,
)

_CLOSING = re.compile(r"[)\"'.:\]]{0,3}[ \t]*")


_NOT_BEFORE = re.compile(r"(?:\b(?:not|nor|neither|than)|n't)\s+(?:option\s+|choice\s+)?[\"'(]*$", re.IGNORECASE)


def _standing_letter(text: str, options: Options) -> Answer | None:
    """A letter that stands alone: "(C)", "Option C", "So, C." One letter is the choice, several are none."""
    found: set[str] = set()
    for match in _ALONE.finditer(text):
        letter = match[1]
        before = text[max(0, match.start(1) - 25) : match.start(1)]
        if letter not in options.letters or letter in found or _NOT_BEFORE.search(before):
            continue
        if not _is_denied(text, _end(_CLOSING, text, match.end()), options):
            found.add(letter)
        if len(found) > 1:
            return Answer(None, "several")
    return Answer(found.pop(), "letter") if found else None


def _option_text(text: str, options: Options) -> Answer | None:
    """The text of exactly one option, outside lines that say that their letter is wrong."""
    lines = []
    for line in text.split("\n"):
        lettered = _LINE_LETTER.match(line)
        if not (lettered and lettered[2] in options.letters and _is_denied(line, lettered.end(), options)):
            lines.append(line)
    mentioned = options.mentioned("\n".join(lines))
    if len(mentioned) == 1:
        return Answer(mentioned.pop(), "option-text")
    return Answer(None, "several") if mentioned else None


def _first(matches: Iterator[re.Match[str]], count: int) -> Iterator[re.Match[str]]:
    for _, match in zip(range(count), matches, strict=False):
        yield match


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
