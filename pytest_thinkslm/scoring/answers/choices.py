r"""The option letter that an output chooses.

A bare letter as the last line; anchored statements ("The answer is B", ``\boxed{B}``, "B is correct"), the last one
wins; then a reply that is nothing but an answer, weak statements ("It's B."), a lettered line; then a letter that
stands alone; then the text of exactly one option. A letter counts from the item's own set, in upper case where it
stands as an answer, in lower case where nothing but a letter can stand; the article "A" never does. A list of options
without a choice, "A or B", and an option named only to deny it are no answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.choice_names import LINE_LETTER, match_end, name_at
from pytest_thinkslm.scoring.answers.choice_statements import stated
from pytest_thinkslm.scoring.answers.optiontext import Options, clean
from pytest_thinkslm.scoring.answers.region import Region
from pytest_thinkslm.scoring.answers.weak_choices import weakly_stated

# How much of a text is looked at: the first lettered lines, the stretch that a line governs.
_LINES_READ = 256
_WINDOW = 300


def read_choice(region: Region, options: tuple[str, ...]) -> Answer:
    """The letter (A, B, ... by position) of the option that the final region chooses.

    Rules: ``anchor``, ``bare``, ``weak-statement``, ``lettered-line``, ``letter``, ``option-text``; without an answer
    ``several``, ``recited``, ``wrong-format`` (an "Answer:" that names no option), ``none``, ``cut`` or
    ``unfinished-thought``. Under ``region.cut`` only an anchored statement that does not touch the text's end counts.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    if not region.cut and (closing := _CLOSING_LINE.search(region.text, max(0, len(region.text) - 40))):
        letter = closing[1]
        if letter in _LETTERS[: len(options)]:
            return Answer(letter, "anchor", anchored=True, detail=closing[0].strip())
    known = Options(options)
    text = clean(region.text)
    if not region.cut and (last := _last_line(text, known)):
        return last
    if anchored := stated(text, known, cut=region.cut):
        return anchored
    if region.cut:
        return Answer(None, "cut")
    for rule in (_bare, weakly_stated, _lettered_lines, _standing_letter, _option_text):
        if answer := rule(text, known):
            return answer
    return Answer(None, "wrong-format" if _FORMAT.search(text) else "none")


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The asked-for format as the last line: nothing can follow it, so nothing else has to be looked for.
_CLOSING_LINE = re.compile(r"\n[ \t]{0,4}(?:Answer|\*\*Answer):(?:\*\*)?[ \t]{1,4}([A-Z])\.?\s{0,4}\Z")
_FORMAT = re.compile(r"\banswer:[ \t]{0,9}\w", re.IGNORECASE)
_LAST_LINE = re.compile(r"\n[ \t>#-]{0,6}[(\[{\"']{0,2}([A-Z])[)\]}\"'.:]{0,3}\s*\Z")


def _last_line(text: str, options: Options) -> Answer | None:
    """A bare letter as the last line: it was said last. Not below another lettered line, which a list has, too."""
    last = _LAST_LINE.search(text, max(0, len(text) - 60))
    if last is None or last[1] not in options.letters:
        return None
    above = text[: last.start()].rstrip()
    above = above[above.rfind("\n") + 1 :][:_WINDOW]
    if not above or LINE_LETTER.match(above):
        return None
    return Answer(last[1], "bare", anchored=True, detail="last line")


_BOTH = re.compile(r"(?:both|either)\s+", re.IGNORECASE)
_CALLED = re.compile(r"(?:option|choice|answer|ending|letter)\s+[(\[\"']{0,2}(?=\w{1,2}\Z)", re.IGNORECASE)
_EDGES = "\"'.()[]{}:<>; "
_LOWER_LETTERED = re.compile(r"([a-z])[).:\]]+\s*")


def _bare(text: str, options: Options) -> Answer | None:
    """The whole text is a letter, a number of an option, or an option's text."""
    whole = text.strip().strip(_EDGES)
    if len(whole) > _WINDOW * 4 or not whole:
        return None
    start = text.index(whole)
    if called := _CALLED.match(whole):
        start += called.end()
        whole = whole[called.end() :]
    both = _BOTH.match(text, start)
    offered = name_at(text, both.end() if both else start, options)
    if offered and offered.letter is None:
        return Answer(None, "several", detail=whole[:80])
    if len(whole) == 1 and whole.upper() in options.letters:
        return Answer(whole.upper(), "bare", anchored=True, detail=whole)
    named = options.text_at(text, start) or options.number_at(text, start)
    if named is None and (lettered := _LOWER_LETTERED.match(text, start)):
        # "b) iron" is B where iron is, not a list of the model's own.
        own = options.text_at(text, lettered.end())
        named = own if own and own.letter == lettered[1].upper() else None
    if named is None or named.end < start + len(whole):
        return None
    return Answer(named.letter, "bare", anchored=True, detail=whole[:80])


_DENIED = re.compile(
    r"\W{0,4}\s*(?:is|are|was|were|would\s+be|can(?:not)?\s+be|seems)?(?:n't|\s*\bnot\b|\s*(?:also|clearly|definitely)?\s*"
    r"(?:incorrect|wrong|false|no\b|eliminated|ruled\s+out|out\b))|\W*[✗✘❌✖]",
    re.IGNORECASE,
)
_DENIED_ANYWHERE = re.compile(
    r"\b(?:is|are|was)\s+(?:also\s+|clearly\s+|the\s+(?:only|most)\s+)?(?:incorrect|wrong|false|unlikely|impossible|not\s+(?:correct|right|true|the\s+(?:correct|right|best)))"
    r"|\b(?:incorrect|wrong|ruled\s+out|eliminated)\b\s*\W*$|[✗✘❌✖]\W*$",
    re.IGNORECASE,
)


_TICKED = re.compile(r"[✓✔✅☑]")
# Behind the option's text, which may end in such a word itself.
_AFFIRMED = re.compile(
    r"(?<!not )(?<!n't )\b(?:correct|right|yes)\b(?:\s+(?:answer|choice|option))?\s{0,3}[.!)\]]{0,3}\s{0,3}$",
    re.IGNORECASE,
)


def _lettered_lines(text: str, options: Options) -> Answer | None:
    """Lines that begin with a letter: one letter is the choice, or the one that a tick affirms; several are a list."""
    named: list[str] = []
    affirmed: set[str] = set()
    bare_line, bare_lines = "", 0
    for match in _first(LINE_LETTER.finditer(text), _LINES_READ):
        letter = match[2]
        if letter not in options.letters:
            continue
        line_end = text.find("\n", match.end())
        line_end = len(text) if line_end < 0 else line_end
        rest = text[match.end() : min(line_end, match.end() + 4 * _WINDOW)]
        if _is_denied(text, match.end(), options, listed=bool(match[3])):
            continue
        own = options.text_at(text, match.end())
        said = text[own.end : line_end] if own and own.letter == letter else ""
        if _TICKED.search(rest) or _AFFIRMED.search(said[-_WINDOW:]):
            affirmed.add(letter)
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
    if len(affirmed) == 1:
        return Answer(affirmed.pop(), "lettered-line", anchored=True, detail="the line that is affirmed")
    count = len(options.letters)
    if named[:count] == list(options.letters) and len(set(named[count:])) == 1:
        return Answer(named[-1], "lettered-line", anchored=True, detail="after the whole list")
    if named[0] != "A" and sorted(named) == list(options.letters) and named[1:] == sorted(named[1:]):
        return Answer(named[0], "lettered-line", anchored=True, detail="before all the others")
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
    r"(?:\b(?i:option|choice|letter)\s+[\"'(]?|\(|(?:^|[.!?]\s{1,3}|\n\s{0,3}|\b(?i:so|therefore|thus|hence),?\s+)[\"'(]?)"
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
        if not _is_denied(text, match_end(_CLOSING, text, match.end()), options):
            found.add(letter)
        if len(found) > 1:
            return Answer(None, "several")
    return Answer(found.pop(), "letter") if found else None


_RESULT = re.compile(r"=([^=\n]{1,80})\Z")


def _option_text(text: str, options: Options) -> Answer | None:
    """The text of exactly one option, outside lines that say that their letter is wrong."""
    lines = []
    for line in text.split("\n"):
        lettered = LINE_LETTER.match(line)
        if not (lettered and lettered[2] in options.letters and _is_denied(line, lettered.end(), options)):
            lines.append(line)
    mentioned = options.mentioned("\n".join(lines))
    if len(mentioned) > 1 and (result := _RESULT.search(text.rstrip())):
        mentioned = options.mentioned(result[1])  # "12 + 12 = 24" gives 24
    if len(mentioned) == 1:
        return Answer(mentioned.pop(), "option-text")
    return Answer(None, "several") if mentioned else None


def _first(matches: Iterator[re.Match[str]], count: int) -> Iterator[re.Match[str]]:
    for _, match in zip(range(count), matches, strict=False):
        yield match
