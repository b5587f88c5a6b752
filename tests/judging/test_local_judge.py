"""A judge that this process loads: the embedded model. It judges badly, which the canaries are there to say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from judged_runs import JudgedRuns

from pytest_thinkslm.judging.judge import LocalJudge
from pytest_thinkslm.judging.prompt import PROMPT_VERSION
from pytest_thinkslm.models.cache import cache_root
from pytest_thinkslm.settings.run_settings import Settings

pytestmark = pytest.mark.model

#: The user's own cache, although pytester moves the home folder.
CACHE = str(cache_root())

#: Two canaries, and as many words as show that it is the text that is read.
BRIEF = """
from pytest_thinkslm.judging import canaries, judge, session
from pytest_thinkslm.core.records import Sampling
judge.SAMPLING = Sampling(max_tokens=4)
session.CANARIES = canaries.CANARIES = canaries.CANARIES[:2]
"""
TWO = ("--task=sort8_positive", "-k", "direct-0000 or direct-0003")


def test_a_local_judge_ends_in_recorded_states(judged: JudgedRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKSLM_CACHE", CACHE)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "2"))
    judged.pytester.makeconftest(BRIEF)
    result = judged(*TWO, "--judge-policy=all", judge="embedded")
    assert result.ret == 0
    assert {record["judge"]["status"] for record in judged.items()} == {"unjudged"}
    assert judged.results()["judge"]["canaries"]["trusted"] is False
    measured = judged.results()["measured"]["judge"]
    assert measured["requests"] == measured["replies"] == 2 * 4, "every reply was unreadable, and asked for once more"
    again = judged(*TWO, "--judge-policy=all", judge="embedded")
    assert again.ret == 0
    assert judged.results()["measured"]["judge"]["requests"] == 0


def test_its_fingerprint_is_the_checkpoints(tmp_path: Path) -> None:
    judge = LocalJudge("embedded", Settings(models=("x",), journal_dir=tmp_path), lambda line: None, lambda: None)
    facts = judge.fingerprint().facts
    assert facts["role"] == "judge"
    assert facts["prompt_version"] == PROMPT_VERSION
    assert any("sha" in name or "hash" in name or name == "template" for name in facts)
    judge.close()
