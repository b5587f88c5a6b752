"""The report of ``thinkslm agreement`` on a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_thinkslm.audit.agreement import Agreement
from pytest_thinkslm.audit.figures import Figure
from pytest_thinkslm.audit.paper import PAPER_SAMPLES, PAPER_TASKS, against_paper
from pytest_thinkslm.audit.validation import RaterReport, Validation
from pytest_thinkslm.core.tables import (
    Cell,
    Column,
    Table,
    Tone,
    figure_columns,
    fits,
    print_line,
    print_table,
    stdout_console,
)
from pytest_thinkslm.core.text import safe_line

if TYPE_CHECKING:
    from rich.console import Console

_FIGURES = ("n", "people", "rater", "agree", "kappa (95% CI)", "rho (95% CI)", "TPR (95% CI)", "TNR (95% CI)")


#: Outputs named below a rater's table.
_LISTED = 8


def print_validation(validation: Validation) -> None:
    """Print the report: the people, then each rater."""
    console = stdout_console(80)
    _print_people(console, validation)
    for report in validation.raters:
        _print_rater(console, report)
    print_line(console, "")
    print_line(
        console,
        f"The paper's figures (ThinkSLM, Table 1) are of {PAPER_SAMPLES:,} outputs of {', '.join(PAPER_TASKS)}.",
    )
    if not any(report.rater.is_judge for report in validation.raters):
        print_line(
            console,
            "No judge read these outputs: only the parser is held against people (--run RUN takes a judge's verdicts).",
        )


def _print_people(console: Console, validation: Validation) -> None:
    key, size = validation.key, len(validation.key.sample.picks)
    print_line(
        console,
        f"{key.run}: {size:,} of {key.population:,} outputs sampled, {validation.labelled:,} read by people",
        "strong",
    )
    columns = [Column("annotator", "left"), *figure_columns("correct", "incorrect", "unclear", "missing")]
    rows = [
        [safe_line(name), *(f"{count:,}" for count in counts.values())] for name, counts in validation.labels.items()
    ]
    print_table(console, Table(columns, rows, "people"))
    if not validation.labelled:
        print_line(
            console, "no output is labelled correct or incorrect yet: `thinkslm label FILE` asks for labels", "warning"
        )
    _print_between(console, validation)
    missing = key.population - validation.covered
    if missing and validation.labelled:
        about = f"what follows is about the other {validation.covered:,}"
        print_line(console, f"{missing:,} outputs of the run are in strata without a label: {about}", "warning")


def _print_between(console: Console, validation: Validation) -> None:
    alpha, percent = validation.alpha, validation.percent
    if alpha.value is not None or percent.value is not None:
        figures = f"Krippendorff's alpha {_number(alpha)}, equal labels {_percent(percent)}"
        print_line(console, f"between annotators: {figures}")
    if alpha.value is None:
        print_line(console, f"undefined: Krippendorff's alpha: {alpha.why}", "warning")
    if validation.ties:
        hard = "these are the hard ones: see the rows of each annotator alone, which keep them"
        print_line(
            console, f"{validation.ties:,} ties between annotators are left out of the majority; {hard}", "warning"
        )


def _print_rater(console: Console, report: RaterReport) -> None:
    result = report.agreement
    rows = [_cells("all", result.overall), *(_cells(task, row) for task, row in result.by_task.items())]
    rows += [_cells(f"{name} alone", by.overall, "quiet") for name, by in report.by_annotator.items()]
    table = Table([Column("", "left"), *figure_columns(*_FIGURES)], rows, report.rater.name)
    for part in [table] if fits(console, table) else _in_two(table):
        print_table(console, part)
    if report.rater.of_reasons and not result.overall.n:
        print_line(console, "no error reason that it ruled on is labelled: `thinkslm label` asks for them", "warning")
    if report.rater.missing:
        parts = ", ".join(f"{count:,} {why}" for why, count in report.rater.missing.items())
        print_line(console, f"no verdict on: {parts}", "warning")
    if result.overall.n:
        _print_confusion(console, result.overall)
    if report.differences:
        first = ", ".join(f"{pick.item.key.task} {pick.item.key.item}" for pick in report.differences[:_LISTED])
        more = f" and {len(report.differences) - _LISTED} more" if len(report.differences) > _LISTED else ""
        print_line(console, f"read otherwise than people do: {first}{more} (--json lists them all)")
    tasks = result.tasks
    correlations = f"Pearson {_interval(tasks.pearson)}, Spearman {_interval(tasks.spearman)}"
    print_line(console, f"over tasks: MAE {_points(tasks.mae)}, {correlations}")
    rho = result.overall.rho
    if rho.value is not None and not report.rater.of_reasons:
        for sentence in against_paper(rho.value, rho.interval):
            print_line(console, sentence)
    for why, where in _undefined(report).items():
        print_line(console, f"undefined: {', '.join(where)}: {why}", "warning")


def _in_two(table: Table) -> list[Table]:
    """The same for a narrow terminal: up to kappa, and what comes behind it."""
    cut = 1 + _FIGURES.index("rho (95% CI)")
    left, right = ([*row[:cut]] for row in table.rows), ([row[0], *row[cut:]] for row in table.rows)
    columns = [*table.columns[:cut]], [table.columns[0], *table.columns[cut:]]
    return [Table(columns[0], list(left), table.title), Table(columns[1], list(right))]


def _print_confusion(console: Console, overall: Agreement) -> None:
    counts, shares = overall.counts, overall.shares
    rows = [
        [label, *(f"{getattr(counts, name):,.0f} ({getattr(shares, name):.1%})" for name in names)]
        for label, names in (
            ("rater: correct", ("both_correct", "only_rater_correct")),
            ("rater: incorrect", ("only_human_correct", "both_incorrect")),
        )
    ]
    columns = [Column("outputs (share of the run)", "left"), *figure_columns("people: correct", "people: incorrect")]
    print_table(console, Table(columns, rows))


def _cells(label: str, row: Agreement, tone: Tone = "") -> list[Cell]:
    texts = [
        safe_line(label),
        f"{row.n:,}",
        *map(_percent, (row.accuracy_human, row.accuracy_rater, row.agreement)),
        *map(_interval, (row.kappa, row.rho, row.tpr, row.tnr)),
    ]
    return [Cell(text, tone) for text in texts]


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
