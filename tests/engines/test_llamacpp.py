"""The llamacpp engine on the embedded model's own file: prompts, sampling, ends, faults. A real server in each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines.llamacpp_client import Asked, Completion, _watched
from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine, loaded, stop_texts
from pytest_thinkslm.models.variants import resolve_variant

pytestmark = pytest.mark.model

ARGS = {"threads": "1", "slots": "2", "context": "512"}
TEXTS = (
    "What is 12345 + 6.78?\n\n  Two  spaces\ttab",
    "日本語 😀🏳️‍🌈 ñ ½ x²",
    "<|im_end|> <|endoftext|> <repo_name>x",
    " leading and trailing   ",
    "\r\nit's we'll I'VE 1 000 000,5\u00a0\u200bzero\ufeff Ġ Ċ ▁",
)


def ask(text: str, label: str = "", **sampling) -> Request:
    return Request((Message("user", text),), Sampling(**{"max_tokens": 8, **sampling}), label)


@pytest.fixture(scope="module")
def model():
    return resolve_variant("embedded", None, "llamacpp", check=False)


@pytest.fixture
def engine(model):
    made = LlamaCppEngine(model, engine_args=ARGS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(model):
    """An engine that has loaded its model, for tests that leave it as it is."""
    made = LlamaCppEngine(model, engine_args=ARGS)
    made.submit([ask("Hi.")])[0].result()
    yield made
    made.close()


def test_prompts_are_those_of_the_other_engines_token_by_token(running):
    transformers = pytest.importorskip("transformers")
    from pytest_thinkslm.models.template import Prompts

    plain = resolve_variant("embedded", None, "transformers", check=False)
    theirs = Prompts(transformers.AutoTokenizer.from_pretrained(plain.path), plain)
    for text in TEXTS:
        turns = (Message("system", text), Message("user", text), Message("assistant", "ok"), Message("user", text))
        for messages in (turns, turns[1:2]):
            request = Request(messages, Sampling())
            assert running._prompts.ids(request) == theirs.ids(request)
            prefixed = replace(request, prefix="The answer is <|im_end|> 5")
            assert running._prompts.ids(prefixed) == theirs.ids(prefixed)


def test_outputs_come_in_order_with_their_counts_and_ends(running):
    asked = [ask(f"Say the number {number}.") for number in range(5)] + [ask("What is 2 + 2?", max_tokens=64)]
    outputs = [future.result() for future in running.submit(asked)]
    assert [output.prompt_tokens for output in outputs] == [len(running._prompts.ids(one)) for one in asked]
    assert all(output.output_tokens <= one.sampling.max_tokens for output, one in zip(outputs, asked, strict=True))
    assert {output.finish_reason for output in outputs} <= {"stop", "length"}
    cut = [(output, one) for output, one in zip(outputs, asked, strict=True) if output.finish_reason == "length"]
    assert all(output.output_tokens == one.sampling.max_tokens for output, one in cut)
    assert "<|im_end|>" not in "".join(output.text for output in outputs)
    measured = running.measured()
    assert measured["loaded"]["dtype"] == "q4_1 x 210, q8_0 x 1, f32 x 61"
    assert measured["output_tokens"] >= sum(output.output_tokens for output in outputs)
    assert measured["peak_memory_bytes"] > 98_000_000


def test_a_seed_makes_a_sample_the_same_again_and_no_default_leaks_in(running):
    sampled = {"temperature": 1.5, "max_tokens": 12}
    first, again, other = (ask("Tell a story.", seed=seed, **sampled) for seed in (2**62 + 5, 2**62 + 5, 6))
    texts = [running.submit([one])[0].result().text for one in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    body = Completion((1, 2)).body(Sampling(temperature=0.7, seed=3))
    assert (body["top_k"], body["top_p"], body["min_p"], body["repeat_penalty"]) == (0, 1.0, 0.0, 1.0)
    assert body["samplers"].index("temperature") < body["samplers"].index("top_p")  # type: ignore[attr-defined]


def test_what_the_server_is_told_is_what_it_does(running):
    """Its own account of a request's parameters: none but ours."""
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=7, min_p=0.1, seed=3, max_tokens=1, repetition_penalty=1.25)
    body = {**Completion((1, 2), stop=("x",)).body(sampling), "presence_penalty": 0.25}
    told = json.loads(running._client.post("completion", body))["generation_settings"]
    wanted = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 3, "n_predict": 1, "stop": ["x"]}
    wanted |= {"repeat_penalty": 1.25, "presence_penalty": 0.25, "frequency_penalty": 0, "dry_multiplier": 0}
    wanted |= {"typical_p": 1, "xtc_probability": 0, "mirostat": 0, "samplers": body["samplers"]}
    assert {
        name: pytest.approx(told[name]) if isinstance(told[name], float) else told[name] for name in wanted
    } == wanted


def test_a_stop_word_ends_an_output_and_is_no_part_of_it(running):
    prompt = running._prompts.ids(ask("Count from 1 to 9."))
    asked = Asked((), Sampling(max_tokens=40), "", completion=Completion(prompt, stop=(" 3", "3")))
    output = running._client.submit([asked])[0].result()
    assert output.finish_reason == "stop"
    assert "3" not in output.text


def test_a_streamed_output_is_the_whole_one(running):
    """Greedy outputs are streamed for the loop guard; sampled ones and those without a guard are not."""
    prompt = running._prompts.ids(ask("What is the capital of France?"))

    def output(guarded: bool) -> Output:
        asked = Asked((), Sampling(max_tokens=12), "", completion=Completion(prompt, guarded=guarded))
        return replace(running._client.submit([asked])[0].result(), latency=None)

    assert output(True) == output(False)


@pytest.mark.parametrize(("thought", "ends"), [("", True), ("<think>", False)])
def test_a_loop_is_ended_where_the_rule_says_and_not_inside_a_thought(thought, ends):
    block = list(range(20))
    events = [{"content": f"{token} ", "tokens": [token], "stop": False} for token in block * 12]
    last = {"content": "", "tokens": [], "stop": True, "tokens_predicted": 240, "stop_type": "limit"}

    async def stream():
        for event in (*events, last):
            yield event

    reply = asyncio.run(_watched(stream(), Completion((1, 2, 3), opened=thought, guarded=True)))
    if ends:
        # Twenty tokens a block: the first look, of every 32 tokens, at which they fill 192.
        assert (reply["tokens_predicted"], reply["tokens_evaluated"], reply["looped"]) == (192, 3, True)
        assert reply["content"] == "".join(f"{token} " for token in (block * 12)[:192])
    else:
        assert (reply["tokens_predicted"], reply.get("looped")) == (240, None)
        assert reply["content"] == "".join(f"{token} " for token in block * 12)


def test_a_prompt_beyond_the_context_is_an_error_of_its_own(running):
    long, short = running.submit([ask("word " * 600, "gsm8k 0001"), ask("Hi.")])
    with pytest.raises(EngineError, match=r"gsm8k 0001: the prompt has \d+ tokens, the engine's context 512"):
        long.result()
    assert short.result().output_tokens


def test_a_longer_request_starts_the_server_anew(model):
    engine = LlamaCppEngine(model, engine_args={"threads": "1", "slots": "1"})
    try:
        engine.submit([ask("Hi.", max_tokens=1)])[0].result()
        first, context = engine._server.popen.pid, engine._context
        engine.submit([ask("Hi.", max_tokens=context)])[0]
        assert engine.submit([ask("Hi.", max_tokens=2)])[0].result().output_tokens == 2
        assert engine._context > context
        assert engine._server.popen.pid != first
    finally:
        engine.close()


def test_many_requests_after_few_get_more_slots(model):
    engine = LlamaCppEngine(model, engine_args={"threads": "1"})
    try:
        engine.submit([ask("Hi.", max_tokens=1)])[0].result()
        assert engine._slots == 1
        outputs = [future.result() for future in engine.submit([ask("Hi.", max_tokens=1) for _ in range(6)])]
        assert (len(outputs), engine._slots) == (6, 6)
    finally:
        engine.close()


def test_cancelled_requests_are_not_asked_and_closing_ends_the_process(engine):
    futures = engine.submit([ask("Tell a long story.", max_tokens=200) for _ in range(12)])
    futures[-1].cancel()
    while not engine._facts:
        time.sleep(0.05)
    pid = engine._server.popen.pid
    engine.close()
    assert all(future.done() for future in futures)
    assert futures[-1].cancelled()
    assert not alive(pid)
    with pytest.raises(EngineError, match="closed"):
        engine.submit([ask("Hi.")])[0].result()


def test_a_killed_server_ends_every_request_with_the_reason(engine):
    futures = engine.submit([ask("Tell a long story.", f"item {number}", max_tokens=300) for number in range(4)])
    while not engine._facts:
        time.sleep(0.05)
    os.kill(engine._server.popen.pid, signal.SIGKILL)
    for number, future in enumerate(futures):
        with pytest.raises(EngineError, match=f"item {number}: .*killed by signal 9"):
            future.result(timeout=60)


def test_a_file_that_llamacpp_cannot_load_ends_every_request_with_its_words(model, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model.path.read_bytes())
    engine = LlamaCppEngine(replace(model, path=broken), engine_args=ARGS)
    broken.write_bytes(broken.read_bytes()[:1_000_000])
    try:
        with pytest.raises(EngineError, match="cannot load the model"):
            engine.submit([ask("Hi.")])[0].result()
    finally:
        engine.close()


def test_nobody_else_can_ask_the_server(running):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{running._server.address}/completion", b"{}")
    caught.value.close()
    assert caught.value.code == 401
    assert running._server.address.startswith("http://127.0.0.1:")
    process = Path(f"/proc/{running._server.popen.pid}")
    seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert running._server.key.encode() not in seen


def test_the_server_dies_with_its_parent(model):
    code = (
        "import sys, time\n"
        "from pytest_thinkslm.engines.llamacpp_engine import LlamaCppEngine\n"
        "from pytest_thinkslm.models.variants import resolve_variant\n"
        "from pytest_thinkslm.core.records import *\n"
        "engine = LlamaCppEngine(resolve_variant('embedded', None, 'llamacpp', check=False), engine_args="
        f"{ARGS!r})\n"
        "engine.submit([Request((Message('user', 'Hi.'),), Sampling(max_tokens=1))])[0].result()\n"
        "print(engine._server.popen.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(pid)


def test_arguments_are_checked(model):
    for given, words in (
        ({"slot": "2"}, "'slot' is unknown to the llamacpp engine"),
        ({"slots": "0"}, "give a whole number from 1"),
        ({"context": "many"}, "give a whole number from 64"),
        ({"loop_guard": "maybe"}, "loop_guard=maybe"),
    ):
        with pytest.raises(UsageError, match=words):
            LlamaCppEngine(model, engine_args=given)


def test_the_fingerprint_tells_files_and_versions_and_no_sizes(model):
    facts = LlamaCppEngine(model).fingerprint().facts
    assert facts["files"] == model.identity()["files"]
    assert facts["xllamacpp"] != "unknown"
    assert LlamaCppEngine(model, engine_args=ARGS).fingerprint().facts == facts


def test_what_is_loaded_and_what_ends_an_answer_are_read_from_the_file(model):
    assert loaded(model.gguf)["bits"] == model.compression.bits == 5.744
    assert stop_texts(model) == ("<|im_end|>",)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
