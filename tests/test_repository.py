"""What the repository says of itself: commands, workflows, bounds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_readme_has_the_commands_that_ci_reads() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(re.findall(r"(?m)^\$ .*# first command$", text)) == 1
    assert len(re.findall(r"(?m)^\$ .*# second command$", text)) == 1


def test_the_page_s_gate_is_the_project_s_own() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    shown = re.search(r"```yaml\n#[^\n]*\n(.*?)```", page, re.DOTALL)
    assert shown
    _, own = (ROOT / ".github" / "workflows" / "reasoning.yml").read_text().split("\n", 1)
    assert own.replace("pip install -e '.[transformers]'", "pip install 'pytest-thinkslm[transformers]'") == shown[1]


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_a_workflow_runs_scripts_that_are_there(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert steps
    for step in steps:
        for script in re.findall(r"bash (\S+)", step.get("run", "")):
            assert (ROOT / script).is_file(), script


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", PROJECT["version"])
    assert "ThinkSLM" in citation["references"][0]["title"]


def test_each_dependency_has_a_lower_bound_that_ci_installs() -> None:
    listed = subprocess.run(
        [sys.executable, ROOT / ".ci" / "oldest.py", "transformers", "test"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9.]+", line) for line in listed)
    assert {line.partition("==")[0] for line in listed} > {"pytest", "pytest-xdist", "transformers", "numpy"}


def test_the_map_of_the_package_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ")][1:]
    named = {name for row in rows for name in re.findall(r"`([\w/.]+(?:/|\.\w+))`", row)}
    assert len(named) > 50
    places = [*(ROOT / "pytest_thinkslm").rglob("*"), *(ROOT / "docs").iterdir(), ROOT / "reasoning_tests"]
    known = {f"/{place.relative_to(ROOT)}{'/' if place.is_dir() else ''}" for place in places}
    assert [name for name in sorted(named) if not any(there.endswith(f"/{name}") for there in known)] == []
