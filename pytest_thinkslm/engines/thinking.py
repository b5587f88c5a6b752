"""A bound on the thought (``--thinking TOKENS``), around any engine: a thought that reaches it is closed for the model.

Budget forcing in the manner of s1 (Muennighoff et al. 2025, "s1: Simple test-time scaling", section 3): a first
request with the budget as its limit; where that cuts the thought, a second request whose assistant's turn begins with
the thought, a sentence that it is time to answer, and the end mark.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Output, Request
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.scoring.answers.region import final_region
from pytest_thinkslm.scoring.answers.thoughts import closing_mark, starts_thought

#: What closes a thought, before its end mark.
ENOUGH = "That is all the time there is to think; I give the answer now."

#: The marks of a thought that a server has separated from the text (its spelling there is not known here).
_START, _END = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Second:
    """What the second request asks for.

    Attributes:
        prefix: what the assistant's turn begins with.
        max_tokens: bound on its new tokens.
        closed: the thought was closed for the model; false where only the answer goes on.
    """

    prefix: str
    max_tokens: int
    closed: bool


class ThinkingEngine:
    """Answers requests whose ``thinking`` is a number of tokens in one or two requests to ``engine``.

    The thought gets at most that number of tokens, the answer at most ``sampling.max_tokens`` (counted in proportion
    to its characters where the first request holds a part of it), the whole at most the sum. The joined ``Output``
    has the text and the finish reason of the whole, the first request's prompt tokens, and output tokens and latency
    of both. Other requests pass through, but for ``told`` where a text may be a thought unseen.

    No thread waits: the second request is submitted by whichever thread finishes the first. A future that is cancelled
    while its first request runs ends with that: complete, or cancelled where a second one would have been needed.

    Args:
        engine: the backend, closed with this one.
        unmarked_is_thought: a cut text without any mark of a thought is one. So for servers, whose templates may open
            the thought in the prompt unseen; local engines show the mark.
    """

    def __init__(self, engine: Engine, *, unmarked_is_thought: bool = False) -> None:
        self._engine = engine
        self._unmarked = unmarked_is_thought

    def __repr__(self) -> str:
        return f"ThinkingEngine({self._engine!r})"

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        """Queue all requests; returns their futures in the same order."""
        first = self._engine.submit([_first(request) for request in requests])
        futures: list[Future[Output]] = []
        for request, begun in zip(requests, first, strict=True):
            if _budget(request) is None and not (self._unmarked and _thinks(request)):
                futures.append(begun)
            else:
                futures.append(_Joined(self._engine, request, begun, self._unmarked))
        return futures

    def fingerprint(self) -> Fingerprint:
        """The backend's own: the bound is part of each request."""
        return self._engine.fingerprint()

    def measured(self) -> Mapping[str, object]:
        """The backend's own."""
        return self._engine.measured()

    def close(self) -> None:
        """Close the backend; what it had not finished ends as it says."""
        self._engine.close()


def second(request: Request, output: Output, *, unmarked_is_thought: bool = False) -> Second | None:
    """What is still to be asked after the first request of ``request`` gave ``output``; None where it is complete."""
    if output.finish_reason != "length" or output.stopped is not None:
        return None
    limit = request.sampling.max_tokens
    if output.reasoning:
        if not output.text.strip():
            thought = f"{_START}\n{_trimmed(output.reasoning)}"
            return Second(_closed(thought, _END), limit, closed=True)
        prefix = f"{_START}\n{output.reasoning.strip()}\n{_END}\n\n{_whole(output.text).lstrip()}"
        share = len(output.text) / (len(output.reasoning) + len(output.text))
    else:
        mark = closing_mark(output.text)
        unmarked = final_region(output).thought is None
        if mark is None and unmarked and unmarked_is_thought:
            return Second(_closed(f"{_START}\n{_trimmed(output.text)}", _END), limit, closed=True)
        if mark is not None:
            return Second(_closed(_trimmed(output.text), mark), limit, closed=True)
        prefix = _whole(output.text)
        if unmarked_is_thought and not unmarked and not starts_thought(prefix):
            prefix = f"{_START}\n{prefix.lstrip()}"  # the server's template began it in the prompt
        share = 1.0 if unmarked else len(final_region(output).text) / len(output.text)
    left = limit - round(share * (output.output_tokens or 0))
    return Second(prefix, left, closed=False) if left > 0 and prefix else None


def told(output: Output) -> Output:
    """The output of a model that was told to think, with a cut text that has no mark of a thought taken for one.

    A server whose template opens the thought in the prompt, and that has no reasoning parser, sends it so.
    """
    if output.finish_reason != "length" or output.reasoning or final_region(output).thought is not None:
        return output
    return replace(output, text="", reasoning=output.text)


def joined(first: Output, after: Second, last: Output) -> Output:
    """One output from both requests. Text stays where the backend puts it: a separated thought is ``reasoning``."""
    # Some servers' parsers take a turn without an end mark of its own for a thought; this one has been ended.
    said, again = (last.text, last.reasoning) if last.text else (last.reasoning or "", None)
    if first.reasoning:
        thoughts = [f"{_trimmed(first.reasoning)}\n\n{ENOUGH}" if after.closed else first.reasoning, again]
        text, reasoning = _whole(first.text) + said, "\n\n".join(filter(None, thoughts))
    else:
        more = f"{_START}\n{again}\n{_END}\n\n" if again else ""
        text, reasoning = after.prefix + more + said, None
    tokens, seconds = (first.output_tokens, last.output_tokens), (first.latency, last.latency)
    return Output(
        text=text,
        reasoning=reasoning,
        finish_reason=last.finish_reason,
        prompt_tokens=first.prompt_tokens,
        output_tokens=None if None in tokens else sum(filter(None, tokens)),
        latency=None if None in seconds else sum(filter(None, seconds)),
        thought_closed=after.closed,
        stopped=last.stopped,
    )


def next_request(request: Request, after: Second) -> Request:
    """The request that goes on with what ``after`` says."""
    sampling = request.sampling
    # With noise of its own: the same seed would draw the first request's numbers again.
    seed = None if sampling.seed is None else (sampling.seed + 1) % (1 << 63)
    return replace(request, sampling=replace(sampling, max_tokens=after.max_tokens, seed=seed), prefix=after.prefix)


class _Joined(Future[Output]):
    """The future of a request that may take two: pending until it is settled, cancelled as long as neither runs."""

    def __init__(self, engine: Engine, request: Request, begun: Future[Output], unmarked: bool) -> None:
        super().__init__()
        self._engine = engine
        self._request = request
        self._unmarked = unmarked
        self._guard = threading.Lock()
        self._phase = begun
        self._unwanted = False
        self._settled = False
        begun.add_done_callback(self._first_done)

    def cancel(self) -> bool:
        """Cancel whichever request waits; where one runs, no further one is made. True where nothing runs."""
        with self._guard:
            self._unwanted = True
            phase = self._phase
        phase.cancel()  # calls back at once where it could be cancelled
        return self.cancelled()

    def running(self) -> bool:
        """Whether one of the two requests is being answered."""
        return not self.done() and self._phase.running()

    def _first_done(self, begun: Future[Output]) -> None:
        try:
            output = begun.result()
            if _budget(self._request) is None:
                self._finish(told(output))
                return
            after = second(self._request, output, unmarked_is_thought=self._unmarked)
            if after is None:
                self._finish(output)
                return
            with self._guard:
                unwanted = self._unwanted
            if unwanted:
                self._drop()
                return
            follow = self._engine.submit([next_request(self._request, after)])[0]
            with self._guard:
                self._phase = follow
                unwanted = self._unwanted
            follow.add_done_callback(lambda last: self._second_done(output, after, last))
            if unwanted:
                follow.cancel()
        except CancelledError:
            self._drop()
        except Exception as error:  # a callback's exception would vanish, and the item hang
            self._fail(error)

    def _second_done(self, first: Output, after: Second, done: Future[Output]) -> None:
        try:
            last = done.result()
            if first.prompt_tokens and last.prompt_tokens and last.prompt_tokens <= first.prompt_tokens:
                raise EngineError(
                    "the second prompt is no longer than the first, so the backend left out what the turn begins "
                    "with; a bound on the thought needs a server that continues the assistant's turn (vLLM, SGLang)"
                )
            self._finish(joined(first, after, last))
        except CancelledError:
            self._drop()
        except Exception as error:
            self._fail(error, "in the second request, after the thought's bound: ")

    # Each of these ends the future; only the first to come does.

    def _finish(self, output: Output) -> None:
        if self._claim():
            self.set_result(output)

    def _fail(self, error: Exception, where: str = "") -> None:
        if not self._claim():
            return
        text = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        label = f"{self._request.label}: "
        text = text.removeprefix(label)
        self.set_exception(EngineError(f"{label if self._request.label else ''}{where}{text}"))

    def _drop(self) -> None:
        if self._claim():
            super().cancel()
            self.set_running_or_notify_cancel()  # wakes concurrent.futures.wait

    def _claim(self) -> bool:
        with self._guard:
            claimed, self._settled = not self._settled, True
        return claimed


def _first(request: Request) -> Request:
    budget = _budget(request)
    if budget is None:
        return request
    return replace(request, sampling=replace(request.sampling, max_tokens=budget))


def _budget(request: Request) -> int | None:
    """The bound on the thought; None for a request without one, or one that goes on from a prefix already."""
    thinking = request.thinking
    return int(thinking) if thinking is not None and thinking.isdecimal() and not request.prefix else None


def _thinks(request: Request) -> bool:
    """Whether a thought without a bound was asked for."""
    thinking = request.thinking
    return thinking is not None and thinking != "off" and not thinking.isdecimal() and not request.prefix


def _closed(thought: str, mark: str) -> str:
    return f"{thought}\n\n{ENOUGH}\n{mark}\n\n"


def _trimmed(thought: str) -> str:
    return _whole(thought).strip()


def _whole(text: str) -> str:
    """Without the character at the end that the limit cut in half."""
    return text.rstrip("\ufffd")
