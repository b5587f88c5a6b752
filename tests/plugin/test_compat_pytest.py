"""The names of pytest's that it does not promise: all are still there, and what happens where one is gone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace

import pytest
from _pytest.config.findpaths import determine_setup
from replayed import FOUR, four_sorts

from pytest_thinkslm.plugin import compat_pytest

Replay = Callable[..., pytest.RunResult]


def test_the_names_are_there(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> None:
    config = pytestconfig
    assert isinstance(config._parser.optparser._option_string_actions, dict)
    assert {"inifile", "override_ini", "args", "rootdir_cmd_arg", "invocation_dir"} <= set(
        inspect.signature(determine_setup).parameters
    )
    for name in ("_rootpath", "_inipath", "_ignored_config_files", "_inicache", "_configure_python_path"):
        assert hasattr(config, name), name
    assert hasattr(config, "_inicfg" if pytest.version_tuple >= (9, 1) else "inicfg")
    for name in ("inifilename", "override_ini", "rootdir", "file_or_dir", "confcutdir"):
        assert hasattr(config.known_args_namespace, name), name
    assert isinstance(request.node._report_sections, list)
    assert isinstance(request.node._request, pytest.FixtureRequest)
    assert isinstance(vars(pytest.Item)["location"], cached_property)
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        for name in ("_tw", "ensure_newline", "currentfspath", "isatty", "flush"):
            assert hasattr(reporter, name), name
        for name in ("_file", "fullwidth", "hasmarkup"):
            assert hasattr(reporter._tw, name), name


def test_the_log_capture_is_known_by_its_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(pytestconfig): assert pytestconfig.pluginmanager.hasplugin('logging-plugin')\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_log_capture_taken_out_leaves_no_file_open(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure("--log-level=INFO")
    file = config.pluginmanager.getplugin("logging-plugin").log_file_handler.stream
    assert not file.closed
    compat_pytest.silence_log_capture(config)
    assert not config.pluginmanager.hasplugin("logging-plugin")
    assert file.closed
    compat_pytest.silence_log_capture(config)


def test_names_taken_without_pytests_table() -> None:
    names = {"--model": "slm_model", "--task": "slm_task"}
    actions = {"--model": SimpleNamespace(dest="theirs"), "--task": SimpleNamespace(dest="slm_task")}
    parser = SimpleNamespace(optparser=SimpleNamespace(_option_string_actions=actions))
    assert compat_pytest.names_taken(parser, names) == {"--model"}  # type: ignore[arg-type]
    assert compat_pytest.names_taken(SimpleNamespace(), names) == frozenset()  # type: ignore[arg-type]
    compat_pytest.release_names(SimpleNamespace(), names)  # type: ignore[arg-type]


def test_a_shared_location_is_the_one_that_pytest_finds(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(
        "import pytest\n\n@pytest.mark.parametrize('n', ['1', 'a::b[c]', '3'])\ndef test_one(n): pass\n\n"
        "class TestOther:\n    @pytest.mark.parametrize('n', [1, 2])\n    def test_one(self, n): pass\n"
    )
    compat_pytest.share_locations(items)
    shared = [vars(item).pop("location") for item in items]
    assert shared == [item.location for item in items]
    assert len(set(shared)) == len(items) == 5


def test_captured_output_that_cannot_be_had_is_said() -> None:
    item = SimpleNamespace(_report_sections=[("call", "stdout", "hello")])
    assert compat_pytest.captured(item) == [("Captured stdout call", "hello")]  # type: ignore[arg-type]
    assert "does not tell" in compat_pytest.captured(SimpleNamespace())[0][1]  # type: ignore[arg-type]


def test_the_search_for_the_ini_file_that_cannot_be_repeated_is_said() -> None:
    config = SimpleNamespace(known_args_namespace=SimpleNamespace())
    with pytest.warns(pytest.PytestWarning, match="may have been passed over"):
        compat_pytest.search_root_again(config, [], [])  # type: ignore[arg-type]


def test_a_terminal_whose_parts_are_gone_is_a_plain_one() -> None:
    reporter = SimpleNamespace(config=None)
    config = SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=lambda name: reporter))
    terminal = compat_pytest.Terminal(config)  # type: ignore[arg-type]
    assert (terminal.width, terminal.coloured, terminal.redraws, terminal.file) == (80, False, False, None)
    terminal.fresh_line()


def test_a_quiet_run_says_nothing_between_its_dots(replay: Replay) -> None:
    two = [{**line, "model": model} for line in four_sorts() for model in ("one/m", "two/m")]
    result = replay(two, *FOUR, "-q")
    assert [line for line in result.outlines if "thinkslm: " in line] == []


def test_a_run_without_pytests_terminal(replay: Replay, pytester: pytest.Pytester) -> None:
    result = replay(four_sorts(), *FOUR, "-p", "no:terminal")
    assert result.ret == 0
    assert (pytester.path / "report" / "results.json").exists()
