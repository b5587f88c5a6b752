"""Device and dtype without torch."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.machine import hardware


@pytest.fixture(autouse=True)
def a_plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_what_cuda_lacks", lambda: "")
    monkeypatch.setattr(hardware, "_native_bfloat16_gpu", lambda: (True, "Ampere"))
    monkeypatch.setattr(hardware, "_native_bfloat16_cpu", lambda: (False, "old"))


@pytest.mark.parametrize(
    ("device", "dtype", "lacks", "gpu_native", "cpu_native", "expected"),
    [
        ("auto", "auto", "", True, False, ("cuda", "bfloat16")),
        ("auto", "auto", "", False, False, ("cuda", "float16")),
        ("auto", "auto", "no driver", True, True, ("cpu", "bfloat16")),
        ("auto", "auto", "no driver", True, False, ("cpu", "float32")),
        ("cpu", "auto", "", True, False, ("cpu", "float32")),
        ("auto", "float32", "", True, True, ("cuda", "float32")),
    ],
)
def test_placement(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    dtype: str,
    lacks: str,
    gpu_native: bool,
    cpu_native: bool,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(hardware, "_what_cuda_lacks", lambda: lacks)
    monkeypatch.setattr(hardware, "_native_bfloat16_gpu", lambda: (gpu_native, ""))
    monkeypatch.setattr(hardware, "_native_bfloat16_cpu", lambda: (cpu_native, ""))
    placed = hardware.decide(device, dtype)
    assert (placed.device, placed.dtype) == expected


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_what_cuda_lacks", lambda: "no NVIDIA driver is there")
    with pytest.raises(UsageError, match="no NVIDIA driver is there; leave it out"):
        hardware.decide("cuda")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.2'\n", False),
        ("__version__ = '2.0'\n", False),
    ],
)
def test_the_build_of_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "version.py").write_text(text)
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert hardware.torch_is_cuda_build() is expected


def test_no_torch_is_imported() -> None:
    code = (
        "import sys\nfrom pytest_thinkslm.machine.hardware import decide\ndecide()\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
