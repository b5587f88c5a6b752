"""The judge's desk: takes outputs as they are finished, has them judged while others are generated, asks nothing twice.

One thread owns all state; engines and clients only put messages into its inbox. A question is answered from memory,
from the journal, or by the judge; a reply that cannot be read is asked for once more. Whatever happens ends in a
``Ruling``: a question that gets no verdict says why.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from pytest_thinkslm.core.errors import EngineError, ThinkSLMError
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.core.redaction import redacted_output
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.core.text import safe_line
from pytest_thinkslm.journal.journal import Journal
from pytest_thinkslm.judging.judge import Judge
from pytest_thinkslm.judging.prompt import SAMPLING, Question, content_key, judge_prompt, new_fence
from pytest_thinkslm.judging.reply import read_ruling

#: After so many failures in a row (no reply at all) nothing more is asked.
GIVE_UP = 16


@dataclass(slots=True)
class Spent:
    """What judging took: requests sent, replies, tokens, replies found in the journal; ``time.monotonic`` seconds.

    What ends in ``read`` counts the replies from the journal, too.
    """

    requests: int = 0
    replies: int = 0
    journalled: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    read: int = 0
    prompt_tokens_read: int = 0
    output_tokens_read: int = 0
    started: float | None = None
    ended: float | None = None

    def measured(self) -> dict[str, float]:
        """For the report's ``measured.judge``."""
        seconds = 0.0 if self.started is None or self.ended is None else self.ended - self.started
        return {
            "requests": self.requests,
            "replies": self.replies,
            "journalled": self.journalled,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(seconds, 3),
        }


class Budget:
    """Requests that may still be sent; ``file`` keeps the count where a process that takes over must find it.

    Args:
        limit: most requests; None for no bound.
        file: grows by a byte a request.
    """

    def __init__(self, limit: int | None, file: Path | None = None) -> None:
        self.limit = limit
        self._file = file
        self._spent = file.stat().st_size if file is not None and file.exists() else 0

    @property
    def left(self) -> int | None:
        """Requests left; None without a bound."""
        return None if self.limit is None else max(0, self.limit - self._spent)

    def take(self) -> bool:
        """Take one request; False where there is none left."""
        if self.left == 0:
            return False
        self._spent += 1
        if self._file is not None:
            with self._file.open("ab") as file:
                file.write(b".")
        return True


@dataclass(slots=True)
class _Asked:
    """A question on its way; everyone who asks the same waits for the same ``rulings``."""

    question: Question
    future: Future[Ruling] = field(default_factory=Future)
    again: bool = False


class JudgeDesk:
    """Rulings on questions.

    Args:
        judge: who is asked.
        journal: where replies are kept, under the judge's own fingerprint.
        budget: requests that may be sent.
        dead: why the judge cannot be asked at all, from the start; the journal still answers.
    """

    def __init__(
        self,
        judge: Judge,
        journal: Journal | None,
        *,
        budget: Budget | None = None,
        dead: str = "",
    ) -> None:
        self.budget = budget or Budget(None)
        self.spent = Spent()
        self.offered = 0
        self.done = 0
        self._judge = judge
        self._journal = journal
        self._dead = dead
        self._failed = 0
        self._known: dict[str, Future[Ruling]] = {}
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, question: Question) -> Future[Ruling]:
        """Have one question judged; returns at once, never raises, from any thread."""
        return self.consider(lambda: question)  # type: ignore[return-value]

    def consider(self, ask_about: Callable[[], Question | None]) -> Future[Ruling | None]:
        """Have a question judged that is worked out on the desk's own thread; None of it: there is nothing to ask.

        The future always ends in a ruling, in None, or (after ``close``) cancelled.
        """
        waiting: Future[Ruling | None] = Future()
        with self._lock:
            if self._closed:
                waiting.cancel()
                waiting.set_running_or_notify_cancel()
                return waiting
            self.offered += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="judge-desk", daemon=True)
                self._thread.start()
        self._inbox.put(lambda: self._take(ask_about, waiting))
        return waiting

    def rest(self) -> None:
        """Let go of the judge (a loaded model) until the next question."""
        self._judge.close()

    def close(self) -> None:
        """Stop; what was not judged stays so."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
        self._judge.close()
        if self._journal is not None:
            self._journal.close()

    def measured(self) -> Mapping[str, float]:
        """What judging took in this process."""
        return self.spent.measured()

    # The desk's own thread.

    def _run(self) -> None:
        while (work := self._inbox.get()) is not None and not self._closed:
            work()

    def _take(self, ask_about: Callable[[], Question | None], waiting: Future[Ruling | None]) -> None:
        try:
            question = ask_about()
            if question is None:
                self._settle(waiting, None)
                return
            key = content_key(question)
            known = self._known.get(key)
            if known is None:
                asked = _Asked(question)
                known = self._known[key] = asked.future
                self._seek(asked, key)
            known.add_done_callback(lambda future: self._settle(waiting, future.result()))
        except Exception as error:
            self._settle(waiting, Ruling("unjudged", reason=safe_line(f"{type(error).__name__}: {error}", 300)))

    def _seek(self, asked: _Asked, key: str) -> None:
        """From the journal where it has the reply, else from the judge."""
        reply = None if self._journal is None else self._journal.get(_request(asked.question), key)
        if reply is not None:
            self.spent.journalled += 1
            self._read(asked, reply)
            return
        if self._dead:
            asked.future.set_result(Ruling("unjudged", reason=self._dead))
            return
        if not self.budget.take():
            asked.future.set_result(Ruling("over-budget", reason=f"--judge-budget {self.budget.limit} was spent"))
            return
        messages = judge_prompt(asked.question, new_fence(asked.question), again=asked.again)
        enforced = self._judge.enforced
        self.spent.requests += 1
        self.spent.started = self.spent.started or time.monotonic()
        try:
            (future,) = self._judge.ask([(messages, asked.question.label)])
        except ThinkSLMError as error:
            self._no_reply(asked, str(error))
            return
        future.add_done_callback(lambda done: self._inbox.put(lambda: self._answered(asked, key, done, enforced)))

    def _answered(self, asked: _Asked, key: str, done: Future[Output], enforced: bool) -> None:
        self.spent.ended = time.monotonic()
        try:
            reply = redacted_output(done.result())
        except BaseException as error:  # cancelled, too: the desk is closing
            if enforced and isinstance(error, EngineError) and error.kind == "no-schema":
                self._judge.enforced = False  # the strict reading of the text holds either way
                self._seek(asked, key)
            else:
                self._no_reply(asked, str(error) if isinstance(error, EngineError) else type(error).__name__)
            return
        self._failed = 0
        self.spent.replies += 1
        self.spent.prompt_tokens += reply.prompt_tokens or 0
        self.spent.output_tokens += reply.output_tokens or 0
        try:
            if self._journal is not None:
                self._journal.put(_request(asked.question), key, reply)
        except ThinkSLMError as error:  # the reply counts, and nothing more is asked for
            self._dead = self._dead or safe_line(str(error), 300)
        self._read(asked, reply)

    def _no_reply(self, asked: _Asked, why: str) -> None:
        self._failed += 1
        why = safe_line(why, 300)
        if self._failed >= GIVE_UP and not self._dead:
            self._dead = f"the judge does not answer ({self._failed} failures in a row): {why}"
        asked.future.set_result(Ruling("unjudged", reason=why))

    def _read(self, asked: _Asked, reply: Output) -> None:
        self.spent.read += 1
        self.spent.prompt_tokens_read += reply.prompt_tokens or 0
        self.spent.output_tokens_read += reply.output_tokens or 0
        ruling = read_ruling(reply, asked.question.shown)
        if isinstance(ruling, Ruling):
            asked.future.set_result(ruling)
        elif asked.again:
            asked.future.set_result(Ruling("unjudged", reason=f"asked twice: {ruling}"))
        else:
            asked.again = True
            self._seek(asked, content_key(asked.question, again=True))

    def _settle(self, waiting: Future[Ruling | None], ruling: Ruling | None) -> None:
        self.done += 1
        waiting.set_result(ruling)


def _request(question: Question) -> Request:
    """As the journal files it."""
    return Request(
        (),
        SAMPLING,
        question.label,
        task=question.task,
        item=question.item,
        style=question.style,
        repeat=question.repeat,
    )
