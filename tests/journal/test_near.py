"""Journals of nearly the same engine: named with what differs, and taken on purpose alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.fingerprint import NOT_INSTALLED, Fingerprint
from pytest_thinkslm.core.records import Message, Output, Request, Sampling
from pytest_thinkslm.journal.journal import Journal, entry_key
from pytest_thinkslm.journal.near import AcceptingJournal, advice, near, unknown_facts

FACTS: dict[str, object] = {
    "engine": "transformers",
    "model": "m",
    "revision": "abc",
    "transformers": "5.16.1",
    "torch": "2.13.0",
    "device": "cpu",
    "arguments": {"max_model_len": 4096, "dtype": "auto"},
}
REQUEST = Request((Message("user", "1+1?"),), Sampling(), task="gsm8k", item="0000", style="direct")
KEY = entry_key(REQUEST)


def kept(root: Path, text: str, **changed: object) -> Fingerprint:
    fingerprint = Fingerprint({**FACTS, **changed})
    journal = Journal(root, fingerprint)
    journal.put(REQUEST, KEY, Output(text))
    journal.close()
    return fingerprint


HERE = Fingerprint({**FACTS, "transformers": "5.24.0"})


def taken(root: Path, *accepted: str, here: Fingerprint = HERE) -> str | None:
    output = AcceptingJournal(root, here, accepted).get(REQUEST, KEY)
    return None if output is None else output.text


def test_what_differs_is_said(tmp_path: Path) -> None:
    kept(tmp_path, "old")
    (one,) = near(tmp_path, HERE)
    assert one.sentence == "transformers (5.16.1 there, 5.24.0 here)"
    assert advice([one]).endswith("--journal-accept transformers takes them")
    assert advice([]) == ""


@pytest.mark.parametrize(
    ("accepted", "text"),
    [((), None), (("torch",), None), (("transformers",), "old"), (("device", "transformers"), "old")],
)
def test_outputs_are_taken_where_no_other_fact_differs(tmp_path: Path, accepted: tuple[str, ...], text: str) -> None:
    kept(tmp_path, "old")
    kept(tmp_path, "of another device and version", transformers="5.1", device="cuda")
    assert taken(tmp_path, *accepted) == text or "device" in accepted


def test_its_own_outputs_come_first_and_the_nearest_next(tmp_path: Path) -> None:
    kept(tmp_path, "far", device="cuda")
    kept(tmp_path, "near", transformers="5.20")
    assert taken(tmp_path, "transformers", "device") == "near"
    kept(tmp_path, "own", transformers="5.24.0")
    assert taken(tmp_path, "transformers", "device") == "own"


def test_a_table_is_compared_fact_by_fact(tmp_path: Path) -> None:
    kept(tmp_path, "short", transformers="5.24.0", arguments={"max_model_len": 2048, "dtype": "auto"})
    (one,) = near(tmp_path, HERE)
    assert list(one.differing) == ["arguments.max_model_len"]
    assert taken(tmp_path, "arguments.max_model_len") == taken(tmp_path, "arguments") == "short"
    assert taken(tmp_path, "arguments.dtype") is None


def test_another_models_journal_is_taken_only_where_that_is_named(tmp_path: Path) -> None:
    kept(tmp_path, "other", revision="def")
    assert near(tmp_path, HERE) == []
    assert taken(tmp_path, "transformers") is None
    assert taken(tmp_path, "transformers", "revision") == "other"


def test_a_package_that_is_not_here_needs_no_word(tmp_path: Path) -> None:
    kept(tmp_path, "kept")
    here = Fingerprint({**FACTS, "transformers": NOT_INSTALLED, "torch": NOT_INSTALLED})
    journal = AcceptingJournal(tmp_path, here)
    assert journal.get(REQUEST, KEY) == Output("kept")
    assert sum(journal.taken.values()) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, '{"engine": "x"}'])
def test_what_is_no_manifest_is_no_journal(tmp_path: Path, content: str) -> None:
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "manifest.json").write_text(content)
    assert near(tmp_path, HERE) == []


def test_a_fact_that_there_is_not_is_refused() -> None:
    unknown_facts(["torch", "arguments", "arguments.dtype"], HERE)
    with pytest.raises(UsageError, match="did you mean 'torch'"):
        unknown_facts(["torsch"], HERE)
