"""What report.html costs for a large run: seconds to build it, its size, and how fast it answers in Chromium.

    python benchmarks/page.py [--items 45000] [--folder DIR] [--workdir DIR]

Without --folder a replay of sorting lists with outputs of about 1 kB is run first; they are words drawn with
English-like frequencies, so that they compress as text does. With --folder an existing report folder is taken.
Needs Playwright (pip install playwright) and Chromium. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONSONANTS, VOWELS = "bcdfghklmnprstvw", "aeiou"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=45_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--workdir", type=Path)
    options = parser.parse_args()
    folder = options.folder or run(options.items, options.workdir or Path(tempfile.mkdtemp(prefix="page-")))
    seconds, memory = build(folder)
    page = folder / "report.html"
    rows = [
        ("lines of items.jsonl", f"{sum(1 for _ in (folder / 'items.jsonl').open('rb')):,}"),
        ("items.jsonl", f"{(folder / 'items.jsonl').stat().st_size / 1e6:.1f} MB"),
        ("report.html", f"{page.stat().st_size / 1e6:.1f} MB"),
        ("building it", f"{seconds:.1f} s"),
        ("peak memory of a process that only builds it", f"{memory:.0f} MB"),
        *measure(page),
    ]
    print("| what | measured |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value} |")


def run(items: int, workdir: Path) -> Path:
    """A replay run of about ``items`` items; returns its report folder."""
    sys.path.insert(0, str(Path(__file__).parent))
    from harness import answer

    from pytest_thinkslm.data.reader import item_count, load_cases
    from pytest_thinkslm.tasks import registry

    chooser = random.Random(0)
    words, weights = vocabulary(chooser)
    tasks = [task for task in registry.all_tasks().values() if task.source is None]
    repeats = max(1, round(items / sum(item_count(task, None) for task in tasks) / 2))
    with (workdir / "outputs.jsonl").open("w") as file:
        for task in tasks:
            cases = load_cases(task, range(item_count(task, None)), None, data_seed=0).cases
            for style in ("direct", "cot"):
                for index, case in cases.items():
                    for repeat in range(1, repeats + 1):
                        right = chooser.random() < 0.5
                        text = " ".join(chooser.choices(words, cum_weights=weights, k=165))
                        text += answer(case.kind, case.gold, case.letters, right)
                        line = {"task": task.key, "item": index, "style": style, "repeat": repeat, "output": text}
                        file.write(json.dumps(line) + "\n")
    command = [sys.executable, "-m", "pytest", "-q", "--model", "outputs.jsonl", "--engine", "replay", "--style"]
    command += ["direct,cot", "--repeats", str(repeats), "--temperature", "1", "--report-dir", "report"]
    done = subprocess.run(command, cwd=workdir, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout[-2000:]}")
    return workdir / "report"


def vocabulary(chooser: random.Random) -> tuple[list[str], list[float]]:
    """8,000 made-up words and their cumulative weights (Zipf)."""
    words = [
        "".join(chooser.choice(CONSONANTS) + chooser.choice(VOWELS) for _ in range(chooser.choice((1, 2, 2, 3, 4))))
        for _ in range(8_000)
    ]
    weights, total = [], 0.0
    for rank in range(1, len(words) + 1):
        total += 1 / rank
        weights.append(total)
    return words, weights


def build(folder: Path) -> tuple[float, float]:
    """Seconds of building the page again in this process, and MB of a process that does nothing else."""
    from pytest_thinkslm.reports.page import write_page

    write_page(folder)  # imports and caches
    started = time.perf_counter()
    write_page(folder)
    seconds = time.perf_counter() - started
    subprocess.run([sys.executable, "-m", "pytest_thinkslm.reports.page", str(folder)], check=True, capture_output=True)
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measure(page: Path) -> list[tuple[str, str]]:
    """What a reader waits for, in a fresh headless Chromium."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.wait_for_selector("html[data-usable]", timeout=120_000)
        rows = [("list, filters and tables usable after", time.perf_counter() - started)]
        tab.wait_for_selector("html[data-plotted]", timeout=120_000)
        rows.append(("every plot drawn after", time.perf_counter() - started))
        rows.append(
            ("filter by verdict", wait_for_status(tab, lambda: tab.select_option("#filter-verdict", "incorrect")))
        )
        rows.append(("clear the filter", wait_for_status(tab, lambda: tab.click("#clear"))))
        rows.append(("open an item (its block unpacked)", open_last(tab)))
        rows.append(("search through every output, rare words", wait_for_search(tab, "boxed{[1")))
        rows.append(("search through every output, one word found in most", wait_for_search(tab, "boxed")))
        browser.close()
    return [(name, f"{seconds:.2f} s") for name, seconds in rows]


def wait_for_status(tab: Any, act: Callable[[], object]) -> float:
    before = tab.locator("#status").text_content()
    started = time.perf_counter()
    act()
    tab.wait_for_function("before => document.getElementById('status').textContent !== before", arg=before)
    return time.perf_counter() - started


def wait_for_search(tab: Any, words: str) -> float:
    started = time.perf_counter()
    tab.fill("#search", words)
    tab.wait_for_function("() => document.getElementById('status').textContent.includes('have “')", timeout=120_000)
    seconds = time.perf_counter() - started
    tab.click("#clear")
    return seconds


def open_last(tab: Any) -> float:
    tab.focus("#list")
    started = time.perf_counter()
    tab.keyboard.press("End")
    tab.wait_for_selector("#detail .columns", timeout=30_000)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
