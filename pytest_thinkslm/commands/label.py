"""``thinkslm label``: asks a person, in the terminal or on a web page, whether each sampled output is correct."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_thinkslm.audit.labelling import Labelling
from pytest_thinkslm.audit.labels import Label, annotator_sheet, read_labels
from pytest_thinkslm.commands.keyboard import Keyboard, keyboard
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.text import safe_line, safe_text

if TYPE_CHECKING:
    from rich.console import Console

HELP = "label a sample, in the terminal or on a local web page"
DESCRIPTION = """\
Label a sample of `thinkslm audit`: question, gold and output are shown one by one, one key is an answer. Each answer
is saved at once; started again, it goes on with the first output that has no label.

With --web the same on a page in the browser: it is served on this machine alone, at an address with a secret in it that
is printed; phones and other machines reach it through a tunnel (ssh -L PORT:127.0.0.1:PORT, with --port PORT)."""

EXAMPLES = """\
keys: c correct   i incorrect   u unclear   b back   a all of a long output   n note   q quit
(where standard input is no terminal, the first letter of each line)

Correct means: the output's final answer says what gold says. An output without a final answer, cut short, or with
several answers and no choice is incorrect. In the review tasks both the judgement and, for a wrong solution, the first
error step must be right; where both are, it is asked whether the error that the output names is the true one, too.
Unclear is for what reasonable people could read both ways; it is left out and counted.

examples:
  thinkslm label audit-qwen.csv
  thinkslm label audit-qwen.csv --annotator alice      # into audit-qwen.alice.csv, for several annotators
  thinkslm label audit-qwen.csv --annotator bob --web  # on a page in the browser"""

_ANSWERS: dict[str, Label] = {"c": "correct", "i": "incorrect", "u": "unclear"}
_KEYS = "c correct  i incorrect  u unclear  b back  a all  n note  q quit"

_REASON = "is the error that it names the true one? c yes  i no  u unclear"

#: A longer output is shown by its first and its last lines, with the key ``a`` for all of it.
_HEAD, _TAIL = 8, 24

#: Position that ends a session.
_QUIT = -1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("file", metavar="FILE", help="label file of `thinkslm audit`")
    parser.add_argument("--annotator", metavar="NAME", help="label in a file of one's own, FILE.<NAME>.csv")
    parser.add_argument("--web", action="store_true", help="on a page in the browser, served on this machine alone")
    parser.add_argument(
        "--port", metavar="N", type=int, default=0, help="port of the page's server (default: any that is free)"
    )


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``UsageError``."""
    path = Path(arguments.file)
    if not 0 <= arguments.port < 1 << 16:
        raise UsageError(f"--port {arguments.port}: a port is a number from 1 to 65535, or 0 for any that is free")
    sheet = annotator_sheet(path, arguments.annotator) if arguments.annotator else read_labels(path)
    labelling = Labelling(sheet)
    with contextlib.suppress(KeyboardInterrupt):  # as q: every answer is saved already
        (_on_a_page if arguments.web else _on_the_terminal)(labelling, arguments)
    done = labelling.done
    print(f"\n{done} of {len(sheet)} labelled, saved in {safe_line(str(sheet.path), 500)}")
    if done < len(sheet):
        print("the same command goes on from here")
    return 0


def _on_the_terminal(labelling: Labelling, _: argparse.Namespace) -> None:
    from rich.console import Console

    with keyboard() as keys:
        _Session(labelling, Console(file=sys.stdout, highlight=False), keys).ask_all()


def _on_a_page(labelling: Labelling, arguments: argparse.Namespace) -> None:
    from pytest_thinkslm.reports.label_page import LabelServer

    for position in range(len(labelling)):
        labelling.asked(position)  # a label that is none is said here, not by the page
    try:
        server = LabelServer(labelling, arguments.port)
    except OSError as error:
        raise UsageError(
            f"--port {arguments.port} cannot be listened on ({error.strerror or error}); leave it out for one that is "
            "free"
        ) from None
    with server:
        print(f"open {server.address}")
        print("whoever has this address can label; Ctrl-C, or finish on the page, ends it", flush=True)
        server.serve_forever(poll_interval=0.2)


class _Session:
    """One sitting: where it is, and what the keys do."""

    def __init__(self, labelling: Labelling, console: Console, keys: Keyboard) -> None:
        self._labelling = labelling
        self._sheet = labelling.sheet
        self._console = console
        self._keys = keys

    def ask_all(self) -> None:
        """Ask until everything is labelled, or the person quits."""
        self._say(_KEYS, "bold")
        position = self._labelling.next(0)
        while True:
            if position is None:
                position = self._at_the_end()
            else:
                self._show(position, whole=False)
                position = self._answer(position)
            if position == _QUIT:
                return

    def _at_the_end(self) -> int:
        """Everything is labelled: the last item once more, or the end."""
        self._keys.forget()
        self._console.print("\nall labelled: b back, any other key ends ", end="", markup=False)
        self._console.file.flush()
        return len(self._sheet) - 1 if self._keys.key() == "b" else _QUIT

    def _answer(self, position: int) -> int | None:
        """Take keys until the item is done; the position to go to next, None where everything is labelled."""
        asked = self._labelling.asked(position) or "label"
        if asked == "reason":
            self._say(_REASON, "bold")
        while True:
            self._prompt()
            key = self._keys.key()
            if key in _ANSWERS:
                self._say(_ANSWERS[key], "bold")
                self._labelling.answer(position, _ANSWERS[key], asked)
                if asked == "label" and self._labelling.reason_counts(position):
                    asked = "reason"
                    self._say(_REASON, "bold")
                    continue
                return self._labelling.next(position + 1)
            if key in ("q", ""):
                return _QUIT
            if key == "b":
                return max(0, position - 1)
            if key == "a":
                self._show(position, whole=True)
            elif key == "n":
                self._take_note(position)
            else:
                self._say(_KEYS, "yellow")

    def _take_note(self, position: int) -> None:
        self._console.print("note: ", end="", markup=False)
        self._labelling.note(position, self._keys.line())

    def _show(self, position: int, *, whole: bool) -> None:
        sheet = self._sheet
        self._console.print()
        task = safe_line(sheet.text(position, "task"))
        head = f"{position + 1}/{len(sheet)}  {task}  ({self._labelling.done} labelled)"
        self._console.rule(self._text(head, "bold"), align="left")
        self._part("question", sheet.text(position, "question"), whole=True)
        self._part("output", sheet.text(position, "output"), whole=whole)
        self._part("gold", sheet.text(position, "gold"), whole=True)
        if label := sheet.label(position):
            self._say(f"label so far: {label}", "yellow")
        if reason := sheet.reason(position):
            self._say(f"error reason so far: {reason}", "yellow")
        if note := sheet.text(position, "note"):
            self._say(f"note: {safe_line(note)}", "yellow")

    def _part(self, name: str, text: str, *, whole: bool) -> None:
        """A part of an item, as text: neither markup nor control characters act."""
        self._say(name, "bold cyan")
        lines = self._text(safe_text(text) or "(empty)").wrap(self._console, max(20, self._console.width))
        if whole or len(lines) <= _HEAD + _TAIL + 1:
            self._console.print(*lines, sep="\n")
            return
        self._console.print(*lines[:_HEAD], sep="\n")
        self._say(f"... {len(lines) - _HEAD - _TAIL} lines left out: press a for all ...", "yellow")
        self._console.print(*lines[-_TAIL:], sep="\n")

    def _prompt(self) -> None:
        self._keys.forget()
        self._console.print("? ", end="", style="bold", markup=False)
        self._console.file.flush()

    def _say(self, text: str, style: str) -> None:
        self._console.print(self._text(text, style), soft_wrap=True)

    def _text(self, text: str, style: str = "") -> Any:
        from rich.text import Text

        return Text(text, style=style)
