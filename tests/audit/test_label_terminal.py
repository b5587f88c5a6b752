from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audited_runs import line, run_of

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.labels import read_labels


@pytest.fixture
def sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A label file of five outputs."""
    path = tmp_path / "labels.csv"
    assert main(["audit", str(run_of(tmp_path / "run", [line(n, True) for n in range(5)])), "--out", str(path)]) == 0
    capsys.readouterr()
    return path


def labels(path: Path) -> str:
    """First letters of a file's labels, a dot where there is none."""
    read = read_labels(path)
    return "".join((read.label(position) or ".")[0] for position in range(len(read)))


def answer(monkeypatch: pytest.MonkeyPatch, path: Path, text: str, *arguments: str) -> int:
    """Label with these lines on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return main(["label", str(path), *arguments])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "....."),
        ("c\ni\nu\n", "ciu.."),
        ("correct\nIncorrect\n unclear \nq\nc\n", "ciu.."),
        ("c\n\n?\nx\ni\n", "ci..."),
        ("c\nc\nb\ni\nc\n", "cic.."),
        ("b\nb\nc\n", "c...."),
        ("c\ni\nc\ni\nc\n", "cicic"),
        ("c\ni\nc\ni\nc\nb\ni\n", "cicii"),
    ],
    ids=["nothing", "letters", "words", "other keys", "back", "back at the first", "all", "back at the end"],
)
def test_lines_as_answers(monkeypatch: pytest.MonkeyPatch, sheet: Path, text: str, found: str) -> None:
    assert answer(monkeypatch, sheet, text) == 0
    assert labels(sheet) == found


def test_labelling_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, sheet, "c\nc\n")
    assert "2 of 5 labelled" in capsys.readouterr().out
    answer(monkeypatch, sheet, "i\n")
    shown = capsys.readouterr().out
    assert labels(sheet) == "cci.."
    assert shown.index("3/5") < shown.index("4/5")
    assert "1/5" not in shown


def test_gaps_are_filled_and_the_label_so_far_is_shown(
    monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = read_labels(sheet)
    for position in (1, 2):
        read.set_label(position, "correct")
    read.save()
    answer(monkeypatch, sheet, "i\nb\ni\n")
    assert labels(sheet) == "iciu.".replace("u", ".")
    assert "label so far: correct" in capsys.readouterr().out


def test_annotators_have_files_of_their_own(
    monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, sheet, "c\nc\n")
    answer(monkeypatch, sheet, "i\n", "--annotator", "bob")
    answer(monkeypatch, sheet, "i\n", "--annotator", "bob")
    assert (labels(sheet), labels(sheet.with_name("labels.bob.csv"))) == ("cc...", "ii...")
    assert answer(monkeypatch, sheet, "i\n", "--annotator", "../bob") == 4
    assert "letters, digits" in capsys.readouterr().err


def test_a_note_is_kept(monkeypatch: pytest.MonkeyPatch, sheet: Path) -> None:
    answer(monkeypatch, sheet, 'n\n=odd, but "fine"\nc\n')
    read = read_labels(sheet)
    assert (read.text(0, "note"), read.label(0)) == ('=odd, but "fine"', "correct")
    assert "'=odd" in sheet.read_text()


def test_a_long_output_is_cut_until_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.csv"
    output = "\n".join(f"line {n}." for n in range(100))
    main(["audit", str(run_of(tmp_path / "run", [line(0, True, output=output)])), "--out", str(path)])
    capsys.readouterr()
    answer(monkeypatch, path, "q\n")
    cut = capsys.readouterr().out
    assert "line 0." in cut
    assert "line 99." in cut
    assert "line 50." not in cut
    assert "68 lines left out: press a for all" in cut
    answer(monkeypatch, path, "a\nq\n")
    assert "line 50." in capsys.readouterr().out


def test_model_text_is_text(monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither markup nor emoji codes nor control characters act, even where the file was edited by hand."""
    hostile = "[bold]x[/bold] [/] :smile: \x1b[2J\x1b]0;t\x07 \u202egnp"
    text = sheet.read_text().replace("It is", hostile)
    sheet.write_text(text)
    answer(monkeypatch, sheet, "q\n")
    shown = capsys.readouterr().out
    assert "[bold]x[/bold] [/] :smile: \\x1b[2J\\x1b]0;t\\x07 \\u202egnp" in shown
    assert "\x1b" not in shown


def test_somebody_elses_change_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answers(io.StringIO):
        def readline(self, *_: object) -> str:
            sheet.write_text(sheet.read_text() + "")
            os.utime(sheet, (1, 1))
            return "c\n"

    monkeypatch.setattr(sys, "stdin", Answers())
    assert main(["label", str(sheet)]) == 4
    assert "was changed by another program" in capsys.readouterr().err
    assert labels(sheet) == "....."


def test_an_unknown_label_in_the_file_is_named(
    monkeypatch: pytest.MonkeyPatch, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([rows[0], rows[1][: -len(",")] + "yes,", *rows[2:]]) + "\n")
    assert answer(monkeypatch, sheet, "c\n") == 4
    assert "(item 1) is 'yes'; a label is correct, incorrect, unclear" in capsys.readouterr().err


# On a real terminal

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


class Terminal:
    """``thinkslm label`` on a pseudo-terminal."""

    def __init__(self, path: Path) -> None:
        import pty

        self._own, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        command = [sys.executable, "-m", "pytest_thinkslm", "label", str(path)]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        self.modes_before = self._modes(theirs)
        self._theirs = theirs
        self.shown = ""

    def wait_for(self, text: str, timeout: float = 60) -> None:
        """Read until the text has been shown since the last key."""
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} not shown in: {self.shown!r}"
            if select.select([self._own], [], [], 0.2)[0]:
                self.shown += os.read(self._own, 65536).decode("utf-8", "replace")

    def press(self, key: str) -> None:
        """One key, without Enter."""
        self.shown = ""
        time.sleep(0.05)
        os.write(self._own, key.encode())

    def end(self) -> int:
        """Wait for its end."""
        return self.process.wait(timeout=30)

    def given_back(self) -> bool:
        """Whether the terminal is in the mode that it was in."""
        return self._modes(self._theirs) == self.modes_before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)
        os.close(self._theirs)

    @staticmethod
    def _modes(descriptor: int) -> list[object]:
        import termios

        return termios.tcgetattr(descriptor)


@contextmanager
def terminal(path: Path) -> Iterator[Terminal]:
    opened = Terminal(path)
    try:
        yield opened
    finally:
        opened.close()


@posix
def test_one_key_is_an_answer(sheet: Path) -> None:
    with terminal(sheet) as screen:
        screen.wait_for("1/5")
        screen.wait_for("? ")
        screen.press("c")
        screen.wait_for("2/5")
        screen.wait_for("? ")
        screen.press("\x1b[A")  # an arrow key is no answer
        screen.wait_for("c correct")
        screen.wait_for("? ")
        screen.press("I")
        screen.wait_for("3/5")
        screen.wait_for("? ")
        screen.press("n")
        screen.wait_for("note: ")
        screen.press("hm\n")
        screen.wait_for("? ")
        screen.press("q")
        screen.wait_for("2 of 5 labelled")
        assert screen.end() == 0
        assert screen.given_back()
    assert labels(sheet) == "ci..."
    assert read_labels(sheet).text(2, "note") == "hm"


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_session_loses_no_answer(sheet: Path, how: signal.Signals) -> None:
    with terminal(sheet) as screen:
        for number in (1, 2):
            screen.wait_for(f"{number}/5")
            screen.wait_for("? ")
            screen.press("c")
        screen.wait_for("3/5")
        screen.process.send_signal(how)
        assert screen.end() == (0 if how == signal.SIGINT else -how)
    assert labels(sheet) == "cc..."
    assert {path.name for path in sheet.parent.iterdir()} == {"labels.csv", "labels.key.json", "run"}
    with terminal(sheet) as screen:
        screen.wait_for("3/5")
        screen.wait_for("? ")
        screen.press("q")
        assert screen.end() == 0
