"""What generating ahead gains: the same items on the embedded model, asked inside each test and asked at once.

    python benchmarks/batching.py [--items 32] [--max-tokens 64]

Both are pytest runs of the installed suite's own sorting tests on the same engine and settings, one after the other:
one with a conftest that hands every test's request to the engine only when the test is set up (as plugins do that
ask in the test), one as it is. The model is loaded in both; seconds are those of generating. Prints a Markdown row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_BY_ONE = """
import pytest
from pytest_thinkslm.plugin.fixtures import RUN

@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    # No item is known in advance: each is asked for in its own set-up.
    session.config.pluginmanager.getplugin("thinkslm-run")._mine = lambda items, refs, places: None
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        alone = run(Path(name) / "alone", ONE_BY_ONE, options)
        ahead = run(Path(name) / "ahead", "", options)
    print("| items | asked in each test | tokens/s | generated ahead | tokens/s | ratio |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {options.items} | {alone[0]:.1f} s | {alone[1]:.0f} | {ahead[0]:.1f} s | {ahead[1]:.0f} | "
        f"{alone[0] / ahead[0]:.1f} |"
    )


def run(folder: Path, conftest: str, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds from the first request to the last output, loading left out, and output tokens a second."""
    folder.mkdir()
    (folder / "conftest.py").write_text(conftest)
    command = [sys.executable, "-m", "pytest", "-q", "--model=embedded", "--task=sort8_positive", "--report-dir=report"]
    command += [f"--limit={options.items}", f"--max-tokens={options.max_tokens}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    measured = json.loads((folder / "report" / "results.json").read_text())["measured"]["variants"]["embedded|none"]
    seconds = measured["generating_seconds"]
    return seconds, measured["output_tokens"] / seconds


if __name__ == "__main__":
    main()
