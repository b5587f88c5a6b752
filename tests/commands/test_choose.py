from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import record, write_run

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.reports.choice import MEASURES, Candidate, choose

TASKS = ("sort8_positive", "sort16_positive", "sort32_positive")

#: quant -> items lost of a hundred, disk, tokens/s, output tokens an item
VARIANTS: Mapping[str, tuple[int, int | None, float | None, int]] = {
    "none": (0, 4_000, 100.0, 100),
    "w8a8": (0, 2_000, 160.0, 100),
    "gptq8": (0, 2_100, 200.0, 200),
    "gptq4": (25, 1_000, 180.0, 100),
}


def lines(quant: str) -> list[dict[str, object]]:
    lost, _, _, tokens = VARIANTS[quant]
    return [
        record(item, lost <= item < 80, task=task, quant=quant, output_tokens=tokens)
        for task in TASKS
        for item in range(100)
    ]


def run_of(folder: Path, *quants: str, costs: bool = True, **more: Any) -> str:
    place = write_run(folder, [line for quant in quants for line in lines(quant)], **more)
    if costs:
        file = place / "results.json"
        results = json.loads(file.read_text())
        for variant in results["variants"]:
            variant.update(engine="vllm", disk_bytes=VARIANTS[variant["quant"]][1])
        results["measured"] = {
            "variants": {
                f"m|{quant}": {
                    "tokens_per_second": VARIANTS[quant][2],
                    "peak_memory_bytes": 10 * (place + 1),
                    "joules": 5.0 * VARIANTS[quant][3] * (place + 1),
                    "output_tokens": VARIANTS[quant][3],
                }
                for place, quant in enumerate(quants)
            }
        }
        file.write_text(json.dumps(results))
    return str(place)


def chosen(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert main(["choose", *arguments, "--format", "json"]) == status
    return json.loads(capsys.readouterr().out)


def test_of_the_certified_ones_each_measure_names_its_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """gptq4 is the smallest and lost too much; gptq8 is the fastest, and pays with twice the tokens."""
    found = chosen(capsys, run_of(tmp_path / "all", *VARIANTS), "--within", "4")
    assert {word: found[word]["quant"] for word in MEASURES} == {
        "smallest": "w8a8",
        "leanest": "none",
        "fastest": "gptq8",
        "cheapest": "w8a8",
        "thriftiest": "none",
    }
    by_quant = {one["quant"]: one for one in found["variants"]}
    assert {quant: one["certified"] for quant, one in by_quant.items()} == {
        "none": True,
        "w8a8": True,
        "gptq8": True,
        "gptq4": False,
    }
    assert found["level"] == pytest.approx(0.05 / 3)
    assert by_quant["w8a8"]["costs"]["seconds_per_solved"] == pytest.approx(100 / 160 / 0.8)
    assert by_quant["w8a8"]["costs"]["joules_per_solved"] == pytest.approx(2 * 5 * 100 / 0.8)
    assert by_quant["gptq4"]["drop"] == pytest.approx(25)
    assert by_quant["gptq4"]["fronts"] == ["disk_bytes"]
    assert by_quant["none"]["fronts"] == ["memory_bytes", "joules_per_solved"]
    assert by_quant["w8a8"]["fronts"] == ["disk_bytes", "seconds_per_solved"]


def test_runs_apart_are_as_variants_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run_of(tmp_path / quant, quant) for quant in VARIANTS]
    found = chosen(capsys, *runs, "--within", "4")
    assert (found["smallest"], found["variants"][0]["run"]) == ({"run": "w8a8", "model": "m", "quant": "w8a8"}, "none")
    again = run_of(tmp_path / "again", "none")
    main(["choose", runs[0], again, "--within", "4"])
    out = capsys.readouterr().out
    assert "m (none) of again" in out


@pytest.mark.parametrize("how", ["rich", "markdown"])
def test_it_says_which_and_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    assert main(["choose", run_of(tmp_path / "all", *VARIANTS), "--within", "4", "--format", how]) == 0
    out = capsys.readouterr().out
    for text in (
        "smallest: m (w8a8) (disk 0 MiB)",
        "leanest: m (none), the reference itself",
        "m (gptq4): NO-GO: mean drop of 3 tasks +25.00 points",
        "at most at one-sided 98.33%",
    ):
        assert text in out


def test_none_certified_is_status_1_and_partial_runs_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", run_of(tmp_path / "a", "none", "gptq4"), "--within", "4"]) == 1
    assert "none: no variant is certified within 4 points of m (none)" in capsys.readouterr().out
    runs = run_of(tmp_path / "b", "none"), run_of(tmp_path / "c", "w8a8", selection="partial")
    assert main(["choose", *runs, "--within", "4"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a"], "choose: say how much may be lost"),
        (["one", "--within", "3"], "choose one: it has one variant"),
        (["a", "--within", "zero"], "--within: 'zero' is no number"),
        (["a", "elsewhere", "--within", "3"], "nothing could be compared"),
        (["a", "missing", "--within", "3"], "missing"),
    ],
)
def test_what_cannot_be_chosen_is_status_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path / "a", "none", "w8a8")
    run_of(tmp_path / "one", "none")
    write_run(tmp_path / "elsewhere", [record(0, True, task="gsm8k", prompt="?")])
    assert main(["choose", *arguments]) == 4
    assert says in capsys.readouterr().err


def test_without_costs_it_names_who_is_certified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", run_of(tmp_path / "a", "none", "w8a8", costs=False), "--within", "4"]) == 0
    out = capsys.readouterr().out
    assert "certified: m (w8a8)" in out
    assert "neither size nor speed of any variant is known" in out


@given(st.lists(st.tuples(st.integers(1, 9) | st.none(), st.integers(0, 9), st.booleans()), max_size=8))
def test_nothing_certified_takes_less_than_the_best(others: list[tuple[int | None, int, bool]]) -> None:
    reference = Candidate("r", ("m", "none"), {"disk_bytes": 5.0})
    more = [
        Candidate(
            "r",
            ("m", f"q{place}"),
            {"disk_bytes": disk},
            {"decision": "GO" if certified else "NO-GO", "mean_drop": drop},  # type: ignore[typeddict-item]
        )
        for place, (disk, drop, certified) in enumerate(others)
    ]
    found = choose([reference, *more], 1.0, 0.05)
    known = [one for one in found.candidates if one.costs["disk_bytes"] is not None]
    certified_disks = [one.costs["disk_bytes"] for one in known if one.certified]
    assert found.best["smallest"].costs["disk_bytes"] == min(certified_disks)
    assert set(found.best) == {"smallest"}
    on_front = {(one.costs["disk_bytes"], one.drop) for one in known if "disk_bytes" in one.fronts}
    for one in known:
        beaten = any(
            other.costs["disk_bytes"] <= one.costs["disk_bytes"]
            and other.drop <= one.drop
            and (other.costs["disk_bytes"], other.drop) != (one.costs["disk_bytes"], one.drop)
            for other in known
        )
        assert beaten is ((one.costs["disk_bytes"], one.drop) not in on_front)
