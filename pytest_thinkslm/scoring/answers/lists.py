r"""List answers: the last list of integers in the final region, and how a wrong one differs from the gold.

A list is written in brackets (``[1, 2]``, also boxed or in a code fence), bare (``1, 2, 3``, ``1 \leq 2``, ``1 -> 2``,
``| 1 | 2 | 3 |``: see ``list_forms``), separated by blanks after an anchor ("Answer: 1 2 3"), or one number a line. The
prompt's own list is no answer unless it is sorted already, and a remark in parentheses is no list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_thinkslm.core.records import Answer
from pytest_thinkslm.scoring.answers.list_forms import JOINER, LAST_LINK, with_commas
from pytest_thinkslm.scoring.answers.number_grammar import plain
from pytest_thinkslm.scoring.answers.region import Region, boxes, is_placeholder

_EXAMINED = 200
_MAX_ITEMS = 1_000


def read_list(region: Region, given: tuple[int, ...]) -> Answer:
    """The list that an output gives as its answer, as a tuple of integers.

    ``given`` is the prompt's unsorted list. Rules: ``boxed``, ``brackets``, ``commas``, ``blanks``, ``lines``; without
    a value ``restated`` (only the prompt's own list was found), ``wrong-format`` (a number is boxed after the list),
    ``cut``, ``unfinished-thought``, ``none``. Under finish reason ``length`` only a closed box or bracket counts.
    """
    if region.unfinished:
        return Answer(None, "unfinished-thought")
    if not region.cut and (closing := _closing_box(region.text, given)):
        return closing
    text = plain(region.text)
    candidates = _candidates(region.text, text, thousands=max(map(abs, given), default=0) >= 1_000)
    own = given if list(given) != sorted(given) else None
    answers = [found for found in candidates if found.items != own]
    if not answers:
        rule = "cut" if region.cut else "restated" if candidates else "none"
        return Answer(None, rule)
    last = _last(answers, len(given))
    if _boxed_number_after(region.text, last.end):
        return Answer(None, "wrong-format", detail=region.text[last.end :].strip()[:80])
    if region.cut and (last.open or last.rule not in {"boxed", "brackets"}):
        return Answer(None, "cut", detail=region.text[last.start : last.start + 80])
    detail = region.text[last.start : min(last.end, last.start + 80)]
    return Answer(last.items, last.rule, anchored=last.rule != "lines", detail=detail)


_LONE_NUMBER = re.compile(r"[\s$]*[-+]?[0-9]{1,9}[\s$.]*")


def _boxed_number_after(text: str, position: int) -> bool:
    """Whether a box with a number alone is stated after the last list: that is the answer, and it is no list."""
    if text.find("boxed", position) < 0:
        return False
    found = [box for box in boxes(text) if box.start >= position and box.closed and not is_placeholder(box.content)]
    return bool(found) and _LONE_NUMBER.fullmatch(plain(found[-1].content)) is not None


def _closing_box(text: str, given: tuple[int, ...]) -> Answer | None:
    """The asked-for box as the very end of the text: no later list can replace it, so nothing else is looked for."""
    start = text.rfind("\\boxed{")
    match = _CLOSING_BOX.match(text, start) if start >= 0 else None
    if match is None or max(map(abs, given), default=0) >= 1_000:
        return None
    items = tuple(int(item) for item in match[1].split(","))
    if items == given and list(given) != sorted(given):
        return None
    return Answer(items, "boxed", anchored=True, detail=text[start : start + 80])


def classify_list(answer: tuple[int, ...], gold: tuple[int, ...]) -> str:
    """The failure class of a wrong list, the gravest that applies.

    ``invented``: an item that was not given. ``dropped``: a given item is missing. ``wrong-length``: all items and no
    others, but some too often. ``order``: the right items in another order.
    """
    said, asked = set(answer), set(gold)
    if not said <= asked:
        return "invented"
    if said != asked:
        return "dropped"
    return "order" if len(answer) == len(gold) and sorted(answer) == sorted(gold) else "wrong-length"


@dataclass(frozen=True, slots=True)
class _Found:
    items: tuple[int, ...]
    rule: str
    start: int
    end: int
    open: bool = False


_INTEGER = r"[-+]?[0-9]{1,9}"
# The same, as the beginning of what is searched for: a search skips to the first character only where it is a set.
_FIRST_INTEGER = r"[-+0-9]{before}(?:(?<=[0-9])[0-9]{{0,8}}|(?<=[-+])[0-9]{{1,9}})"
_NOT_BEHIND = r"(?<![0-9A-Za-z.,/^_=*+-][-+0-9])(?<![0-9][ ][-+0-9])"
_RUN = re.compile(
    rf"{_FIRST_INTEGER.format(before=_NOT_BEHIND)}(?:[ \t$]{{0,9}}(?:[,;<]|→|->)[\s$]{{0,16}}(?:and[ ])?{_INTEGER})+"
    rf"(?:,?[ ]{{0,9}}{LAST_LINK}[ ]{{0,9}}{_INTEGER})?"
    r"(?![0-9A-Za-z/^=*])"
)
_BRACKETS = re.compile(r"\[([^\[\]]{0,8000})\]|\{([^{}\\]{3,8000})\\?\}|\\\{([^{}\\]{3,8000})\\?\}")
_OPEN_BRACKET = re.compile(r"\[\s*[-+0-9][-+0-9,;\s.]*\Z")
# A program's variables: only those named for the result hold an answer.
_ASSIGNED = re.compile(r"(?:^|\s)([A-Za-z_]\w{0,40}) ?= ?$")
_RESULT_NAME = re.compile(r"sort|result|answer|final|output|ascend|order|^x$|^l$|^s$")
_CLOSING_BOX = re.compile(r"\\boxed\{ ?\[?(-?[0-9]{1,9}(?: ?, ?-?[0-9]{1,9}){1,200})\]? ?\}(?:\\\]|[.$*\s]){0,9}\Z")
_ITEMS = re.compile(r"\s*[-+]?[0-9]{1,9}(?:\s*[,;]?\s*[-+]?[0-9]{1,9})*\s*[,;.]?\s*")
_LAST_JOINER = re.compile(rf"(?<=[0-9,\s]){JOINER}(?=[\s}}0-9-])")
_INT = re.compile(_INTEGER)
_DIGIT = re.compile(r"[0-9]")
_THOUSANDS = re.compile(r"(?<![0-9])([0-9]{1,3}),(?=[0-9]{3}(?![0-9]))")
_ANCHOR = re.compile(r"(?:answer|final|sorted|result|order)\b[^\n:0-9\[]{0,40}?(?:[:=]|\bis\b|\bare\b)[:\s$]{0,6}")
_BLANKS = re.compile(rf"{_FIRST_INTEGER.format(before='')}(?:[ \t]{{1,3}}{_INTEGER})+(?=[ \t.$]*(?:\n|$))")
_LINE_ITEM = re.compile(
    r"[ \t]*(?:[-*•+][ \t]+|(?P<number>[0-9]{1,3})[.):][ \t]+|\|[ \t]*(?P<row>[0-9]{1,3})[ \t]*\|[ \t]*|\|[ \t]*)?"
    r"(?P<item>[-+]?[0-9]{1,9})[ \t]*[,.;|]?[ \t]*"
)


def _last(answers: list[_Found], length: int) -> _Found:
    """The last list; one that is no box replaces a box, and a short bare one any other, only at full length."""
    last = answers[0]
    for found in answers[1:]:
        full = len(found.items) == length
        bare = found.rule not in {"boxed", "brackets"}
        if full or found.rule == "boxed" or (last.rule != "boxed" and not (bare and 2 * len(found.items) < length)):
            last = found
    return last


def _candidates(original: str, text: str, *, thousands: bool) -> list[_Found]:
    """All lists in the text in order of position; a list inside another's span counts once, for its outer form."""
    found: list[_Found] = []
    for box in boxes(original):
        if not is_placeholder(box.content) and (items := _items(with_commas(plain(box.content)), thousands=thousands)):
            found.append(_Found(items, "boxed", box.start, box.end, not box.closed))
    taken = [(box.start, box.end) for box in found]
    if found and not _digits_outside(text, taken):
        return found
    text = with_commas(text)
    for finder in (_bracketed, _separated, _in_lines):
        new = [one for one in finder(text, thousands) if not _overlaps(one, taken)]
        found += new
        taken = sorted(taken + [(one.start, one.end) for one in new])
    return sorted(found, key=lambda one: one.start)


def _digits_outside(text: str, spans: list[tuple[int, int]]) -> bool:
    """Whether there is a digit outside the spans: without one there is no other list to look for."""
    position = 0
    for start, end in spans:
        if _DIGIT.search(text, position, start):
            return True
        position = max(position, end)
    return _DIGIT.search(text, position) is not None


def _overlaps(one: _Found, taken: list[tuple[int, int]]) -> bool:
    return any(start < one.end and one.start < end for start, end in taken[-_EXAMINED * 2 :])


def _items(content: str, *, thousands: bool) -> tuple[int, ...]:
    """The integers of a text that is nothing but a list; empty where it is anything else."""
    if "..." in content or "…" in content or "dots" in content:
        return ()
    content = (
        content.strip(" \n\t$[](){}\\.'\"").replace("\\,", " ").replace("\\ ", " ").replace("'", "").replace('"', "")
    )
    if len(content) > 12 * _MAX_ITEMS:
        return ()
    if not _ITEMS.fullmatch(content):
        content = _LAST_JOINER.sub(" ", content)
        if not _ITEMS.fullmatch(content):
            return ()
    return _integers(content, thousands)


def _integers(content: str, thousands: bool) -> tuple[int, ...]:
    if thousands:
        content = _THOUSANDS.sub(r"\1", content)
    items = tuple(int(item) for item in _INT.findall(content))
    return items if len(items) > 1 else ()


def _bracketed(text: str, thousands: bool) -> list[_Found]:
    found = []
    for match in list(_BRACKETS.finditer(text))[-_EXAMINED:]:
        assigned = _ASSIGNED.search(text, max(0, match.start() - 60), match.start())
        if assigned and not _RESULT_NAME.search(assigned[1].lower()):
            continue
        if items := _items(match[match.lastindex or 0], thousands=thousands):
            found.append(_Found(items, "brackets", match.start(), match.end()))
    last = text.rfind("[")
    if len(text) - 8_000 < last and last >= 0 and (unclosed := _OPEN_BRACKET.match(text, last)):
        found.append(_Found(_integers(unclosed[0], thousands) or (0,), "brackets", last, len(text), open=True))
    return found


def _separated(text: str, thousands: bool) -> list[_Found]:
    """Bare lists: with commas anywhere outside parentheses, with blanks where an anchor or a whole line says so."""
    found = []
    for match in list(_RUN.finditer(text))[-_EXAMINED:]:
        unfinished = text[match.end() : match.end() + 8].lstrip(" ,").startswith(("...", "…"))
        if unfinished or _in_parentheses(text, match) or _is_part(text, match):
            continue
        items = _integers(match[0], thousands)
        if len(items) > 1:
            found.append(_Found(items, "commas", match.start(), match.end(), _touches_end(text, match.end())))
    for match in list(_BLANKS.finditer(text))[-_EXAMINED:]:
        line_start = text.rfind("\n", max(0, match.start() - 80), match.start()) + 1
        before = text[max(line_start, match.start() - 80) : match.start()]
        if not before.strip() or _ANCHOR.search(before.lower()):
            end = match.end()
            found.append(_Found(_integers(match[0], False), "blanks", match.start(), end, _touches_end(text, end)))
    return found


def _in_parentheses(text: str, match: re.Match[str]) -> bool:
    """Whether a list is (part of) a remark in parentheses; a tuple that is a line's or an anchor's list is none."""
    before = text[max(0, match.start() - 40) : match.start()].rstrip(" ")
    after = text[match.end() : match.end() + 3].lstrip(" ")[:1]
    if not before.endswith("(") or after != ")":
        return before.endswith("(") or after == ")"
    lead = before[:-1].rsplit("\n", 1)[-1].rstrip()
    return bool(lead) and not lead.endswith((":", "=", " is"))


# A number in some other form, separated from the list as its items are.
_ITEM_BEFORE = re.compile(r"[0-9][)\]}$. \t]{0,4}[,;<]\Z")
_ITEM_AFTER = re.compile(r"[)\]}$]{0,2}[ \t]{0,3}[,;<][ \t]{0,3}[$({]{0,2}[-+]?[ ]?[0-9]")


def _is_part(text: str, match: re.Match[str]) -> bool:
    """Whether items that cannot be read stand before or behind: a list is read whole or not at all."""
    before = text[max(0, match.start() - 12) : match.start()].rstrip(" \t$({")
    after = text[match.end() : match.end() + 8].lstrip(" \t$)]}")
    if before.endswith((",", ";", "<")) and _ITEM_BEFORE.search(before):
        return True
    if not after.startswith((",", ";", "<")):
        return False
    return before.endswith("[") or _ITEM_AFTER.match(text, match.end()) is not None  # "[1, 2, three]"


def _touches_end(text: str, end: int) -> bool:
    return "\n" not in text[end:] and not text[end : end + 50].strip(" ,;")


def _in_lines(text: str, thousands: bool) -> list[_Found]:
    """One number a line: at least two adjacent lines; with list numbers, only where they count up from 1."""
    found: list[_Found] = []
    items: list[int] = []
    start = position = end = 0
    for line in [*text.split("\n"), "-"]:
        match = _LINE_ITEM.fullmatch(line) if line and len(line) < 40 else None
        numbered = (match["number"] or match["row"]) if match else None
        if match and (numbered is None or int(numbered) == len(items) + 1):
            start = start if items else position
            items.append(int(match["item"]))
            end = position + len(line)
        elif items and line.strip():
            if len(items) > 1:
                found.append(_Found(tuple(items), "lines", start, end, _touches_end(text, end)))
            items = []
        position += len(line) + 1
    return found[-_EXAMINED:]
