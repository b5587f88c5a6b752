"""First contact with a hub whose rows are not all the pinned ones: what runs, what is left out, what stops.

The hub serves, for each of the eleven data sets, 200 self-written rows in the hub's form; the pins are those of the
same records in the local form. Two of 200 may differ.
"""

import json
import random
import sys
import types
from dataclasses import replace

import pytest
from hub_form import HUB_FORMS, KEYS, broken, records, regraded, rephrased, varied
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.data import hub as hub_data
from pytest_thinkslm.data.local import find_file
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.data.verification import tolerated
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.registry import get
from pytest_thinkslm.tasks.task import File

SIZE = 200


def forget():
    for cached in (pins.header, pins.load, pins.question_index):
        cached.cache_clear()


class Hub:
    """One task's rows on a pretended hub, with pins of their local form."""

    def __init__(self, key, samples, monkeypatch, pinned=SIZE):
        task = get(key)
        _, path = find_file(task, samples)
        written = records(path)
        local = [varied(key, written[number % len(written)], number) for number in range(SIZE)]
        cases = [task.build(record, index) for index, record in enumerate(local)]
        pins.write(key, "made_up", cases[:pinned], {}, pins.PINS_FOLDER)
        forget()
        files = (File("made_up", SIZE),)
        self.key = key
        self.task = replace(task, count=SIZE, source=replace(task.source, files=files))
        self.cases = {index: replace(case, index=index) for index, case in enumerate(cases)}
        self.rows = [HUB_FORMS[key](record) for record in local]
        first = task.source.configs[0]
        monkeypatch.setattr(
            hub_data,
            "fetch_rows",
            lambda hub_id, config, split, revision: list(self.rows) if config == first else [],
        )

    def load(self, wanted=range(SIZE), **policy):
        return load_cases(self.task, wanted, None, data_seed=0, **policy)

    def change(self, how, *places):
        for place in places:
            changed = how(self.key, self.rows[place])
            self.rows[place] = changed[0] if isinstance(changed, tuple) else changed


@pytest.fixture
def serve(samples, tmp_path, monkeypatch):
    """A function: the pretended hub of a task."""
    # GSM-Plus's seeds are pinned GSM8K items: keep them.
    kept = (pins.PINS_FOLDER / "gsm8k.txt").read_bytes()
    (tmp_path / "gsm8k.txt").write_bytes(kept)
    monkeypatch.setattr(pins, "PINS_FOLDER", tmp_path)
    forget()
    yield lambda key, **options: Hub(key, samples, monkeypatch, **options)
    forget()


@pytest.mark.parametrize("key", KEYS)
def test_rows_of_the_hub_are_the_pinned_items_in_any_order(serve, key):
    hub = serve(key)
    random.Random(key).shuffle(hub.rows)
    data = hub.load(strict_data=True)
    assert data.cases == hub.cases
    assert (data.state.pin, data.state.partial, data.left_out) == ("ok", None, {})


@pytest.mark.parametrize("key", KEYS)
def test_up_to_one_percent_is_left_out_as_unverified_and_said(serve, key):
    hub = serve(key)
    hub.change(regraded, 17)
    hub.change(broken, 33)
    _, part = regraded(key, hub.rows[17])
    data = hub.load()
    assert data.cases == {index: case for index, case in hub.cases.items() if index not in (17, 33)}
    assert (data.state.pin, data.state.unverified, data.state.absent) == ("ok", (17, 33), ())
    assert f"differs from its pin ({part})" in data.left_out[17]
    assert "cannot be built (row 33" in data.left_out[33]
    (note,) = [note for note in data.state.notes if "unverified" in note]
    assert note.startswith("2 of 200 items were left out as unverified (0017: ")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("how", [regraded, broken, rephrased])
def test_more_than_that_is_an_error_unless_they_are_not_asked_for(serve, key, how):
    hub = serve(key)
    hub.change(how, 17, 33, 90)
    with pytest.raises(DataError, match=r"of 200 pinned records 3 (differ|cannot be built) .*at most 2 such records"):
        hub.load()
    data = hub.load(range(100, 150))
    assert data.cases == {index: hub.cases[index] for index in range(100, 150)}
    assert (data.state.pin, data.left_out) == ("ok", {})
    assert any(note.startswith("3 records") for note in data.state.notes)


@pytest.mark.parametrize("key", KEYS)
def test_accept_data_runs_what_differs_and_leaves_out_what_cannot_be_built(serve, key):
    hub = serve(key)
    hub.change(regraded, *range(0, 40, 4))
    hub.change(broken, 3, 5, 7)
    hub.change(rephrased, 90)
    data = hub.load(accept_data=True)
    assert len(data.cases) == 197
    assert data.state.pin == "accepted"
    assert data.state.differing == (*range(0, 40, 4), 90)
    assert data.state.unverified == (3, 5, 7)
    assert all(case.index == index for index, case in data.cases.items())
    assert data.cases[90].question != hub.cases[90].question


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("how", [regraded, broken, rephrased])
def test_strict_data_stops_at_one_wherever_it_is(serve, key, how):
    hub = serve(key)
    hub.change(how, 17)
    with pytest.raises(DataError, match="--strict-data lets no difference pass"):
        hub.load(range(100), strict_data=True)
    with pytest.raises(DataError, match="--strict-data lets no difference pass"):
        hub.load(range(100, 110), strict_data=True)


@pytest.mark.parametrize("key", KEYS)
def test_a_shorter_set_is_partial_and_a_longer_one_runs_its_pinned_records(serve, key):
    hub = serve(key)
    whole = list(hub.rows)
    del hub.rows[40:90]
    data = hub.load()
    assert data.cases == {index: case for index, case in hub.cases.items() if not 40 <= index < 90}
    assert (data.state.pin, data.state.partial) == ("ok", "150 of 200 records")
    assert data.state.absent == tuple(range(40, 90))
    assert "has no record of it" in data.left_out[40]
    assert any(note.startswith("50 of 200 items have no record in hub ") for note in data.state.notes)
    with pytest.raises(DataError, match="50 are missing"):
        hub.load(strict_data=True)
    hub.rows = [rephrased(key, whole[0]), *whole, rephrased(key, whole[1])]
    data = hub.load()
    assert data.cases == hub.cases
    assert "202 records where 200 were expected" in data.state.notes
    with pytest.raises(DataError, match="2 are new"):
        hub.load(strict_data=True)


@pytest.mark.parametrize("key", KEYS)
def test_a_record_put_in_place_of_another_counts_as_one_that_differs(serve, key):
    hub = serve(key)
    for place in (10, 60):
        hub.rows.append(rephrased(key, hub.rows[place]))
    for place in (60, 10):
        del hub.rows[place]
    data = hub.load()
    assert sorted(data.left_out) == [10, 60]
    hub.rows.append(rephrased(key, hub.rows.pop(100)))
    with pytest.raises(DataError, match=r"3 are missing .*3 are new"):
        hub.load()


@pytest.mark.parametrize("key", KEYS)
def test_only_pinned_records_of_a_set_pinned_in_part_are_judged(serve, key):
    hub = serve(key, pinned=150)
    hub.change(regraded, 17, 160)
    data = hub.load()
    assert sorted(data.left_out) == [17]
    assert "50 records are unpinned: their content was not verified" in data.state.notes
    del hub.rows[199], hub.rows[160]
    data = hub.load()
    assert data.state.partial == "198 of 200 records"
    assert len(data.cases) == 197
    hub.rows += [rephrased(key, hub.rows[n]) for n in range(155, 158)]
    assert "201 records where 200 were expected" in hub.load().state.notes


@pytest.mark.parametrize("key", KEYS)
def test_nothing_left_to_run_is_an_error(serve, key):
    hub = serve(key)
    hub.change(regraded, 17)
    hub.change(broken, 18)
    with pytest.raises(DataError, match="none of the 2 items asked for can be run"):
        hub.load([17, 18])
    assert list(hub.load([17, 18, 19]).cases) == [19]


def test_rows_of_another_task_are_named_for_it(serve, samples, monkeypatch):
    hub = serve("openbookqa")
    hub.rows = serve("arc_easy").rows
    monkeypatch.setattr(hub_data, "fetch_rows", lambda *_: hub.rows)
    with pytest.raises(DataError, match=r"it looks like (commonsenseqa|arc_easy)"):
        hub.load()


def test_other_records_altogether_are_an_error_and_run_from_0_where_accepted(serve):
    hub = serve("gsm8k")
    hub.rows = [rephrased("gsm8k", row) for row in hub.rows[:30]]
    with pytest.raises(DataError, match=r"200 are missing .*30 are new"):
        hub.load(range(30))
    data = hub.load(range(30), accept_data=True)
    assert list(data.cases) == list(range(30))
    assert data.state.pin == "accepted"


def test_the_unpinned_part_alone_is_not_taken_for_the_set(serve):
    hub = serve("gsm8k", pinned=150)
    del hub.rows[:150]
    with pytest.raises(DataError, match="150 are missing"):
        hub.load(range(150, 200))


@given(st.integers(0, 20_000))
def test_at_most_one_percent_and_at_most_twenty(size):
    bound = tolerated(size)
    assert bound <= 20
    assert 100 * bound <= size
    assert bound == 20 or 100 * (bound + 1) > size


# Revisions


class GoneError(Exception):
    pass


@pytest.fixture
def hub_at(monkeypatch, samples):
    """What was asked of a hub that has only some revisions."""
    asked = []
    rows = [json.loads(line) for line in (samples / "hub" / "gsm8k.jsonl").read_text().splitlines()]

    def serve(*there, error=GoneError):
        def fetch_rows(hub_id, config, split, revision):
            asked.append((hub_id, revision))
            if revision not in there:
                raise error(f"Revision '{revision}' doesn't exist for dataset '{hub_id}' on the Hub.")
            return rows

        monkeypatch.setattr(hub_data, "fetch_rows", fetch_rows)
        return asked

    return serve


KNOWN = hub_data.KNOWN_REVISIONS["openai/gsm8k"]


def read(**hub):
    return load_cases(get("gsm8k"), range(3), None, data_seed=0, accept_data=True, hub=hub).state


def test_the_known_revision_is_asked_for_and_named(hub_at):
    asked = hub_at(KNOWN, None)
    assert read().source == f"hub openai/gsm8k@{KNOWN[:12]}, test"
    assert asked == [("openai/gsm8k", KNOWN)]


def test_the_newest_where_the_known_one_is_gone_with_a_note(hub_at):
    asked = hub_at(None)
    state = read()
    assert state.source == "hub openai/gsm8k, test"
    assert state.notes[0] == f"the known revision {KNOWN[:12]} of openai/gsm8k cannot be had: its newest one was read"
    assert asked == [("openai/gsm8k", KNOWN), ("openai/gsm8k", None)]


def test_a_hub_that_cannot_be_reached_is_asked_once(hub_at):
    asked = hub_at(error=ConnectionError)
    with pytest.raises(DataError, match="cannot be had"):
        read()
    assert len(asked) == 1


def test_a_revision_may_be_named_and_is_then_not_replaced(hub_at):
    asked = hub_at(None, "abc")
    assert read(gsm8k="me/copy@abc").source == "hub me/copy@abc, test"
    with pytest.raises(DataError, match="me/copy@gone"):
        read(gsm8k="me/copy@gone")
    assert asked == [("me/copy", "abc"), ("me/copy", "gone")]


def test_a_revision_named_of_the_original_is_not_replaced_by_the_known_one(hub_at):
    asked = hub_at(None, KNOWN, "abc")
    assert read(gsm8k="openai/gsm8k@abc").source == "hub openai/gsm8k@abc, test"
    assert asked == [("openai/gsm8k", "abc")]


def test_the_library_is_asked_for_the_revision(monkeypatch):
    asked = []
    library = types.SimpleNamespace(load_dataset=lambda *names, **more: asked.append((names, more)) or [{"a": 1}])
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert hub_data.fetch_rows("own/set", "main", "test", "abc") == [{"a": 1}]
    assert asked == [(("own/set", "main"), {"split": "test", "revision": "abc"})]


def test_known_revisions_are_of_data_sets_that_a_task_reads():
    hubs = {get(key).source.hub for key in KEYS}
    assert hub_data.KNOWN_REVISIONS.keys() <= hubs
    assert all(len(revision) == 40 and int(revision, 16) for revision in hub_data.KNOWN_REVISIONS.values())
