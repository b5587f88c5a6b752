"""``thinkslm shrink``: from a failing item to the smallest input that still fails."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_thinkslm.core.errors import EngineError, UsageError
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.item_record import read_lines
from pytest_thinkslm.core.records import Answer, Case, Output, Verdict
from pytest_thinkslm.core.text import preview
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.run import Run, open_log
from pytest_thinkslm.generating.shrinking import shrink
from pytest_thinkslm.scoring.grading import Graded, grade
from pytest_thinkslm.settings.run_settings import Settings, build_settings
from pytest_thinkslm.tasks import registry, stress
from pytest_thinkslm.tasks.stress.smaller import Reduced, smaller
from pytest_thinkslm.tasks.task import Task

HELP = "find the smallest input that a model still gets wrong"
DESCRIPTION = """\
Start from an item that the model gets wrong and make it smaller as long as it still fails: of a list to sort, fewer
numbers and then smaller ones; of a choice, fewer options; of an item in changed forms (--forms), fewer of these.
The model is asked many inputs at a time, through the journal, so that the same command is answered in seconds the next
time. The end is a command that asks the found input alone.

Without ITEM the first wrong one is taken: of a recorded run (--run), else of the first items of the task.
Other options mean what they mean for pytest."""

EXAMPLES = """\
examples:
  thinkslm shrink sort8_positive --model embedded                      # its smallest unsorted list
  thinkslm shrink arc_easy 17 --model Qwen/Qwen2.5-1.5B-Instruct       # an item, by its index
  thinkslm shrink gsm8k 17 --forms names,typos,layout --model MODEL    # which of these changes makes it fail?
  thinkslm shrink sort8_mixed --run reports/monday --model MODEL       # the first item that a run has wrong"""

#: Options of a run that have a say in how the model is asked, with their metavar; flags have none.
_OPTIONS = {
    "model": "NAME",
    "quant": "Q",
    "engine": "NAME",
    "server-url": "URL",
    "engine-args": "K=V,...",
    "style": "S",
    "max-tokens": "N",
    "thinking": "HOW",
    "system": "TEXT",
    "data-seed": "N",
    "data-dir": "DIR",
    "journal-dir": "DIR",
    "accept-data": None,
    "trust-remote-code": None,
    "fresh": None,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("task", metavar="TASK", help="the task, e.g. sort8_positive")
    parser.add_argument("item", metavar="ITEM", nargs="?", help="index of the item (default: the first wrong one)")
    for name, metavar in _OPTIONS.items():
        if metavar is None:
            parser.add_argument(f"--{name}", action="store_true", help="as for pytest")
        else:
            parser.add_argument(f"--{name}", metavar=metavar, required=name == "model", help="as for pytest")
    parser.add_argument("--run", dest="folder", metavar="RUN", help="take the first item that this run has wrong")
    parser.add_argument("--forms", metavar="T[-N],...", default="", help="changed forms to start with, all at once")
    parser.add_argument("--given", metavar="N,...", default="", help="the list to start with")
    parser.add_argument("--keep", metavar="LETTER,...", default="", help="the options to start with")
    parser.add_argument("--budget", metavar="N", type=int, default=400, help="inputs to ask at most (default: 400)")
    parser.add_argument("--batch", metavar="N", type=int, default=32, help="inputs to ask at a time (default: 32)")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns 0 where a failing input was found, 1 where nothing fails. Raises ``ThinkSLMError``."""
    if arguments.budget < 1 or arguments.batch < 1:
        raise UsageError("shrink: --budget and --batch are at least 1")
    raw = {name: getattr(arguments, name.replace("-", "_")) or None for name in _OPTIONS}
    settings = build_settings({**raw, "task": arguments.task})
    if settings is None or len(settings.models) != 1 or len(settings.quants) > 1 or len(settings.styles) != 1:
        raise UsageError("shrink: give one model, at most one quant and one style")
    if settings.engine == "replay":
        raise UsageError(
            "shrink: recorded outputs cannot answer new inputs: give the model itself, without --engine replay"
        )
    task = registry.get(arguments.task)
    if task.kind == "review":
        raise UsageError(f"shrink: {task.key} asks for reviews, which have nothing that can be left out")
    asker = _Asker(settings, task)
    try:
        start = _start(arguments, asker)
        if start is None:
            print("nothing to shrink: every one of these items is answered correctly")
            return 1
        return _shrink(arguments, asker, start)
    finally:
        asker.close()


def _shrink(arguments: argparse.Namespace, asker: _Asker, start: Reduced) -> int:
    (graded,) = asker.ask([start])
    _tell("from", start, asker, graded)
    if graded.verdict.name == "correct":
        print("nothing to shrink: it is answered correctly")
        return 1
    seed = asker.settings.data_seed
    found = shrink(
        start,
        lambda reduced: smaller(reduced, seed),
        lambda batch: [graded.verdict.name not in ("correct", "error") for graded in asker.ask(batch)],
        key=lambda reduced: reduced.key,
        budget=arguments.budget - 1,
        batch=arguments.batch,
    )
    for step in found.steps[1:-1]:
        print(f"  fails, too: {_words(step, asker)}")
    if len(found.steps) > 1:
        _tell("to", found.value, asker, asker.ask([found.value])[0])
    if not found.complete:
        what = "the budget ended here: --budget N for more"
    elif found.asked:
        what = "nothing smaller that was tried fails"
    else:
        what = _nothing(start)
    print(f"{what}; {found.asked + 1} inputs asked")
    print("again: " + shlex.join(_command(arguments, found.value)))
    return 0


def _nothing(start: Reduced) -> str:
    if start.item.kind in ("number", "expression"):
        return "a problem in words is made smaller by taking changes off it: start with --forms names,typos,layout, say"
    return "there is nothing smaller"


#: Of an input that does not exist.
_CORRECT = Graded(Answer(None, "none"), Verdict("correct"))


class _Asker:
    """Asks reduced items, and remembers what came."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self.settings = settings
        self.task = task
        self._factory = EngineFactory(settings, print)
        self._run = Run(settings, self._factory, log=lambda: open_log(Path(".thinkslm"), "shrink.log"))
        self._known: dict[tuple[object, ...], tuple[Graded, Output | None]] = {}

    def ref(self, index: int) -> ItemRef:
        return ItemRef(0, self.task.key, self.settings.styles[0], index)

    def items(self, indices: Iterable[int]) -> list[Case]:
        """The items of these indices; those without a record are left out."""
        refs = [self.ref(index) for index in indices]
        self._run.start(refs, [])
        return [self._run.case(ref) for ref in refs if not self._run.left_out(ref)]

    def ask(self, batch: Sequence[Reduced]) -> list[Graded]:
        """The verdicts on a batch, asked at once; an input that a form cannot be applied to counts as correct."""
        new = {_key(one): one for one in batch if _key(one) not in self._known}
        cases = {key: case for key, one in new.items() if (case := one.case(self.settings.data_seed)) is not None}
        requests = [self._run.request(self.ref(case.index), case) for case in cases.values()]
        outputs = self._run.outputs(requests) if requests else []
        for (key, case), output in zip(cases.items(), outputs, strict=True):
            if isinstance(output, EngineError):
                raise output
            self._known[key] = grade(case, output), output
        return [self._known[_key(one)][0] if _key(one) in self._known else _CORRECT for one in batch]

    def output(self, reduced: Reduced) -> str:
        known = self._known.get(_key(reduced))
        return "" if known is None or known[1] is None else known[1].text

    def close(self) -> None:
        self._run.close()


def _key(reduced: Reduced) -> tuple[object, ...]:
    return (reduced.item.index, *reduced.key)


def _start(arguments: argparse.Namespace, asker: _Asker) -> Reduced | None:
    """The item to start from."""
    forms = _forms(arguments.forms)
    if arguments.item is not None:
        index = _index(arguments.item, asker.task)
    elif arguments.folder is not None:
        index, recorded = _first_wrong(Path(arguments.folder), asker.task)
        forms = forms or recorded
    else:
        count = min(arguments.batch, asker.task.count)
        print(f"the first {count} items of {asker.task.key} are asked, to find one that fails")
        first = [Reduced(case, forms=forms) for case in asker.items(range(count))]
        verdicts = asker.ask(first)
        return next(
            (one for one, graded in zip(first, verdicts, strict=True) if graded.verdict.name != "correct"), None
        )
    items = asker.items([index])
    if not items:
        raise UsageError(f"shrink: item {index} of {asker.task.key} is not among the data at hand")
    return _given(arguments, Reduced(items[0], forms=forms))


def _first_wrong(folder: Path, task: Task) -> tuple[int, tuple[str, ...]]:
    """Item and form of a run's first wrong outcome of a task."""
    try:
        for line in read_lines(folder / "items.jsonl"):
            if line["task"] == task.key and line["verdict"] not in ("correct", "error"):
                return int(line["item"]), (form,) if (form := line.get("stress")) else ()
    except OSError as error:
        raise UsageError(
            f"shrink: --run {folder}: its items.jsonl cannot be read ({error.strerror or error})"
        ) from None
    raise UsageError(f"shrink: --run {folder} has no wrong outcome of {task.key}")


def _given(arguments: argparse.Namespace, start: Reduced) -> Reduced:
    """The start with what ``--given`` and ``--keep`` say."""
    if arguments.given:
        if start.item.kind != "list":
            raise UsageError("shrink: --given is a list to sort, for the sorting tasks")
        try:
            numbers = tuple(int(part) for part in arguments.given.split(","))
        except ValueError:
            raise UsageError(f"shrink: --given {arguments.given!r}: whole numbers with commas between them") from None
        start = replace(start, given=numbers)
    if arguments.keep:
        letters = "".join(sorted(part.strip().upper() for part in arguments.keep.split(",")))
        if (
            start.item.kind != "choice"
            or not set(letters) <= set(start.item.letters)
            or str(start.item.gold) not in letters
        ):
            raise UsageError(
                f"shrink: --keep {arguments.keep}: letters of the item's options "
                f"({', '.join(start.item.letters) or 'none'}), the right one among them"
            )
        start = replace(start, keep=letters)
    return start


def _forms(text: str) -> tuple[str, ...]:
    """``names,typos-2`` -> ("names-1", "typos-2")."""
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, dash, number = part.partition("-")
        if dash and not (number.isascii() and number.isdigit() and int(number[:6]) >= 1):
            raise UsageError(f"shrink: --forms {part}: a transformation, or one with the number of its form: {name}-1")
        stress.parse([name])  # says what is wrong
        found.append(f"{name}-{number or 1}")
    return tuple(dict.fromkeys(found))


def _index(text: str, task: Task) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) < task.count):
        raise UsageError(f"shrink: ITEM {text!r}: {task.key} has items 0 to {task.count - 1}")
    return int(text)


def _words(reduced: Reduced, asker: _Asker) -> str:
    """The input in a line."""
    case = reduced.case(asker.settings.data_seed)
    if case is None:
        return "these forms cannot be applied to it"
    if case.kind == "list":
        text = f"{len(case.given)} numbers: {', '.join(map(str, case.given))}"
    else:
        text = preview(" ".join(case.question.split()), 300) or ""
    if case.kind == "choice":
        text += " " + " ".join(f"{letter}. {option}" for letter, option in zip(case.letters, case.options, strict=True))
    return text + (f" [{', '.join(reduced.forms)}]" if reduced.forms else "")


def _tell(word: str, reduced: Reduced, asker: _Asker, graded: Graded) -> None:
    print(f"{word}: {_words(reduced, asker)}")
    print(f"  output: {preview(' '.join(asker.output(reduced).split()), 200)}")
    print(f"  {graded.verdict.name}: {graded.verdict.reason or 'as it should be'}")


def _command(arguments: argparse.Namespace, found: Reduced) -> list[str]:
    """The command that asks the found input alone."""
    words = ["thinkslm", "shrink", arguments.task, str(found.item.index), *found.options, "--budget=1"]
    for name, metavar in _OPTIONS.items():
        value = getattr(arguments, name.replace("-", "_"))
        if value and name != "fresh":
            words.append(f"--{name}" if metavar is None else f"--{name}={value}")
    return words
