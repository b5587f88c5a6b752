"""pytest hooks, wiring only. Without ``--model`` nothing but this module and ``options`` is imported."""

from __future__ import annotations

import glob
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.plugin import compat_pytest, options
from pytest_thinkslm.plugin.fixtures import NO_MODEL, case, compression, gpu, judge, slm
from pytest_thinkslm.settings.values import split_list

if TYPE_CHECKING:
    from pytest_thinkslm.runs.types import Results

__all__ = ["case", "compression", "gpu", "judge", "slm"]


class Hooks:
    """What a conftest or another plugin may implement."""

    def pytest_thinkslm_results(self, config: pytest.Config, results: Results, report_dir: Path) -> None:
        """A run has ended and its files are written.

        Called once a run, in the process that the user started, after gates were decided and before pytest ends. What
        an implementation raises is one line in the terminal and fails the run; its files stand.

        Args:
            config: pytest's.
            results: the content of results.json.
            report_dir: the run's folder.
        """


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make ``pytest_thinkslm_results`` known."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Ini values; the command-line options follow when everything else has loaded."""
    options.register_ini(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """Before conftests: what is asked for, without registering anything. After them: register the options.

    Where neither an argument nor an ini value is ours, an unrelated suite is running: nothing is registered.
    """
    ours = options.mentioned(args) or bool(early_config.getini("slm_model"))
    if ours:
        _look_ahead(early_config, parser, args)
    try:
        result = yield
    finally:
        if ours:
            options.register_options(parser, compat_pytest.names_taken(parser, options.SHORT_NAMES))
    _refuse_misspelt(parser, args)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Activate where a model is asked for."""
    if not (getattr(config.option, "slm_model", None) or config.getini("slm_model")):
        return
    compat_pytest.release_names(config, options.SHORT_NAMES)
    if config.option.help or getattr(config.option, "version", 0):
        return
    try:
        raw = options.raw_values(config)
        if not split_list(raw["model"]):
            return
        from pytest_thinkslm.plugin.activation import activate

        activate(config, raw, [] if str(suite_path()) in config.args else config.args)
    except ThinkSLMError as error:
        from pytest_thinkslm.core.text import safe_message

        raise pytest.UsageError(f"thinkslm: {safe_message(error)}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Without a model: one skipped test a task."""
    if hasattr(metafunc.function, "__thinkslm_task__") and not metafunc.config.pluginmanager.hasplugin("thinkslm-run"):
        skipped = pytest.param(None, marks=pytest.mark.skip(reason=NO_MODEL), id="no-model")
        metafunc.parametrize("case", [skipped], indirect=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Without a model: a gate that was typed could not be evaluated, and fails the run."""
    ours = session.config.pluginmanager.hasplugin("thinkslm-run")
    if exitstatus == pytest.ExitCode.OK and not ours and _gate_typed(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _gate_typed(config: pytest.Config) -> bool:
    """Whether the command line itself asks for a decision (``addopts`` are there for every run of a project)."""
    typed = {str(argument).partition("=")[0] for argument in config.invocation_params.args}
    gates = (option for option in options.OPTIONS if option.name in options.GATES)
    return any({gate.short, gate.prefixed} & typed and getattr(config.option, gate.dest, None) for gate in gates)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Without a model: why reasoning tests were skipped, or why our options did nothing."""
    if config.pluginmanager.hasplugin("thinkslm-run"):
        return
    if hint := _meant_for_us(config, exitstatus):
        terminalreporter.write_line(f"thinkslm: {hint}", yellow=True)
        return
    skipped = terminalreporter.stats.get("skipped", ())
    given = any(getattr(config.option, option.dest, None) for option in options.OPTIONS)
    if not (given or any(NO_MODEL in str(report.longrepr) for report in skipped)):
        return
    from pytest_thinkslm.plugin import hints

    typed = hints.given_options(config.option, options.SHORT_NAMES)
    count = hints.skipped_for_want_of_a_model(skipped, NO_MODEL)
    if hint := hints.without_model(typed, count, config.invocation_params.args, fails=_gate_typed(config)):
        terminalreporter.write_line(f"thinkslm: {hint}", yellow=True)


def _meant_for_us(config: pytest.Config, exitstatus: int) -> str:
    """A run of nothing and without a model: the hint where a path or a marker is the name of a model or a task."""
    if exitstatus not in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        return ""
    from pytest_thinkslm.plugin import hints
    from pytest_thinkslm.tasks import registry

    missing = hints.missing(config.args, config.invocation_params.dir)
    return hints.not_found(missing, registry.suite_keys(), model=False) or hints.no_marker(config.option.markexpr)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """``-n auto``: one worker a GPU group; one where there is no GPU, since each would load the model on its cores."""
    if not (getattr(config.option, "slm_model", None) or config.getini("slm_model")):
        return None
    from pytest_thinkslm.plugin.workers import auto_count

    return auto_count(config)


def suite_path() -> Path:
    """The folder of the reasoning tests: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "reasoning_tests"
    return installed if installed.is_dir() else package.parent / "reasoning_tests"


def _look_ahead(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Take the values of our options out of what pytest took for paths; name the suite where no path is given."""
    own = options.own_parser(compat_pytest.names_taken(parser, options.SHORT_NAMES))
    try:
        ours, rest = own.parse_known_args(args)
    except options.Unparsable:
        return  # the full parser will say what is wrong
    known = config.known_args_namespace
    paths = parser.parse_known_args(rest).file_or_dir
    if any(os.path.exists(os.path.expanduser(path)) for path in known.file_or_dir if path not in paths):
        compat_pytest.search_root_again(config, args, paths)
    known.file_or_dir = paths
    if not (ours.slm_model or config.getini("slm_model")):
        return
    asked = split_list(ours.slm_task)
    if not paths:
        beside = _own_tests(config, asked) if asked else []
        # Initial conftests: the current folder's own, which may register tasks, but none of its testpaths.
        own_conftest = config.invocation_params.dir / "conftest.py"
        first = str(own_conftest if own_conftest.exists() else suite_path())
        if not own.parse_known_args(list(map(str, config.invocation_params.args)))[0].slm_model:
            beside = _all_tests(config)  # the model stands in an ini file, which keeps no test from running
            first = beside[0]
        # In front: behind an option whose value may be left out (--debug, --cov) it would be taken for that value.
        # The suite last: the test that it has for every registered task gives way to the task's own, known by then.
        args[:0] = [*beside, str(suite_path())]
        known.file_or_dir = [first, *beside]
        return
    registered = compat_pytest.option_names(parser)
    if any(arg.startswith("-") and arg.partition("=")[0] not in registered for arg in rest):
        return  # what looks like a path may be the value of an option that is misspelt, or a conftest's
    for path in paths:
        if "/" not in path and "." not in path and not os.path.exists(path):
            from pytest_thinkslm.tasks import registry

            if path in registry.suite_keys():
                raise pytest.UsageError(f"thinkslm: there is no file or folder {path}; it is a task: --task {path}")


def _all_tests(config: pytest.Config) -> list[str]:
    """What pytest itself runs where no path is given."""
    here = config.invocation_params.dir
    found: list[str] = []
    if here == config.rootpath:
        for pattern in config.getini("testpaths"):
            found += sorted(glob.glob(pattern, recursive=True))
    return found or [str(here)]


def _own_tests(config: pytest.Config, patterns: Sequence[str]) -> list[str]:
    """Files of the current folder with tests of tasks that are asked for and are none of the suite's."""
    from pytest_thinkslm.plugin.own_tests import files_of
    from pytest_thinkslm.tasks import registry

    return [str(path) for path in files_of(config, patterns, registry.suite_keys())]


def _refuse_misspelt(parser: pytest.Parser, args: Sequence[str]) -> None:
    """Say the option of ours that an unknown argument is nearly."""
    known = compat_pytest.option_names(parser)
    fine = (
        not arg.startswith("-") or (arg.partition("=")[0] in known and " --" not in arg) or len(arg) < 4 for arg in args
    )
    if not known or all(fine):
        return
    from pytest_thinkslm.plugin import hints

    typed = list(map(str, args))
    if hint := hints.misspelt(typed, known, options.SHORT_NAMES):
        raise pytest.UsageError(f"thinkslm: {hint}")
    # Beside pytest's own error; what is unknown may also be the value of an option, and is no error then.
    if any(arg.partition("=")[0] in ("--model", "--slm-model") for arg in typed):
        parser.extra_info["thinkslm"] = hints.UNKNOWN
