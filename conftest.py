"""Fixtures of the project's own tests; needs nothing but pytest, since every run in the checkout loads it."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def data_dir() -> str:
    """The folder of the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("THINKSLM_DATA_DIR")
    if not folder:
        pytest.skip("needs the real data sets: set THINKSLM_DATA_DIR")
    return os.path.abspath(folder)
