"""Hostile outputs over all answer kinds: what grading them takes, and whether a run of them ends as any other.

    python benchmarks/hostile_outputs.py [--outputs 20000] [--seed 0] [--workdir DIR] [--no-browser]

The outputs are drawn from families of text that breaks graders: control characters, lone surrogates, markup of HTML,
XML, terminals and chat templates, unclosed and nested brackets, towers of powers, digits by the hundred thousand, deep
JSON, thoughts without an end, pieces of right answers in all of that. They are graded one by one, then replayed as a
run with all its reports; the run's JUnit file is parsed and its page opened in Chromium (needs Playwright). Seconds of
an output are the processor's, of this process and of the one that compares expressions: on a busy machine any output
may have to wait.

Prints a Markdown table; exit status 1 where an exception, an output that took over 2 s, a file that cannot be parsed or
a line in the browser's console was found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "fixtures" / "data"

#: A task of each answer kind, and of each way of reading one.
TASKS = ("gsm8k", "gsm_plus", "math", "mathqa", "arc_challenge", "mr_gsm", "mr_ben", "sort8_mixed")

#: Processor seconds that an output may take, and items of a task that are asked (the sample records have no more).
SLOW, ITEMS = 2.0, 3

_UNITS = (
    *("\x00", "\x1b[31m", "\x1b]0;t\x07", "\ud800", "\udfff", "\u202e", "\u2066", "\ufeff", "\ufffe", "\x9f", "\r"),
    *("]]>", "<!--", "<script>alert(1)</script>", "</textarea>", "&amp;", "&#x0;", "<|im_end|>", "[/INST]", "<eoa>"),
    *("<think>", "</think>", "<|channel>thought", "\\boxed{", "\\frac{", "\\sqrt{", "\\left(", "\\begin{array}"),
    *("\\text{", "{", "}", "(", ")", "[", "]", "$", "$$", "####", "Answer:", "**", "`", "|", "\\", "^", "_", "\u2028"),
    *("9", "1,", "-", "\u2212", "½", "٣", "π", "12", "A", "B)", "(C)", "or", "=", "\n", " ", "\t", "The answer is "),
    *("Final Judgement: ", "First Error Step: ", "correct", '{"answer": ', '"', "None", "twelve", "e308", "%", "€"),
    *("中文。", "👩‍👧‍👦", "{{7*7}}", "${jndi:x}", "../../", "'; --"),
)


def repeated(chooser: random.Random) -> str:
    """One piece over and over, up to a hundred thousand characters."""
    unit = "".join(chooser.choices(_UNITS, k=chooser.randint(1, 3)))
    return unit * (chooser.choice((3, 50, 1_000, 10_000, 100_000)) // max(len(unit), 1) + 1)


def mixed(chooser: random.Random) -> str:
    """Pieces in any order."""
    return "".join(chooser.choices(_UNITS, k=chooser.choice((5, 30, 200, 2_000))))


def noise(chooser: random.Random) -> str:
    """Any code points."""
    return "".join(chr(chooser.randrange(0x110000)) for _ in range(chooser.choice((3, 40, 400, 4_000))))


def nested(chooser: random.Random) -> str:
    """Brackets in brackets, closed or not."""
    opened, closed = chooser.choice(
        (
            ("\\boxed{", "}"),
            ("\\frac{1}{", "}"),
            ("\\sqrt{", "}"),
            ("(", ")"),
            ("[", "]"),
            ('{"a":', "}"),
            ("<b>", "</b>"),
        )
    )
    depth = chooser.choice((2, 30, 300, 5_000, 30_000))
    return opened * depth + chooser.choice(("1", "x", "")) + closed * chooser.choice((0, depth // 2, depth))


def costly(chooser: random.Random) -> str:
    """Values that nobody should compute."""
    size = chooser.choice((3, 9, 99, 99_999, 10**9))
    form = chooser.choice(
        (
            *("9^{{9^{{9^{{{0}}}}}}}", "{0}!", "\\binom{{{0}}}{{5}}", "\\sum_{{k=1}}^{{{0}}} k^k", "2^{{{0}}}"),
            *("\\prod_{{k=1}}^{{{0}}} k", "1e{0}", "\\sqrt[{0}]{{{0}}}", "\\frac{{{0}}}{{0}}", "{0}_{{7}}"),
            *("\\int_0^{{{0}}} e^{{x^2}} dx", "0.{0}{0}\\overline{{{0}}}"),
        )
    )
    return f"The value is \\boxed{{{form.format(size)}}}."


def digits(chooser: random.Random) -> str:
    """Numbers without an end, with separators anywhere."""
    length = chooser.choice((5, 400, 5_000, 100_000))
    return "The answer is " + "".join(chooser.choices("0123456789,. -/%", k=length))


FAMILIES: Sequence[Callable[[random.Random], str]] = (repeated, mixed, noise, nested, costly, digits)


def hostile(chooser: random.Random, right: str) -> str:
    """One output: a family's text, alone, before, after or within a right answer, which may be cut."""
    text = chooser.choice(FAMILIES)(chooser)
    if chooser.random() < 0.2:
        text += chooser.choice(FAMILIES)(chooser)
    place = chooser.random()
    if place < 0.2:
        text = f"{text}\n{right}"
    elif place < 0.4:
        text = f"{right}\n{text}"
    elif place < 0.5:
        at = chooser.randrange(len(right) + 1)
        text = right[:at] + text + right[at:]
    return text[:120_000]


def right_answer(gold: object) -> str:
    """An answer that is read right, as far as this script has to know."""
    if isinstance(gold, tuple):
        return f"\\boxed{{{', '.join(map(str, gold))}}}"
    if not isinstance(gold, str):
        return "Final Judgement: wrong\nFirst Error Step: 2\nError Analysis: so"
    return f"Answer: {gold}" if len(gold) == 1 and gold.isalpha() else f"\\boxed{{{gold}}}"


def drawn(outputs: int, seed: int) -> Iterator[dict[str, object]]:
    """Lines of a replay file: ``outputs`` in all, spread over items and repeats."""
    from pytest_thinkslm.data.reader import load_cases
    from pytest_thinkslm.tasks import registry

    chooser = random.Random(seed)
    repeats = max(1, outputs // (len(TASKS) * ITEMS))
    for key in TASKS:
        task = registry.get(key)
        dataset = load_cases(task, range(ITEMS), SAMPLES, data_seed=0, accept_data=True)
        for index, case in dataset.cases.items():
            for repeat in range(1, repeats + 1):
                output = hostile(chooser, right_answer(case.gold))
                ended = chooser.choice(("stop", "stop", "length"))
                yield {"task": key, "item": index, "repeat": repeat, "output": output, "finish_reason": ended}


def graded(lines: Sequence[dict[str, object]]) -> tuple[Counter[str], list[str], float, str]:
    """Verdicts, exceptions, seconds of the slowest output, and which it was."""
    from pytest_thinkslm.core.finish import finish_reason
    from pytest_thinkslm.core.records import Output
    from pytest_thinkslm.data.reader import load_cases
    from pytest_thinkslm.scoring.grading import grade
    from pytest_thinkslm.tasks import registry

    cases = {
        key: load_cases(registry.get(key), range(ITEMS), SAMPLES, data_seed=0, accept_data=True).cases for key in TASKS
    }
    # The process that compares expressions starts with the first that it is asked about: that is no output's time.
    grade(cases["math"][0], Output("\\boxed{\\sqrt{12}}"))
    verdicts: Counter[str] = Counter()
    raised: list[str] = []
    slowest, which = 0.0, ""
    for line in lines:
        case = cases[str(line["task"])][int(str(line["item"]))]
        begun = spent()
        try:
            output = Output(str(line["output"]), finish_reason=finish_reason(line["finish_reason"]))
            verdicts[grade(case, output).verdict.name] += 1
        except Exception as error:
            raised.append(f"{line['task']}: {type(error).__name__}: {error} on {ascii(line['output'])[:200]}")
        seconds = spent() - begun
        if seconds > slowest:
            slowest, which = seconds, f"{line['task']}, {ascii(line['output'])[:60]}"
    return verdicts, raised, slowest, which


def spent() -> float:
    """Processor seconds of this process and of all that it has started; elsewhere than on Linux those of the clock."""
    if not Path("/proc/self/task").is_dir():
        return time.perf_counter()
    ended = os.times()
    seconds = time.process_time() + ended.children_user + ended.children_system
    for children in Path("/proc/self/task").glob("*/children"):
        for process in children.read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def replayed(lines: Sequence[dict[str, object]], workdir: Path) -> tuple[int, float, str]:
    """Exit status, seconds and the text of a run of them."""
    source = workdir / "hostile.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    repeats = max(int(str(line["repeat"])) for line in lines)
    command = [
        sys.executable, "-m", "pytest", f"--model={source}", "--engine=replay", f"--data-dir={SAMPLES}",
        "--accept-data",
        f"--task={','.join(TASKS)}", f"--repeats={repeats}", "--temperature=1", f"--report-dir={workdir / 'report'}",
        "-p", "no:cacheprovider", "-k", " or ".join(f"direct-{index:04d}" for index in range(ITEMS)),
    ]  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=workdir, capture_output=True, text=True, errors="backslashreplace")
    return done.returncode, time.perf_counter() - begun, done.stdout + done.stderr


def console_lines(page: Path) -> list[str] | None:
    """What the browser's console says while the page opens and draws its plots; None without a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        opened.on("pageerror", lambda error: said.append(f"error: {error}"))
        opened.goto(page.as_uri())
        opened.wait_for_selector("html[data-plotted]", timeout=240_000)
        opened.locator(".row").first.click()
        opened.wait_for_selector("#detail pre", timeout=60_000)
        browser.close()
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="hostile-"))
    workdir.mkdir(parents=True, exist_ok=True)
    lines = list(drawn(options.outputs, options.seed))
    verdicts, raised, slowest, which = graded(lines)
    status, seconds, text = replayed(lines, workdir)
    suite = ElementTree.parse(workdir / "report" / "junit.xml").getroot()
    cases = sum(1 for _ in suite.iter("testcase"))
    said = None if options.no_browser else console_lines(workdir / "report" / "report.html")
    rows = [
        ("outputs", f"{len(lines):,} ({sum(len(str(line['output'])) for line in lines) / 1e6:.0f} M characters)"),
        ("verdicts", ", ".join(f"{name} {count:,}" for name, count in sorted(verdicts.items()))),
        ("exceptions", str(len(raised))),
        ("slowest output", f"{slowest:.2f} s of processor time"),
        ("the run", f"status {status}, {seconds:.0f} s"),
        ("test cases in junit.xml", f"{cases:,}"),
        ("lines in the browser's console", "not looked at" if said is None else str(len(said))),
    ]
    print("| what | measured |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    problems = [*raised, *(said or ())]
    problems += [f"{slowest:.2f} s: {which}"] if slowest > SLOW else []
    problems += [f"status {status}: {text[-2000:]}"] if status or "Traceback" in text else []
    problems += [f"{cases} test cases in junit.xml"] if cases != len(lines) else []
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
