"""Which items a run is made of, before pytest deselects: ``--where``, ``--recorded-only``, ``--limit``, ``--shard``.

The same in every process of a run. Opens no data, but that of the selected tasks where facets are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.identity import GroupKey, ItemRef, item_refs
from pytest_thinkslm.data.reader import item_indices, load_cases
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.shards import COSTS, places_of
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.settings.selections import parse_shard
from pytest_thinkslm.tasks import pins, registry, stress
from pytest_thinkslm.tasks.sampling import sample
from pytest_thinkslm.tasks.task import Task

#: Values of a facet that a message names.
_SHOWN = 12


class Selector:
    """The items of each task.

    Args:
        settings: the run's settings, ``sample`` decided.
        factory: its variants, and their recorded outputs.
    """

    def __init__(self, settings: Settings, factory: EngineFactory) -> None:
        self._settings = settings
        self._factory = factory
        self._indices: dict[str, list[int]] = {}
        self._facets: dict[str, dict[int, Mapping[str, str]]] = {}
        self.shard = parse_shard(settings.shard)

    def check(self) -> None:
        """Whether every facet and value of ``--where`` is that of an item of a selected task, and every transformation
        of ``--stress`` one for a selected task.

        Raises:
            UsageError: one is not; the message names those that there are.
            DataError: the data of a selected task cannot be read.
        """
        self._check_stress()
        wanted: dict[str, list[str]] = defaultdict(list)
        for facet, value in self._settings.where:
            wanted[_plain(facet)].append(value)
        if not wanted:
            return
        tasks = registry.select(self._settings.tasks)
        there: dict[str, dict[str, None]] = defaultdict(dict)
        for task in tasks:
            for facets in self._facets_of(task).values():
                for facet, value in facets.items():
                    there[facet][value] = None
        known = {_plain(facet): facet for facet in there}
        for name, values in wanted.items():
            if name not in known:
                every = "; ".join(f"{facet} ({_values(found)})" for facet, found in sorted(there.items()))
                raise UsageError(
                    f"--where {name}={values[0]}: no selected task has the facet {name!r}: {_near(name, known)}"
                    + (f"there are {every}" if every else f"the selected tasks ({_keys(tasks)}) have no facets")
                )
            facet = known[name]
            for value in values:
                if _plain(value) not in map(_plain, there[facet]):
                    raise UsageError(
                        f"--where {facet}={value}: no item of a selected task has it: "
                        f"{_near(value, there[facet])}there are {_values(there[facet])}"
                    )
        if not any(self.indices(task) for task in tasks):
            asked = ",".join(f"{facet}={value}" for facet, value in self._settings.where)
            raise UsageError(f"--where {asked}: no item has all of these facets; give fewer, or another value")

    def _check_stress(self) -> None:
        selected = registry.select(self._settings.tasks)
        for form in self._settings.stress:
            if not any(stress.fits(task, form) for task in selected):
                name = form.rpartition("-")[0]
                fitting = [task.key for task in registry.all_tasks().values() if stress.fits(task, form)]
                others = [key for key in stress.TRANSFORMATIONS if any(stress.fits(t, f"{key}-1") for t in selected)]
                raise UsageError(
                    f"--stress {name} ({stress.TRANSFORMATIONS[name].says}) fits none of the selected tasks "
                    f"({_keys(selected)}): it is for {', '.join(fitting)}"
                    + (f"; these tasks take {', '.join(others)}" if others else "; these tasks take none")
                )

    def indices(self, task: Task) -> list[int]:
        """The items of a task in the run, in order."""
        if task.key not in self._indices:
            settings = self._settings
            items: Sequence[int] = item_indices(task, settings.data_dir)
            if settings.where:
                facets = self._facets_of(task)
                items = [index for index in items if index in facets and self._wanted(facets[index])]
            if settings.recorded_only:
                items = sorted(set(items) & self._factory.recorded_items(task.key))
            self._indices[task.key] = sample(
                task.key, items, settings.limit, settings.data_seed, settings.sample or "stratified"
            )
        return self._indices[task.key]

    def refs(self, task: Task, test: str = "") -> Iterator[ItemRef]:
        """Every reference of one test of a task, without those of variants that are no part of the shard."""
        settings, variants = self._settings, len(self._factory.variants)
        first, last = (0, variants - 1) if self.shard is None else self.shard.span(variants)
        styles = settings.styles_for(task.key)
        forms = [form for form in settings.stress if stress.fits(task, form)]
        for ref in item_refs(variants, task.key, styles, self.indices(task), settings.repeats, test, forms):
            if first <= ref.variant <= last and (not settings.recorded_only or self._factory.has_output(ref)):
                yield ref

    def in_shard(self, variants: Sequence[int], tasks: Sequence[str]) -> list[bool]:
        """Whether each test of the whole run is in the shard; all are where there is none.

        Args:
            variants: the variant of each test, in ascending order; 0 for a test without one.
            tasks: its task; empty for any other test.
        """
        if self.shard is None:
            return [True] * len(variants)
        places = places_of(variants, [COSTS.get(task, 1.0) for task in tasks])
        return [self.shard.has(place, len(self._factory.variants)) for place in places]

    @property
    def drops(self) -> bool:
        """Whether the options may leave nothing of a task."""
        return bool(self._settings.where or self._settings.recorded_only or self.shard)

    def expected(self, group: GroupKey) -> int:
        """How many tests a row of figures has where every one of the run's was reported."""
        task = registry.get(group.task)
        if not self._settings.recorded_only:
            return len(self.indices(task)) * self._settings.repeats
        variants = [(variant.model, variant.quant) for variant in self._factory.variants]
        return sum(
            variants[ref.variant] == group.variant and ref.style == group.style and not ref.stress
            for ref in self.refs(task)
        )

    def reduced(self, task: Task) -> bool:
        """Whether the options leave out any of the task's items."""
        whole = len(item_indices(task, self._settings.data_dir))
        return len(self.indices(task)) < whole or self._settings.recorded_only

    def _wanted(self, facets: Mapping[str, str]) -> bool:
        """Whether an item has one of the values asked for of each facet asked for."""
        own = {_plain(facet): _plain(value) for facet, value in facets.items()}
        asked: dict[str, set[str]] = defaultdict(set)
        for facet, value in self._settings.where:
            asked[_plain(facet)].add(_plain(value))
        return all(own.get(facet) in values for facet, values in asked.items())

    def _facets_of(self, task: Task) -> Mapping[int, Mapping[str, str]]:
        """The facets of each item that can be run; of a pinned task that has none no data is read."""
        if task.key not in self._facets:
            header, settings = pins.header(task.key), self._settings
            found: dict[int, Mapping[str, str]] = {}
            if header is None or "groups" in header.parts:
                dataset = load_cases(
                    task,
                    item_indices(task, settings.data_dir),
                    settings.data_dir,
                    data_seed=settings.data_seed,
                    accept_data=settings.accept_data,
                    strict_data=settings.strict_data,
                    hub=settings.hub_ids,
                )
                found = {index: case.facets for index, case in dataset.cases.items()}
            self._facets[task.key] = found
        return self._facets[task.key]


def _plain(text: str) -> str:
    """Names and values are compared without regard to case, and to how words are joined."""
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def _near(name: str, names: Iterable[str]) -> str:
    hint = nearest(name, names, "")
    return f"{hint} " if hint else ""


def _values(values: Mapping[str, object]) -> str:
    names = sorted(values)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _keys(tasks: Sequence[Task]) -> str:
    return ", ".join(task.key for task in tasks)
