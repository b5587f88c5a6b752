"""The shell commands that the documentation shows, read out of its pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

#: What a line of a shell block begins with that is a command; a block of output has none of it.
PROGRAMS = (
    *("pytest", "thinkslm", "pip", "python", "bash", "lint-imports", "pre-commit"),
    *("vllm", "serve", "export", "gh", "docker", "mkdocs"),
)
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=\S*")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}|\t)\S.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"`((?:pytest|thinkslm) [^`\n]*(?:\n[^`\n]*)?)`")


class Command(NamedTuple):
    """Where it stands, and its words."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def shown() -> list[Command]:
    """Every command of a block of every page, in order."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for start, block in _blocks(text):
            found += list(_commands(path, text.count("\n", 0, start) + 1, block))
    return found


def spans() -> list[Command]:
    """Commands within sentences, as far as they are written out."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in _SPAN.finditer(text):
            words = _split(match[1].replace("\n", " "))
            if len(words) > 1:
                found.append(Command(path.name, text.count("\n", 0, match.start()) + 1, tuple(words)))
    return found


def options() -> dict[str, list[str]]:
    """Every long option that a page mentions anywhere, with the places."""
    found: dict[str, list[str]] = {}
    for path in PAGES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for name in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*[a-z0-9]", line):
                found.setdefault(name, []).append(f"{path.name}:{number}")
    return found


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    fences = [(match.start(2), match.end(), match[1], match[2]) for match in _FENCE.finditer(text)]
    for start, _, language, body in fences:
        if language in ("", "console", "bash", "sh"):
            yield start, body
        elif language == "yaml":
            yield from ((start, script) for script in _scripts(body))
    for match in _INDENTED.finditer(text):
        if not any(start <= match.start() < end for start, end, *_ in fences):
            yield match.start(), match[0]


def _scripts(workflow: str) -> Iterator[str]:
    """The steps of a workflow, its environment filled in."""
    content = yaml.safe_load(re.sub(r"\$\{\{.*?\}\}", "1", workflow))
    if not isinstance(content, dict) or "jobs" not in content:
        return
    for job in content["jobs"].values():
        for step in job["steps"]:
            script = str(step.get("run", ""))
            for name, value in content.get("env", {}).items():
                script = script.replace(f"${name}", str(value))
            yield script


def _commands(path: Path, first: int, block: str) -> Iterator[Command]:
    lines = block.replace("\\\n", "\\\0").split("\n")
    number = first
    for line in lines:
        here, number = number, number + 1 + line.count("\0")
        plain = line.replace("\\\0", " ").strip().removeprefix("$ ")
        if not re.match(rf"(?:[A-Z_][A-Z0-9_]*=\S* )*(?:{'|'.join(PROGRAMS)})(?: |$)", plain):
            continue
        words = _split(plain)
        for part in _parts(words):
            while part and _ASSIGNMENT.fullmatch(part[0]):
                part = part[1:]
            if part and part[0] in PROGRAMS:
                yield Command(path.name, here, tuple(part))


def _split(text: str) -> list[str]:
    """The words of a command; what a page leaves out (``...``) is left out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        return [word for word in lexer if word not in ("...", "…")]
    except ValueError:
        return shlex.split(re.sub("['\"]", "", text))


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line: between ``&&``, without what is redirected."""
    part: list[str] = []
    for word in words:
        if word in ("&&", "||", ";", "|"):
            yield part
            part = []
        else:
            part.append(word)
    yield part


def without_redirection(words: tuple[str, ...]) -> list[str]:
    """The words that the program itself gets."""
    kept = list(words)
    while any(sign in kept for sign in (">", "<", ">>")):
        at = next(place for place, word in enumerate(kept) if word in (">", "<", ">>"))
        del kept[at : at + 2]
    return kept
