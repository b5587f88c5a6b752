"""Reading data: local files and hub rows give the same cases, pins hold, and bad files are named for what they are."""

import gzip
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.data.hub import KNOWN_REVISIONS
from pytest_thinkslm.data.make_pins import main as make_pins
from pytest_thinkslm.data.matching import match
from pytest_thinkslm.data.reader import item_count, item_indices, load_cases
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.registry import all_tasks, get
from pytest_thinkslm.tasks.task import File, Source, Task

FROM_FILES = [key for key, task in all_tasks().items() if task.source is not None and task.source.folder is None]


def accepted(key, data_dir, **options):
    task = get(key)
    return load_cases(task, range(item_count(task, data_dir)), data_dir, data_seed=0, accept_data=True, **options)


@pytest.mark.parametrize("key", FROM_FILES)
def test_hub_rows_and_local_records_give_the_same_cases(key, samples, hub_of_samples):
    local = accepted(key, samples)
    assert local.cases
    hub = load_cases(get(key), local.cases, None, data_seed=0, accept_data=True)
    assert hub.cases == local.cases
    assert all(case.task == key and case.index == index for index, case in local.cases.items())
    revision = KNOWN_REVISIONS.get(get(key).source.hub)
    at = f"@{revision[:12]}" if revision else ""
    assert hub.state.source == f"hub {get(key).source.hub}{at}, {get(key).source.split}"


def test_hub_ids_are_settings(samples, monkeypatch):
    asked = []

    def fetch_rows(hub_id, config, split, revision):
        asked.append((hub_id, config, revision))
        return [json.loads(line) for line in (samples / "hub" / "math.jsonl").read_text().splitlines()][:1]

    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)
    options = {"data_seed": 0, "accept_data": True}
    data = load_cases(get("math"), range(7), None, hub={"math": "mirror/math"}, **options)
    assert [(hub_id, revision) for hub_id, _, revision in asked] == [("mirror/math", None)] * 7
    assert len({config for _, config, _ in asked}) == 7, "the hub has no configuration with all of MATH"
    assert data.state.source == "hub mirror/math, test"


def test_no_hub_names_the_setting_and_data_dir(monkeypatch):
    def fetch_rows(hub_id, config, split, revision):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("pytest_thinkslm.data.hub.fetch_rows", fetch_rows)
    with pytest.raises(DataError, match=r"openai/gsm8k, config main.*no route\).*--data-dir.*--hub-id gsm8k="):
        load_cases(get("gsm8k"), [0], None, data_seed=0)


# Counting


def test_the_number_of_items_is_pinned_without_a_folder_and_counted_in_one(samples, tmp_path):
    assert item_count(get("gsm8k"), None) == 1319
    assert item_count(get("hellaswag"), None) == 10042
    assert item_count(get("gsm8k"), samples) == 3
    content = (samples / "gsm8k_test.jsonl").read_bytes()
    (tmp_path / "gsm8k_test.jsonl.gz").write_bytes(gzip.compress(content + b"\n\n" + content.strip()))
    assert item_count(get("gsm8k"), tmp_path) == 6
    assert item_count(get("math"), tmp_path) == 5000, "a missing file is an error when its data is read"
    (tmp_path / "math_test.jsonl.gz").write_bytes(b"no gzip")
    assert item_count(get("math"), tmp_path) == 5000


def test_a_file_of_the_pinned_size_is_not_opened_to_count(tmp_path, monkeypatch):
    (tmp_path / "gsm8k_test.jsonl").write_bytes(b"x" * pins.header("gsm8k").sizes["gsm8k_test.jsonl"])
    monkeypatch.setattr("pytest_thinkslm.data.local._content", lambda path: pytest.fail(f"{path} was opened"))
    assert item_count(get("gsm8k"), tmp_path) == 1319


def test_the_full_file_is_preferred_over_the_partial_one(samples, tmp_path):
    one = (samples / "hellaswag_validation.jsonl").read_bytes().splitlines()[0]
    (tmp_path / "hellaswag_validation_activitynet.jsonl").write_bytes(one)
    assert item_count(get("hellaswag"), tmp_path) == 1
    shutil.copy(samples / "hellaswag_validation.jsonl", tmp_path)
    assert item_count(get("hellaswag"), tmp_path) == 3
    assert accepted("hellaswag", tmp_path).state.source == "hellaswag_validation.jsonl"


def test_a_partial_file_is_named(samples, tmp_path):
    shutil.copy(samples / "mr_gsm8k.jsonl", tmp_path / "mr_gsm8k_partial.jsonl")
    assert accepted("mr_gsm", tmp_path).state.partial == "3 of 2999 records, wrong solutions only"


# Files that are wrong


def gsm8k_lines(samples):
    return (samples / "gsm8k_test.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b'{"question": "Q?", "answer": "#### 1"}\n{"question": "Q', "is cut: its last line, 2"),
        (b'{"question": "Q?"\n{"question": "Q?", "answer": "#### 1"}\n', "line 1 is not JSON"),
        (b'\xff\xfe{"question": 1}\n{}\n', "line 1 is not JSON"),
        (b"[" * 100_000 + b"\n{}\n", "line 1 is not JSON"),
        (b'["Q?"]\n', "line 1 is a list"),
        (b'{"question": "Q?", "answer": "1"}\n', "line 1: the field 'answer' has no number after '####'"),
        (b'{"problem": "Q", "level": "1", "type": "A", "solution": "s"}\n', "looks like math;"),
    ],
)
def test_damaged_and_foreign_files(tmp_path, content, complaint):
    (tmp_path / "gsm8k_test.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        load_cases(get("gsm8k"), [0], tmp_path, data_seed=0, accept_data=True)
    assert "gsm8k_test.jsonl" in str(caught.value)


def test_missing_file_and_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"has no gsm8k_test.jsonl or gsm8k_test.jsonl.gz; put it there"):
        load_cases(get("gsm8k"), [0], tmp_path, data_seed=0)
    with pytest.raises(DataError, match="does not exist"):
        load_cases(get("gsm8k"), [0], tmp_path / "nowhere", data_seed=0)


@pytest.mark.parametrize("cut", [20, -9])
def test_cut_gzip(samples, tmp_path, cut):
    packed = gzip.compress(b"".join(gsm8k_lines(samples)) * 50)
    (tmp_path / "gsm8k_test.jsonl.gz").write_bytes(packed[:cut])
    with pytest.raises(DataError, match="is cut or damaged"):
        load_cases(get("gsm8k"), [0], tmp_path, data_seed=0)


def test_a_plain_file_named_gz(samples, tmp_path):
    shutil.copy(samples / "gsm8k_test.jsonl", tmp_path / "gsm8k_test.jsonl.gz")
    with pytest.raises(DataError, match="is not a gzip file"):
        load_cases(get("gsm8k"), [0], tmp_path, data_seed=0)


def test_another_tasks_file_under_this_name(samples, tmp_path):
    shutil.copy(samples / "gsm_plus_testmini.jsonl", tmp_path / "gsm8k_test.jsonl")
    with pytest.raises(DataError, match="looks like gsm_plus"):
        load_cases(get("gsm8k"), [0], tmp_path, data_seed=0)


def test_an_item_that_does_not_exist(samples):
    with pytest.raises(DataError, match=r"items 1319 do not exist: there are 3 records of gsm8k_test.jsonl"):
        load_cases(get("gsm8k"), [0, 1319], samples, data_seed=0, accept_data=True)


def test_texts_may_hold_line_separators_of_unicode(tmp_path):
    record = {"question": "One\u2028two\u0085three?", "answer": "#### 3"}
    (tmp_path / "gsm8k_test.jsonl").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    assert accepted("gsm8k", tmp_path).cases[0].question == record["question"]


# Content pins


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """Pins of five made-up GSM8K records, and a function that writes a file and loads it."""
    records = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(5)]
    folder = tmp_path / "pins"
    folder.mkdir()
    task = get("gsm8k")
    pins.write("gsm8k", "gsm8k_test", [task.build(record, 0) for record in records], {}, folder)
    monkeypatch.setattr(pins, "PINS_FOLDER", folder)
    for cached in (pins.header, pins.load, pins.question_index):
        cached.cache_clear()

    def load(new_records, stem="gsm8k_test", task=task, **policy):
        lines = "\n".join(json.dumps(record) for record in new_records)
        (tmp_path / f"{stem}.jsonl").write_text(lines)
        data = load_cases(task, item_indices(task, tmp_path), tmp_path, data_seed=0, **policy)
        return [case.question for case in data.cases.values()], data.state

    yield records, load
    for cached in (pins.header, pins.load, pins.question_index):
        cached.cache_clear()


def test_of_a_file_that_is_pinned_as_a_whole_only_what_was_asked_for_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pins, "PINS_FOLDER", tmp_path / "pins")
    pins.PINS_FOLDER.mkdir()
    content = b"".join(b'{"question": "What is %d + 1?", "answer": "#### %d"}\n' % (n, n + 1) for n in range(5))
    path = tmp_path / "gsm8k_test.jsonl"
    path.write_bytes(content)
    for cached in (pins.header, pins.load, pins.question_index):
        cached.cache_clear()
    assert make_pins([str(tmp_path), "gsm8k"]) == 0
    built = []
    task = small()
    task = replace(task, build=lambda record, index: built.append(index) or get("gsm8k").build(record, index))

    def load(*wanted):
        built.clear()
        return load_cases(task, wanted, tmp_path, data_seed=0)

    try:
        one = load(3)
        assert (built, one.cases[3].question, one.cases[3].index) == ([3], "What is 3 + 1?", 3)
        every_fact = replace(one.state, source="")
        path.unlink()
        compressed = tmp_path / "gsm8k_test.jsonl.gz"
        compressed.write_bytes(gzip.compress(content))
        assert (replace(load(3).state, source=""), built) == (every_fact, [3])
        compressed.unlink()
        path.write_bytes(content.replace(b"####", b"#### ", 1))  # other bytes, the same records: each is looked at
        assert (replace(load(3).state, source=""), built) == (every_fact, [0, 1, 2, 3, 4])
        path.write_bytes(content.replace(b"0 + 1", b"0 + 2"))
        assert load(3).state.differing == (0,)
    finally:
        for cached in (pins.header, pins.load, pins.question_index):
            cached.cache_clear()


def small(task=None, **changes):
    """GSM8K as if its whole set were the five pinned records, or more."""
    task = get("gsm8k")
    files = changes.pop("files", (File("gsm8k_test", 5),))
    source = Source(hub="x/y", files=files, forms=task.source.forms)
    return Task(key="gsm8k", title="", kind="number", build=task.build, source=source, count=changes.pop("count", 5))


def test_pins_define_the_order_whatever_the_source_delivers(pinned):
    records, load = pinned
    questions, state = load(list(reversed(records)), task=small())
    assert questions == [record["question"] for record in records]
    assert state.pin == "ok"
    assert state.digest == pins.header("gsm8k").digest


def test_blanks_and_unicode_composition_do_not_matter(pinned):
    records, load = pinned
    changed = [{**records[0], "question": f"  {records[0]['question'].replace(' ', chr(160))} \n"}, *records[1:]]
    assert load(changed, task=small())[1].pin == "ok"


@pytest.mark.parametrize(
    ("change", "complaint", "found"),
    [
        (lambda r: [*r[:2], {**r[2], "answer": "#### 99"}, *r[3:]], r"1 differ \(items 0002\)", ((2,), (), 0)),
        (lambda r: [{**r[0], "question": "What is 0 plus 0?"}, *r[1:]], r"1 differ \(items 0000\)", ((0,), (), 0)),
        (
            lambda r: [*r[:3], r[4], {"question": "?", "answer": "#### 1"}],
            "missing .*0003.*new .*line 5",
            ((), (3,), 1),
        ),
    ],
)
def test_what_differs_is_named_and_can_be_accepted(pinned, change, complaint, found):
    records, load = pinned
    with pytest.raises(DataError, match=complaint) as caught:
        load(change(records), task=small())
    assert "--accept-data" in str(caught.value)
    assert "thinkslm data check gsm8k" in str(caught.value)
    questions, state = load(change(records), accept_data=True, task=small())
    assert len(questions) == 5
    assert state.pin == "accepted"
    assert (state.differing, state.missing, state.new) == found


def test_a_shorter_set_is_a_partial_one_whose_items_keep_their_index(pinned, tmp_path):
    records, load = pinned
    questions, state = load([*records[:3], records[4]], task=small())
    assert questions == [record["question"] for record in (*records[:3], records[4])]
    assert list(item_indices(small(), tmp_path)) == [0, 1, 2, 4]
    assert (state.pin, state.partial, state.missing) == ("ok", "4 of 5 records", (3,))
    with pytest.raises(DataError, match=r"1 are missing \(items 0003\); --strict-data lets no difference pass"):
        load([*records[:3], records[4]], task=small(), strict_data=True)


@pytest.mark.parametrize(
    "more", [{"question": "New?", "answer": "#### 1"}, {"question": "What is 0 + 0?", "answer": "#### 0"}]
)
def test_a_larger_set_runs_its_pinned_records(pinned, more):
    records, load = pinned
    questions, state = load([*records, more], task=small())
    assert questions == [record["question"] for record in records]
    assert (state.pin, state.new, state.unverified) == ("ok", 1, (5,))
    questions, state = load([*records, more], task=small(), accept_data=True)
    assert len(questions) == 6
    assert state.pin == "accepted"
    with pytest.raises(DataError, match=r"1 are new \(line 6\)"):
        load([*records, more], task=small(), strict_data=True)


def test_a_differing_record_keeps_its_place(pinned):
    records, load = pinned
    changed = [*records[3:], {**records[1], "answer": "#### 99"}, records[0], records[2]]
    questions, _ = load(changed, accept_data=True, task=small())
    assert questions == [record["question"] for record in records]


def test_of_a_fuller_set_the_pinned_part_is_checked_and_comes_first(pinned):
    records, load = pinned
    fuller = small(files=(File("gsm8k_full", 7), File("gsm8k_test", 5, "five only")), count=7)
    extra = [{"question": f"Extra {n}?", "answer": "#### 1"} for n in range(2)]
    questions, state = load([extra[0], *reversed(records), extra[1]], stem="gsm8k_full", task=fuller)
    assert questions == [record["question"] for record in [*records, *extra]]
    assert (state.pin, state.partial) == ("ok", None)
    assert "2 records are unpinned" in state.notes[0]
    with pytest.raises(DataError, match="1 are missing"):
        load([*extra, *records[1:]], stem="gsm8k_full", task=fuller, strict_data=True)
    with pytest.raises(DataError, match="only 6 of 7 are there"):
        load([extra[0], *records], stem="gsm8k_full", task=fuller, strict_data=True)
    questions, state = load([extra[0], *records], stem="gsm8k_full", task=fuller)
    assert len(questions) == 6
    assert (state.pin, state.partial) == ("ok", "6 of 7 records")


def test_the_partial_file_of_a_fuller_set_is_complete_for_itself(pinned):
    records, load = pinned
    fuller = small(files=(File("gsm8k_full", 7), File("gsm8k_test", 5, "five only")), count=7)
    _, state = load(records, task=fuller)
    assert (state.pin, state.partial) == ("ok", "5 of 7 records, five only")
    with pytest.raises(DataError, match=r"1 are missing"):
        load(records[1:], task=fuller, strict_data=True)


@given(st.permutations(range(6)), st.integers(0, 5))
def test_matching_is_blind_to_order_and_takes_duplicates_in_turn(order, wrong):
    golds = ("1", "1", "1", "1", "4", "5")  # two pairs of duplicates, and one question with two golds
    cases = [Case("t", 0, "number", f"Q{n // 2}?", gold) for n, gold in enumerate(golds)]
    hashes = tuple(map(pins.record_hash, cases))
    table = pins.Pins(pins.PinHeader("t", 6, {}), tuple(pins.question_hash(c.question) for c in cases), hashes)
    delivered = [cases[position] for position in order]
    found = match(table, delivered)
    assert [delivered[found.positions[item]] for item in range(6)] == cases
    assert found.differing + found.missing + found.new == ()
    delivered[order.index(wrong)] = Case("t", 0, "number", f"Q{wrong // 2}?", "other")
    (differing,) = match(table, delivered).differing
    assert cases[differing.item] == cases[wrong]


def test_make_pins_writes_what_the_reader_checks(samples, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pins, "PINS_FOLDER", tmp_path)
    for cached in (pins.header, pins.load, pins.question_index):
        cached.cache_clear()
    try:
        assert make_pins([str(samples), "openbookqa", "math"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "math: 4 records of math_test.jsonl -> math.txt",
            "openbookqa: 2 records of openbookqa_main_test.jsonl -> openbookqa.txt",
        ]
        header = pins.header("math")
        assert header.sizes == {"math_test.jsonl": (samples / "math_test.jsonl").stat().st_size}
        assert len(pins.load("math").records) == header.records == 4
    finally:
        for cached in (pins.header, pins.load, pins.question_index):
            cached.cache_clear()
    assert make_pins([]) == 2


def test_only_the_asked_tasks_file_is_opened(samples):
    code = f"""
import sys
from dataclasses import replace
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from pathlib import Path
from pytest_thinkslm.data.reader import item_count, load_cases
from pytest_thinkslm.tasks.registry import all_tasks, get
folder = Path({str(samples)!r})
load_cases(get("openbookqa"), [0], folder, data_seed=0, accept_data=True)
print(sorted({{Path(path).name for path in opened if path.startswith(str(folder))}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['openbookqa_main_test.jsonl']"


def test_user_task_from_its_own_folder(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"q": "1 + 1?"}\n{"q": "2 + 2?"}\n')
    source = Source(files=(File("mine"),), folder=tmp_path)
    task = Task("mine", "Mine", "number", lambda record, i: Case("mine", i, "number", record["q"], "2"), source)
    assert item_count(task, None) == 2
    data = load_cases(task, [1], None, data_seed=0)
    assert data.cases[1].question == "2 + 2?"
    assert (data.state.pin, data.state.partial, data.state.expected) == ("unpinned", None, 2)
    (tmp_path / "mine.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(DataError, match=r"line 1: the task's build raised KeyError: 'q'"):
        load_cases(task, [0], None, data_seed=0)


def test_a_record_of_a_users_file_that_cannot_be_built_stops_a_run_that_asks_for_it(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"q": "1 + 1?"}\n{"other": 1}\n{"q": "3 + 3?"}\n')
    source = Source(files=(File("mine"),), folder=tmp_path)
    task = Task("mine", "Mine", "number", lambda record, i: Case("mine", i, "number", record["q"], "2"), source)
    data = load_cases(task, [0, 2], None, data_seed=0)
    assert sorted(data.cases) == [0, 2]
    (note,) = data.state.notes
    assert note.startswith("1 records cannot be built (the first: line 2: the task's build raised KeyError: 'q' (")
    with pytest.raises(DataError, match=r"line 2: the task's build raised KeyError: 'q'"):
        load_cases(task, [0, 1], None, data_seed=0)
    with pytest.raises(DataError, match=r"line 2: the task's build raised KeyError: 'q'"):
        load_cases(task, [0], None, data_seed=0, strict_data=True)
    accepted_data = load_cases(task, [0, 1], None, data_seed=0, accept_data=True)
    assert sorted(accepted_data.left_out) == [1]
    assert accepted_data.state.unverified == (1,)


def test_a_hostile_record_stops_no_other(tmp_path):
    steps = "[" * 200_000
    record = {"uuid": "u", "question": "Q?", "question_type": "original", "model_output_steps": steps}
    labels = {"correctness": "correct", "first_error_step": "N/A", "first_error_reason": "N/A"}
    record |= {f"model_output_solution_{name}": value for name, value in labels.items()}
    lines = [json.dumps({**record, "uuid": str(n), "model_output_steps": "a"}) for n in range(3)]
    (tmp_path / "mr_gsm8k.jsonl").write_text("\n".join([*lines, json.dumps(record)]))
    assert len(accepted("mr_gsm", tmp_path).cases) >= 3


def test_without_the_library_the_hub_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"gsm8k: .*pip install 'pytest-thinkslm\[hub\]'.*--data-dir"):
        load_cases(get("gsm8k"), [0], None, data_seed=0)
