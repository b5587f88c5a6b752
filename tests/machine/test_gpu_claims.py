"""The script that holds the docs' claims on GPUs against real ones says so where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_thinkslm.machine.gpus import devices

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_claims.py"


def claims(*options: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if not options else dict(os.environ)
    return subprocess.run([sys.executable, str(SCRIPT), *options], env=environ, capture_output=True, text=True)


def test_without_a_gpu_no_claim_passes() -> None:
    ended = claims()
    assert ended.returncode == 4
    assert "no claim was run" in ended.stderr
    assert not ended.stdout


@pytest.mark.skipif(not devices(), reason="no GPU is visible here")
def test_every_claim_holds() -> None:
    ended = claims("--limit", "20")
    assert ended.returncode == 0, ended.stdout
