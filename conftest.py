"""Settings of the project's own tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def data_dir() -> str:
    """The folder of the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("THINKSLM_DATA_DIR")
    if not folder:
        pytest.skip("needs the real data sets: set THINKSLM_DATA_DIR")
    return os.path.abspath(folder)
