"""Hashes of model files, remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import ModelError
from pytest_thinkslm.models.hashes import file_hash, folder_hashes


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_file_by_its_relative_path(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    (folder / "link").symlink_to(folder / "a")
    assert folder_hashes(folder) == {"a": sha("1"), "link": sha("1"), "sub/b": sha("2")}


def test_read_again_only_when_size_or_time_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    assert file_hash(file) == sha("old")
    stat = file.stat()
    file.write_text("new")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_hash(file) == sha("old")  # remembered: same size, same time
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert file_hash(file) == sha("new")


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"x": 3}'])
def test_a_damaged_memory_is_made_again(tmp_path: Path, own_cache: Path, damage: str) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    file_hash(file)
    (memory,) = (own_cache / "hashes").iterdir()
    memory.write_text(damage)
    assert file_hash(file) == sha("text")
    assert sha("text") in memory.read_text()


def test_an_unwritable_cache_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="set THINKSLM_CACHE"):
        file_hash(tmp_path / "file")
