"""--where, --recorded-only, --shard and --sample from outside, on recorded outputs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_server import LoopbackServer
from plugin.replayed import four_sorts, items, results
from plugin.test_plan import Terse

from pytest_thinkslm.generating.shards import places_of
from pytest_thinkslm.settings.selections import Shard

Replay = Callable[..., pytest.RunResult]


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 9)), max_size=60),
    st.integers(1, 40),
)
def test_every_test_is_in_exactly_one_shard(variants: int, tests: list[tuple[int, float]], parts: int) -> None:
    tests = sorted((variant % variants, cost) for variant, cost in tests)
    places = places_of([variant for variant, _ in tests], [cost for _, cost in tests])
    shards = [Shard(index, parts) for index in range(1, parts + 1)]
    for (variant, _), place in zip(tests, places, strict=True):
        (own,) = [shard for shard in shards if shard.has(place, variants)]
        first, last = own.span(variants)
        assert first <= variant <= last


@given(st.integers(1, 6), st.integers(1, 12))
def test_shards_are_of_equal_cost_and_take_whole_variants_first(variants: int, parts: int) -> None:
    tests = [variant for variant in range(variants) for _ in range(120)]
    counts, loads = Counter[int](), Counter[int]()
    for place in places_of(tests, [1.0] * len(tests)):
        counts[next(i for i in range(1, parts + 1) if Shard(i, parts).has(place, variants))] += 1
    assert max(counts.values()) - min(counts.values()) <= 1
    loads.update(last - first + 1 for first, last in (Shard(i, parts).span(variants) for i in range(1, parts + 1)))
    assert max(loads) <= -(-variants // parts) + (variants % parts > 0)


def test_shards_of_a_run_together_are_the_run(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = [{**line, "model": model} for model in ("m", "n") for line in four_sorts()]
    command = ("--task=sort8_positive", "--recorded-only")
    found: list[tuple[str, str]] = []
    for index in (1, 2, 3):
        done = replay(lines, *command, f"--shard={index}/3", *(["-n2"] if index == 2 else []))
        assert done.ret == 0
        done.stdout.fnmatch_lines([f"selection: partial (*--shard {index}/3)"])
        found += [(line["model"], line["item"]) for line in items(pytester.path / "report")]
        assert results(pytester.path / "report")["settings"]["shard"] == f"{index}/3"
    assert sorted(found) == [(model, f"000{item}") for model in "mn" for item in range(4)]
    gated = replay(lines, *command, "--shard=1/3", "--min-accuracy=sort8_positive=99")
    assert gated.ret == 0  # decided on the whole, not on a part
    assert replay(lines, *command, "--min-accuracy=sort8_positive=99").ret == 1


def test_two_jobs_of_an_array_are_merged_by_the_journal(pytester: pytest.Pytester) -> None:
    asked: Counter[bytes] = Counter()

    class Counting(Terse):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked[body] += 1
            self.rfile = io.BytesIO(body)
            super().do_POST()

    scripts = Path(__file__).parents[2] / "deploy" / "slurm"
    python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": python, "THINKSLM_RUN": str(pytester.path / "run"), "SLURM_ARRAY_TASK_COUNT": "2"}

    def job(script: str, url: str, part: int = 0) -> subprocess.Popen[str]:
        command = ["bash", str(scripts / script), "-q", "--model=m", "--engine=openai", f"--server-url={url}"]
        command += ["--task=sort8_*", "--limit=5"]
        folder = pytester.mkdir(f"node{part}")
        own = environ | {"SLURM_ARRAY_TASK_ID": str(part)}
        return subprocess.Popen(command, cwd=folder, env=own, text=True, stdout=subprocess.PIPE)

    with LoopbackServer(Counting) as server:
        parts = [job("array.sbatch", server.url, part) for part in (1, 2)]
        said = [part.communicate(timeout=240)[0] for part in parts]
        assert [part.returncode for part in parts] == [0, 0], said
        whole = job("merge.sbatch", server.url)
        said = [whole.communicate(timeout=240)[0]]
        assert whole.returncode == 0, said
    assert len(asked) == 10
    assert set(asked.values()) == {1}
    found = [{line["task"] + line["item"] for line in items(pytester.path / "run" / f"part-{part}")} for part in (1, 2)]
    assert [len(part) for part in found] == [5, 5]
    assert not found[0] & found[1]
    ran = results(pytester.path / "run" / "whole")
    assert [(row["n"], row["error_rate"]) for row in ran["results"]] == [(5, 0.0), (5, 0.0)]
    assert ran["selection"] == "limit"


def test_recorded_items_alone_are_a_run_of_their_own(replay: Replay, pytester: pytest.Pytester) -> None:
    lines = four_sorts()
    clash = {"task": "sort8_positive", "item": 3, "output": "another"}
    few = replay([*lines, {"task": "sort8_mixed", "item": 7, "output": "1"}], "--recorded-only")
    few.stdout.fnmatch_lines(["selection: limit (--recorded-only)"])
    assert few.ret == 0
    assert [row["n"] for row in results(pytester.path / "report")["results"]] == [4, 1]
    both = replay([*lines, clash], "--recorded-only", "--limit=2", "--report-dir=two")
    assert both.ret in (0, 1)
    assert len(items(pytester.path / "two")) == 2
    assert replay([*lines, clash], "--recorded-only").ret == 1  # two outputs that differ are no missing one
    again = replay(lines, "--recorded-only", "--baseline=report", "--report-dir=again", "--allow-unevaluated")
    assert "selection (baseline" not in again.stdout.str()


def test_facets_select_items_and_are_no_failure_of_a_gate(
    replay: Replay, pytester: pytest.Pytester, real_data: Path
) -> None:
    lines = [{"task": "math", "item": item, "output": "\\boxed{2}"} for item in range(5000)]
    lines += [{"task": "sort8_positive", "item": 0, "output": "\\boxed{2}"}]
    data = f"--data-dir={real_data}"
    found = replay(lines, data, "--where=level=5,subject=algebra,level=4", "--limit=9", "--task=math,sort8_*")
    assert found.ret == 0
    assert {tuple(line["facets"].values()) for line in items(pytester.path / "report")} == {
        ("Algebra", "4"),
        ("Algebra", "5"),
    }
    ran = results(pytester.path / "report")
    assert ran["selection"] == "limit"
    assert ran["settings"]["where"] == [["level", "5"], ["subject", "algebra"], ["level", "4"]]
    assert ran["settings"]["sample"] == "stratified"
    counts = Counter(line["facets"]["level"] for line in items(pytester.path / "report"))
    assert sorted(counts.values()) == [4, 5]
    wrong = replay(lines, data, "--where=level=6", "--task=math")
    assert wrong.ret == 4
    assert "there are 1, 2, 3, 4, 5" in wrong.stderr.str()


def test_a_sample_is_drawn_as_the_baselines_was(replay: Replay, pytester: pytest.Pytester, real_data: Path) -> None:
    lines = [{"task": "gsm_plus", "item": item, "output": "\\boxed{2}"} for item in range(2400)]
    lines += [{"task": "gsm8k", "item": item, "output": "\\boxed{2}"} for item in range(1319)]
    shared = (f"--data-dir={real_data}", "--task=gsm_plus", "--limit=8")
    assert replay(lines, *shared, "--sample=hash", "--report-dir=hashed").ret == 0
    assert replay(lines, *shared, "--baseline=hashed").ret == 0
    assert results(pytester.path / "report")["settings"]["sample"] == "hash"
    other = replay(lines, *shared, "--baseline=hashed", "--sample=stratified")
    assert other.ret == 4
    assert re.search(r"sample \(baseline: hash; this run: stratified\)", other.stderr.str())
    assert replay(lines, *shared, "--report-dir=even").ret == 0
    assert (
        sorted(
            Counter(
                line["facets"]["perturbation"] for line in items(pytester.path / "even") if line["role"] == "item"
            ).values()
        )
        == [1] * 8
    )
