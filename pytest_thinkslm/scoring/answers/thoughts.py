r"""The marks between a model's thought and its answer: the families that there are, and where a text is divided.

Models write thoughts in four ways. Most put a tag around them (``<think>``, ``[THINK]``, ``◁think▷``); Harmony
(gpt-oss) and Gemma 4 name channels; Apriel and Granite 3.2 begin with a sentence of their own. A backend that drops
special tokens leaves of the channels their names alone (``analysis...assistantfinal...``, ``thought\n...``), which are
read, too.

Everything here is linear in the length of the text and raises for no text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = r"(?:seed:)?(?:think(?:ing|:\w{1,20})?|thoughts?|reasoning)"
_HEADER = r"(?:[^<]{0,60}(?:<\|constrain\|>[^<]{0,20})?<\|message\|>)?"
#: Marks of a thought by family: start and end. Models mix the spellings, so any end mark closes any start mark.
_MARKS = (
    # Qwen, DeepSeek, GLM, SmolLM3, Nemotron, OLMo, Falcon, LFM, EXAONE 4 and Deep (thought), Seed (seed:think), ...
    (rf"<{_WORD}>", rf"</{_WORD}>"),
    (rf"<\|{_WORD}\|>", rf"<\|/{_WORD}\|>"),
    # Sky-T1 and OpenThinker (begin_of_thought), Command A (START_THINKING)
    (rf"<\|(?:begin|start)_(?:of_)?{_WORD}\|>", rf"<\|end_(?:of_)?{_WORD}\|>"),
    # Magistral, Ministral
    (r"\[THINK\]", r"\[/THINK\]"),
    # Kimi
    (rf"◁{_WORD}▷", rf"◁/{_WORD}▷"),
    # Harmony (gpt-oss): every channel but the final one is no answer
    (
        rf"<\|channel\|>\s{{0,9}}(?:(?:analysis|commentary){_HEADER}|\w{{0,10}}\Z)",
        rf"<\|channel\|>\s{{0,9}}final{_HEADER}",
    ),
    # Gemma 4
    (r"<\|channel>[ \t]{0,9}\w{0,30}\n?", r"<channel\|>"),
)
#: An end mark without a tag as its start (Apriel).
_FINAL_RESPONSE = r"\[BEGIN FINAL RESPONSE\]"

# The first character stays outside the group without case: a search for it alone is several times faster. The second
# one is looked at before the group is tried, so that rows of brackets cost little.
_ENDS = "|".join(end.lstrip("\\")[1:] for end in (*(end for _, end in _MARKS), _FINAL_RESPONSE))
_STARTS = "|".join(start.lstrip("\\")[1:] for start, _ in _MARKS)
_MARK = re.compile(rf"[<\[◁](?=[/|a-zA-Z])(?i:(?P<end>{_ENDS})|{_STARTS})")

# Sentences that begin a thought; a mark only at the beginning of a text, and only where its end follows or the text
# was cut, because any model may write them.
_STEPS = r"Here are my reasoning steps:"
_PROCESS = r"Here(?:'s| is) my thought process:"
_SENTENCE = re.compile(rf"\s{{0,99}}(?:{_STEPS}|{_PROCESS})\n?")
_RESPONSE = re.compile(r"Here(?:'s| is) my response:")

# What is left of channels without their special tokens. "analysis" is the channel's name where the message follows
# without anything between, as in no English sentence.
_STRIPPED_HARMONY = re.compile(r"\s{0,99}(?:assistant)?(?:analysis|commentary)(?=[^\s:;,.)*\]–—-]|\Z)")
_STRIPPED_START = re.compile(r"assistant(?:analysis|commentary)")
_STRIPPED_FINAL = "assistantfinal"
_STRIPPED_ANSWER = re.compile(r"\s{0,99}final(?=[A-Z0-9\\$*])")
_STRIPPED_GEMMA = re.compile(r"\s{0,99}thought\n")

# What any of these begins with: few texts do, and one look is cheaper than one at each.
_BEGINS = re.compile(r"\s{0,99}(?:Here|assistant|analysis|commentary|final|thought)")

_LAST_START = re.compile(rf"(?:[<\[◁](?i:{_STARTS})|{_STEPS}|{_PROCESS})\s*\Z")

# Wrappers of the answer behind a thought, and tokens that end a turn.
_TOKEN = r"<\|\w{1,30}\|>|<\w{1,30}\|>|<\w{1,20}:\w{1,20}>"
_LEADING = re.compile(rf"\s{{0,99}}(?:<(?:response|answer)>|{_TOKEN})")
_TRAILING = re.compile(rf"(?:\s*(?:\[END FINAL RESPONSE\]|</(?:response|answer)>|{_TOKEN}))+\s*\Z")
_TAIL = 200

#: The tokens of Harmony's headers: with only some of them a text cannot be divided.
HARMONY_TOKENS = frozenset({"<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|constrain|>"})
_HARMONY_END = "<|end|><|start|>assistant<|channel|>final<|message|>"


@dataclass(frozen=True, slots=True)
class Split:
    """Where a text is divided.

    Attributes:
        answer: what follows the last end mark, or the whole text; empty where a thought is open.
        thought: None where there is none.
        open: start of the thought that was never ended, as it is spelled; None where none is open.
    """

    answer: str
    thought: str | None = None
    open: str | None = None


def split(text: str, *, cut: bool = False) -> Split:
    """Divide an output into thought and answer.

    An end mark without a start mark counts: some chat templates open the thought in the prompt.

    Args:
        text: the output.
        cut: it was stopped by a limit.
    """
    begin = thought_start = 0
    opened: str | None = None
    if not _BEGINS.match(text):
        pass
    elif sentence := _SENTENCE.match(text):
        opened, thought_start = sentence[0], sentence.end()
    elif stripped := (_STRIPPED_HARMONY.match(text) or _STRIPPED_GEMMA.match(text)):
        opened, thought_start = stripped[0], stripped.end()
    elif answer := _STRIPPED_ANSWER.match(text):
        begin = answer.end()
    end: tuple[int, int] | None = None
    for mark in _marks(text):
        if mark.ends:
            end, opened = (mark.start, mark.stop), None
        elif opened is None:
            opened = text[mark.start : mark.stop]
            if end is None:
                thought_start = mark.stop
            begin = mark.stop
    if opened is not None and end is None and _SENTENCE.fullmatch(opened) and not cut:
        return Split(text)
    if opened is not None:
        return Split("", text[max(begin, thought_start) :], opened)
    if end is None:
        return Split(text[begin:])
    thought = text[thought_start : end[0]]
    return Split(_unwrapped(text[end[1] :]), thought if thought_start or thought.strip() else None)


def closing_mark(text: str) -> str | None:
    """The mark that ends the thought which ``text`` leaves open, in the spelling of its start; None where none is."""
    start = split(text, cut=True).open
    return None if start is None else closing_of(start)


def closing_of(start: str) -> str:
    """The end mark that belongs to a start mark."""
    start = start.strip()
    if re.fullmatch(_STEPS, start):
        return "[BEGIN FINAL RESPONSE]"
    if re.fullmatch(_PROCESS, start):
        return "Here is my response:"
    if start.startswith("<|channel|>"):
        return _HARMONY_END
    if start.startswith("<|channel>") or start == "thought":
        return "<channel|>"
    if not start.startswith(("<", "[", "◁")):
        return _STRIPPED_FINAL
    if word := re.match(r"(?i)<\|(begin|start)(?=_)", start):
        end = "END" if word[1].isupper() else "end"
        return f"<|{end}{start[word.end() :]}"
    head = 2 if start.startswith("<|") else 1
    return f"{start[:head]}/{start[head:]}"


def opening_mark(text: str) -> str:
    """The start-of-thought mark that ``text`` ends with, white space behind it included; empty where there is none."""
    start = _LAST_START.search(text[-_TAIL:])
    return start[0] if start else ""


def starts_thought(text: str) -> bool:
    """Whether the first mark of a thought in ``text`` is a start: what precedes an end mark alone began elsewhere."""
    if _SENTENCE.match(text):
        return True
    mark = _MARK.search(text)
    return mark is not None and mark["end"] is None


def mentions_thought(text: str) -> bool:
    """Whether an end-of-thought mark stands anywhere in ``text`` (a chat template that cuts thoughts off, say)."""
    return any(mark["end"] is not None for mark in _MARK.finditer(text)) or _RESPONSE.search(text) is not None


def is_mark(token: str) -> bool:
    """Whether a special token is a mark of a thought, or a part of one: it stays in an output until that is read."""
    stripped = token.strip()
    return stripped in HARMONY_TOKENS or stripped == "[END FINAL RESPONSE]" or _MARK.fullmatch(stripped) is not None


@dataclass(frozen=True, slots=True)
class _Mark:
    start: int
    stop: int
    ends: bool


def _marks(text: str) -> list[_Mark]:
    """All marks behind the beginning of a text, in order."""
    found: list[_Mark] = []
    if "<" in text or "[" in text or "◁" in text:
        found = [_Mark(mark.start(), mark.end(), mark["end"] is not None) for mark in _MARK.finditer(text)]
    if _STRIPPED_FINAL in text:
        for match in re.finditer(_STRIPPED_FINAL, text):
            found.append(_Mark(match.start(), match.end(), ends=True))
        found += [_Mark(match.start(), match.end(), ends=False) for match in _STRIPPED_START.finditer(text)]
        found.sort(key=lambda mark: mark.start)
    if "response:" in text and (process := _SENTENCE.match(text)) and "process" in process[0]:
        found += [_Mark(match.start(), match.end(), ends=True) for match in _RESPONSE.finditer(text, process.end())]
        found.sort(key=lambda mark: mark.start)
    return found


def _unwrapped(answer: str) -> str:
    """An answer without the tags around it and the tokens behind it."""
    if leading := _LEADING.match(answer):
        answer = answer[leading.end() :]
    tail = answer[-_TAIL:]
    return answer[: len(answer) - len(tail) + trailing.start()] if (trailing := _TRAILING.search(tail)) else answer
