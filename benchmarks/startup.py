"""How long until the first verdict where the journal has everything, and what the installed plugin costs others.

    python benchmarks/startup.py --data-dir DIR

1. The journal is filled with made-up outputs for all 1,319 GSM8K items under the embedded model's fingerprint; then
   the time from the command to the first verdict is taken.
2. An unrelated suite of one test, with and without the plugin: seconds of each, the best of several.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.journal.journal import Journal, entry_key
from pytest_thinkslm.settings.run_settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--engine", default="transformers")
    options = parser.parse_args()
    data_dir = options.data_dir.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = fill(folder, data_dir, options.engine)
        seconds = min(first_verdict(folder, data_dir, options.engine) for _ in range(3))
        print("| what | measured |")
        print("|---|---:|")
        print(f"| first verdict, {count} journalled items | {seconds:.2f} s |")
        (folder / "other").mkdir()
        (folder / "other" / "test_other.py").write_text("def test_nothing():\n    pass\n")
        off = min(unrelated(folder / "other", ["-p", "no:thinkslm"]) for _ in range(7))
        on = min(unrelated(folder / "other", []) for _ in range(7))
        print(f"| an unrelated suite without the plugin, with it | {off * 1000:.0f} ms, {on * 1000:.0f} ms |")


def fill(folder: Path, data_dir: Path, engine: str) -> int:
    settings = Settings(("embedded",), engine=engine, data_dir=data_dir, journal_dir=folder / ".thinkslm" / "journal")
    refs = [ItemRef(0, "gsm8k", "direct", index) for index in range(1319)]
    planner = Planner(settings, refs)
    journal = Journal(settings.journal_dir, EngineFactory(settings, print).fingerprint(0))
    for ref in refs:
        request = planner.request(ref)
        journal.put(request, entry_key(request), Output("The answer is 7.", output_tokens=6))
    journal.close()
    return len(refs)


def first_verdict(folder: Path, data_dir: Path, engine: str) -> float:
    (folder / "first").unlink(missing_ok=True)
    (folder / "firstverdict.py").write_text(
        "import os, time\n\ndef pytest_runtest_logreport(report):\n"
        "    if report.when == 'call' and not os.path.exists('first'):\n"
        "        open('first', 'w').write(str(time.time()))\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "firstverdict",
        "--model=embedded",
        "--task=gsm8k",
        f"--engine={engine}",
    ]
    command += [f"--data-dir={data_dir}", "--report-dir=report"]
    started = time.time()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return float((folder / "first").read_text()) - started


def unrelated(folder: Path, extra: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pytest", "-q", *extra], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
