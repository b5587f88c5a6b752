"""``thinkslm data check``: every record that differs is printed with the part that does."""

import json
from dataclasses import replace

import pytest

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.tasks import gsm8k, pins, registry
from pytest_thinkslm.tasks.task import File

RECORDS = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(8)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to write GSM8K's file into; eight made-up records are pinned."""
    made = tmp_path / "pins"
    made.mkdir()
    pins.write("gsm8k", "gsm8k_test", [gsm8k.build(record, 0) for record in RECORDS], {}, made)
    monkeypatch.setattr(pins, "PINS_FOLDER", made)
    source = replace(gsm8k.TASKS["gsm8k"].source, files=(File("gsm8k_test", 8),))
    monkeypatch.setitem(gsm8k.TASKS, "gsm8k", replace(gsm8k.TASKS["gsm8k"], count=8, source=source))
    for cached in (pins.header, pins.load, pins.question_index, registry._suite):
        cached.cache_clear()
    yield tmp_path
    for cached in (pins.header, pins.load, pins.question_index, registry._suite):
        cached.cache_clear()


def write(folder, records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "gsm8k_test.jsonl").write_text("\n".join(lines) + "\n")


def checked(capsys, folder, *arguments):
    status = main(["data", "check", "gsm8k", f"--data-dir={folder}", *arguments])
    return status, capsys.readouterr().out


def test_all_pinned_records_match(folder, capsys):
    write(folder, reversed(RECORDS))
    status, out = checked(capsys, folder)
    assert (status, out) == (0, "gsm8k: gsm8k_test.jsonl, 8 records: 8 of 8 pinned records match\n")


def test_each_difference_is_a_line_with_its_part(folder, capsys):
    changed = [
        RECORDS[0],
        {**RECORDS[1], "answer": "#### 99"},
        {"question": "How much is 2 and 2?", "answer": "#### 4"},
        {**RECORDS[3], "answer": "none"},
        RECORDS[4],
        RECORDS[7],
        {"question": "Another?", "answer": "#### 1"},
    ]
    write(folder, changed)
    status, out = checked(capsys, folder)
    assert status == 1
    assert out.splitlines()[0].startswith("gsm8k: gsm8k_test.jsonl, 7 records: 3 of 8 pinned records match; a run that")
    assert out.splitlines()[1:] == [
        "  0001  line 2  gold differs: 99",
        "  0002  line 3  question differs: How much is 2 and 2?",
        "  0003  cannot be built: line 4: the field 'answer' has no number after '####'",
        "  0005 to 0006  missing",
        "  new   line 7  known to no pin: Another?",
    ]


def test_options_and_gold_of_a_choice_are_told_apart(tmp_path, capsys, samples_folder):
    lines = [json.loads(line) for line in (samples_folder / "arc_easy_test.jsonl").read_text().splitlines()]
    status, out = main(["data", "check", "arc_easy", f"--data-dir={samples_folder}"]), capsys.readouterr().out
    assert status == 1
    assert len(out.splitlines()) == 2 + len(lines), "these are other records altogether, and all are missing"
    assert "0000 to 2375  missing" in out


@pytest.fixture
def samples_folder(request):
    return request.config.rootpath / "fixtures" / "data"


def test_what_cannot_be_had_fails_and_the_others_are_checked_all_the_same(folder, capsys):
    write(folder, RECORDS)
    status = main(["data", "check", "math", "gsm8k", f"--data-dir={folder}"])
    out = capsys.readouterr().out
    assert status == 1
    assert "math: " in out
    assert "has no math_test.jsonl" in out
    assert "8 of 8 pinned records match" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nosuch"], "unknown task 'nosuch'"),
        (["sort8_mixed"], "is generated"),
        (["gsm8k", "--data-dir=/nosuch"], "is no folder"),
        (["gsm8k", "--hub-id=x"], "expected TASK=OWNER/NAME"),
        (["gsm8k", "--hub-id=nosuch=a/b"], "unknown task 'nosuch'"),
    ],
)
def test_wrong_arguments(arguments, complaint, capsys):
    assert main(["data", "check", *arguments]) == 4
    assert complaint in capsys.readouterr().err


def test_text_of_a_record_moves_no_cursor(folder, capsys):
    write(folder, [{**RECORDS[0], "answer": "#### \x1b[2J9"}, *RECORDS[1:]])
    _, out = checked(capsys, folder)
    assert "\x1b" not in out
    assert r"gold differs: \x1b[2J9" in out
