"""Gates as test reports of their own, and ``gates.xml``: the gates and the errors of a run, nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from pytest_thinkslm.core.files import write_file
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.gates.gating import outcome
from pytest_thinkslm.gates.outcomes import ALLOW, GateResult
from pytest_thinkslm.plugin import compat_pytest

#: Plugins that must not take a gate for a test: what failed last, where to step on, when to stop, what was run.
_NOT_TOLD = ("lfplugin", "nfplugin", "stepwiseplugin", "session", "thinkslm-controller")

#: Numbers of a gate that become properties in JUnit.
_PROPERTIES = ("baseline", "candidate", "difference", "low", "high", "n", "lost", "gained", "p", "p_corrected", "test")


def report_gates(config: pytest.Config, gates: Sequence[GateResult]) -> None:
    """Hand each gate to everything that reports tests (terminal, JUnit, other plugins), but not to ``--lf``.

    A gate that could not be evaluated is a failed test, too; one that fails no run is a skipped test with its sentence
    as the reason.
    """
    manager = config.pluginmanager
    untold = [plugin for name in _NOT_TOLD if (plugin := manager.getplugin(name)) is not None]
    hook = manager.subset_hook_caller("pytest_runtest_logreport", untold)
    session, terminal = manager.getplugin("session"), manager.getplugin("terminalreporter")
    if session is not None and terminal is not None and gates:
        session.testscollected += len(gates)  # the share of done tests in the terminal
        compat_pytest.Terminal(config).fresh_line()
    for gate in gates:
        hook(report=_report(gate))


def write_gates_xml(path: Path, gates: Sequence[GateResult], errors: Iterable[tuple[str, str]]) -> None:
    """Write ``gates.xml`` (JUnit's form) atomically.

    Args:
        gates: every gate.
        errors: items whose engine or data failed, as (name, reason).
    """
    suite = ElementTree.Element("testsuite", name="thinkslm gates")
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    total = 0
    for gate in gates:
        total += 1
        case = ElementTree.SubElement(
            suite, "testcase", classname="gate", name=safe_text(gate.name.removeprefix("gate::"))
        )
        if found := [(name, gate.fields[name]) for name in _PROPERTIES if gate.fields.get(name) is not None]:
            properties = ElementTree.SubElement(case, "properties")
            for name, value in found:
                ElementTree.SubElement(properties, "property", name=name, value=_number(value))
        state = outcome(gate)
        if gate.fails:
            counts["failures"] += 1
            text = safe_text(_why_failed(gate))
            ElementTree.SubElement(case, "failure", message=text).text = text
        elif state == "passed":
            ElementTree.SubElement(case, "system-out").text = safe_text(gate.sentence)
        else:
            counts["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message=safe_text(f"{state}: {gate.sentence}"))
    for name, reason in errors:
        total += 1
        counts["errors"] += 1
        case = ElementTree.SubElement(suite, "testcase", classname="error", name=safe_text(name))
        ElementTree.SubElement(case, "error", message=safe_text(reason))
    for name, count in {"tests": total, **counts}.items():
        suite.set(name, str(count))
    root = ElementTree.Element("testsuites", name="thinkslm gates")
    root.append(suite)
    ElementTree.indent(root)
    document = ElementTree.ElementTree(root)
    write_file(path, lambda draft: document.write(draft, encoding="utf-8", xml_declaration=True))


class _Sentence(str):
    """The reason of a failed gate: whole in every report, but on the terminal, where it stands below the table."""

    def toterminal(self, writer: object) -> None:
        """What pytest calls in its section of failures."""
        writer.line("below, at the table of gates")  # type: ignore[attr-defined]


def _report(gate: GateResult) -> pytest.TestReport:
    state = outcome(gate)
    result: Literal["passed", "failed", "skipped"]
    longrepr: str | tuple[str, int, str] | None
    if gate.fails:
        result, longrepr = "failed", _Sentence(safe_text(_why_failed(gate)))
    elif state == "passed":
        result, longrepr = "passed", None
    else:
        result, longrepr = "skipped", ("gate", 0, f"Skipped: {state}: {safe_text(gate.sentence)}")
    properties = [(name, _number(value)) for name in _PROPERTIES if (value := gate.fields.get(name)) is not None]
    return pytest.TestReport(
        nodeid=safe_text(gate.name),
        location=("gate", None, safe_text(gate.name.removeprefix("gate::"))),
        keywords={},
        outcome=result,
        longrepr=longrepr,
        when="call",
        user_properties=[("gate", safe_text(gate.sentence)), *properties],
    )


def _why_failed(gate: GateResult) -> str:
    """The sentence, and of a gate that could not be evaluated what lets it pass."""
    return gate.sentence if gate.passed is False else f"{gate.sentence} ({ALLOW} lets it pass)"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
