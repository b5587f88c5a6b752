from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_disk import small_disk

from pytest_thinkslm.core.errors import JournalError, ThinkSLMError
from pytest_thinkslm.core.fingerprint import Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.journal.journal import Journal, entry_key

FACTS = Fingerprint({"model": "m", "engine": "e"})
REQUEST = Request((Message("user", "1 + 1?"),), Sampling(0.7, 0.9, 64, 5), repeat=1, task="gsm8k", item="0001")
OUTPUT = Output("two \ud800 \x00", finish_reason="length", prompt_tokens=5, output_tokens=3, latency=0.25)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens journals in one folder, as one process after another would."""
    opened: list[Journal] = []

    def open_one(*, read: bool = True, facts: Fingerprint = FACTS) -> Journal:
        opened.append(Journal(tmp_path, facts, read=read))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_what_is_put_is_found_by_another_process(journal: Callable[..., Journal]) -> None:
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert journal().get(REQUEST, entry_key(REQUEST)) == OUTPUT


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=(Message("user", "1 + 2?"),)),
        replace(REQUEST, messages=(Message("system", "1 + 1?"),)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=0.8)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, top_p=1.0)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, max_tokens=65)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, seed=6)),
        replace(REQUEST, repeat=2),
        replace(REQUEST, thinking="on"),
        replace(REQUEST, prefix="so"),
        replace(REQUEST, sampling=replace(REQUEST.sampling, top_k=7)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, min_p=0.1)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, presence_penalty=0.1)),
        replace(REQUEST, sampling=replace(REQUEST.sampling, repetition_penalty=1.1)),
    ],
)
def test_the_key_is_the_content(journal: Callable[..., Journal], other: Request) -> None:
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert entry_key(other) != entry_key(REQUEST)
    assert journal().get(other, entry_key(other)) is None


def test_the_item_is_no_part_of_the_key() -> None:
    assert entry_key(replace(REQUEST, item="0002", label="x")) == entry_key(REQUEST)


def test_another_fingerprint_finds_nothing(journal: Callable[..., Journal]) -> None:
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    other = Fingerprint({"model": "m", "engine": "e", "quantization": {"bits": 4}})
    assert other.digest != FACTS.digest
    assert journal(facts=other).get(REQUEST, entry_key(REQUEST)) is None


def text_of(journal: Journal, request: Request = REQUEST) -> str | None:
    found = journal.get(request, entry_key(request))
    return None if found is None else found.text


@pytest.mark.parametrize("names", [("1", "2"), ("2", "1")], ids=["older first", "newer first"])
@pytest.mark.parametrize("seconds", [(5.0, 6.0), (999.0, 1_000.0)])
def test_the_newest_entry_wins_in_whichever_file_and_fresh_reads_nothing(
    journal: Callable[..., Journal],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    seconds: tuple[float, float],
) -> None:
    draws, clock = iter(names), iter(seconds)
    monkeypatch.setattr("pytest_thinkslm.journal.journal.secrets.token_hex", lambda _: next(draws))
    monkeypatch.setattr("pytest_thinkslm.journal.journal.time.time", lambda: next(clock))
    older, newer = journal(), journal(read=False)
    monkeypatch.undo()
    monkeypatch.setattr("pytest_thinkslm.journal.journal.time.time", lambda: next(clock))
    older.put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert text_of(newer) is None
    newer.put(REQUEST, entry_key(REQUEST), replace(OUTPUT, text="newer"))
    assert text_of(journal()) == "newer"
    assert text_of(newer) is None


def test_of_two_entries_of_one_moment_the_later_line_wins(
    journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_thinkslm.journal.journal.time.time", lambda: 5.0)
    writer = journal()
    for text in ("first", "second"):
        writer.put(REQUEST, entry_key(REQUEST), replace(OUTPUT, text=text))
    assert text_of(journal()) == "second"


@pytest.mark.parametrize(
    "output",
    [
        replace(OUTPUT, reasoning="so 3"),
        replace(OUTPUT, thought_closed=True),
        replace(OUTPUT, stopped="loop"),
        replace(OUTPUT, latency=0.12345),
        Output(""),
    ],
)
def test_every_field_of_an_output_comes_back(journal: Callable[..., Journal], output: Output) -> None:
    writer = journal()
    writer.put(REQUEST, entry_key(REQUEST), output)
    rounded = replace(output, latency=output.latency and round(output.latency, 4))
    assert journal().get(REQUEST, entry_key(REQUEST)) == rounded


def test_what_is_looked_up_is_kept_until_it_is_forgotten(journal: Callable[..., Journal]) -> None:
    reader, writer = journal(), journal()
    assert text_of(reader) is None
    writer.put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert text_of(reader) is None
    reader.forget()
    assert text_of(reader) == OUTPUT.text


@pytest.mark.parametrize("line", ["{", "[]", "3", "{}", '{"key": "k"}', '{"output": "o"}', "null"])
def test_lines_that_are_no_entries_hide_none_behind_them(
    journal: Callable[..., Journal], tmp_path: Path, line: str
) -> None:
    writer = journal()
    writer.put(REQUEST, entry_key(REQUEST), OUTPUT)
    writer.close()
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_text(line + "\n" + path.read_text())
    assert text_of(journal()) == OUTPUT.text


def test_an_entry_of_an_unknown_ending_and_without_time(journal: Callable[..., Journal], tmp_path: Path) -> None:
    folder = tmp_path / FACTS.digest / "gsm8k"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text(json.dumps({"key": entry_key(REQUEST), "output": "o", "stopped": "x"}) + "\n")
    assert journal().get(REQUEST, entry_key(REQUEST)) == Output("o", finish_reason="unknown")


def test_the_manifest_of_the_first_process_stands(journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    manifest = tmp_path / FACTS.digest / "manifest.json"
    manifest.write_text("{}")
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert manifest.read_text() == "{}"
    assert [path.name for path in manifest.parent.iterdir() if path.is_file()] == ["manifest.json"]


def test_a_task_has_one_file_a_process(journal: Callable[..., Journal], tmp_path: Path) -> None:
    writer = journal()
    for repeat in range(3):
        request = replace(REQUEST, repeat=repeat)
        writer.put(request, entry_key(request), OUTPUT)
    (path,) = tmp_path.rglob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["repeat"] for line in lines] == [0, 1, 2]
    expected = {"item": "0001", "finish_reason": "length", "prompt_tokens": 5, "output_tokens": 3, "latency": 0.25}
    assert expected.items() <= lines[0].items()
    assert "reasoning" not in lines[0]


def test_that_the_loop_guard_ended_an_output_is_kept(journal: Callable[..., Journal]) -> None:
    stopped = replace(OUTPUT, stopped="loop")
    first = journal()
    first.put(REQUEST, entry_key(REQUEST), stopped)
    first.close()
    assert journal().get(REQUEST, entry_key(REQUEST)) == stopped


def test_a_torn_last_line_is_tolerated(journal: Callable[..., Journal], tmp_path: Path) -> None:
    key = entry_key(REQUEST)
    first = journal()
    first.put(REQUEST, key, OUTPUT)
    first.put(replace(REQUEST, repeat=2), entry_key(replace(REQUEST, repeat=2)), OUTPUT)
    first.close()
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-9])
    again = journal()
    assert again.get(REQUEST, key) == OUTPUT
    assert again.get(replace(REQUEST, repeat=2), entry_key(replace(REQUEST, repeat=2))) is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"key": "KEY", "output": "x", "time": "soon"}',
        b'{"key": "KEY", "output": 3}',
        b'{"key": "KEY", "output": null}',
        b'{"key": "KEY", "output": "x", "output_tokens": "many"}',
        b'{"key": 7, "output": "x"}',
        b'["KEY", "x"]',
        b"\xff\xfe{}",
        b"",
    ],
)
def test_a_line_that_is_no_entry_is_passed_over(journal: Callable[..., Journal], tmp_path: Path, line: bytes) -> None:
    key = entry_key(REQUEST)
    first = journal()
    first.put(REQUEST, key, OUTPUT)
    first.close()
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_bytes(path.read_bytes() + line.replace(b"KEY", key.encode()) + b"\n")
    assert journal().get(REQUEST, key) == OUTPUT


def test_fields_of_an_entry_that_are_unknown_here(journal: Callable[..., Journal], tmp_path: Path) -> None:
    key = entry_key(REQUEST)
    first = journal()
    first.put(REQUEST, key, OUTPUT)
    first.close()
    (path,) = tmp_path.rglob("*.jsonl")
    path.write_text(json.dumps({"key": key, "output": "x", "finish_reason": "of a later release", "new": 1}) + "\n")
    assert journal().get(REQUEST, key) == Output("x", finish_reason="unknown")


def test_the_layout_is_that_of_the_contract(journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal().put(REQUEST, entry_key(REQUEST), OUTPUT)
    folder = tmp_path / FACTS.digest
    assert json.loads((folder / "manifest.json").read_text()) == dict(FACTS.facts)
    (path,) = (folder / "gsm8k").glob("*.jsonl")
    assert path.stem.count("-") >= 2


def test_a_journal_that_cannot_be_written_is_said(journal: Callable[..., Journal], tmp_path: Path) -> None:
    (tmp_path / FACTS.digest).write_text("a file where the folder should be")
    with pytest.raises(ThinkSLMError, match="--journal-dir"):
        journal().put(REQUEST, entry_key(REQUEST), OUTPUT)


def entry(key: str = "k", **fields: object) -> bytes:
    return json.dumps({"key": key, "output": "text", "time": 1.0, **fields}).encode() + b"\n"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (entry(time=[]), "time"),
        (entry(reasoning=3), "reasoning"),
        (entry(finish_reason={}), "finish_reason"),
        (entry(output_tokens=1.5), "output_tokens"),
        (entry(prompt_tokens=10**400), "prompt_tokens"),
        (entry(output=None), "output is null, no text"),
        (entry(time=1.0).replace(b"1.0", b"1e999"), "time"),
        (entry(time=1.0).replace(b"1.0", b"NaN"), "NaN is no number"),
        (b"[" * 100_000 + b"\n", "nested too deeply"),
        (b"9" * 10_000 + b"\n", "line 2"),
        (b"\xff\xfe\n", "no UTF-8"),
        (b"[]\n", "no object"),
        (b"{\n", "column"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_entry_costs_that_entry(journal: Callable[..., Journal], tmp_path: Path, damage: bytes, why: str) -> None:
    folder = tmp_path / FACTS.digest / "gsm8k"
    folder.mkdir(parents=True)
    good = entry(entry_key(REQUEST))
    (folder / "a-1-x.jsonl").write_bytes(entry("before") + damage + good)
    opened = journal()
    assert text_of(opened) == "text"
    (problem,) = opened.passed_over
    assert problem.startswith("gsm8k/a-1-x.jsonl, line 2: ")
    assert why in problem


def test_a_key_stays_what_it_was() -> None:
    # Journals of earlier releases are found by it, whatever the letters of the question.
    asked = replace(REQUEST, messages=(Message("user", "Wie viele Äpfel? \ud800"),))
    assert entry_key(asked) == "e7cee8ffaf30c8cd2fa623820a7c1e16e3f05d0a"


@pytest.mark.parametrize("kind", ["folder", "pipe", "nowhere", "device"])
def test_what_is_no_file_costs_itself(journal: Callable[..., Journal], tmp_path: Path, kind: str) -> None:
    folder = tmp_path / FACTS.digest / "gsm8k"
    folder.mkdir(parents=True)
    (folder / "b-1-x.jsonl").write_bytes(entry(entry_key(REQUEST)))
    odd = folder / "a-1-x.jsonl"
    if kind == "folder":
        odd.mkdir()
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else tmp_path / "nowhere")
    opened = journal()
    assert text_of(opened) == "text"
    (problem,) = opened.passed_over
    assert problem.startswith("gsm8k/a-1-x.jsonl: ")
    assert "Errno" not in problem


def test_a_file_that_was_removed_is_made_again(journal: Callable[..., Journal], tmp_path: Path) -> None:
    opened = journal()
    opened.put(replace(REQUEST, repeat=2), "gone", OUTPUT)
    shutil.rmtree(tmp_path / FACTS.digest)
    opened.put(REQUEST, entry_key(REQUEST), OUTPUT)
    assert journal().get(REQUEST, entry_key(REQUEST)) == OUTPUT
    assert (tmp_path / FACTS.digest / "manifest.json").exists()


@pytest.mark.parametrize("kib", [4, 16, 64, 256])
def test_a_full_disk_leaves_whole_entries_alone(tmp_path: Path, kib: int) -> None:
    with small_disk(tmp_path / "disk", kib):
        opened = Journal(tmp_path / "disk", FACTS)
        requests = [replace(REQUEST, messages=(Message("user", str(number)),)) for number in range(400)]
        kept = []
        for request in requests:
            with contextlib.suppress(JournalError):
                opened.put(request, entry_key(request), replace(OUTPUT, text="x" * 1_500))
                kept.append(request)
        opened.close()
        again = Journal(tmp_path / "disk", FACTS)
        assert [request for request in requests if again.get(request, entry_key(request))] == kept
        assert not again.passed_over
        assert len(kept) < len(requests)
        assert (len(kept) > 0) == (kib > 4)


def test_the_check_writes_and_reads_back_and_leaves_nothing(
    journal: Callable[..., Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = journal()
    opened.check()
    assert list((tmp_path / FACTS.digest).iterdir()) == []
    monkeypatch.setattr("pytest_thinkslm.core.files.read_bytes", lambda path: b"other")
    with pytest.raises(JournalError, match="not what is read back"):
        journal().check()
    assert list((tmp_path / FACTS.digest).iterdir()) == []
