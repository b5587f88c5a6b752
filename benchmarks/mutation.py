"""Which share of a seeded sample of mutants the tests kill, with Wilson's interval and a table of the survivors.

    python benchmarks/mutation.py [--size 500] [--seed 0] [--processes 2] [--workdir DIR]

mutmut (`pip install mutmut`, 3.8 or later) changes the pure rooms, in functions and methods: its operators swap
comparisons, operators, constants, strings and arguments; decorated functions and constants of a module, regular
expressions among them, stay as they are, as do annotations and docstrings, which change nothing. It runs in a copy of
the checkout, forks with everything imported, and gives a mutant the tests that call its function; Hypothesis draws from
one seed, so that a run can be repeated. Tests of hostile text, of real processes and of simulated rates are left out:
they take long and tell little of a single function.

A mutant is killed where a test fails or its processor time runs out, and survives otherwise, also where no test
calls its function. Writes benchmarks/results/mutation.md; the words beside the survivors are written by hand and are
kept as long as the mutant is the same. With --workdir what was made there before is used again: an interrupted run
goes on with the mutants that were not tried, and after a test was added --survivors tries those that survived as well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_thinkslm.statistics import wilson

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutation.md"
ROOMS = ("scoring/*", "statistics/*", "gates/*", "journal/*", "generating/shards.py")
COPIED = (
    "pytest_thinkslm",
    "tests",
    "docs",
    "fixtures",
    "benchmarks",
    "reasoning_tests",
    "conftest.py",
    "pyproject.toml",
    "README.md",
)
TESTS = (
    *("tests/scoring", "tests/statistics", "tests/gates", "tests/journal", "tests/runs", "tests/core"),
    *("tests/commands/test_compare.py", "tests/commands/test_certify.py", "tests/generating/test_shards.py"),
    *("-k", "not linear", "--ignore=tests/scoring/answers/test_hostile.py"),
    "--ignore=tests/scoring/answers/test_mathpool.py",
    *(f"--ignore=tests/statistics/test_{name}.py" for name in ("simulated_rates", "simulated_adaptive")),
    *(f"--ignore=tests/statistics/test_{name}.py" for name in ("certificate_rates", "exact_error_rates")),
)
#: Share of the sample that is to be killed.
GOAL = 0.9
#: Exit codes of mutmut's workers: a failed test or pytest's own error; processor time that ran out.
KILLED, TIMED_OUT, NO_TESTS = {1, 3}, {24, -24, 36, 152, 255}, {5, 33}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: mutmut's name of it, and how its tests ended (None: they did not run)."""

    name: str
    ended: int | None

    @property
    def room(self) -> str:
        return self.name.split(".")[1]

    @property
    def dead(self) -> bool:
        return self.ended in KILLED | TIMED_OUT

    @property
    def where(self) -> str:
        """Module and function."""
        module, _, function = self.name.partition("__mutmut_")[0].removeprefix("pytest_thinkslm.").rpartition(".")
        return f"{module}.{re.sub('^x_|^xǁ', '', function).replace('ǁ', '.')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--survivors", action="store_true", help="try again what survived before in --workdir")
    parser.add_argument("--no-run", action="store_true", help="only write the table of what is in --workdir")
    options = parser.parse_args()
    workdir = (options.workdir or Path(tempfile.mkdtemp(prefix="mutation-"))).resolve()
    if not options.no_run:
        prepare(workdir)
        # No mutant has this name: mutants are made and the calls of every test noted, and mutmut ends.
        output = mutmut(workdir, ["run", "--max-children", str(options.processes), "no.mutant"])
        if not (workdir / "mutants" / "mutmut-stats.json").is_file():
            sys.exit(f"mutmut could not run the tests in {workdir}:\n{output[-3000:]}")
    everything = mutants(workdir)
    names = sample([mutant.name for mutant in everything], options.size, options.seed)
    tried = [mutant for mutant in everything if mutant.name in names]
    # mutmut tries again whatever it is told by name.
    tried = [mutant for mutant in tried if mutant.ended is None or (options.survivors and not mutant.dead)]
    if not options.no_run and tried:
        mutmut(workdir, ["run", "--max-children", str(options.processes), *(mutant.name for mutant in tried)])
    sampled = [mutant for mutant in mutants(workdir) if mutant.name in names]
    unknown = sum(mutant.ended is None for mutant in sampled)
    if unknown:
        sys.exit(f"{unknown} of {len(sampled)} mutants were not tried: run again with --workdir {workdir}")
    changes = {mutant.name: change(workdir, mutant.name) for mutant in sampled if not mutant.dead}
    text = table(sampled, len(everything), options.seed, changes, words(RESULTS))
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


def prepare(workdir: Path) -> None:
    """Copy the checkout beside what mutmut kept there, and tell mutmut what to do with it."""
    workdir.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            # A file that is gone from the checkout is gone from the copies. The mutated package stays: it is mutmut's.
            shutil.rmtree(workdir / name, ignore_errors=True)
            if name != "pytest_thinkslm":
                shutil.rmtree(workdir / "mutants" / name, ignore_errors=True)
            shutil.copytree(ROOT / name, workdir / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, workdir / name)
    for path in (workdir / "mutants" / "pytest_thinkslm").rglob("*.py*"):
        module = path.relative_to(workdir / "mutants").with_name(path.name.partition(".py")[0] + ".py")
        if path.is_file() and "__pycache__" not in path.parts and not (ROOT / module).is_file():
            path.unlink()  # a module that is gone, and its mutants, which mutmut would never try
    settings = {
        "source_paths": ["pytest_thinkslm"],
        "only_mutate": [f"pytest_thinkslm/{room}" for room in ROOMS],
        "also_copy": [name for name in COPIED if name not in ("pytest_thinkslm", "tests", "pyproject.toml")],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "--hypothesis-seed=0"],
        "pytest_add_cli_args_test_selection": list(TESTS),
    }
    with (workdir / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\ntrack_dependencies = false\nuse_git_change_detection = false\n")
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def mutmut(workdir: Path, arguments: Sequence[str]) -> str:
    """Run mutmut in ``workdir``; what it printed. The mutated package comes before every installed one."""
    environment = {**os.environ, "PYTHONPATH": str(workdir / "mutants"), "OMP_NUM_THREADS": "1"}
    environment.pop("THINKSLM_DATA_DIR", None)
    (workdir / "mutants").mkdir(exist_ok=True)  # a folder that is not there when Python starts is never looked into
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments], cwd=workdir, env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def mutants(workdir: Path) -> list[Mutant]:
    """Every mutant that was made, in order of the modules' names."""
    found: list[Mutant] = []
    for path in sorted((workdir / "mutants").rglob("*.py.meta")):
        ended = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found += [Mutant(name, ended[name]) for name in sorted(ended)]
    return found


def sample(names: Sequence[str], size: int, seed: int) -> set[str]:
    """``size`` of the names, drawn at random; a smaller sample of one seed is part of a larger one."""
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    return set(shuffled[:size])


def change(workdir: Path, name: str) -> str:
    """What a mutant changes, as ``old -> new`` of its first line that differs."""
    lines = mutmut(workdir, ["show", name]).splitlines()
    old, new = (
        next((line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(sign * 3)), "")
        for sign in "-+"
    )
    return f"{old} -> {new}".replace("`", "'").replace("|", "¦")


def words(results: Path) -> dict[tuple[str, str], str]:
    """The words of the table that is there, by function and change."""
    if not results.is_file():
        return {}
    rows = (line.strip("| ").split(" | ") for line in results.read_text(encoding="utf-8").splitlines())
    return {(row[0].strip("`"), row[1].strip("`")): row[2] for row in rows if len(row) == 3 and row[0].startswith("`")}


def table(
    sampled: Sequence[Mutant], made: int, seed: int, changes: dict[str, str], said: dict[tuple[str, str], str]
) -> str:
    killed = sum(mutant.dead for mutant in sampled)
    lines = [
        "# Mutants of the pure rooms",
        "",
        f"`python benchmarks/mutation.py --size {len(sampled)} --seed {seed}`: {len(sampled)} of {made} mutants.",
        "What only a run of pytest in a process of its own tests (most of the gates' way from a run to its verdict)",
        "counts as not tested, since mutants live in one process.",
        "",
        f"The goal is {GOAL:.0%} killed: {'reached' if killed >= GOAL * len(sampled) else '**not reached**'}.",
        "",
        "| room | mutants | killed | of these by time | no test | killed, 95% interval |",
        "|---|---|---|---|---|---|",
    ]
    rooms = Counter(mutant.room for mutant in sampled)
    for room in (*sorted(rooms), "all"):
        here = [mutant for mutant in sampled if room in ("all", mutant.room)]
        dead = sum(mutant.dead for mutant in here)
        timed, without = (sum(mutant.ended in codes for mutant in here) for codes in (TIMED_OUT, NO_TESTS))
        low, high = wilson(dead, len(here))
        share = f"{dead / len(here):.1%} ({low:.1%} to {high:.1%})"
        lines.append(f"| {room} | {len(here)} | {dead} | {timed} | {without} | {share} |")
    lines += ["", "## Survivors", "", "| function | change | what it is |", "|---|---|---|"]
    for mutant in sampled:
        if not mutant.dead:
            key = (mutant.where, changes[mutant.name])
            word = said.get(key, "no test calls it" if mutant.ended in NO_TESTS else "")
            lines.append(f"| `{key[0]}` | `{key[1]}` | {word} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
