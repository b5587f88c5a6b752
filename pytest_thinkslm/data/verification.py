"""What is run of data that is not, record for record, the pinned one; what a report says of it, and what stops a run.

Only what was asked for is judged: a record that differs elsewhere is a note. Few records that differ or cannot be built
(``tolerated``) leave the verified items to run and the others out; more of them are an error, since then it is another
edition of the data set. ``--accept-data`` runs the differing ones too, ``--strict-data`` stops at any difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_thinkslm.core.errors import DataError
from pytest_thinkslm.core.records import Case
from pytest_thinkslm.data.delivery import Delivery
from pytest_thinkslm.data.matching import Broken, Differing, Match
from pytest_thinkslm.tasks import pins as pins_data
from pytest_thinkslm.tasks.registry import all_tasks
from pytest_thinkslm.tasks.task import Task

#: ``accept``: records that differ are run too; ``strict``: any difference stops the run.
Policy = Literal["verified", "accept", "strict"]

#: Records of a set that may differ or be unbuildable while the others are run: a share of the set, and at most so many.
TOLERATED_SHARE = 0.01
TOLERATED_RECORDS = 20

_NAMED = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be run, of the items asked for.

    Attributes:
        left_out: item -> why it is not run.
        unverified: those of them whose record differs from its pin, cannot be built, or is not known to the pins.
        absent: those of them that the source does not have.
        accepted: items that are run although they are not the pinned ones.
        notes: lines for reports.
    """

    left_out: Mapping[int, str]
    unverified: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def tolerated(records: int) -> int:
    """How many of a set's records may differ while the verified ones are run."""
    return min(TOLERATED_RECORDS, int(records * TOLERATED_SHARE))


def verify(
    task: Task, delivery: Delivery, cases: Iterable[Case], found: Match, wanted: Collection[int], policy: Policy
) -> Outcome:
    """Decide what is run of ``wanted``.

    Args:
        task: whose data it is; it has pins.
        delivery: where the records came from.
        cases: every record that could be built.
        found: how the records stand to the pins.
        wanted: the items asked for.
        policy: what the user said.

    Raises:
        DataError: the data cannot be taken for the task's, with what differs and what to do.
    """
    header = pins_data.header(task.key)
    assert header is not None
    whole = max(task.count, delivery.expected or 0)
    unpinned = whole > header.records
    differing = {record.item: record for record in found.differing}
    broken = {record.item: record for record in found.broken if record.item is not None}
    nothing = not (found.verified or found.differing)
    beyond = frozenset(found.new if nothing or not unpinned else ())
    missing = frozenset(found.missing)
    short = unpinned and len(delivery.records) < (delivery.expected or 0)
    fails = bool(found.amiss or missing or beyond or short)
    amiss_here = [item for item in wanted if item in differing or item in broken]
    if missing and found.new:  # another record stands for an item: it differs, beyond recognition
        amiss_here += [item for item in wanted if item in missing or item in beyond]
    if policy != "accept" and (
        (policy == "strict" and fails)
        or (nothing and wanted)
        or (amiss_here and found.amiss > tolerated(len(delivery.records)))
    ):
        raise DataError(_refusal(task, delivery, cases, header.records, found, sorted(beyond), policy))
    left_out: dict[int, str] = {}
    unverified, absent, accepted = [], [], []
    for item in wanted:
        if item in broken:
            left_out[item] = f"unverified: the record cannot be built ({broken[item].why})"
            unverified.append(item)
        elif item not in found.positions:
            left_out[item] = f"{delivery.source} has no record of it"
            absent.append(item)
        elif item in differing or item in beyond:
            if policy == "accept":
                accepted.append(item)
                continue
            told = f"differs from its pin ({_told(differing[item])})" if item in differing else "is known to no pin"
            left_out[item] = f"unverified: the record {told}"
            unverified.append(item)
    asked = set(wanted)
    notes = [delivery.note] if delivery.note else []
    if len(delivery.records) > whole:
        notes.append(f"{len(delivery.records)} records where {whole} were expected")
    if unpinned and found.new and not nothing:
        notes.append(f"{len(found.new)} records are unpinned: their content was not verified")
    if unverified:
        notes.append(_listed("left out as unverified", unverified, len(asked), left_out))
    if absent:
        notes.append(f"{len(absent)} of {len(asked)} items have no record in {delivery.source} ({item_names(absent)})")
    notes += _elsewhere(found, delivery, asked)
    return Outcome(left_out, tuple(unverified), tuple(absent), tuple(accepted), tuple(notes))


def item_names(items: Sequence[int]) -> str:
    """Names of items, the first few."""
    return ", ".join(f"{item:04d}" for item in items[:_NAMED]) + (", ..." if len(items) > _NAMED else "")


def _told(record: Differing) -> str:
    return ", ".join(part.name for part in record.parts) or "which part cannot be told"


def _listed(what: str, items: Sequence[int], asked: int, why: Mapping[int, str]) -> str:
    reasons = "; ".join(f"{item:04d}: {why[item].removeprefix('unverified: ')}" for item in items[:_NAMED])
    more = "; ..." if len(items) > _NAMED else ""
    return f"{len(items)} of {asked} items were {what} ({reasons}{more})"


def _elsewhere(found: Match, delivery: Delivery, asked: Collection[int]) -> list[str]:
    """Notes on records that were not asked for."""
    notes = []
    differing = [record.item for record in found.differing if record.item not in asked]
    if differing:
        notes.append(
            f"{len(differing)} records that were not asked for differ from their pins ({item_names(differing)})"
        )
    unknown = [record for record in found.broken if record.item not in asked]
    if unknown:
        places = "; ".join(record.why for record in unknown[:_NAMED]) + ("; ..." if len(unknown) > _NAMED else "")
        notes.append(
            f"{len(unknown)} records of {delivery.source} cannot be built and are no item of this run ({places})"
        )
    return notes


def _refusal(
    task: Task,
    delivery: Delivery,
    cases: Iterable[Case],
    pinned: int,
    found: Match,
    beyond: Sequence[int],
    policy: Policy,
) -> str:
    facts = []
    if found.differing:
        facts.append(f"{len(found.differing)} differ (items {item_names([one.item for one in found.differing])})")
    if found.broken:
        facts.append(f"{len(found.broken)} cannot be built ({_places(found.broken)})")
    if found.missing:
        facts.append(f"{len(found.missing)} are missing (items {item_names(found.missing)})")
    if beyond:
        places = [delivery.places[found.positions[item]] for item in beyond]
        facts.append(f"{len(beyond)} are new ({', '.join(places[:_NAMED])}{', ...' if len(beyond) > _NAMED else ''})")
    if not facts:
        facts.append(f"only {len(delivery.records)} of {delivery.expected} are there")
    other = _other_task(task, cases) if found.verified < pinned / 2 else None
    if other is not None:
        return (
            f"{task.key}: {delivery.where} holds the records of another task, {other}; put {task.key}'s own file there"
        )
    bound = tolerated(len(delivery.records))
    what = (
        "--strict-data lets no difference pass"
        if policy == "strict"
        else f"with at most {bound} such records the others would be run"
    )
    return (
        f"{task.key}: {delivery.where} fails its content pin: of {pinned} pinned records "
        f"{', '.join(facts)}; {what}. 'thinkslm data check {task.key}' names each one. Get the original "
        "data, or run on these with --accept-data; every report will say so"
    )


def _places(broken: Sequence[Broken]) -> str:
    return "; ".join(record.why for record in broken[:_NAMED]) + ("; ..." if len(broken) > _NAMED else "")


def _other_task(task: Task, cases: Iterable[Case]) -> str | None:
    """The task whose pinned questions most of these are, where there is one."""
    questions = {pins_data.question_hash(case.question) for case in cases}
    for key in all_tasks():
        known = pins_data.question_index(key).keys()
        if key != task.key and len(questions & known) > len(questions) / 2:
            return key
    return None
