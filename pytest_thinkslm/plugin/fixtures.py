"""What tests receive: ``case``, ``slm``, ``compression``, ``gpu`` and ``judge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_thinkslm.core.errors import pages

if TYPE_CHECKING:
    from pytest_thinkslm.core.identity import ItemRef, Variant
    from pytest_thinkslm.core.records import Case, Message, Output
    from pytest_thinkslm.core.rulings import Ruling
    from pytest_thinkslm.core.schemes import Compression
    from pytest_thinkslm.generating.run import Run
    from pytest_thinkslm.machine.gpus import Gpu

NO_MODEL = "needs a model: pytest --model embedded (or a hub id, or a local folder)"
NO_JUDGE = f"needs a judge: pytest --model MODEL --judge MODEL ({pages('judge')})"


class Model:
    """The model under test.

    ``slm(case)`` is the output for the test's own case: it was generated ahead. ``slm.ask(messages)`` is for a
    user's own tests: one question, answered now.
    """

    def __init__(self, run: Run, variant: int, ref: ItemRef | None = None, output: Output | None = None) -> None:
        self._run = run
        self._index = variant
        self._ref = ref
        self._output = output

    @property
    def variant(self) -> Variant:
        """Which model and quant this is."""
        return self._run.variants[self._index]

    @property
    def compression(self) -> Compression | None:
        """How its checkpoint is compressed; None where the engine has none here."""
        model = self._run.factory.resolve(self.variant)
        return None if model is None else model.compression

    def __call__(self, case: Case) -> Output:
        """The output for ``case``: the test's own, or another one asked in the same way."""
        if self._ref is None:
            raise TypeError("slm(case) belongs in a test of a task (@reasoning_task); elsewhere use slm.ask(messages)")
        if self._output is not None and case is self._run.case(self._ref):
            return self._output
        request = self._run.request(self._ref, case)
        return self._run.ask(self._index, request.messages, request.sampling)

    def ask(
        self,
        messages: str | Sequence[Message | Mapping[str, str]],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 512,
        seed: int = 0,
        top_k: int = 0,
        min_p: float = 0.0,
        presence_penalty: float = 0.0,
    ) -> Output:
        """Ask now and wait. ``messages`` is a user's question, or chat turns with ``role`` and ``content``."""
        from pytest_thinkslm.core.records import Message, Sampling

        if isinstance(messages, str):
            messages = [Message("user", messages)]
        turns = [turn if isinstance(turn, Message) else Message(**turn) for turn in messages]  # type: ignore[arg-type]
        drawn = seed if temperature > 0 else None
        sampling = Sampling(temperature, top_p, max_tokens, drawn, top_k, min_p, presence_penalty)
        return self._run.ask(self._index, turns, sampling)

    def ask_cases(
        self,
        cases: Sequence[Case],
        *,
        style: str = "direct",
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Output]:
        """The outputs for cases of any kind, asked in the suite's own prompts, all at once: for tests over many cases.

        Raises:
            EngineError: the engine failed on one of them.
        """
        from pytest_thinkslm.core.errors import EngineError
        from pytest_thinkslm.core.records import Sampling
        from pytest_thinkslm.tasks.prompts import prompt_messages

        sampling = Sampling(temperature, max_tokens=max_tokens, seed=seed if temperature > 0 else None)
        found = []
        for output in self._run.ask_all(self._index, [prompt_messages(case, style) for case in cases], sampling):
            if isinstance(output, EngineError):
                raise output
            found.append(output)
        return found


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The item under test, as the task's ``Case``."""
    state = _state(request)
    if state is None:
        pytest.fail("the fixture 'case' belongs in a test of a task: mark the function with @reasoning_task(key)")
    return state.case


@pytest.fixture
def slm(request: pytest.FixtureRequest) -> Model:
    """The model under test."""
    state = _state(request)
    if state is not None:
        return Model(state.run, state.ref.variant, state.ref, state.output)
    run = request.config.stash.get(RUN, None)
    if run is None:
        pytest.skip(NO_MODEL)
    return Model(run, int(getattr(request, "param", 0)))


@pytest.fixture
def compression(slm: Model) -> Compression:
    """How the model under test is compressed (scheme, bits, method, sparsity, source, bytes); loads nothing.

    Read from the checkpoint's own files, once for each variant of the run. Skips where the engine has no checkpoint
    here: recorded outputs, or a server.
    """
    found = slm.compression
    if found is None:
        pytest.skip("no checkpoint is here (--engine replay or openai): what is served can be compressed in any way")
    return found


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> Gpu:
    """Where the model under test is placed: devices, tensor-parallel size, replicas, and why.

    With several variants: of the one that the test's ``slm`` is, else of the first.
    """
    state = _state(request)
    if state is not None:
        return state.run.factory.gpu(state.ref.variant)
    run = request.config.stash.get(RUN, None)
    if run is None:
        pytest.skip(NO_MODEL)
    callspec = getattr(request.node, "callspec", None)
    variant = 0 if callspec is None else callspec.params.get("slm", 0)
    return run.factory.gpu(variant if isinstance(variant, int) else 0)


class AskJudge:
    """The run's judge, for a user's own tests."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *, question: str, gold: str, output: str | Output, options: Sequence[str] = ()) -> Ruling:
        """Whether the final answer in ``output`` equals ``gold``; asked now, journalled like any other.

        Args:
            question: the problem.
            gold: reference answer in words, or the letter of the right option.
            output: what a model made of it, as text or as ``slm.ask`` returned it; its final region alone is judged.
            options: texts of the choices.

        Returns:
            The ruling; ``verdict`` is None where the judge cannot tell, or where ``status`` says that it did not judge.
        """
        from pytest_thinkslm.core.records import Output
        from pytest_thinkslm.judging.prompt import Question, gold_text
        from pytest_thinkslm.scoring.answers.region import final_region

        given = output if isinstance(output, Output) else Output(output)
        asked = Question("answer", question, gold_text(gold, tuple(options)), final_region(given).text, tuple(options))
        assert self._run.judge is not None
        with self._run.waiting():
            return self._run.judge.desk.ask(asked).result()


@pytest.fixture
def judge(request: pytest.FixtureRequest) -> AskJudge:
    """The run's LLM judge: ``judge(question=..., gold=..., output=...)``. Skips without ``--judge``."""
    run = request.config.stash.get(RUN, None)
    if run is None or run.judge is None:
        pytest.skip(NO_JUDGE)
    return AskJudge(run)


class ItemState:
    """What the plugin keeps of an item between its setup and its report."""

    __slots__ = ("case", "item", "output", "ref", "ruling", "run")

    def __init__(self, run: Run, item: pytest.Item, ref: ItemRef, case: Case, output: Output) -> None:
        self.run = run
        self.item = item
        self.ref = ref
        self.case = case
        self.output = output
        #: The judge's word on the output, in a run with a judge that was asked about it.
        self.ruling: Ruling | None = None


RUN: pytest.StashKey[Run] = pytest.StashKey()
STATE: pytest.StashKey[ItemState] = pytest.StashKey()


def _state(request: pytest.FixtureRequest) -> ItemState | None:
    state = request.config.stash.get(STATE, None)
    return state if state is not None and state.item is request.node else None
