"""The transformers engine on the embedded model, in float32 where texts are compared."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import ResolvedModel, resolve
from pytest_thinkslm.models.template import PLAIN_STOP

pytest.importorskip("torch")
pytestmark = pytest.mark.model

NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Tony", "Leslie")
#: Sixteen prompts of differing lengths.
QUESTIONS = [
    f"{name} has {7 * at + 3} apples and buys {at + 2} more." + " Each apple is red." * (at * 3 % 10) + " How many now?"
    for at, name in enumerate(NAMES * 2)
]


def ask(question: str, max_tokens: int = 12, seed: int | None = None, top_p: float = 1.0) -> Request:
    sampling = Sampling(0.0 if seed is None else 0.8, top_p, max_tokens, seed)
    return Request((Message("user", question),), sampling, label="a label")


def answers(engine: TransformersEngine, requests: Sequence[Request]) -> list[Output]:
    return [future.result(timeout=300) for future in engine.submit(requests)]


class Wrapped:
    """A model whose forward pass goes through a function first."""

    def __init__(self, model: Any, before: Callable[[Any], None]) -> None:
        self.model, self.before = model, before
        self.config, self.device, self.forward = model.config, model.device, model.forward

    def __call__(self, **inputs: Any) -> Any:
        self.before(inputs["input_ids"])
        return self.model(**inputs)


def test_same_text_alone_batched_and_resumed(engine: TransformersEngine) -> None:
    requests = [
        ask(question, max_tokens=6 + at % 5, seed=None if at % 2 else 1000 + at, top_p=0.9 if at % 4 else 1.0)
        for at, question in enumerate(QUESTIONS)
    ]
    batched = [output.text for output in answers(engine, requests)]
    alone = [answers(engine, [request])[0].text for request in requests]
    resumed = [output.text for output in answers(engine, requests[7:4:-1])][::-1]
    assert batched == alone
    assert resumed == batched[5:8]


def test_greedy_tokens_are_those_of_generate(loaded: Any) -> None:
    import torch

    from pytest_thinkslm.engines.transformers_decode import Row, decode

    prompts = [loaded.tokenizer(question)["input_ids"] for question in QUESTIONS[:6]]
    own: dict[int, list[int]] = {}
    rows = [Row(prompt, 10, Sampling()) for prompt in prompts]
    decode(loaded.model, rows, [2], pad_id=2, on_finished=lambda index, finished: own.update({index: finished.tokens}))
    width = max(map(len, prompts))
    ids = torch.tensor([[2] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    loaded.model.set_attn_implementation("sdpa")
    try:
        reference = loaded.model.generate(ids, attention_mask=mask, max_new_tokens=10, do_sample=False, pad_token_id=2)
    finally:
        loaded.model.set_attn_implementation("thinkslm_sdpa")
    for at, tokens in enumerate(reference[:, width:].tolist()):
        assert own[at] == tokens[: tokens.index(2) + 1 if 2 in tokens else None]
    assert len({len(tokens) for tokens in own.values()}) > 1, "some rows should end early, some not"


@pytest.mark.filterwarnings("error")
def test_generating_warns_of_nothing(engine: TransformersEngine) -> None:
    """Under a user's ``filterwarnings = error`` a deprecated name would make every item an error."""
    assert answers(engine, [ask("Hi", 3), ask("Hi", 3, seed=1)])[0].output_tokens == 3


def test_the_name_of_the_cache_is_the_model_s_own() -> None:
    from types import SimpleNamespace

    from pytest_thinkslm.engines.transformers_cache import cache_argument

    assert cache_argument(SimpleNamespace(forward=lambda input_ids, cache=None, **kwargs: None)) == "cache"
    assert cache_argument(SimpleNamespace(forward=lambda input_ids, **kwargs: None)) == "past_key_values"


def test_rows_leave_when_they_are_done(loaded: Any, embedded_model: ResolvedModel, engine_on: Any) -> None:
    widths: list[int] = []
    wrapped = dataclasses.replace(loaded, model=Wrapped(loaded.model, lambda ids: widths.append(ids.shape[0])))
    engine = engine_on(embedded_model, wrapped)
    limits = [1, 9, 3, 6]
    done: list[int] = []
    futures = engine.submit([ask(q, limit) for q, limit in zip(QUESTIONS[4:8], limits, strict=True)])
    for limit, future in zip(limits, futures, strict=True):
        future.add_done_callback(lambda _, limit=limit: done.append(limit))
    outputs = [future.result(timeout=300) for future in futures]
    assert [output.output_tokens for output in outputs] == limits
    assert {output.finish_reason for output in outputs} == {"length"}
    assert widths == [4, 3, 3, 2, 2, 2, 1, 1, 1]
    assert sorted(done) == done or len(done) < 4  # a callback may be added after its future was done


def test_token_counts_and_the_end_of_a_turn(engine: TransformersEngine, loaded: Any) -> None:
    short, cut = answers(engine, [ask("Reply with the single word: yes", 60), ask("Tell me a long story.", 5)])
    assert short.finish_reason == "stop"
    assert "<|im_end|>" not in short.text
    assert short.output_tokens == len(loaded.tokenizer(short.text)["input_ids"]) + 1  # and the end token
    assert (cut.finish_reason, cut.output_tokens) == ("length", 5)
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    whole = (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nTell me a long story.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert cut.prompt_tokens == len(loaded.tokenizer(whole)["input_ids"])
    assert cut.latency is not None


def test_a_prompt_beyond_the_context_fails_alone(embedded_model: ResolvedModel, engine_on: Any) -> None:
    engine = engine_on(dataclasses.replace(embedded_model, context=60))
    long, near, fits = engine.submit([ask("word " * 60), ask("word " * 20, 50), ask("Hi", 2)])
    with pytest.raises(EngineError, match=r"a label: the prompt has \d+ tokens, the model's context 60"):
        long.result(timeout=300)
    bounded = near.result(timeout=300)
    assert bounded.finish_reason == "length"
    assert bounded.prompt_tokens + bounded.output_tokens == 60
    assert fits.result(timeout=300).output_tokens == 2


def test_cancelled_requests_are_never_generated(loaded: Any, embedded_model: ResolvedModel, engine_on: Any) -> None:
    import threading

    gate, rows = threading.Event(), []

    def before(ids: Any) -> None:
        rows.append(ids.shape[0])
        gate.wait(60)

    engine = engine_on(embedded_model, dataclasses.replace(loaded, model=Wrapped(loaded.model, before)), max_batch="2")
    futures = engine.submit([ask("Hi there", 3) for _ in range(8)])
    while not rows:
        gate.wait(0.01)
    assert [future.cancel() for future in futures] == [False] * 2 + [True] * 6
    gate.set()
    assert [future.result(timeout=300).output_tokens for future in futures[:2]] == [3, 3]
    engine.close()
    assert rows == [2, 2, 2]


def test_close_ends_the_running_batch(loaded: Any, embedded_model: ResolvedModel, engine_on: Any) -> None:
    import threading

    started = threading.Event()
    model = Wrapped(loaded.model, lambda ids: started.set())
    engine = engine_on(embedded_model, dataclasses.replace(loaded, model=model), max_batch="1")
    running, queued = engine.submit([ask("Tell me a very long story.", 4000), ask("Hi")])
    assert started.wait(300)
    engine.close()
    with pytest.raises(EngineError, match="stopped before it was finished"):
        running.result(timeout=0)
    assert queued.cancelled()
    with pytest.raises(EngineError, match="closed"):
        engine.submit([ask("Hi")])[0].result(timeout=0)


def test_out_of_memory_halves_the_batch(loaded: Any, embedded_model: ResolvedModel, engine_on: Any) -> None:
    widths: list[int] = []

    def before(ids: Any) -> None:
        widths.append(ids.shape[0])
        if ids.shape[0] > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    requests = [ask(question, 2, seed=at) for at, question in enumerate(QUESTIONS[:5])]
    expected = [output.text for output in answers(engine_on(embedded_model), requests)]
    engine = engine_on(embedded_model, dataclasses.replace(loaded, model=Wrapped(loaded.model, before)))
    assert [output.text for output in answers(engine, requests)] == expected
    assert widths == [5, 3, 2, 2, 1, 1, 2, 2]


def test_an_error_of_the_model_fails_its_batch_alone(
    loaded: Any, embedded_model: ResolvedModel, engine_on: Any
) -> None:
    def before(ids: Any) -> None:
        if ids.shape[1] > 60:
            raise ValueError("shapes\ndo not fit")

    engine = engine_on(embedded_model, dataclasses.replace(loaded, model=Wrapped(loaded.model, before)), max_batch="1")
    bad, good = engine.submit([ask("word " * 60), ask("Hi", 2)])
    with pytest.raises(EngineError, match=r"^a label: ValueError: shapes do not fit$"):
        bad.result(timeout=300)
    assert good.result(timeout=300).output_tokens == 2


def test_a_sampled_request_needs_a_seed(engine: TransformersEngine) -> None:
    request = dataclasses.replace(ask("Hi"), sampling=Sampling(temperature=0.7))
    with pytest.raises(EngineError, match="needs a seed"):
        engine.submit([request])[0].result(timeout=300)


def test_checkpoint_defaults_do_not_leak(
    embedded_model: ResolvedModel,
    engine: TransformersEngine,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = linked(embedded_model.path, tmp_path, without="generation_config.json")
    defaults = {"do_sample": True, "temperature": 0.6, "top_k": 3, "repetition_penalty": 1.3, "eos_token_id": [2, 0]}
    (folder / "generation_config.json").write_text(json.dumps(defaults))
    request = ask("Write the word apple ten times.", 16)
    expected = answers(engine, [request])[0].text
    engine.close()
    monkeypatch.undo()  # this one loads its folder itself
    log = io.StringIO()
    args = {"device": "cpu", "dtype": "float32", "threads": "1"}
    leaky = TransformersEngine(resolve(str(folder)), engine_args=args, log=log)
    try:
        assert answers(leaky, [request])[0].text == expected
    finally:
        leaky.close()
    assert capfd.readouterr() == ("", "")


def test_a_greedy_output_that_loops_is_ended_early(embedded_model: ResolvedModel, loaded: Any, engine_on: Any) -> None:
    """The loop is made: the model says sixteen tokens in turn; a row beside it goes on to its limit."""
    import torch

    from pytest_thinkslm.engines.transformers_cache import cache_argument

    turn = [
        int(token)
        for token in loaded.tokenizer(" a b c d e f g h i j k l m n o p", add_special_tokens=False)["input_ids"]
    ]

    class Looping(Wrapped):
        def __call__(self, **inputs: Any) -> Any:
            output = super().__call__(**inputs)
            at = int(inputs[cache_argument(self.model)].get_seq_length())
            output.logits = torch.nn.functional.one_hot(
                torch.full(output.logits.shape[:2], turn[at % 16]), output.logits.shape[-1]
            ).float()
            return output

    looping = dataclasses.replace(loaded, model=Looping(loaded.model, lambda ids: None))
    engine = engine_on(embedded_model, looping)
    stopped, short = answers(engine, [ask("Hi", 400), ask("Hi", 50)])
    assert (stopped.finish_reason, stopped.stopped, stopped.output_tokens) == ("length", "loop", 192)
    assert (short.finish_reason, short.stopped, short.output_tokens) == ("length", None, 50)
    off = engine_on(embedded_model, looping, loop_guard="off")
    (whole,) = answers(off, [ask("Hi", 224)])
    assert (whole.stopped, whole.output_tokens) == (None, 224)
    assert whole.text.startswith(stopped.text[:100])
    assert off.fingerprint().digest != engine.fingerprint().digest


def test_a_base_model_stops_at_its_own_next_question(
    embedded_model: ResolvedModel, loaded: Any, engine_on: Any, tmp_path: Path
) -> None:
    base = resolve(str(linked(embedded_model.path, tmp_path, without="chat_template.jinja")))
    assert not base.has_chat_template
    assert "plain format" in base.note
    engine = engine_on(base, dataclasses.replace(loaded, stop_strings=PLAIN_STOP))
    shots = "\n\n".join(f"Question: What is {n} + 1?\nAnswer: {n + 1}" for n in range(1, 7))
    request = Request((Message("system", shots), Message("user", "What is 7 + 1?")), Sampling(max_tokens=40))
    output = answers(engine, [request])[0]
    assert output.finish_reason == "stop"
    assert "Question" not in output.text
    assert output.text.strip().startswith("8")
    assert output.output_tokens < 20


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"batchtokens": "4"}, "no argument 'batchtokens': did you mean 'batch_tokens'"),
        ({"max_batch": "0"}, "max_batch=0: a whole number above 0"),
        ({"threads": "two"}, "threads=two"),
        ({"dtype": "bf16"}, "unknown dtype 'bf16'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"loop_guard": "no"}, "loop_guard=no: on or off"),
    ],
)
def test_engine_arguments_are_checked(embedded_model: ResolvedModel, argument: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TransformersEngine(embedded_model, engine_args=argument)


def test_fingerprint_without_torch(embedded_model: ResolvedModel) -> None:
    code = (
        "import sys\n"
        "from pytest_thinkslm.models.resolve import resolve\n"
        "from pytest_thinkslm.engines.transformers_engine import TransformersEngine\n"
        "engines = [TransformersEngine(resolve('embedded'), engine_args={'device': 'cpu', 'dtype': dtype})\n"
        "           for dtype in ('float32', 'float32', 'bfloat16')]\n"
        "print(*(engine.fingerprint().digest for engine in engines))\n"
        "[engine.close() for engine in engines]\n"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules), 'heavy import'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, other = done.stdout.split()
    assert first == second != other


def test_fingerprint_of_a_folder_follows_its_files(embedded_model: ResolvedModel, tmp_path: Path) -> None:
    folder = linked(embedded_model.path, tmp_path, without="generation_config.json")

    def digest() -> str:
        return TransformersEngine(resolve(str(folder))).fingerprint().digest

    before = digest()
    (folder / "README.md").write_text("words")
    assert digest() == before
    (folder / "generation_config.json").write_text('{"eos_token_id": 0}')
    assert digest() != before


def test_measured_facts(engine: TransformersEngine) -> None:
    answers(engine, [ask("Hi", 2)])
    facts = engine.measured()
    assert facts["dtype"] == "float32"
    assert facts["output_tokens"] == 2
    assert {"device", "load_seconds", "threads", "generating_seconds", "peak_memory_bytes"} <= set(facts)
    json.dumps(facts)


def linked(source: Path, target: Path, without: str) -> Path:
    """A folder with links to the files of another, less one."""
    folder = target / "checkpoint"
    folder.mkdir()
    for file in source.iterdir():
        if file.name != without:
            (folder / file.name).symlink_to(file)
    return folder
