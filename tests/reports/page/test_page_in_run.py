"""Every run writes its page and names it; a page that cannot be written costs nothing else."""

from __future__ import annotations

import json

import pytest


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    lines = [{"task": "sort8_positive", "item": item, "output": "\\boxed{1, 2}"} for item in range(100)]
    (pytester.path / "outputs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return pytester.runpytest_subprocess(
        "--model=outputs.jsonl", "--engine=replay", "--report-dir=report", *arguments, timeout=180
    )


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_terminal_and_summary_name_the_page(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = run(pytester, *workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["files: report (*", "page: report/report.html"])
    assert (pytester.path / "report" / "summary.md").read_text().splitlines()[-1] == (
        "Every item with its prompt and output, and plots: [report.html](report.html)."
    )
    assert 'id="block-0"' in (pytester.path / "report" / "report.html").read_text()


def test_a_page_that_cannot_be_written_is_a_line_and_no_more(pytester: pytest.Pytester) -> None:
    # In the way once the run has begun: what stood there before is moved aside.
    pytester.makepyfile(
        in_the_way="""
        from pathlib import Path

        def pytest_runtest_logreport():
            Path("report/report.html").mkdir(exist_ok=True)
        """
    )
    result = run(pytester, "-p", "in_the_way")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["thinkslm: report.html was not written (*it is a folder: *"])
    result.stdout.no_fnmatch_line("page: *")
    assert "report.html" not in (pytester.path / "report" / "summary.md").read_text()
    assert json.loads((pytester.path / "report" / "results.json").read_text())["results"][0]["n"] == 100
    assert not list((pytester.path / "report").glob(".*"))
