"""The frozen records that cross the seams between tasks, engines, answers, verdicts and reports.

Nothing here imports pytest, an engine or a data library. No dict of strings crosses a seam; what is
written to disk is built from these in one place each (``execution/journal.py``, ``reports/items.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

AnswerKind = Literal["number", "expression", "choice", "list", "review"]
Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "unknown"]
Stopped = Literal["loop", "context", "server"]
#: ``stopped`` of outputs that were cut because a context was full.
FULL_CONTEXT: tuple[Stopped, ...] = ("context", "server")
VerdictName = Literal["correct", "incorrect", "unparsed", "truncated", "error"]
ItemRole = Literal["item", "seed", "stress", "noise"]

#: Of a task's data: content verified or generated; fails its pins and was accepted; has no pins.
PinState = Literal["ok", "accepted", "unpinned"]

#: Gold of a number item whose question cannot be answered (GSM-Plus "critical thinking").
UNANSWERABLE = "unanswerable"

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every sampling parameter, explicit: no default of a checkpoint or a backend leaks in.

    ``seed`` is None exactly when ``temperature`` is 0 (greedy decoding).
    ``max_tokens`` bounds the new tokens. ``top_k`` 0 and ``min_p`` 0 are off, as are ``presence_penalty`` 0 (taken off
    the logit of each token that the output has) and ``repetition_penalty`` 1 (by which the logit of each token of
    prompt and output is divided, or multiplied where it is negative; Keskar et al. 2019).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """One question to an engine. ``label`` names it in messages (task, item, style, repeat).

    ``thinking`` is ``"on"``, ``"off"``, a bound on the thought in tokens as text, or None for the model's own way.
    ``prefix`` is text that the assistant's turn begins with; the output is what follows it. ``stress`` names
    the changed form of the item that is asked. ``noise`` counts the further runs that ask the same in other batches
    (``--noise-floor``); 0 is none of them. ``budget`` is the number of tokens at which the thought in ``prefix`` was
    closed to see what would be answered there (``--budget-curve``); 0: it is the item's own output that is asked for.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    label: str = ""
    repeat: int = 1
    task: str = ""
    item: str = ""
    style: str = ""
    thinking: str | None = None
    prefix: str = ""
    stress: str = ""
    noise: int = 0
    budget: int = 0


def stopped(word: object) -> Stopped | None:
    """Why an output of a file was ended before its limit; None for everything that is no such word."""
    return next((known for known in get_args(Stopped) if known == word), None)


@dataclass(frozen=True, slots=True)
class Output:
    """What an engine made of one request.

    ``text`` is the completion without special tokens; ``reasoning`` is the thought where the server
    separates it. Token counts are true counts (never padded widths); None where the engine does not
    know. ``latency`` is in seconds, None when replayed. ``thought_closed``: the thought reached its bound
    (``--thinking TOKENS``) and was closed for the model. ``stopped``: the engine ended it before its limit, ``loop`` by
    the loop guard, ``context`` where the model's context was full, ``server`` where a server's was; the finish reason
    is ``length`` then.
    """

    text: str
    reasoning: str | None = None
    finish_reason: FinishReason = "stop"
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    thought_closed: bool = False
    stopped: Stopped | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A verdict on a given solution (MR-GSM8K, MR-Ben).

    ``first_error_step`` is the step's number as a string, or a line of code in MR-Ben's coding
    subject; None for a correct solution or where a reply does not say.
    """

    judgement: Literal["correct", "wrong"]
    first_error_step: str | None = None
    reason: str | None = None


Gold = str | tuple[int, ...] | Review
AnswerValue = str | tuple[int, ...] | Review


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A further case asked beside an item, with no test of its own (GSM-Plus's seed question)."""

    role: ItemRole
    case: Case


@dataclass(frozen=True, slots=True)
class Case:
    """One item of a task, ready to be asked.

    Attributes:
        task: task key, e.g. ``"gsm8k"``.
        index: position in the data set's own (pinned) order, from 0.
        kind: how the answer is read: one of ``AnswerKind``, or a user's own (``Reader``).
        question: what is asked, without format instructions or options.
        gold: number as a plain string (``"120000"``, ``"-3.5"``, ``"3/4"``) or ``UNANSWERABLE``; LaTeX
            string; option letter; sorted list; ``Review``; or whatever text a user's own kind compares with.
        options: texts of the choices, lettered A, B, C... by position.
        given: the unsorted list of a sorting item.
        steps: the solution under review, one step (or line of code) an entry.
        cluster: items that share it are not independent; empty where every item stands alone.
        facets: groups for break-downs, e.g. ``{"subject": "Algebra", "level": "3"}``.
        auxiliary: further cases asked beside this one.
        source_id: the data set's own id where it has one.
        context: text shown before the question (e.g. a ground-truth-free passage); usually empty.
        note: why the record is odd (e.g. a MathQA options string that could not be split); listed in reports.
        labels: what stands before each option; empty: its letter and a full stop.
        places: where each option stands in the item as the data set has it; empty: there.
    """

    task: str
    index: int
    kind: str
    question: str
    gold: Gold
    options: tuple[str, ...] = ()
    given: tuple[int, ...] = ()
    steps: tuple[str, ...] = ()
    cluster: str = ""
    facets: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    auxiliary: tuple[Auxiliary, ...] = ()
    source_id: str = ""
    context: str = ""
    note: str = ""
    labels: tuple[str, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def item(self) -> str:
        """The item's name: its index, padded to four digits."""
        return f"{self.index:04d}"

    @property
    def letters(self) -> str:
        """The item's own set of option letters, e.g. ``"ABCD"``."""
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.options)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read from an output.

    ``value`` is None where no answer was found; ``rule`` names the rule that fired (or why none did:
    ``"none"``, ``"several"``, ``"unfinished-thought"``, ``"cut"``). ``anchored`` is true for an explicit
    final statement (a box, ``####``, "the answer is", a bare answer), false for a fallback such as the
    last number. ``detail`` is for auditing, e.g. the matched text.
    """

    value: AnswerValue | None
    rule: str
    anchored: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one item.

    ``reason`` is one line for people. ``failure`` is the failure class of a wrong item (empty,
    repetition, code, restated, several, wrong-format, order, dropped, ...), None when correct or when no class fits.
    ``grading_timeout`` is set where symbolic comparison ran into its deadline.
    """

    name: VerdictName
    reason: str = ""
    failure: str | None = None
    grading_timeout: bool = False
