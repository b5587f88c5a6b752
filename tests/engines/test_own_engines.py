"""Engines that a user brings: the documented example, plain functions, and what the conformance test finds."""

import itertools
import re
import runpy
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_thinkslm import (
    EngineError,
    EngineSpec,
    Fingerprint,
    Message,
    Output,
    Request,
    Sampling,
    UsageError,
    check_engine,
    engine_from,
    register_engine,
)
from pytest_thinkslm.core import entry_points
from pytest_thinkslm.engines.function_engine import plain_prompt
from pytest_thinkslm.engines.own import make_engine

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "fixtures" / "user_engine" / "sorting_engine.py"
SPEC = EngineSpec("made-up")
#: A question that the engines of this file cannot answer.
UNANSWERABLE = Request((Message("user", "Nothing to sort here."),), Sampling(max_tokens=8))

Sorting = runpy.run_path(str(EXAMPLE))["SortingEngine"]


def _ask(text: str, **sampling) -> Request:
    return Request((Message("user", text),), Sampling(**sampling))


def sort_numbers(prompts: list[str]) -> list[str]:
    return [" ".join(sorted(re.findall(r"\d+", prompt), key=int)) for prompt in prompts]


def _strict(prompts: list[str], sampling: Sampling) -> list[Output]:
    outputs = []
    for prompt in prompts:
        words = sorted(re.findall(r"\d+", prompt), key=int)
        if not words:
            raise LookupError("no numbers")
        kept = words[: sampling.max_tokens]
        reason = "stop" if kept == words else "length"
        outputs.append(Output(" ".join(kept), None, reason, prompt_tokens=len(prompt), output_tokens=len(kept)))
    return outputs


# --- what conforms


def test_the_example_is_short_and_the_page_shows_it():
    source = EXAMPLE.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 35
    assert source in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "failing"),
    [
        (lambda: Sorting(SPEC), UNANSWERABLE),
        (lambda: engine_from(sort_numbers)(SPEC), None),
        (lambda: engine_from(_strict, batch_size=5)(SPEC), UNANSWERABLE),
    ],
    ids=["example", "plain function", "function with sampling"],
)
def test_what_keeps_the_promises_passes(make, failing):
    check_engine(make, failing=failing, timeout=20)


# --- what does not: each breaks one promise


class Reversed(Sorting):
    """Futures in the order in which prompts were batched (by length)."""

    def submit(self, requests):
        return super().submit(sorted(requests, key=lambda request: len(request.messages[-1].content)))


class LastTwoSwapped(Sorting):
    def submit(self, requests):
        futures = list(super().submit(requests))
        return [*futures[:-2], *reversed(futures[-2:])]


class OneMissing(Sorting):
    def submit(self, requests):
        return super().submit(requests)[: max(1, len(requests) - 1)]


class BareText(Sorting):
    def _answer(self, request):
        return super()._answer(request).text


class OwnErrors(Sorting):
    def _answer(self, request):
        try:
            return super()._answer(request)
        except EngineError as error:
            raise ValueError(str(error)) from None


class BatchFails(Sorting):
    """One bad request takes the whole batch with it."""

    def submit(self, requests):
        bad = [request for request in requests if not re.search(r"\d", request.messages[-1].content)]
        return super().submit([bad[0]] * len(requests) if bad else requests)


class SubmitRaises(Sorting):
    def submit(self, requests):
        if any(not re.search(r"\d", request.messages[-1].content) for request in requests):
            raise EngineError("no numbers")
        return super().submit(requests)


class DiesOfCancelling:
    """One thread that sets results on futures without asking whether they were cancelled."""

    def __init__(self, spec: EngineSpec) -> None:
        self._inner = Sorting(spec)
        self._jobs: list[tuple[Request, Future[Output]]] = []
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[Request]) -> Sequence[Future[Output]]:
        jobs = [(request, Future()) for request in requests]
        with self._wake:
            self._jobs += jobs
            self._wake.notify()
        return [future for _, future in jobs]

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                request, future = self._jobs.pop(0)
            time.sleep(0.002)
            try:
                future.set_result(self._inner._answer(request))
            except EngineError as error:
                future.set_exception(error)
            except InvalidStateError:
                return

    def fingerprint(self):
        return self._inner.fingerprint()

    def measured(self):
        return {}

    def close(self) -> None:
        with self._wake:
            self._closed = True
            for _, future in self._jobs:
                future.cancel()
            self._wake.notify()


class LeavesWaiting(Sorting):
    def __init__(self, spec):
        super().__init__(spec)
        self.never: Future[Output] = Future()

    def submit(self, requests):
        futures = list(super().submit(requests))
        return [*futures[:-1], self.never] if len(futures) > 20 else futures


class ClosesOnce(Sorting):
    def close(self) -> None:
        super().close()
        if getattr(self, "closed", False):
            raise RuntimeError("closed already")
        self.closed = True


class LeavesThread(Sorting):
    def __init__(self, spec):
        super().__init__(spec)
        self.stop = threading.Event()
        STOPS.append(self.stop)
        threading.Thread(target=self.stop.wait, name="left-behind", daemon=True).start()


STOPS: list[threading.Event] = []


class NewFingerprint(Sorting):
    counter = itertools.count()

    def fingerprint(self):
        return Fingerprint({"made": next(self.counter)})


class FingerprintNoJson(Sorting):
    def fingerprint(self):
        return Fingerprint({"path": EXAMPLE})


class PaddedCounts(Sorting):
    def submit(self, requests):
        longest = max(len(request.messages[-1].content) for request in requests)

        def padded(request):
            return replace(self._answer(request), prompt_tokens=longest)

        return [self._pool.submit(padded, request) for request in requests]


class IgnoresLimit(Sorting):
    def _answer(self, request):
        return super()._answer(replace(request, sampling=Sampling(max_tokens=100)))


class SaysStop(Sorting):
    def _answer(self, request):
        output = super()._answer(request)
        return replace(output, finish_reason="stop", output_tokens=None)


class NegativeCounts(Sorting):
    def _answer(self, request):
        return replace(super()._answer(request), output_tokens=-1)


BROKEN = [
    (Reversed, "answers: the future of request"),
    (LastTwoSwapped, "answers: the future of request"),
    (OneMissing, "answers: submit returned 5 futures for 6 requests"),
    (BareText, "answers: a future ended in a str"),
    (OwnErrors, "errors: a request failed with ValueError"),
    (BatchFails, "errors: .* fails the others"),
    (SubmitRaises, "errors: EngineError raised"),
    (DiesOfCancelling, "cancelling: "),
    (LeavesWaiting, "closing: close() leaves futures that never end"),
    (ClosesOnce, "closing: RuntimeError raised: closed already"),
    (LeavesThread, "closing: close() leaves threads that run: left-behind"),
    (NewFingerprint, "fingerprints: the facts change"),
    (FingerprintNoJson, "fingerprints: TypeError raised"),
    (PaddedCounts, "answers: prompt_tokens .* padding"),
    (IgnoresLimit, "limits: output_tokens is"),
    (SaysStop, "limits: .* says finish_reason 'stop'"),
    (NegativeCounts, "answers: output_tokens is -1"),
]


@pytest.mark.parametrize(("broken", "found"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_breaks_a_promise_fails(broken, found):
    try:
        with pytest.raises(AssertionError) as raised:
            check_engine(lambda: broken(SPEC), failing=UNANSWERABLE, timeout=2)
    finally:
        for stop in STOPS:
            stop.set()
    assert re.search(found.replace("()", r"\(\)"), str(raised.value)), str(raised.value)


# --- functions


def test_what_a_function_gets():
    seen = []

    def generate(prompts, sampling, model, quant, args):
        seen.append((len(prompts), sampling.max_tokens, model, quant, dict(args)))
        return ["x"] * len(prompts)

    engine = engine_from(generate, batch_size=2)(EngineSpec("m", "q4", {"k": "v"}))
    futures = engine.submit([_ask("a", max_tokens=8), _ask("b", max_tokens=9), _ask("c", max_tokens=8)])
    assert [future.result(10).finish_reason for future in futures] == ["unknown"] * 3
    engine.close()
    assert sorted(seen) == [(1, tokens, "m", "q4", {"k": "v"}) for tokens in (8, 8, 9)]


def test_a_prompt_that_a_function_fails_on_fails_alone():
    def generate(prompts):
        if any("bad" in prompt for prompt in prompts):
            raise KeyError("bad")
        return prompts

    engine = engine_from(generate)(SPEC)
    good, bad, other = engine.submit([_ask("one"), _ask("bad"), _ask("two")])
    assert (good.result(10).text, other.result(10).text) == ("one", "two")
    with pytest.raises(EngineError, match="KeyError: 'bad'"):
        bad.result(10)
    engine.close()
    late = engine.submit([_ask("late")])[0]
    with pytest.raises(CancelledError):
        late.result(10)


@pytest.mark.parametrize(
    ("generate", "request_", "message"),
    [
        (lambda prompts: [], _ask("a"), "returned 0 texts for 1 prompts"),
        (lambda prompts: [None], _ask("a"), "returned a NoneType"),
        (lambda prompts: prompts, _ask("a", temperature=0.7, seed=1), "no parameter 'sampling'"),
    ],
)
def test_what_a_function_cannot_do_is_said(generate, request_, message):
    engine = engine_from(generate)(SPEC)
    with pytest.raises(EngineError, match=message):
        engine.submit([request_])[0].result(10)
    engine.close()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (EngineSpec("m", args={"k": "v"}), "--engine-args: .* no parameter 'args'"),
        (EngineSpec("m", "q4"), "--quant: .* no parameter 'quant'"),
        (EngineSpec("m", thinking="on"), "--thinking on"),
    ],
)
def test_what_a_function_cannot_take_is_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        engine_from(sort_numbers)(spec)


def test_turns_as_one_text():
    assert plain_prompt([Message("user", "Hi.")]) == "Hi."
    turns = [Message("system", "Be brief."), Message("user", "Hi.")]
    assert plain_prompt(turns) == "System: Be brief.\n\nUser: Hi.\n\nAssistant:"


# --- by name


@pytest.fixture
def name(monkeypatch):
    monkeypatch.setattr(entry_points, "_added", {})
    return "mine"


def _broken_maker(spec):
    raise RuntimeError("no weights")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_broken_maker, "--engine mine: it could not be made: RuntimeError: no weights"),
        (lambda spec: object(), "lacks submit, fingerprint, measured, close"),
        ("no function", "is a str"),
    ],
)
def test_a_maker_that_fails_is_named(name, make, message):
    register_engine(name, make)
    with pytest.raises(UsageError, match=message):
        make_engine(name, SPEC)


def test_names_of_the_suite_are_taken():
    with pytest.raises(UsageError, match="the suite's own"):
        register_engine("vllm", Sorting)


def test_the_journals_key_names_engine_model_and_arguments(name):
    register_engine(name, engine_from(sort_numbers, facts={"weights": "abc"}))
    specs = [SPEC, EngineSpec("other")]
    prints = [make_engine(name, spec).fingerprint() for spec in specs]
    assert prints[0].digest != prints[1].digest
    assert prints[0].facts["engine"] == name
    own = prints[0].facts["own"]
    assert own["weights"] == "abc"
    assert own["function"].endswith("sort_numbers")
    assert len(own["source"]) == 16


def test_broken_promises_are_errors_of_the_items(name):
    register_engine(name, OneMissing)
    engine = make_engine(name, SPEC)
    for future in engine.submit([_ask("3 1"), _ask("2 1")]):
        with pytest.raises(EngineError, match="--engine mine: submit returned 1 futures for 2 requests"):
            future.result(10)
    engine.close()
