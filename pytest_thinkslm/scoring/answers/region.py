r"""The final region of an output (what follows the thought), and the ``\boxed`` answers in a text.

Everything here is linear in the length of the text and raises for no text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers.thoughts import split

#: Only the last characters of an output are read: no benchmark's answer needs more, and grading stays bounded.
READ_LIMIT = 200_000

#: A box's content is cut here, so that thousands of nested or unclosed boxes cost no quadratic memory.
BOX_LIMIT = 4_000
_UNCLOSED_LIMIT = 200

#: Only the last boxes are read: more occur in no output but a loop.
BOXES_READ = 1_000


@dataclass(frozen=True, slots=True)
class Region:
    """The part of an output that is graded.

    Attributes:
        text: what follows the last end-of-thought mark, or the whole text; at most its last ``READ_LIMIT`` characters.
        thought: the thought where there is one.
        unfinished: a thought was opened and never closed; nothing in the output is graded.
        cut: generation stopped at the token limit (finish reason ``length``).
    """

    text: str
    thought: str | None = None
    unfinished: bool = False
    cut: bool = False


@lru_cache(maxsize=4)  # reading, record and failure class ask for the same one
def final_region(output: Output) -> Region:
    """Split an output into its thought and the final region.

    A thought that the server separated (``output.reasoning``) leaves the text as the final region. An end mark
    without a start mark counts: some chat templates open the thought in the prompt.
    """
    cut = output.finish_reason == "length"
    found = split(output.text, cut=cut)
    thought = found.thought
    if output.reasoning:
        thought = output.reasoning if thought is None else f"{output.reasoning}\n\n{thought}"
    unfinished = found.open is not None or (bool(output.reasoning) and cut and not found.answer.strip())
    return Region(found.answer[-READ_LIMIT:], thought, unfinished, cut)


@dataclass(frozen=True, slots=True)
class Box:
    r"""One ``\boxed`` or ``\fbox``: its content, where the whole macro stands, and whether its brace was closed."""

    content: str
    start: int
    end: int
    closed: bool


_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])|(?<![a-zA-Z\\])boxed(?=\s{0,3}\{)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TOKEN = re.compile(r"[^\s{}$\\]{1,200}")
_COMMAND = re.compile(r"\\[a-zA-Z]{1,20}")


def boxes(text: str) -> list[Box]:
    r"""Every outermost ``\boxed`` and ``\fbox`` in order (the last thousand), nested ones unwrapped; linear time.

    Reads ``\boxed{...}`` with balanced braces, ``\boxed 5``, ``\boxed[1, 2]``, ``\boxed\frac{1}{2}`` and a
    ``boxed{...}`` that lost its backslash. An unclosed box reaches to the end of the text, and swallows no later box.
    """
    macros = list(_BOX.finditer(text))[-BOXES_READ:] if "box" in text else []
    if not macros:
        return []
    closing = _closing_braces(text, macros[0].start())
    found: list[Box] = []
    closed_until = 0
    for macro in macros:
        if macro.start() < closed_until:
            continue
        box = _read_box(text, macro.start(), macro.end(), closing)
        if box.closed:
            closed_until = box.end
        found.append(box)
    return found


_PLACEHOLDERS = frozenset(
    {
        *("answer", "your answer", "the answer", "final answer", "your final answer", "the final answer", "solution"),
        *("answer here", "your answer here", "final answer here", "insert answer", "insert answer here", "placeholder"),
        *("number", "a number", "the number", "value", "result", "expression", "letter", "option"),
        *("list", "sorted list", "the sorted list", "answer_here", "final_answer", "your_answer", "sorted_list"),
    }
)
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|boxed|fbox|underline)\s*|[{}\[\]<>()$*`_\"']")
_BLANK = re.compile(r"(?:\\[lc]?dots|[.…?\s,]|\\[ ,;!])*")


def is_placeholder(content: str) -> bool:
    r"""Whether a box repeats the prompt's layout instead of answering: ``answer``, ``...``, ``X``, or nothing."""
    if len(content) > 80:
        return False
    if content.strip() == "X" or _BLANK.fullmatch(content):
        return True
    bare = " ".join(_WRAPPER.sub(" ", content).replace("\\", " ").split()).strip(" .!:;,").lower()
    return not bare or bare in _PLACEHOLDERS


def _closing_braces(text: str, start: int) -> dict[int, int]:
    """Position of the closing brace of every balanced opening brace from ``start`` on; escaped braces do not count."""
    closing: dict[int, int] = {}
    stack: list[int] = []
    for brace in _BRACE.finditer(text, start):
        if brace[0] == "{":
            stack.append(brace.start())
        elif brace[0] == "}" and stack:
            closing[stack.pop()] = brace.start()
    return closing


def _read_box(text: str, start: int, after: int, closing: dict[int, int]) -> Box:
    """The box whose macro name ends at ``after``."""
    here = _skip_blanks(text, after)
    opening = text[here : here + 1]
    if opening == "{":
        end = closing.get(here)
        if end is None:
            return Box(text[here + 1 : here + 1 + _UNCLOSED_LIMIT], start, len(text), closed=False)
        return Box(_unwrap(text, here + 1, end, closing), start, end + 1, closed=True)
    if opening and opening in "[(":
        end = text.find("]" if opening == "[" else ")", here, here + BOX_LIMIT)
        if end >= 0:
            return Box(text[here : end + 1], start, end + 1, closed=True)
    if command := _COMMAND.match(text, here):
        end = command.end()
        while text[end : end + 1] == "{" and end in closing:
            end = closing[end] + 1
        return Box(text[here : min(end, here + BOX_LIMIT)], start, end, closed=True)
    token = _TOKEN.match(text, here)
    if token is None:
        return Box("", start, after, closed=bool(opening))
    content = token[0].rstrip(".,;:")
    return Box(content, start, here + len(content), closed=True)


def _unwrap(text: str, start: int, end: int, closing: dict[int, int]) -> str:
    r"""The content of a box without further boxes directly around it: ``\boxed{\boxed{5}}`` is ``5``."""
    while inner := _BOX.match(text, _skip_blanks(text, start)):
        opening = _skip_blanks(text, inner.end())
        closed = closing.get(opening)
        if closed is None or text[closed + 1 : min(end, closed + 20)].strip():
            break
        start, end = opening + 1, closed
    return text[start : min(end, start + BOX_LIMIT)]


_BLANKS = re.compile(r"\s*")


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position
