"""Whose output a sample of another tool's log is: matched by the question, whatever the tool calls the item.

A sample's question is looked up by its hash among the pinned questions, so that no data set is needed; what is not
found there, among the records of a data folder. Where a question is in several tasks (MR-GSM8K reviews GSM8K's), that
task is meant which most samples of the file fit.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import Case, Output
from pytest_thinkslm.data.foreign_logs import Sample
from pytest_thinkslm.data.local import find_file
from pytest_thinkslm.data.reader import item_indices, load_cases
from pytest_thinkslm.scoring.grading import Graded, grade
from pytest_thinkslm.tasks import pins
from pytest_thinkslm.tasks.task import Task

#: What a builder raises on a record that is none of its task's.
_NOT_MINE = (LookupError, TypeError, ValueError, SyntaxError, AttributeError)


@dataclass(frozen=True)
class Matched:
    """A sample and the item that it is of; ``case`` is None where the item's gold is not at hand."""

    sample: Sample
    task: str
    index: int
    case: Case | None

    @functools.cached_property
    def graded(self) -> Graded | None:
        """This suite's own reading of the output."""
        sample = self.sample
        return None if self.case is None else grade(self.case, Output(sample.output, sample.reasoning, sample.ended))


class Items:
    """The items that samples may be of.

    Args:
        tasks: which tasks.
        data_dir: a folder with data sets; None: the pins alone.
        data_seed: of generated tasks.
    """

    def __init__(self, tasks: Sequence[Task], data_dir: Path | None, data_seed: int) -> None:
        self._tasks = {task.key: task for task in tasks}
        self._data_dir = data_dir
        self._data_seed = data_seed
        self._loaded: dict[str, Mapping[int, Case]] = {}
        self._pinned = {key: _places(found.questions) for key in self._tasks if (found := pins.load(key)) is not None}
        self._at_hand: dict[str, Mapping[str, list[int]]] = {}

    def match(self, samples: Sequence[Sample]) -> tuple[list[Matched], list[Sample]]:
        """Each sample with its item, and those that are of none."""
        candidates = [self._candidates(sample) for sample in samples]
        votes = Counter(task for found in candidates for task in found)
        order = {key: place for place, key in enumerate(self._tasks)}
        used: set[tuple[object, ...]] = set()
        matched: list[Matched] = []
        unmatched: list[Sample] = []
        for sample, found in zip(samples, candidates, strict=True):
            if not found:
                unmatched.append(sample)
                continue
            task = min(found, key=lambda key: (-votes[key], order[key]))
            indices = self._closest(sample, task, found[task])
            mark = (task, sample.model, sample.repeat)
            # Equal questions are taken in turn.
            index = next((index for index in indices if (*mark, index) not in used), indices[0])
            used.add((*mark, index))
            matched.append(Matched(sample, task, index, self._case(sample, task, index)))
        return matched, unmatched

    def _candidates(self, sample: Sample) -> dict[str, list[int]]:
        """By task, the items whose question is the sample's."""
        built = {key: case for key in self._tasks if (case := self._built(sample, key)) is not None}
        hashes = {key: [pins.question_hash(case.question)] for key, case in built.items()}
        texts: list[str] | None = None
        for tables in (self._pinned, None):
            found: dict[str, list[int]] = {}
            for key, table in (tables if tables is not None else self._tables_at_hand()).items():
                keys = hashes.get(key)
                if keys is None and self._tasks[key].kind == "review":
                    continue  # a question alone is not the solution under review
                if keys is None:
                    texts = texts or [pins.question_hash(text) for text in _questions(sample.texts)]
                    keys = texts
                if place := next((table[key_] for key_ in keys if key_ in table), None):
                    found[key] = place
            if found:
                return found
        return {}

    def _built(self, sample: Sample, key: str) -> Case | None:
        build = self._tasks[key].build
        if sample.record is None or build is None:
            return None
        try:
            return build(sample.record, 0)
        except _NOT_MINE:
            return None

    def _closest(self, sample: Sample, task: str, indices: Sequence[int]) -> Sequence[int]:
        """The items whose whole content is the sample's record, where there are such."""
        found, built = pins.load(task), self._built(sample, task)
        if found is None or built is None or len(indices) == 1:
            return indices
        whole = pins.record_hash(built)
        return [index for index in indices if index < len(found.records) and found.records[index] == whole] or indices

    def _case(self, sample: Sample, task: str, index: int) -> Case | None:
        case = self._built(sample, task)
        if case is not None:
            return replace(case, index=index)
        return self._cases(task).get(index)

    def _cases(self, key: str) -> Mapping[int, Case]:
        if key not in self._loaded:
            self._loaded[key] = self._load(self._tasks[key])
        return self._loaded[key]

    def _load(self, task: Task) -> Mapping[int, Case]:
        """A task's cases; none where its data is not at hand: nothing is fetched."""
        if task.source is not None:
            folder = task.source.folder or self._data_dir
            if folder is None or find_file(task, folder) is None:
                return {}
        indices = item_indices(task, self._data_dir)
        try:
            return load_cases(task, indices, self._data_dir, data_seed=self._data_seed, accept_data=True).cases
        except DataError:
            return {}

    def _tables_at_hand(self) -> Mapping[str, Mapping[str, list[int]]]:
        """Questions of the data at hand; read once, for the first sample that no pin knows."""
        if not self._at_hand:
            for key in self._tasks:
                cases = self._cases(key)
                self._at_hand[key] = _places(
                    [pins.question_hash(case.question) for case in cases.values()], list(cases)
                )
        return self._at_hand


def _places(questions: Sequence[str], indices: Sequence[int] | None = None) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        places[question].append(place if indices is None else indices[place])
    return dict(places)


_HEADED = re.compile(
    r"(?:question|problem|q)\s*:\s*(.*?)\s*(?=\n\s*(?:answer|solution|a|choices|options)\s*:|\Z)", re.I | re.S
)
#: A prompt longer than this is looked through at its end: the question comes after exemplars.
_READ = 20_000


def _questions(texts: Sequence[str]) -> Iterator[str]:
    """What may be the question in a prompt: all of it, what is headed so, its paragraphs and lines, the last first."""
    for text in texts:
        yield text
        tail = text[-_READ:]
        yield from (found[1] for found in reversed(list(_HEADED.finditer(tail))))
        yield from reversed(re.split(r"\n\s*\n", tail))
        yield from (line.partition(":")[2] if _LABEL.match(line) else line for line in reversed(tail.splitlines()))


_LABEL = re.compile(r"\s*(?:question|problem|q)\s*:", re.I)
