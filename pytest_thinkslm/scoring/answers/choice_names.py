"""An option named at a place in a text, alone or beside another one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_thinkslm.scoring.answers import phrases
from pytest_thinkslm.scoring.answers.optiontext import Options

_WINDOW = 300


@dataclass(frozen=True, slots=True)
class Named:
    """An option that a statement names (letter None: several of them), and where the name ends."""

    letter: str | None
    end: int
    detail: str = ""


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
    rf"[\"')\]}}.]{{0,3}}\s*(,?\s*\b(?:or|and)\b|/|&|,|;|\+|{phrases.JOINERS})\s*"
    r"(?:(?:either|option|choice|maybe|perhaps|possibly)\s+){0,2}[\"'(\[]{0,2}",
    re.IGNORECASE,
)
# "(A) conduction (C) convection", "B C": a letter that follows without a word, in brackets or as bare as the first.
_BESIDE = re.compile(
    r"[\"')\]},.]{0,3}[ \t]*[(\[](?=([A-Z])[)\]])|[\"')\]},]{0,3}[ \t]+(?=([A-Z])(?![\w'’-]))", re.ASCII
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
    own = options.text_at(text, match_end(_CLOSERS, text, end))
    return own.end if own and own.letter == letter else end


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


def match_end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where a pattern that matches here ends; ``position`` where it does not."""
    match = pattern.match(text, position)
    return match.end() if match else position
