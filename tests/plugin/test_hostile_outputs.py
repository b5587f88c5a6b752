"""A few of the hostile outputs of ``benchmarks/hostile_outputs.py``, through a whole run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hostile_outputs.py"


@pytest.mark.timeout(600)
def test_a_run_of_hostile_outputs(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--outputs=240", "--seed=7", "--no-browser", f"--workdir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    # A slow machine makes an output slow: that is for the measurement to say.
    wrong = [line for line in done.stderr.splitlines() if not line.partition(" s: ")[1]]
    assert not wrong
    assert "| exceptions | 0 |" in done.stdout
    assert "| test cases in junit.xml | 240 |" in done.stdout
