from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_runs import SETTINGS, record, write_run

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.records import Message
from pytest_thinkslm.gates.baselines import (
    collect,
    counterpart,
    data_differences,
    load_run,
    misfits,
    prompt_differences,
    prompt_digest,
)


def test_a_run_is_read_from_its_folder_and_from_its_results(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [record(0, True), record(1, False), record(1, True, repeat=2)])
    for place in (folder, folder / "results.json"):
        run = load_run(place)
        (group,) = run.groups.values()
        assert run.name == "run"
        assert group.scores == {"0000": [1.0], "0001": [0.0, 1.0]}
        assert dict(group.verdicts) == {"correct": 2, "incorrect": 1}


def test_seed_questions_are_no_items_and_errors_are_not_compared() -> None:
    (group,) = collect(
        [record(0, True), record(1, False, verdict="error"), record(2, True, role="seed"), record(3, True, cluster="c")]
    ).values()
    assert group.comparable() == {"0000": [1.0], "0003": [1.0]}
    assert group.clusters == {"0003": "c"}
    assert group.verdicts["error"] == 1


def remove_items(folder: Path) -> None:
    (folder / "items.jsonl").unlink()


def cut_items(folder: Path) -> None:
    text = (folder / "items.jsonl").read_text()
    (folder / "items.jsonl").write_text(text[: len(text) - 40])


def drop_a_line(folder: Path) -> None:
    lines = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    (folder / "items.jsonl").write_text("".join(lines[1:]))


def other_schema(folder: Path) -> None:
    value = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**value, "schema_version": 99}))


def double_a_line(folder: Path) -> None:
    """In place of another one, so that the number of outcomes is right."""
    first = (folder / "items.jsonl").read_text().splitlines(keepends=True)[0]
    (folder / "items.jsonl").write_text(2 * first)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_items, "item by item"),
        (cut_items, "line 2 of items.jsonl is damaged"),
        (drop_a_line, "items.jsonl does not belong to results.json"),
        (double_a_line, "items.jsonl has two lines of item 0000 of sort8_positive"),
        (other_schema, "schema version 99"),
        (lambda folder: (folder / "results.json").write_text('{"schema_version": 2}'), "update pytest-thinkslm"),
        (lambda folder: (folder / "results.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / "results.json").write_text("[]"), "no results.json of this suite"),
        (lambda folder: (folder / "results.json").unlink(), "cannot be read"),
    ],
    ids=[
        "no items",
        "torn",
        "fewer items",
        "a line twice",
        "schema",
        "newer schema",
        "no json",
        "another json",
        "no results",
    ],
)
def test_a_damaged_run_is_refused_with_what_is_wrong(tmp_path: Path, damage: object, message: str) -> None:
    folder = write_run(tmp_path / "run", [record(0, True), record(1, False)])
    damage(folder)  # type: ignore[operator]
    with pytest.raises(UsageError, match=message):
        load_run(folder)


@pytest.mark.parametrize(
    ("damage", "option", "said"),
    [
        (
            lambda folder: (folder / "results.json").unlink(),
            "--baseline",
            "--baseline {0}: {0}/results.json cannot be read (No such file or directory); give a report folder, or a "
            "results.json with its items.jsonl beside it, or 'paper'",
        ),
        (
            lambda folder: (folder / "results.json").unlink(),
            "compare",
            "compare {0}: {0}/results.json cannot be read (No such file or directory); give a report folder, or a "
            "results.json with its items.jsonl beside it",
        ),
        (
            remove_items,
            "--baseline",
            "--baseline {0}: items.jsonl beside results.json cannot be read (No such file or directory); a run is "
            "compared item by item, so keep the whole report folder",
        ),
        (
            drop_a_line,
            "--baseline",
            "--baseline {0}: items.jsonl does not belong to results.json: sort8_positive (direct) has 1 outcomes in the"
            " one and 2 in the other; give the folder of one run",
        ),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, damage: object, option: str, said: str) -> None:
    folder = write_run(tmp_path / "run", [record(0, True), record(1, False)])
    damage(folder)  # type: ignore[operator]
    with pytest.raises(UsageError) as caught:
        load_run(folder, option)
    assert str(caught.value) == said.format(folder)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ([("m", "none"), ("m", "gptq4")], ("m", "gptq4")),
        ([("m", "none"), ("n", "none")], ("m", "none")),
        ([("other", "none")], ("other", "none")),
        ([("other", "none"), ("other", "gptq4")], None),
    ],
    ids=["the same", "the model as it is", "the only one", "none"],
)
def test_counterpart(baseline: list[tuple[str, str]], expected: tuple[str, str] | None) -> None:
    assert counterpart(("m", "gptq4"), baseline) == expected


@pytest.mark.parametrize(
    ("settings", "template", "styles", "selection", "named"),
    [
        ({}, "aaa", ["direct"], "full", None),
        ({}, None, ["direct", "cot"], "limit", None),
        ({"top_p": 0.9}, "aaa", ["direct"], "full", None),
        ({"temperature": 0.7}, "aaa", ["direct"], "full", "temperature (baseline: 0.0; this run: 0.7)"),
        ({"max_tokens": 64}, "aaa", ["direct"], "full", "max_tokens (baseline: by default; this run: 64)"),
        ({}, "bbb", ["direct"], "full", "template_sha256 (baseline: aaa; this run: bbb)"),
        ({}, "aaa", ["cot"], "full", "style (baseline: direct; this run: cot)"),
        ({}, "aaa", ["direct"], "partial", "selection (baseline: partial"),
    ],
    ids=["fits", "recorded outputs", "top_p of greedy", "temperature", "max_tokens", "template", "style", "partial"],
)
def test_misfits_name_the_field_and_both_values(
    tmp_path: Path,
    settings: dict[str, object],
    template: str | None,
    styles: list[str],
    selection: str,
    named: str | None,
) -> None:
    run = load_run(write_run(tmp_path / "run", [record(0, True)], selection=selection, template="aaa"))
    found = misfits(run, {**SETTINGS, **settings}, {("m", "none"): template}, styles)
    if named is None:
        assert found == []
    else:
        assert len(found) == 1
        assert named in found[0]


def test_the_digest_of_a_record_is_that_of_its_request() -> None:
    unsafe = "a\x00b\ud800"
    (group,) = collect([record(0, True, prompt="a\\x00b\\ud800")]).values()
    assert group.prompts["0000"] == prompt_digest([Message("user", f"{unsafe} 0")])
    assert group.prompts["0000"] != prompt_digest([Message("system", f"{unsafe} 0")])
    assert prompt_digest([Message("user", "\udc00")]) != prompt_digest([Message("user", "\ud800")])


def test_the_parsers_verdict_is_kept_beside_a_judges() -> None:
    (group,) = collect([{**record(0, True), "parser_verdict": "incorrect"}, record(1, True)]).values()
    assert [one.get("parser_verdict") for one in group.records] == ["incorrect", None]


def test_other_prompts_are_counted_on_shared_items() -> None:
    before = {"0000": b"a", "0001": b"b", "0002": b"c"}
    assert prompt_differences("gsm8k (cot)", before, {"0001": b"b", "0009": b"z"}) == []
    assert prompt_differences("gsm8k (cot)", before, {"0000": b"a", "0001": b"x", "0002": b"y"}) == [
        "prompts of gsm8k (cot) (2 of 3 shared items, the first is 0001)"
    ]


def test_other_data_pins() -> None:
    row = {"task": "gsm8k", "data": {"digest": "abc", "pin": "ok"}}
    assert data_differences(row, "abc", "ok") == []
    assert data_differences(row, "abd", "accepted") == [
        "data pins of gsm8k (baseline: abc; this run: abd)",
        "state of the data of gsm8k (baseline: ok; this run: accepted)",
    ]
    assert data_differences({"task": "gsm8k"}, "abd", "ok") == []
