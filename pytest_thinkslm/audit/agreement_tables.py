"""The report of ``thinkslm agreement`` on a terminal."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.audit.agreement import Agreement, Confusion
from pytest_thinkslm.audit.figures import Figure
from pytest_thinkslm.audit.paper import PAPER_SAMPLES, PAPER_TASKS, against_paper
from pytest_thinkslm.audit.validation import RaterReport, Validation
from pytest_thinkslm.core.text import safe_line

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS = ("", "n", "people", "rater", "agree", "kappa (95% CI)", "rho (95% CI)", "TPR (95% CI)", "TNR (95% CI)")


#: Outputs named below a rater's table.
_LISTED = 8


def print_validation(validation: Validation) -> None:
    """Print the report: the people, then each rater."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    console = Console(force_terminal=console.is_terminal, width=max(console.width, 200), highlight=False)
    _print_people(console, validation)
    for report in validation.raters:
        _print_rater(console, report)
    _say(console, "")
    _say(
        console,
        f"The paper's figures (ThinkSLM, Table 1) are of {PAPER_SAMPLES:,} outputs of {', '.join(PAPER_TASKS)}.",
    )
    if not any(report.rater.is_judge for report in validation.raters):
        _say(
            console,
            "No judge read these outputs: only the parser is held against people (--run RUN takes a judge's verdicts).",
        )


def _print_people(console: Console, validation: Validation) -> None:
    key, size = validation.key, len(validation.key.sample.picks)
    _say(
        console,
        f"{key.run}: {size:,} of {key.population:,} outputs sampled, {validation.labelled:,} read by people",
        "bold",
    )
    table = _table("people", ("annotator", "correct", "incorrect", "unclear", "missing"))
    for name, counts in validation.labels.items():
        table.add_row(_safe(name), *(f"{count:,}" for count in counts.values()))
    console.print(table)
    if not validation.labelled:
        _say(console, "no output is labelled correct or incorrect yet: `thinkslm label FILE` asks for labels", "yellow")
    _print_between(console, validation)
    missing = key.population - validation.covered
    if missing and validation.labelled:
        about = f"what follows is about the other {validation.covered:,}"
        _say(console, f"{missing:,} outputs of the run are in strata without a label: {about}", "yellow")


def _print_between(console: Console, validation: Validation) -> None:
    alpha, percent = validation.alpha, validation.percent
    if alpha.value is not None or percent.value is not None:
        figures = f"Krippendorff's alpha {_number(alpha)}, equal labels {_percent(percent)}"
        _say(console, f"between annotators: {figures}")
    if alpha.value is None:
        _say(console, f"undefined: Krippendorff's alpha: {alpha.why}", "yellow")
    if validation.ties:
        hard = "these are the hard ones: see the rows of each annotator alone, which keep them"
        _say(console, f"{validation.ties:,} ties between annotators are left out of the majority; {hard}", "yellow")


def _print_rater(console: Console, report: RaterReport) -> None:
    result = report.agreement
    table = _table(report.rater.name, _COLUMNS)
    table.add_row(*_cells("all", result.overall))
    for task, row in result.by_task.items():
        table.add_row(*_cells(task, row))
    for name, by in report.by_annotator.items():
        table.add_row(*_cells(f"{name} alone", by.overall), style="dim")
    console.print(table)
    if report.rater.missing:
        parts = ", ".join(f"{count:,} {why}" for why, count in report.rater.missing.items())
        _say(console, f"no verdict on: {parts}", "yellow")
    if result.overall.n:
        _print_confusion(console, result.overall)
    if report.differences:
        first = ", ".join(f"{pick.item.key.task} {pick.item.key.item}" for pick in report.differences[:_LISTED])
        more = f" and {len(report.differences) - _LISTED} more" if len(report.differences) > _LISTED else ""
        _say(console, f"read otherwise than people do: {first}{more} (--json lists them all)")
    tasks = result.tasks
    correlations = f"Pearson {_interval(tasks.pearson)}, Spearman {_interval(tasks.spearman)}"
    _say(console, f"over tasks: MAE {_points(tasks.mae)}, {correlations}")
    rho = result.overall.rho
    if rho.value is not None:
        for sentence in against_paper(rho.value, rho.interval):
            _say(console, sentence)
    for why, where in _undefined(report).items():
        _say(console, f"undefined: {', '.join(where)}: {why}", "yellow")


def _print_confusion(console: Console, overall: Agreement) -> None:
    table = _table("", ("outputs (share of the run)", "people: correct", "people: incorrect"))
    counts, shares = overall.counts, overall.shares
    for label, names in (
        ("rater: correct", ("both_correct", "only_rater_correct")),
        ("rater: incorrect", ("only_human_correct", "both_incorrect")),
    ):
        table.add_row(label, *(_cell(counts, shares, name) for name in names))
    console.print(table)


def _cell(counts: Confusion, shares: Confusion, name: str) -> str:
    return f"{getattr(counts, name):,.0f} ({getattr(shares, name):.1%})"


def _cells(label: str, row: Agreement) -> list[str]:
    return [
        _safe(label),
        f"{row.n:,}",
        _percent(row.accuracy_human),
        _percent(row.accuracy_rater),
        _percent(row.agreement),
        _interval(row.kappa),
        _interval(row.rho),
        _interval(row.tpr),
        _interval(row.tnr),
    ]


def _undefined(report: RaterReport) -> dict[str, list[str]]:
    """Reasons, each with the figures that it leaves undefined."""
    found: dict[str, list[str]] = defaultdict(list)
    for where, name, figure in _figures(report):
        if figure.why:
            found[figure.why].append(f"{'' if figure.value is None else 'interval of '}{name} ({where})")
    return found


def _figures(report: RaterReport) -> Iterator[tuple[str, str, Figure]]:
    rows = {"all": report.agreement.overall, **report.agreement.by_task}
    rows |= {f"{name} alone": by.overall for name, by in report.by_annotator.items()}
    for where, row in rows.items():
        yield from ((where, name, getattr(row, name)) for name in ("kappa", "rho"))
        yield from ((where, name.upper(), getattr(row, name)) for name in ("tpr", "tnr"))
    tasks = report.agreement.tasks
    yield from (("over tasks", label, figure) for label, figure in (("MAE", tasks.mae), ("Pearson", tasks.pearson)))
    yield "over tasks", "Spearman", tasks.spearman


def _table(title: str, columns: Sequence[str]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title) or None, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=True)
    return table


def _say(console: Console, text: str, style: str | None = None) -> None:
    from rich.text import Text

    console.print(Text(text, style=style or ""), soft_wrap=True)


def _safe(text: str) -> str:
    """A name as a cell's text, not as markup."""
    from rich.markup import escape

    return escape(safe_line(text))


def _number(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.2f}"


def _percent(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.1%}"


def _points(figure: Figure) -> str:
    return "–" if figure.value is None else f"{100 * figure.value:.2f} points"


def _interval(figure: Figure) -> str:
    if figure.interval is None:
        return _number(figure)
    return f"{_number(figure)} ({figure.interval.low:.2f} to {figure.interval.high:.2f})"
