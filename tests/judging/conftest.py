"""Runs with a judge."""

from __future__ import annotations

import pytest
from judged_runs import JudgedRuns


@pytest.fixture
def judged(pytester: pytest.Pytester) -> JudgedRuns:
    """``judged(*arguments, url=server.url)`` runs the suite on recorded outputs with a judge."""
    return JudgedRuns(pytester)
