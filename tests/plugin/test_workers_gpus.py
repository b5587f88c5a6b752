"""Workers and GPUs, through the real command on a simulated machine: NVML and the engines are pretended, no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from replayed import items, results

from pytest_thinkslm.plugin import workers
from pytest_thinkslm.plugin.worker_input import WorkerInput

GIB = 1 << 30

#: A machine with GPUs of the sizes in SIMULATED_GIB. The engines answer at once and write down what they saw.
CONFTEST = """
import json
import os
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

from pytest_thinkslm.engines import transformers_engine, vllm_engine
from pytest_thinkslm.engines.base import Fingerprint
from pytest_thinkslm.machine import hardware
from pytest_thinkslm.core.records import Output

SIZES = [int(size) << 30 for size in os.environ["SIMULATED_GIB"].split(",")]

class NVML:
    class NVMLError(Exception):
        pass
    def __getattr__(self, name):
        return lambda *arguments: None
    def nvmlDeviceGetCount(self):
        return len(SIZES)
    def nvmlDeviceGetHandleByIndex(self, index):
        return index
    def nvmlDeviceGetName(self, handle):
        return "Simulated"
    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=SIZES[handle], free=SIZES[handle])
    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return []

sys.modules["pynvml"] = NVML()
hardware._what_cuda_lacks = lambda: ""
hardware.torch_is_cuda_build = lambda: True

class Engine:
    def __init__(self, model, **given):
        self.given = given

    def submit(self, requests):
        with open("seen.jsonl", "a") as seen:
            row = [os.environ.get("CUDA_VISIBLE_DEVICES"), len(requests), self.given.get("gpu"), self.given["beside"]]
            seen.write(json.dumps(row) + "\\n")
        futures = []
        for request in requests:
            future = Future()
            future.set_result(Output("I like turtles.", "stop", 3, 4, latency=0.1))
            futures.append(future)
        return futures

    def fingerprint(self):
        return Fingerprint({"engine": "pretended"})

    def measured(self):
        return {
            "load_seconds": 2.0, "gpu_seconds": 3.0, "peak_memory_bytes": 100,
            "peak_gpu_memory_bytes": int(os.environ.get("CUDA_VISIBLE_DEVICES", "0")[0]) or None,
        }

    def close(self):
        pass

transformers_engine.TransformersEngine = vllm_engine.VLLMEngine = Engine
"""

Machine = Callable[..., pytest.RunResult]


@pytest.fixture
def machine(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Run sort8_positive for a checkpoint of ``weights`` GiB on GPUs of these sizes."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (pytester.path / "vllm").mkdir()
    (pytester.path / "vllm" / "__init__.py").write_text("raise ImportError('nothing is to load it')")
    (pytester.path / "vllm" / "_version.py").write_text("__version__ = version = '0.32.0'\n")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=":")
    pytester.makeconftest(CONFTEST)

    def run(gpus: str, weights: float, *arguments: str, engine: str = "transformers") -> pytest.RunResult:
        monkeypatch.setenv("SIMULATED_GIB", gpus)
        checkpoint(pytester.path / "model", weights)
        return pytester.runpytest_subprocess(
            "--model=./model", f"--engine={engine}", "--report-dir=report", *arguments, timeout=180
        )

    return run


def checkpoint(folder: Path, gib: float) -> None:
    """A checkpoint by its headers: so many GiB of bfloat16 weights, of which none is there."""
    folder.mkdir()
    config = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    (folder / "tokenizer.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, int(gib * GIB)]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def seen(pytester: pytest.Pytester) -> list[list[object]]:
    """(CUDA_VISIBLE_DEVICES, requests, GPU, engines side by side) of each engine that was asked."""
    return sorted(json.loads(line) for line in (pytester.path / "seen.jsonl").read_text().splitlines())


SORTS = "--task=sort8_positive"


def test_auto_is_a_worker_a_gpu_each_with_its_own(machine: Machine, pytester: pytest.Pytester) -> None:
    result = machine("24,24", 10, SORTS, "-n", "auto")
    assert result.ret == 0
    assert "2 workers [100 items]" in result.stdout.str()
    assert seen(pytester) == [["0", 50, 0, 2], ["1", 50, 0, 2]]
    (measured,) = results(pytester.path / "report")["measured"]["variants"].values()
    assert measured["devices"] == [{"index": index, "name": "Simulated", "total_bytes": 24 * GIB} for index in (0, 1)]
    assert measured["gpu_seconds"] == 6.0
    assert measured["load_seconds"] == 2.0
    assert measured["peak_memory_bytes"] == 200
    assert measured["peak_gpu_memory_bytes"] == 1, "what one worker does not know takes nothing from the other"
    assert "peak memory 0 MiB" in (pytester.path / "report" / "summary.md").read_text()


def test_groups_of_a_large_model_within_what_the_user_lets_see(
    machine: Machine, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 GPUs would make 8 workers; the model takes 4 of them at a time, and the user keeps one back."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,6,5,4,3,2,1,0")
    result = machine(",".join(["24"] * 8), 60, SORTS, "-n", "auto", engine="vllm")
    assert result.ret == 0
    assert seen(pytester) == [["3,2,1,0", 50, None, 2], ["7,6,5,4", 50, None, 2]]
    (measured,) = results(pytester.path / "report")["measured"]["variants"].values()
    assert [device["index"] for device in measured["devices"]] == list(range(8))


def test_fewer_workers_than_groups_share_them_out(machine: Machine, pytester: pytest.Pytester) -> None:
    assert machine("24,24,24", 10, SORTS, "-n2", engine="vllm").ret == 0
    assert seen(pytester) == [["0", 50, None, 2], ["1,2", 50, None, 2]]


def test_more_workers_than_groups_is_an_error_before_anything_starts(
    machine: Machine, pytester: pytest.Pytester
) -> None:
    result = machine("24,24", 10, SORTS, "-n3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if "-n 3" in line]
    assert "there is room for 2 GPU groups" in line
    assert "use -n 2, or -n auto" in line
    assert not (pytester.path / "seen.jsonl").exists()
    assert not (pytester.path / "report").exists()


@pytest.mark.parametrize("distribution", [(), ("--dist=load",)], ids=["static", "load"])
def test_a_replacement_gets_the_gpu_of_the_dead_worker(
    machine: Machine, pytester: pytest.Pytester, distribution: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        test_own="""
        import os
        import signal
        from pathlib import Path
        from pytest_thinkslm import reasoning_task, verify

        @reasoning_task("sort8_positive")
        def test_sort8_positive(case, slm, gpu):
            assert gpu.device == "cuda" and gpu.tensor_parallel == gpu.replicas == 1
            assert [str(device.index) for device in gpu.devices] == [os.environ["CUDA_VISIBLE_DEVICES"]]
            assert "one GPU each" in gpu.reason
            if case.item in ("0003", "0080") and not Path(case.item).exists():
                Path(case.item).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            verify(case, slm(case))
        """
    )
    result = machine("24,24", 10, "test_own.py", "-n2", *distribution)
    reported = [(line["item"], line["verdict"]) for line in items(pytester.path / "report")]
    assert len({item for item, _ in reported}) == len(reported) == 100
    errors = [item for item, verdict in reported if verdict == "error"]
    # Under a distribution of the user's xdist itself decides: it does not try a crashed item again.
    assert errors == (["0003", "0080"] if distribution else [])
    assert result.ret == (1 if distribution else 0)
    assert {device for device, *_ in seen(pytester)} == {"0", "1"}


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["one", "n2"])
def test_a_model_that_cannot_fit(
    machine: Machine, pytester: pytest.Pytester, engine: str, arguments: tuple[str, ...]
) -> None:
    result = machine("24,24", 60, SORTS, *arguments, engine=engine)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    assert "60.0 GiB" in text
    assert "24.0 GiB" in text
    assert "--quant" in text
    assert "Traceback" not in text
    assert not (pytester.path / "seen.jsonl").exists(), "nothing was loaded"
    assert not (pytester.path / "report").exists()


def test_what_is_too_large_for_one_gpu_is_so_for_transformers_alone(
    machine: Machine, pytester: pytest.Pytester
) -> None:
    assert machine("24,24", 30, SORTS, engine="vllm").ret == 0
    ((devices, *_),) = seen(pytester)
    assert devices is None
    (measured,) = results(pytester.path / "report")["measured"]["variants"].values()
    assert [device["index"] for device in measured["devices"]] == [0, 1]
    checkpoints = pytester.path / "model"
    for file in checkpoints.iterdir():
        file.unlink()
    checkpoints.rmdir()
    assert machine("24,24", 30, SORTS, "--report-dir=second").ret == pytest.ExitCode.USAGE_ERROR


def test_devices_come_too_late_for_a_running_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    running = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(workers.sys.modules, "torch", running)
    assert workers.take_devices(WorkerInput("report", "table", 2)) == "", "nothing to take"
    assert "before the plugin could give it its GPUs" in workers.take_devices(
        WorkerInput("report", "table", 2, visible_devices="1")
    )
    assert "CUDA_VISIBLE_DEVICES" not in workers.os.environ


GPU_TEST = """
def test_gpu(gpu):
    print("\\nplaced:", gpu.device, gpu.devices, gpu.tensor_parallel, gpu.replicas, gpu.reason)
"""


def test_the_fixture_without_a_gpu(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    checkpoint(pytester.path / "model", 0.1)
    pytester.makepyfile(GPU_TEST)
    plain = pytester.runpytest_subprocess("-rs")
    plain.assert_outcomes(skipped=1)
    assert "needs a model" in plain.stdout.str()
    given = pytester.runpytest_subprocess(
        "--model=./model", "--engine=transformers", "-s", "test_the_fixture_without_a_gpu.py"
    )
    given.assert_outcomes(passed=1)
    given.stdout.fnmatch_lines(["placed: cpu () 1 1 cpu: CUDA_VISIBLE_DEVICES hides every GPU; *"])


def test_the_fixture_where_no_model_is_loaded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own=GPU_TEST)
    (pytester.path / "outputs.jsonl").write_text('{"task": "sort8_positive", "item": 0, "output": "1"}\n')
    given = pytester.runpytest_subprocess("--model=outputs.jsonl", "--engine=replay", "-s", "test_own.py")
    given.assert_outcomes(passed=1)
    given.stdout.fnmatch_lines(["placed: none () 1 1 --engine replay: recorded outputs"])
