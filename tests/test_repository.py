"""What the repository says of itself: commands, workflows, bounds."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import pytest_thinkslm
from pytest_thinkslm.plugin.options import OPTIONS

ROOT = Path(__file__).parents[1]
CI = ROOT / ".ci"
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


def test_the_map_names_only_what_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    known = {f"/{place.relative_to(ROOT)}" for place in (ROOT / "pytest_thinkslm").rglob("*")}
    known |= {f"/{name}" for name in ("docs", ".importlinter", ".ci", *(f".ci/{place.name}" for place in CI.iterdir()))}
    known |= {f"/docs/{place.name}" for place in (ROOT / "docs").iterdir()} | {"/reasoning_tests"}
    paths = re.findall(r"`(\.?[\w*]+(?:/[\w.*]+)+/?|[\w*]+\.(?:py|schema\.json)|\.\w+)`", page)
    # "models/": `hub`, `places` ... are the modules of that room.
    for room, listed in re.findall(r"`(\w+)/`: ((?:`[^`]+`[^`;|]*)+)", page):
        paths += [f"{room}/{name}" for name in re.findall(r"`([a-z_*]+)`", listed)]
    assert len(paths) > 100
    missing = [
        path
        for path in sorted(set(paths))
        if not any(fnmatch(there.removesuffix(".py"), f"*/{path.rstrip('/').removesuffix('.py')}") for there in known)
    ]
    assert missing == []


def test_the_map_has_every_room_on_its_floor() -> None:
    floors = configparser.ConfigParser()
    floors.read(ROOT / ".importlinter")
    layers = floors["importlinter:contract:floors"]["layers"].split("\n")
    floor_of = {room: floor for floor, rooms in enumerate(layers) for room in re.findall(r"\w+", rooms)}
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = [room for room in re.findall(r"\b(\w+)/", page.split("```")[3]) if room in floor_of]
    assert sorted(drawn) == sorted(floor_of)
    assert [floor_of[room] for room in drawn] == sorted(floor_of.values())


def test_the_page_of_options_has_each_of_them_once() -> None:
    page = (ROOT / "docs" / "options.md").read_text()
    paragraphs = re.findall(r"(?m)^(?:`--[\w-]+`\s)+$", page)
    assert sorted(re.findall(r"`(--[\w-]+)`", "".join(paragraphs))) == sorted(option.short for option in OPTIONS)


def test_the_page_of_the_python_api_has_each_public_name_once() -> None:
    rows = [row for row in (ROOT / "docs" / "api.md").read_text().splitlines() if row.startswith("| ")]
    named = re.findall(r"`(\w+)`", "\n".join(rows))
    assert sorted(named) == sorted(pytest_thinkslm.__all__)


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    pages = [f"docs/{place.name}" for place in (ROOT / "docs").iterdir() if place.suffix in (".md", ".ipynb")]
    assert [page for page in sorted(pages) if f"({page})" not in readme] == []


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_in_commands_exist(page: Path) -> None:
    known = {name for option in OPTIONS for name in (option.short, option.prefixed)} | {"--dist"}  # pytest-xdist's
    commands = [line for line in page.read_text().splitlines() if re.match(r"\s*(\$ .*&& )?pytest ", line)]
    used = {name for line in commands for name in re.findall(r"(?<!\S)--[a-z][\w-]+", line.partition("#")[0])}
    assert used <= known
