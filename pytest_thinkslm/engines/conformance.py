"""A test of an engine that a user brings: does it keep what class ``Engine`` promises?"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines.base import Engine
from pytest_thinkslm.journal.journal import Journal, entry_key

#: New tokens that questions are asked with, and few enough that a sentence is cut.
_TOKENS = 48
_FEW = 2
#: Requests of which most are cancelled.
_MANY = 64

_QUESTIONS = tuple(
    f"Sort these numbers in ascending order: {', '.join(str((17 * place * count + 5) % 97) for place in range(count))}."
    for count in (2, 9, 4, 12, 3, 7)
)


def check_engine(make: Callable[[], Engine], *, failing: Request | None = None, timeout: float = 120.0) -> None:
    """Assert that an engine keeps the promises of class ``Engine``: run it in a test of your own.

    What is asked for: futures in the order of the requests, outputs of the right types, true token counts and finish
    reasons, an error that fails its own request alone, cancelled requests that harm no other, a ``close`` after which
    nothing is left waiting or running, and a fingerprint under which the journal finds an output again. What cannot
    be seen from outside is not checked: that nothing is loaded before the first ``submit``, and that no cancelled
    request is generated.

    Args:
        make: makes a new engine of one model; called several times. ``lambda: make(EngineSpec("name"))`` for what an
            entry point names.
        failing: a request that the engine cannot answer, say one beyond its context; None: a very long prompt, which
            it may answer, or fail.
        timeout: seconds that one answer may take, loading included.

    Raises:
        AssertionError: with every promise that is broken, a line each.
    """
    checks: tuple[Callable[[_Check], None], ...] = (
        _Check.fingerprints,
        _Check.answers,
        _Check.limits,
        _Check.errors,
        _Check.cancelling,
        _Check.journal,
        _Check.closing,
    )
    problems: list[str] = []
    for check in checks:
        try:
            check(_Check(make, failing, timeout))
        except _Broken as broken:
            problems.append(f"{check.__name__}: {broken}")
        except Exception as error:  # the engine's, where it should have been in a future
            problems.append(f"{check.__name__}: {type(error).__name__} raised: {error}")
    if problems:
        raise AssertionError("the engine breaks its promises (class Engine):\n" + "\n".join(problems))


class _Broken(Exception):
    """A promise that is not kept."""


@dataclasses.dataclass(frozen=True)
class _Check:
    make: Callable[[], Engine]
    failing: Request | None
    timeout: float

    def fingerprints(self) -> None:
        """Plain JSON, the same each time: else no output is ever found in the journal again."""
        with self._engine() as one, self._engine() as two:
            first, again, other = one.fingerprint(), one.fingerprint(), two.fingerprint()
            if not isinstance(first, Fingerprint):
                raise _Broken(f"fingerprint() is a {type(first).__name__}, and no Fingerprint")
            if json.loads(json.dumps(first.facts)) != first.facts:
                raise _Broken("the facts are not plain JSON values (text, numbers, lists, objects with text as keys)")
            if not first.digest == again.digest == other.digest:
                raise _Broken("the facts change from one call or engine to the next: the journal would find nothing")

    def answers(self) -> None:
        """Alone and together, in the order of the requests."""
        requests = _requests()
        with self._engine() as engine:
            together = self._outputs(engine, requests)
            alone = [self._outputs(engine, [request])[0] for request in requests]
        for output in (*together, *alone):
            _well_formed(output)
        texts = [output.text for output in alone]
        for place, output in enumerate(together):
            if output.text != texts[place] and output.text in texts:
                raise _Broken(
                    f"the future of request {place} has the answer to request {texts.index(output.text)}: "
                    "futures are in the order of the requests"
                )
        if 2 * sum(output.text == text for output, text in zip(together, texts, strict=True)) < len(texts):
            raise _Broken("most greedy answers differ between asked alone and asked together: order cannot be checked")
        for which, outputs in (("together", together), ("alone", alone)):
            counts = [output.prompt_tokens for output in outputs]
            known = [(len(text), count) for text, count in zip(_QUESTIONS, counts, strict=True) if count is not None]
            if _disordered(known):
                raise _Broken(
                    f"prompt_tokens {counts} (asked {which}) do not grow with the prompts: padding is counted"
                )

    def limits(self) -> None:
        """``max_tokens`` bounds the new tokens, and an output that it cut says so."""
        few = [_request(question, _FEW) for question in _QUESTIONS]
        with self._engine() as engine:
            cut, whole = self._outputs(engine, few), self._outputs(engine, _requests())
        for short, long in zip(cut, whole, strict=True):
            for output, limit in ((short, _FEW), (long, _TOKENS)):
                if output.output_tokens is not None and output.output_tokens > limit:
                    raise _Broken(f"output_tokens is {output.output_tokens} under max_tokens {limit}")
                if output.finish_reason == "length" and output.output_tokens not in (None, limit, limit - 1):
                    raise _Broken(
                        f"cut at {output.output_tokens} tokens under max_tokens {limit}: the count is no true one"
                    )
            if short.finish_reason == "stop" and short.text != long.text and long.text.startswith(short.text):
                raise _Broken(f"an output that max_tokens {_FEW} cut says finish_reason 'stop', not 'length'")

    def errors(self) -> None:
        """A request that cannot be answered fails alone, with ``EngineError``, in its future."""
        good = _requests()[:2]
        bad = self.failing or _request("word " * 400_000, _FEW)
        with self._engine() as engine:
            futures = self._submit(engine, [good[0], bad, good[1]])
            problem = self._problem(futures[1])
            if self.failing is not None and problem is None:
                raise _Broken("the request that cannot be answered was answered")
            if problem is not None and not isinstance(problem, EngineError):
                raise _Broken(f"a request failed with {type(problem).__name__}, and not with EngineError")
            for future in (futures[0], futures[2]):
                if (other := self._problem(future)) is not None:
                    raise _Broken(f"a request that cannot be answered fails the others, too: {other}")
            if (later := self._problem(self._submit(engine, good[:1])[0])) is not None:
                raise _Broken(f"after a request that failed nothing is answered: {later}")

    def cancelling(self) -> None:
        """Cancelled requests harm no other."""
        with self._engine() as engine:
            futures = self._submit(engine, [_request(f"{_QUESTIONS[0]} ({place})", _TOKENS) for place in range(_MANY)])
            cancelled = [future.cancel() for future in futures[1:]]
            if (problem := self._problem(futures[0])) is not None:
                raise _Broken(f"a request failed as others were cancelled: {problem}")
            for future, done in zip(futures[1:], cancelled, strict=True):
                if not done and (problem := self._problem(future)) is not None:
                    raise _Broken(f"a request that could not be cancelled any more failed: {problem}")
            if (problem := self._problem(self._submit(engine, _requests()[:1])[0])) is not None:
                raise _Broken(f"after requests were cancelled nothing is answered: {problem}")

    def journal(self) -> None:
        """What one engine answered is found under another's fingerprint, as it was."""
        request = _requests()[0]
        with self._engine() as engine, tempfile.TemporaryDirectory() as folder:
            output = self._outputs(engine, [request])[0]
            kept = Journal(Path(folder), engine.fingerprint())
            kept.put(request, entry_key(request), output)
            kept.close()
            with self._engine() as other:
                found = Journal(Path(folder), other.fingerprint()).get(request, entry_key(request))
        if found is None or dataclasses.replace(found, latency=output.latency) != output:
            raise _Broken(f"the journal has {found} where the engine answered {output}")

    def closing(self) -> None:
        """``close`` leaves nothing waiting and nothing running, and may be called at any time, and twice."""
        self.make().close()
        before = set(threading.enumerate())
        engine = self.make()
        futures = self._submit(engine, [_request(f"{_QUESTIONS[1]} ({place})", _TOKENS) for place in range(_MANY)])
        engine.close()
        waiting = sum(isinstance(self._problem(future), FutureTimeout) for future in futures[:1] + futures[-1:])
        if waiting or not all(future.done() for future in futures):
            raise _Broken("close() leaves futures that never end: cancel what is queued")
        engine.close()
        if not isinstance(engine.measured(), dict):
            json.dumps(dict(engine.measured()))
        left = [thread for thread in set(threading.enumerate()) - before if not _ended(thread, self.timeout)]
        if left:
            raise _Broken(f"close() leaves threads that run: {', '.join(sorted(thread.name for thread in left))}")

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = self.make()
        try:
            yield engine
        finally:
            engine.close()

    def _submit(self, engine: Engine, requests: Sequence[Request]) -> list[Future[Output]]:
        futures = list(engine.submit(requests))
        if len(futures) != len(requests):
            raise _Broken(f"submit returned {len(futures)} futures for {len(requests)} requests")
        for future in futures:
            if not isinstance(future, Future):
                raise _Broken(
                    f"submit returned a {type(future).__name__} where a concurrent.futures.Future is promised"
                )
        return futures

    def _outputs(self, engine: Engine, requests: Sequence[Request]) -> list[Output]:
        outputs: list[Output] = []
        for future in self._submit(engine, requests):
            if (problem := self._problem(future)) is not None:
                raise _Broken(f"a plain request failed: {type(problem).__name__}: {problem}")
            outputs.append(future.result())
        return outputs

    def _problem(self, future: Future[Output]) -> BaseException | None:
        try:
            return future.exception(timeout=self.timeout)
        except CancelledError as error:
            return error
        except FutureTimeout:
            return FutureTimeout(f"no answer within {self.timeout:g} s")


def _request(question: str, tokens: int) -> Request:
    return Request((Message("user", question),), Sampling(max_tokens=tokens), label="check_engine", task="check")


def _requests() -> list[Request]:
    return [_request(question, _TOKENS) for question in _QUESTIONS]


def _well_formed(output: object) -> None:
    if not isinstance(output, Output):
        raise _Broken(f"a future ended in a {type(output).__name__}, and no Output")
    if not isinstance(output.text, str) or output.finish_reason not in ("stop", "length", "unknown"):
        raise _Broken(f"text {output.text!r} and finish_reason {output.finish_reason!r} are not what Output promises")
    for name in ("prompt_tokens", "output_tokens"):
        count = getattr(output, name)
        if count is not None and (not isinstance(count, int) or count < 0):
            raise _Broken(f"{name} is {count!r}: a count, or None where it is not known")


def _disordered(pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether longer prompts do not have more tokens: equal counts are padding, smaller ones belong elsewhere."""
    ordered = sorted(pairs)
    return any(after[1] <= before[1] for before, after in itertools.pairwise(ordered))


def _ended(thread: threading.Thread, timeout: float) -> bool:
    thread.join(min(timeout, 10.0))
    return not thread.is_alive()
