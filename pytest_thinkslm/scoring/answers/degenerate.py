"""Failure classes of wrong items, and the degenerate outputs among them: empty, looping, code, restated prompt."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from types import MappingProxyType

#: Every failure class that a verdict can carry, with its explanation for reports.
FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "empty": "no text at all, or nothing but punctuation",
        "repetition": "the output runs in a loop",
        "code": "a program in place of an answer",
        "restated": "the prompt, its list or its options repeated, without an answer",
        "several": "several answers without a choice",
        "wrong-format": "an answer of another kind, or a placeholder copied from the prompt",
        "no-final-answer": "reasoning that never states an answer",
        "cut": "token limit reached before a complete, anchored answer",
        "unfinished-thought": "token limit reached, or end of text, inside the thought",
        "order": "list: the right items in the wrong order",
        "invented": "list: an item that was not given",
        "dropped": "list: a given item is missing, and no foreign one is there",
        "wrong-length": "list: the given items and no others, some of them too often",
        "answered-unanswerable": "a number for a question that cannot be answered",
        "called-unanswerable": "the question can be answered, and the output says that it cannot",
        "wrong-judgement": "review: a right solution called wrong, or a wrong one right",
        "wrong-step": "review: judged wrong as it is, at another first error step",
    }
)

_HEAD = 200_000
_CODE_READ = 20_000
_LOOP_WINDOW = 2_000


def degenerate(text: str, prompt_text: str = "") -> str | None:
    """``empty``, ``repetition``, ``restated`` or ``code`` where an output is one of them, else None. Linear time.

    ``repetition``: the last 2,000 characters compress to an eighth or less, or end in one unit of at most 120
    characters that repeats at least five times, over at least 60 characters and a third of them, or in a phrase of at
    most 400 characters that repeats at least three times, whatever its numbers, over half of them.
    ``restated``: at least 80 % of the output's words of four stand in the prompt (texts of 8 words or more).
    ``code``: at least half of the lines are program text, and the last and at least one
    that only a program has among them.
    """
    text = text[-_HEAD:]
    if _loops(text):
        return "repetition"
    if not any(character.isalnum() for character in text):
        return "empty"
    if prompt_text and _restates(text, prompt_text):
        return "restated"
    return "code" if is_code(text) else None


_ONE_UNIT = re.compile(r"\s*(.{1,12}?)\1{14,}.{0,11}", re.DOTALL)


def stuck(text: str) -> str | None:
    """What a text repeats that is nothing else from its first character on; else None. Linear time.

    A unit of at most 12 characters, at least 15 times, over at least 40 characters.
    So write models whose logits are all alike or not finite (``!!!!``: the first token of many vocabularies).
    """
    text = text[:_HEAD].strip()
    found = _ONE_UNIT.fullmatch(text) if len(text) >= 40 else None
    return found and found.group(1)


def _loops(text: str) -> bool:
    tail = text.rstrip()[-_LOOP_WINDOW:]
    if len(tail) < 60:
        return False
    raw = tail.encode("utf-8", "surrogatepass")
    if len(raw) >= 400 and _compressed_size(raw) * 8 <= len(raw):
        return True
    if _repeated_tail(tail, longest=120, times=5) >= max(60, len(tail) // 3):
        return True
    # "7. So, 1 is 1 * 1.\n8. So, 1 is 1 * 1.": numbers that count on; a list of numbers alone is no phrase.
    phrases = _DIGITS.sub("0", text[-_LOOP_WINDOW:])
    return _repeated_tail(phrases, longest=400, times=3, letters=20) >= max(100, len(phrases) // 2)


def _compressed_size(raw: bytes) -> int:
    """Bytes that zlib makes of a window; its own tables are made as small as that, and cost a quarter."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 12, 5)
    return len(packer.compress(raw)) + len(packer.flush())


_DIGITS = re.compile(r"\d+")


def _repeated_tail(tail: str, *, longest: int, times: int, letters: int = 0) -> int:
    """Length of the tail that one unit fills at least so many times, by comparing shifts.

    The unit has at most ``longest`` characters, and at least ``letters`` letters.
    """
    best = period = 0
    backwards = tail[::-1]
    last = min(longest, len(tail) // times)
    # A unit begins again where its first character does: most shifts are passed over by that alone.
    while (period := backwards.find(backwards[:1], period + 1, last + 1)) >= 0:
        unit = backwards[:period]
        if not backwards.startswith(unit, period) or sum(map(str.isalpha, unit)) < letters:
            continue
        same = 2 * period
        while same < len(backwards) and backwards[same] == backwards[same - period]:
            same += 1
        if same >= times * period:
            best = max(best, same)
    return best


_WORD = re.compile(r"\w{1,60}")


def _restates(text: str, prompt_text: str) -> bool:
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < 8:
        return False
    if _is_foreign(words, prompt_text[:_HEAD].lower()):
        return False
    prompt = [word.lower() for word in _WORD.findall(prompt_text[:_HEAD])]
    known = set(zip(prompt, prompt[1:], prompt[2:], prompt[3:], strict=False))
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return sum(gram in known for gram in grams) >= 0.8 * len(grams)


def _is_foreign(words: list[str], prompt: str) -> bool:
    """Whether so many words stand nowhere in the prompt that more than a fifth of the fours are not in it either.

    A few plain searches settle it for most texts, before the prompt is divided into words.
    """
    fours = len(words) - 3
    missing = counted = 0
    for index, word in enumerate(words):
        if word not in prompt:
            last = min(index + 1, fours)
            missing += max(0, last - max(counted, index - 3))
            counted = last
            if fours - missing < 0.8 * fours:
                return True
    return False


_STATEMENT = (
    r"def \w+\(|class \w+[:(]|import \w+|from \w+ import|for \w+ in |while .{1,200}:$|print\(|#include|return\b"
)
_KEYWORD_LINE = re.compile(rf"\s{{0,80}}(?:{_STATEMENT})")
_CODE_LINE = re.compile(
    rf"\s{{0,80}}(?:{_STATEMENT}|if .{{1,200}}:$|elif .{{1,200}}:$|else:|public |int main|function \w*\("
    r"|return\b|const |let \w+ ?=|var \w+ ?=|\w{1,40} ?[-+*/]?= ?\S|[\w.]{1,60}\(.{0,200}\);?$|[{}]$|#)"
)


def is_code(text: str) -> bool:
    """Whether a text is a program: half of its (last 20,000 characters') lines, and one that only a program has."""
    lines = [line for line in text[-_CODE_READ:].split("\n") if line.strip() and not line.startswith("```")]
    # The last line first: it tells most texts apart.
    if not lines or not _CODE_LINE.match(lines[-1]) or not any(map(_KEYWORD_LINE.match, lines)):
        return False
    program = sum(_CODE_LINE.match(line) is not None for line in lines)
    return program >= min(2, len(lines)) and 2 * program >= len(lines)
