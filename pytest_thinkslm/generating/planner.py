"""What to ask: item references -> cases -> requests. Opens the data of the selected tasks alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_thinkslm.core.errors import DataError, ThinkSLMError, where_raised
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Auxiliary, Case, Message, Request, Sampling
from pytest_thinkslm.data.exemplars import exemplars
from pytest_thinkslm.data.reader import Dataset, DataState, load_cases
from pytest_thinkslm.models.thought import ThoughtRoom
from pytest_thinkslm.scoring.answers.custom import custom_reader
from pytest_thinkslm.settings.run_settings import Settings
from pytest_thinkslm.tasks import registry, stress
from pytest_thinkslm.tasks.limits import default_max_tokens
from pytest_thinkslm.tasks.prompts import Exemplar, prompt_messages


class Planner:
    """Cases and requests of a run.

    Args:
        settings: the run's settings.
        refs: every selected item of the whole run (not of this worker alone), in test order.
        thought_room: whether the variant at a position thinks, and its context (``EngineFactory.thought_room``);
            None: none of them thinks.
        sampling: the sampling parameters of the variant at a position (``EngineFactory.sampling``); None: those of
            the settings.

    Raises:
        DataError: a selected task's data is missing or does not fit.
        UsageError: a style that a selected task cannot have, or an answer kind that nobody knows.
    """

    def __init__(
        self,
        settings: Settings,
        refs: Sequence[ItemRef],
        thought_room: Callable[[int], ThoughtRoom] | None = None,
        sampling: Callable[[int], Sampling] | None = None,
    ) -> None:
        self._settings = settings
        self._sampling = sampling or (lambda variant: settings.own_sampling())
        self._ask_room = thought_room
        self._rooms: dict[int, ThoughtRoom] = {}
        wanted: dict[str, set[int]] = defaultdict(set)
        styles: dict[str, dict[str, None]] = defaultdict(dict)
        for ref in refs:
            wanted[ref.task].add(ref.index)
            styles[ref.task][ref.style] = None
        self.datasets: dict[str, Dataset] = {}
        #: Tasks of a user's whose own code raised, with what it raised: their items are errors, the others go on.
        self.failed: dict[str, str] = {}
        for key, indices in wanted.items():
            try:
                custom_reader(key, registry.get(key).kind)  # raises where nobody knows the kind
                self.datasets[key] = self._load(key, sorted(indices))
            except Exception as error:
                if registry.is_of_the_suite(key) or (isinstance(error, ThinkSLMError) and len(wanted) == 1):
                    raise
                self.fail(key, error)
        self._exemplars: dict[tuple[str, str], tuple[Exemplar, ...]] = {
            (key, style): exemplars(
                registry.get(key),
                style,
                settings.data_dir,
                settings.data_seed,
                hub=settings.hub_ids,
                evaluated=self.datasets[key].cases.values(),
            )
            for key, asked in styles.items()
            if key not in self.failed
            for style in asked
        }
        self._changed = self._change(refs)
        self._try_requests(refs)
        self._carriers = self._find_carriers(refs)

    def fail(self, task: str, error: Exception) -> None:
        """The code of a user's task raised: nothing of it can be asked."""
        why = str(error) if isinstance(error, ThinkSLMError) else f"the task's own code raised {where_raised(error)}"
        self.failed[task] = f"task {task}: {why}"
        self.datasets[task] = Dataset({}, DataState("not read", 0, 0))

    def case(self, ref: ItemRef) -> Case:
        """The case of an item, or of a changed form of it. Raises ``DataError`` where its task's own code did."""
        if ref.task in self.failed:
            raise DataError(self.failed[ref.task])
        if ref.stress:
            return self._changed[ref.task, ref.index, ref.stress]
        cases = self.datasets[ref.task].cases
        if ref.index not in cases:
            cases[ref.index] = self._load(ref.task, [ref.index]).cases[ref.index]
        return cases[ref.index]

    def left_out(self, ref: ItemRef) -> str:
        """Why a selected item is not run: its record is not the pinned one, or is not there; else empty."""
        dataset = self.datasets.get(ref.task)
        why = "" if dataset is None else dataset.left_out.get(ref.index, "")
        if not why and ref.stress and (ref.task, ref.index, ref.stress) not in self._changed:
            why = f"{ref.stress}: nothing (more) in it could be changed without a doubt about its gold"
        return why

    def release(self, ref: ItemRef) -> None:
        """Let go of a case that no test needs any more; it is read again if one does after all (a rerun)."""
        if not ref.stress:
            self.datasets[ref.task].cases.pop(ref.index, None)

    def auxiliary(self, ref: ItemRef) -> tuple[Auxiliary, ...]:
        """The further cases that are asked with this item (each once a run, style, variant and repeat)."""
        return self._carriers.get(ref, ())

    def request(self, ref: ItemRef, case: Case | None = None) -> Request:
        """The request of an item, or of another case asked in its style and repeat."""
        case = case or self.case(ref)
        messages = self.messages(ref, case)
        bound = self.max_tokens(case, ref.style, ref.variant)
        sampling = replace(self._sampling(ref.variant), max_tokens=bound)
        if sampling.temperature > 0:
            sampling = replace(sampling, seed=_seed(self._settings.seed, ref.repeat, messages))
        return Request(
            messages=messages,
            sampling=sampling,
            label=f"{case.task} {case.item} ({ref.style}{', ' + ref.stress if ref.stress else ''})",
            repeat=ref.repeat,
            task=case.task,
            item=case.item,
            style=ref.style,
            thinking=self._settings.thinking,
            stress=ref.stress,
        )

    def max_tokens(self, case: Case, style: str, variant: int = 0) -> int:
        """``--max-tokens``, else the task's own bound for the style, with room for a thought where one is to come.

        It bounds the whole output; with ``--thinking TOKENS`` it bounds what follows the thought.
        """
        if self._settings.max_tokens is not None:
            return self._settings.max_tokens
        room = self._room(variant)
        return default_max_tokens(registry.get(case.task), style, thinks=room.thinks, context=room.context)

    def thinks(self, variant: int) -> bool:
        """Whether outputs of the variant at this position begin with a thought."""
        return self._room(variant).thinks

    def messages(self, ref: ItemRef, case: Case | None = None) -> tuple[Message, ...]:
        """The chat turns of an item, or of another case asked in its style."""
        turns = prompt_messages(case or self.case(ref), ref.style, self._exemplars.get((ref.task, ref.style), ()))
        system = self._settings.system
        return turns if system is None else (Message("system", system), *turns)

    def _try_requests(self, refs: Sequence[ItemRef]) -> None:
        """A user's case may be none that a prompt can be made of: that is seen before anything is asked."""
        for ref in refs:
            if registry.is_of_the_suite(ref.task) or ref.task in self.failed or self.left_out(ref):
                continue
            try:
                self.messages(ref)
            except Exception as error:
                self.fail(ref.task, error)

    def _room(self, variant: int) -> ThoughtRoom:
        if variant not in self._rooms:
            self._rooms[variant] = self._ask_room(variant) if self._ask_room else ThoughtRoom(False, None)
        return self._rooms[variant]

    def _load(self, task: str, indices: Sequence[int]) -> Dataset:
        settings = self._settings
        return load_cases(
            registry.get(task),
            indices,
            settings.data_dir,
            data_seed=settings.data_seed,
            accept_data=settings.accept_data,
            strict_data=settings.strict_data,
            hub=settings.hub_ids,
        )

    def _change(self, refs: Sequence[ItemRef]) -> dict[tuple[str, int, str], Case]:
        """The changed forms that are asked for, of the items that allow them."""
        found: dict[tuple[str, int, str], Case] = {}
        for ref in refs:
            case = self.datasets[ref.task].cases.get(ref.index) if ref.stress else None
            if case is not None and (ref.task, ref.index, ref.stress) not in found:
                changed = stress.apply(case, ref.stress, self._settings.data_seed)
                if changed is not None:
                    found[ref.task, ref.index, ref.stress] = changed
        return found

    def _find_carriers(self, refs: Sequence[ItemRef]) -> dict[ItemRef, tuple[Auxiliary, ...]]:
        """The first selected item of each auxiliary case carries it, the same on every worker."""
        carriers: dict[ItemRef, tuple[Auxiliary, ...]] = {}
        seen: set[tuple[object, ...]] = set()
        for ref in refs:
            if ref.stress or ref.task in self.failed or self.left_out(ref):
                continue
            for extra in self.datasets[ref.task].cases[ref.index].auxiliary:
                mark = (ref.variant, ref.style, ref.repeat, extra.role, extra.case.task, extra.case.index)
                if mark not in seen:
                    seen.add(mark)
                    carriers[ref] = (*carriers.get(ref, ()), extra)
        return carriers


def _seed(seed: int, repeat: int, messages: tuple[Message, ...]) -> int:
    """Sampling seed of a request, 63 bits, from the run's seed, the repeat and the content alone."""
    digest = hashlib.blake2b(f"{seed}|{repeat}".encode(), digest_size=8)
    for message in messages:
        digest.update(f"|{message.role}|{message.content}".encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big") >> 1
