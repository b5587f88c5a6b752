"""A certificate: each task beside its guard, the same on a terminal, in Markdown and on the page. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_thinkslm.core.tables import Cell, Column, Table, Tone, figure_columns, text_columns
from pytest_thinkslm.reports.delta_tables import p_value
from pytest_thinkslm.runs.types import CertificateJson, GuardJson, Results

_TONES: Mapping[str, Tone] = {"within": "good", "broken": "bad"}
_FIGURES = ("at most", "at least", "guard", "p within", "p broken")
_RANKS = ("broken", "not evaluated", "open", "within")


def certificates_of(results: Results) -> list[CertificateJson]:
    """Every certificate of a run."""
    found = results.get("certificates")
    if found is not None:
        return found
    return [results["certificate"]] if "certificate" in results else []


def certificate_table(certificate: CertificateJson) -> Table:
    """Each task in a row, those that forbid GO first; points."""
    columns = [
        *text_columns("task", "tier"),
        *figure_columns("n", "drop"),
        *(Column(name, narrow=name.replace(" ", "\n")) for name in _FIGURES),
        *text_columns("state"),
    ]
    tiers = ("critical", "supporting", "advisory")
    guards = sorted(certificate["guards"], key=lambda guard: (tiers.index(guard["tier"]), _RANKS.index(guard["state"])))
    title = f"Certificate: {certificate['decision']} (margin {certificate['margin']:g})"
    against = certificate["against"]
    if against is not None and against["quant"] != certificate["quant"]:
        title += f", {certificate['quant']} against {against['quant']}"
    return Table(columns, [_cells(guard) for guard in guards], title, notes=_notes(certificate))


def _notes(certificate: CertificateJson) -> list[str]:
    """What stands below: the mean corrected for the reader's errors, a figure of its own."""
    found = certificate.get("corrected")
    if found is None:
        return []
    low, high = found["ci95"]
    many = f"{found['tasks']} task{'s' * (found['tasks'] != 1)}"
    said = f"corrected for the reader's errors (labels on {many}): mean accuracy {found['mean']:.1f}% "
    said += f"({low:.1f}–{high:.1f})"
    if found["drop"] is not None and found["drop_ci95"] is not None:
        low, high = found["drop_ci95"]
        said += f", drop {found['drop']:+.1f} points ({low:+.1f} to {high:+.1f})"
    return [f"{said}; it decides nothing"]


def _cells(guard: GuardJson) -> list[Cell]:
    stopped = guard["why"] and guard["state"] != "not evaluated"
    return [
        Cell(guard["label"]),
        Cell(guard["tier"]),
        Cell(str(guard["n"])),
        Cell(_points(guard["drop"])),
        Cell(_points(guard["at_most"])),
        Cell(_points(guard["at_least"])),
        Cell(f"{guard['guard']:g}"),
        Cell(p_value(guard["p_within"])),
        Cell(p_value(guard["p_broken"] if guard["p_broken_corrected"] is None else guard["p_broken_corrected"])),
        Cell("rates above the limit" if stopped else guard["state"], _TONES.get(guard["state"], "warning")),
    ]


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}"
