"""``--preset tour``: the suite's own records, on every task, without data, hub and engine."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from gold_replies import right

from pytest_thinkslm.data import tour
from pytest_thinkslm.data.reader import item_indices, load_cases
from pytest_thinkslm.tasks import pins, registry


@pytest.mark.parametrize("key", [key for key, task in registry.all_tasks().items() if task.source is not None])
def test_each_task_has_four_records_that_no_data_set_has(key: str) -> None:
    task = registry.get(key)
    assert list(item_indices(task, tour.FOLDER)) == [0, 1, 2, 3]
    data = load_cases(task, range(4), tour.FOLDER, data_seed=0)
    known = {question for other in registry.all_tasks() for question in pins.question_index(other)}
    assert not {pins.question_hash(case.question) for case in data.cases.values()} & set(known)
    assert (data.state.pin, data.state.partial, data.state.expected) == ("ok", None, 4)
    assert data.state.digest.startswith("tour-"), "no true run is compared with it"
    if data.cases[0].kind == "choice":
        assert Counter(str(case.gold) for case in data.cases.values()) == Counter("ABCD")


def test_a_tour_of_recorded_outputs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    lines = []
    for key, task in registry.all_tasks().items():
        folder = None if task.source is None else tour.FOLDER
        for index in item_indices(task, folder):
            case = load_cases(task, [index], folder, data_seed=0).cases[index]
            lines.append({"task": key, "item": index, "output": right(case)})
    pytester.path.joinpath("outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = pytester.runpytest_subprocess(
        "--model=outputs.jsonl", "--engine=replay", "--preset=tour", "--report-dir=out", timeout=180
    )
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=68)
    found = json.loads(pytester.path.joinpath("out/results.json").read_text())
    assert found["settings"]["data_dir"] == "tour"
    assert any("measures nothing" in line for line in found["settings"]["preset_choices"])
    assert not any(str(tour.FOLDER) in line for line in found["settings"]["preset_choices"])
    assert {row["n"] for row in found["results"]} == {4}
