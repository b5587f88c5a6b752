from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import pytest


@pytest.fixture
def replay(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run the suite on recorded outputs, in a process of its own, from an otherwise empty folder.

    ``lines`` become outputs.jsonl; ``report`` is the report folder.
    """

    def run(lines: Iterable[Mapping[str, object] | str], *arguments: str) -> pytest.RunResult:
        file = pytester.path / "outputs.jsonl"
        file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return pytester.runpytest_subprocess(
            "--model=outputs.jsonl", "--engine=replay", "--report-dir=report", *arguments, timeout=180
        )

    return run
