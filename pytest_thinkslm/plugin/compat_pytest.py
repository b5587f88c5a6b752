"""What this plugin takes from pytest that pytest does not promise: every such name, in this one place.

Each function says what it reaches for, in which versions it was seen, and what happens where it is gone: never
nothing. ``tests/plugin/test_compat_pytest.py`` fails where a name disappears.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TextIO, cast

import pytest

#: Lines of a kind that the terminal lists; the rest is a count, and where to find it.
LISTED = 10


def names_taken(parser: pytest.Parser, names: Mapping[str, str]) -> frozenset[str]:
    """Those of ``names`` (option: destination) that something else has registered already.

    ``Parser.optparser`` and argparse's ``_option_string_actions``, pytest 9.0 to 9.2. Without them none counts as
    taken: registering a taken one is refused by argparse later on, and ours then yields its short name.
    """
    actions = _actions(parser)
    return frozenset(name for name, dest in names.items() if name in actions and actions[name].dest != dest)


def release_names(config: pytest.Config, names: Mapping[str, str]) -> None:
    """After parsing: let a conftest that loads later (below the start folder) register our short names.

    ``Config._parser``, ``Parser.optparser`` and argparse's ``_option_string_actions``, pytest 9.0 to 9.2. Without
    them nothing is released: such a conftest gets pytest's own error about the name.
    """
    actions = _actions(getattr(config, "_parser", None))
    for name, dest in names.items():
        if name in actions and actions[name].dest == dest:
            del actions[name]


def option_names(parser: pytest.Parser) -> frozenset[str]:
    """Every option that is registered so far. As ``names_taken``; empty where the table is gone."""
    return frozenset(_actions(parser))


def _actions(parser: object) -> dict[str, argparse.Action]:
    """argparse's own table of option names."""
    found = getattr(getattr(parser, "optparser", None), "_option_string_actions", None)
    return found if isinstance(found, dict) else {}


def search_root_again(config: pytest.Config, args: list[str], paths: Sequence[str]) -> None:
    """Set the root folder and the ini values that ``paths`` alone lead to; prepend the ini file's ``addopts``.

    pytest looks for its root folder and ini file before plugins have loaded. At that moment the value of
    ``--data-dir /somewhere/data`` looks like a path to collect, so that the ini file of the current folder may be
    passed over. Once our options are known, the search is done again without them.

    ``_pytest.config.findpaths.determine_setup`` and what ``Config`` keeps of its result, pytest 9.0 to 9.2. Without
    them a warning says what may have been passed over.
    """
    known = config.known_args_namespace
    try:
        from _pytest.config.findpaths import determine_setup

        root, ini, values, ignored = determine_setup(
            inifile=known.inifilename,
            override_ini=known.override_ini,
            args=list(paths),
            rootdir_cmd_arg=known.rootdir or None,
            invocation_dir=config.invocation_params.dir,
        )
        if (root, ini) == (config.rootpath, config.inipath):
            return
        config._rootpath = root
        config._inipath = ini
        setattr(config, "_inicfg" if hasattr(config, "_inicfg") else "inicfg", values)  # inicfg: pytest 9.0
        config._ignored_config_files = ignored
        config._inicache.clear()
        known.confcutdir = str(ini.parent if ini is not None else root)
        extra = config.getini("addopts")
        if extra:
            args[:] = [*extra, *args]
            config.pluginmanager.consider_preparse(extra, exclude_only=False)
        config._configure_python_path()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        warnings.warn(
            pytest.PytestWarning(
                f"thinkslm: the ini file of the current folder may have been passed over ({error}); "
                "write options that take a path as --name=PATH"
            ),
            stacklevel=2,
        )


def captured(item: pytest.Item) -> list[tuple[str, str]]:
    """What was captured while an item ran, as a report's sections.

    ``Item._report_sections``, pytest 9.0 to 9.2. Without it one section says that it could not be had.
    """
    sections = getattr(item, "_report_sections", None)
    if sections is None:
        return [("Captured output", "this version of pytest does not tell the plugin what was captured")]
    return [(f"Captured {key} {when}", content) for when, key, content in sections]


def share_locations(items: Iterable[pytest.Item]) -> None:
    """Give the tests of one function the location that pytest would look up for each of them.

    ``Item.location`` as a value that is kept (``cached_property``), and the function's name at its end, pytest 9.0 to
    9.2. Where an item's kind has a location of its own, or the name is not there, each is looked up.
    """
    if not isinstance(vars(pytest.Item).get("location"), cached_property):
        return
    shared: dict[tuple[int, str], tuple[str, int | None, str]] = {}
    for item in items:
        if type(item) is not pytest.Function:
            continue
        key = id(item.parent), item.originalname
        if key not in shared:
            path, line, name = item.location
            if name.endswith(item.name):
                shared[key] = path, line, name.removesuffix(item.name)
        elif "location" not in vars(item):
            path, line, before = shared[key]
            vars(item)["location"] = (path, line, before + item.name)


def fill_in_request(item: pytest.Item) -> None:
    """Give a test the fixture ``request``, which pytest makes a definition of for each test that has it.

    ``Function._request`` and ``Function.funcargs``, pytest 9.0 to 9.2. Without them pytest makes it.
    """
    request = getattr(item, "_request", None)
    if isinstance(request, pytest.FixtureRequest):
        cast("pytest.Function", item).funcargs.setdefault("request", request)


def node_id(item: pytest.Item) -> str:
    """A test's id as a report takes it: in parts, where pytest has it so, else as text.

    ``Node.id``, pytest 9.2. Without it each report takes the text apart again.
    """
    return cast("str", getattr(item, "id", item.nodeid) if _HAS_IDS else item.nodeid)


_HAS_IDS = isinstance(getattr(pytest.Item, "id", None), property)


def silence_log_capture(config: pytest.Config) -> None:
    """Take pytest's log capture out of a run of which nobody looks at logs.

    The plugin's name ``logging-plugin``, pytest 9.0 to 9.2. Without it logs are captured, which costs time alone.
    The plugin closes its file at the end of the run (``pytest_unconfigure``), of which it is no longer told.
    """
    if config.pluginmanager.hasplugin("logging-plugin"):
        capture = config.pluginmanager.unregister(name="logging-plugin")
        close = getattr(capture, "pytest_unconfigure", None)
        if close is not None:
            close()


def verbosity(config: pytest.Config) -> int:
    """``-v`` counts up, ``-q`` down; 0 without pytest's terminal (``-p no:terminal``), to which the options belong."""
    return int(getattr(config.option, "verbose", 0))


class Terminal:
    """pytest's terminal reporter, as far as the plugin writes through it; without one (``-p no:terminal``) nothing.

    ``TerminalReporter._tw``, ``TerminalWriter._file``, ``width_of_current_line``, ``currentfspath`` and
    ``ensure_newline``, pytest 9.0 to 9.2.
    Without them lines are plain, and tables go to the standard output.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def reporter(self) -> Any:
        """pytest's own, None where there is none."""
        return self._config.pluginmanager.getplugin("terminalreporter")

    @property
    def width(self) -> int:
        """Characters in a line."""
        return int(getattr(self._writer, "fullwidth", 80))

    @property
    def coloured(self) -> bool:
        """Whether markup is shown."""
        return bool(getattr(self._writer, "hasmarkup", False))

    @property
    def redraws(self) -> bool:
        """Whether a line can be drawn again in its place."""
        return self._writer is not None and bool(getattr(self.reporter, "isatty", False)) and self.coloured

    @property
    def file(self) -> TextIO | None:
        """Where tables go; None stands for the standard output."""
        return getattr(self._writer, "_file", None)

    @property
    def _writer(self) -> Any:
        return getattr(self.reporter, "_tw", None)

    def redraw(self, text: str) -> None:
        """Draw the current line again; empty text takes it away."""
        width = self.width - 1
        self._writer.write("\r" + text[:width].ljust(width) + ("" if text else "\r"))

    def fresh_line(self) -> None:
        """End a line that pytest has begun."""
        ensure: Callable[[], None] | None = getattr(self.reporter, "ensure_newline", None)
        if ensure is not None:
            ensure()
        if getattr(self._writer, "width_of_current_line", 0):  # of the dots of -q it keeps no account
            self._writer.line()

    def hide_files(self) -> None:
        """No line is begun for each file (``showfspath``, pytest 9.0 to 9.2; without it lines are)."""
        if hasattr(self.reporter, "showfspath"):
            self.reporter.showfspath = False

    def written(self) -> None:
        """Something was written between two tests: pytest begins its next line anew."""
        self.reporter.currentfspath = None
        self.reporter.flush()

    @contextlib.contextmanager
    def uncaptured(self) -> Iterator[None]:
        """What is written is seen, although pytest captures during a test's set-up."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            yield


def guard_terminal(config: pytest.Config) -> None:
    """From here on nothing that pytest writes can fail or carry a known secret, whatever its output's encoding.

    ``TerminalReporter._tw`` and ``TerminalWriter._file``, pytest 9.0 to 9.2. Without them pytest writes as it does
    alone.
    """
    from pytest_thinkslm.core.redaction import Outlet

    writer = getattr(config.pluginmanager.getplugin("terminalreporter"), "_tw", None)
    file = getattr(writer, "_file", None)
    if writer is not None and file is not None and not isinstance(file, Outlet):
        writer._file = Outlet(file)


def give_stdout(config: pytest.Config) -> None:
    """A process that was started without a standard output gets one that goes nowhere.

    pytest flushes ``sys.stdout`` at its end, and its capture puts the one that it found back before: what it found is
    ``SysCapture._old`` of ``CaptureManager._global_capturing.out``, pytest 9.0 to 9.2. Without them pytest ends with
    its own traceback, after the run's files are written.
    """
    if sys.__stdout__ is not None:
        return
    from pytest_thinkslm.core.redaction import Outlet

    nowhere = cast("TextIO", Outlet(None))
    capture = getattr(config.pluginmanager.getplugin("capturemanager"), "_global_capturing", None)
    for stream in (getattr(capture, "out", None), getattr(getattr(capture, "out", None), "syscapture", None)):
        if getattr(stream, "_old", nowhere) is None:
            stream._old = nowhere  # type: ignore[union-attr]
    if sys.stdout is None:
        sys.stdout = nowhere


def ini_value(config: pytest.Config, name: str) -> object:
    """An ini value of pytest's own; None where the plugin that it belongs to is switched off (``-p no:logging``)."""
    try:
        return config.getini(name)
    except (ValueError, KeyError):
        return None


def redact(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Take known secrets out of what a report says and of what was captured, before terminal and JUnit see it.

    ``BaseReport.longrepr`` and ``sections``, pytest 9.0 to 9.2. A traceback with a secret in it becomes plain text.
    """
    from pytest_thinkslm.core.redaction import any_known, redacted

    if not any_known():
        return
    said = report.longrepr
    if isinstance(said, tuple):
        report.longrepr = (said[0], said[1], redacted(str(said[2])))
    elif said is not None and (clean := redacted(text := str(said))) != text:
        report.longrepr = clean
    report.sections[:] = [(name, redacted(content)) for name, content in report.sections]
    if isinstance(report, pytest.TestReport) and report.user_properties:
        properties = (
            (name, redacted(value) if isinstance(value, str) else value) for name, value in report.user_properties
        )
        report.user_properties = list(properties)


class ItemTimer:
    """pytest-timeout's timer of an item, which stands still while the item waits for the engine: that time is not its.

    By pytest-timeout's own hooks (since 2.0); without pytest-timeout nothing is done. A test that asks in threads of
    its own waits for these, not for the engine: there the timer goes on.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._hook = config.pluginmanager.hook
        self._running: tuple[pytest.Item, object] | None = None
        config.pluginmanager.register(self, "thinkslm-item-timer")

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: object) -> None:
        """Remember with which settings an item's timer runs; it is set by whoever does so."""
        self._running = (item, settings)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self) -> None:
        """No timer runs any more; it is stopped by whoever does so."""
        self._running = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the running timer, if there is one, and set it anew at the end."""
        if self._running is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        item, settings = self._running
        self._hook.pytest_timeout_cancel_timer(item=item)
        try:
            yield
        finally:
            self._hook.pytest_timeout_set_timer(item=item, settings=settings)


class BoundedSections:
    """Keeps a flood out of pytest's sections of failures and errors, and out of its list of them; counts stay whole.

    Of the reports that ``bounded`` tells, a few with a traceback stay; one that is a line by itself is left to the
    plugin's own list. With ``-v`` everything is listed. ``TerminalReporter.stats``, pytest 9.0 to 9.2; without it, too.
    """

    def __init__(self, bounded: Callable[[pytest.TestReport], bool]) -> None:
        self._bounded = bounded

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """Around pytest's own sections."""
        stats = getattr(terminalreporter, "stats", None)
        if not isinstance(stats, dict) or verbosity(terminalreporter.config) > 0:
            return (yield)
        whole = {name: stats.pop(name) for name in ("error", "failed") if name in stats}
        for name, reports in whole.items():
            if kept := self._kept(reports):
                stats[name] = kept
        try:
            return (yield)
        finally:
            stats.update(whole)

    def _kept(self, reports: Sequence[pytest.TestReport]) -> list[pytest.TestReport]:
        kept, told = [], 0
        for report in reports:
            if self._bounded(report):
                told += not isinstance(report.longrepr, str)
                if isinstance(report.longrepr, str) or told > LISTED:
                    continue
            kept.append(report)
        return kept


def narrowed_by_hand(config: pytest.Config) -> bool:
    """Whether the command line itself left tests out: by keyword, mark, node id, file or last failures.

    Destinations of pytest's own options, pytest 9.0 to 9.2; one that is gone counts as not given, so that what is
    missing then is a failure.
    """
    names = ("keyword", "markexpr", "deselect", "lf", "stepwise", "ignore", "ignore_glob")
    if any(getattr(config.option, name, None) for name in names):
        return True
    return any("::" in str(argument) or str(argument).endswith(".py") for argument in config.args)


def guard_hooks(
    manager: pytest.PytestPluginManager, plugin: object, names: Collection[str], note: Callable[[str, Exception], None]
) -> None:
    """Have what a plugin's hooks of these names raise noted: their callers and other implementations go on.

    A hook that raised counts as one that has returned nothing; what it wraps keeps its own result. ``HookImpl`` with
    ``function``, ``wrapper`` and ``hookwrapper``, pluggy 1.5 to 1.7. Without them nothing is guarded.
    """
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls() if caller.name in names else ():
            if implementation.plugin is not plugin or not hasattr(implementation, "function"):
                continue
            kind = _guarded
            if getattr(implementation, "wrapper", False):
                kind = _guarded_wrapper
            elif getattr(implementation, "hookwrapper", False):
                kind = _guarded_old_wrapper
            implementation.function = kind(  # type: ignore[misc]
                implementation.function, functools.partial(note, caller.name)
            )


#: How a hook ends a run on purpose.
_MEANT = (pytest.exit.Exception, pytest.UsageError, pytest.Session.Failed)

#: What pluggy says of a wrapper whose second half ends in another ``yield``; thrown there, it has that place.
_TWICE = "a wrapper yields once"

_Note = Callable[[Exception], None]


def _guarded(function: Callable[..., Any], note: _Note) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except _MEANT:
            raise
        except Exception as error:
            note(error)
            return None

    return call


def _guarded_wrapper(function: Callable[..., Any], note: _Note) -> Callable[..., Any]:
    def call(*arguments: Any) -> Generator[None, Any, Any]:
        wrapper = function(*arguments)
        try:
            next(wrapper)
        except _MEANT:
            raise
        except Exception as error:
            note(error)
            return (yield)
        inner: BaseException | None = None
        result = None
        try:
            result = yield
        except BaseException as error:
            inner = error
        try:
            wrapper.send(result) if inner is None else wrapper.throw(inner)
            wrapper.throw(RuntimeError(_TWICE))
        except StopIteration as ended:
            return ended.value
        except _MEANT:
            raise
        except Exception as error:
            if error is inner:
                raise
            note(error)
        if inner is not None:
            raise inner
        return result

    return call


def _guarded_old_wrapper(function: Callable[..., Any], note: _Note) -> Callable[..., Any]:
    def call(*arguments: Any) -> Generator[None, Any, None]:
        wrapper = function(*arguments)
        try:
            next(wrapper)
        except _MEANT:
            raise
        except Exception as error:
            note(error)
            yield
            return
        outcome = yield
        try:
            wrapper.send(outcome)
            wrapper.throw(RuntimeError(_TWICE))
        except StopIteration:
            pass
        except _MEANT:
            raise
        except Exception as error:
            if error is not outcome.exception:  # else the caller raises it anyway
                note(error)

    return call
