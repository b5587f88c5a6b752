"""The ``thinkslm`` command (also ``python -m pytest_thinkslm``): what is done with runs beside pytest."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO, cast

from pytest_thinkslm.commands import (
    agreement,
    audit,
    certify,
    choose,
    compare,
    compress,
    data,
    docs,
    export,
    import_,
    label,
    leaderboard,
    models,
    page,
    prompts,
    shrink,
)
from pytest_thinkslm.core import redaction
from pytest_thinkslm.core.errors import ThinkSLMError
from pytest_thinkslm.core.text import safe_message

#: Modules of this name with HELP, DESCRIPTION, EXAMPLES, add_arguments and ``run(arguments) -> exit status``; in the
#: order of ``--help``.
COMMANDS = (
    compare,
    certify,
    choose,
    leaderboard,
    page,
    models,
    data,
    prompts,
    shrink,
    import_,
    export,
    compress,
    audit,
    label,
    agreement,
    docs,
)

_DESCRIPTION = """\
Tools around the runs of pytest-thinkslm. The benchmark itself is run by pytest:

  pytest --model embedded --preset tour                see it (pytest --help: groups pytest-thinkslm)
  pytest --model MODEL --baseline RUN --gate 2         fail when accuracy has dropped, beyond chance

Every run leaves a report folder, which most of these commands read. COMMAND --help has examples of each."""


class _Parser(argparse.ArgumentParser):
    """Ends with pytest's status for usage errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status (4 for a usage error, as pytest's)."""
    redaction.learn_environment()
    for argument in sys.argv[1:] if arguments is None else arguments:
        redaction.learn_address(argument)
    out, problems = redaction.Outlet(sys.stdout), redaction.Outlet(sys.stderr, messages=True)
    with contextlib.redirect_stdout(cast("TextIO", out)), contextlib.redirect_stderr(cast("TextIO", problems)):
        try:
            return _run(arguments)
        except ThinkSLMError as error:
            print(f"thinkslm: {safe_message(error)}", file=sys.stderr)
        except (OSError, RecursionError) as error:  # of a place or a file that no command thought of
            where = f" {error.filename}" if isinstance(error, OSError) and error.filename else ""
            why = (error.strerror if isinstance(error, OSError) else None) or error
            print(f"thinkslm:{safe_message(where)}: {safe_message(why)} ({type(error).__name__})", file=sys.stderr)
        except KeyboardInterrupt:
            print("thinkslm: interrupted", file=sys.stderr)
            return 2
        finally:
            out.flush()
        return 4


def _run(arguments: Sequence[str] | None) -> int:
    parsed = command_parser().parse_args(arguments)
    return int(parsed.run(parsed))


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; what it parses has ``run``, the subcommand's function."""
    parser = _Parser(prog="thinkslm", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = commands.add_parser(
            command.__name__.rpartition(".")[2].rstrip("_"),
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
