"""Accuracies corrected for the errors of the reader (parser or judge), from a sample that people labelled. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_thinkslm.audit.labelled import Labelled
from pytest_thinkslm.audit.run_items import digest_of
from pytest_thinkslm.audit.validation import people, weights_of
from pytest_thinkslm.core.identity import GroupKey, ItemKey
from pytest_thinkslm.core.item_record import ItemLine, ItemRecord, group_key, item_key
from pytest_thinkslm.runs.types import Corrected, FigureRow, LabelsJson, ReadJson, Results
from pytest_thinkslm.statistics.corrected import Reading, corrected_accuracy


@dataclass(frozen=True, slots=True)
class LabelledOutput:
    """What people say of an output: whether it is correct, and how many outputs of the audited run it stands for."""

    right: bool
    weight: float


class LabelledRun:
    """Labels on their way to the rows that they are about."""

    def __init__(self, sample: Labelled) -> None:
        self._sample = sample
        right = people(sample.key, sample.labels)
        weights, _ = weights_of(sample.key, right)
        picks = {pick.id: pick.item for pick in sample.key.sample.picks}
        self._digests = {picks[name].key: picks[name].digest for name in right}
        self._labels = {picks[name].key: LabelledOutput(right[name], weights[name]) for name in right}

    @property
    def wanted(self) -> frozenset[ItemKey]:
        """The outputs whose texts are needed: a label counts for the very output that was read."""
        return frozenset(self._labels)

    def add_to(
        self, rows: Sequence[FigureRow], records: Iterable[ItemRecord], outputs: Iterable[ItemLine]
    ) -> LabelsJson:
        """Give each row that has labels its corrected accuracy.

        Args:
            rows: the run's figures.
            records: its item records.
            outputs: the whole lines of the ``wanted`` ones.
        """
        there = {key for line in outputs if digest_of(line) == self._digests.get(key := item_key(line))}
        grouped: dict[GroupKey, list[ItemRecord]] = defaultdict(list)
        outcomes: Counter[str] = Counter()
        labelled = {key.group for key in there}
        for record in records:
            if record["verdict"] != "error":
                outcomes[record["task"]] += 1
            if (group := group_key(record)) in labelled:
                grouped[group].append(record)
        for row in rows:
            group = group_key(row)
            if group in labelled and row["accuracy"] is not None and not row.get("void"):
                row["corrected"] = self._corrected(row, grouped[group], there, self._other_run(group.task, outcomes))
        lost = len(self._labels) - len(there)
        return {
            "annotators": len(self._sample.labels),
            "sampled_from": self._sample.key.run,
            "sample": self._sample.key.digest,
            "labelled": len(there),
            "not_in_this_run": lost,
        }

    def _other_run(self, task: str, outcomes: Mapping[str, int]) -> str:
        """Why the sample does not stand for this run's outputs of a task; empty where it does."""
        key = self._sample.key
        named = all("task" in stratum.name for stratum in key.sample.strata)
        audited = sum(
            stratum.population for stratum in key.sample.strata if not named or stratum.name.get("task") == task
        )
        tasks = [task] if named else [name for name in outcomes if not key.tasks or name in key.tasks]
        found = sum(outcomes[name] for name in tasks)
        if found == audited:
            return ""
        return f"the sample was drawn from {audited:,} outputs, and this run has {found:,}: draw one of this run"

    def _corrected(self, row: FigureRow, records: Sequence[ItemRecord], there: set[ItemKey], why: str) -> Corrected:
        repeats = Counter(record["item"] for record in records)
        found = [
            self._reading([record for record in records if wanted(record)], repeats, there)
            for wanted in (_read_correct, _read_incorrect)
        ]
        for reading, words in zip(found, ("correct", "incorrect"), strict=True):
            if reading.outputs and not reading.labelled:
                why = why or f"of the {reading.outputs} outputs that were read as {words} none is labelled"
        corrected: Corrected = {
            "accuracy": None,
            "ci95": None,
            "labelled": sum(reading.labelled for reading in found),
            "read_correct": _json(found[0]),
            "read_incorrect": _json(found[1]),
        }
        if why:
            return {**corrected, "undefined": why}
        accuracy, ends = corrected_accuracy([one for one in found if one.outputs], row["n_effective"])
        return {**corrected, "accuracy": round(accuracy, 6), "ci95": [round(end, 6) for end in ends]}

    def _reading(self, records: Sequence[ItemRecord], repeats: Mapping[str, int], there: set[ItemKey]) -> Reading:
        """The outputs that were read alike; a label weighs by what it stands for and by its part in the accuracy."""
        right = total = 0.0
        clusters: dict[str, float] = defaultdict(float)
        labelled = 0
        for record in records:
            key = item_key(record)
            if key in there:
                label = self._labels[key]
                weight = label.weight / repeats[record["item"]]
                labelled += 1
                total += weight
                right += weight * label.right
                clusters[record.get("cluster") or f"item {record['item']}"] += weight
        return Reading(
            sum(1 / repeats[record["item"]] for record in records) / len(repeats),
            len(records),
            labelled,
            total**2 / sum(weight**2 for weight in clusters.values()) if clusters else 0.0,
            min(1.0, right / total) if total else 0.0,
        )


def uncorrected(results: Results) -> bool:
    """Whether ``--labels`` was given and no accuracy could be corrected by them."""
    rows = [row["corrected"] for row in results["results"] if "corrected" in row]
    return "labels" in results and all(row["accuracy"] is None for row in rows)


def label_problems(results: Results) -> list[str]:
    """What of the labels could not be used."""
    said = results["labels"]
    if not said["labelled"]:
        return [
            f"--labels: none of the {said['not_in_this_run']} labelled outputs is in this run: draw a sample of it "
            "(thinkslm audit), label that, and give this command again with --rescore"
        ]
    lines = [
        f"{row.get('label') or row['task']} ({row['style']}): {corrected_line(row)}"
        for row in results["results"]
        if row.get("corrected", {}).get("undefined")
    ]
    if said["not_in_this_run"]:
        lines.append(f"--labels: {said['not_in_this_run']} labelled outputs are not in this run and are left out")
    return lines


def corrected_line(row: FigureRow) -> str:
    """A row's corrected accuracy in words; empty where there are no labels."""
    found = row.get("corrected")
    if found is None:
        return ""
    labels = f"{found['labelled']} output{'s' * (found['labelled'] != 1)} labelled by people"
    if found["accuracy"] is None or found["ci95"] is None:
        return f"corrected for the reader's errors: undefined ({found.get('undefined', '')}; {labels})"
    low, high = found["ci95"]
    wrong = found["read_correct"]["labelled"] - found["read_correct"]["right"]
    missed = found["read_incorrect"]["right"]
    return (
        f"corrected for the reader's errors: {found['accuracy']:.1%} (95% CI {100 * low:.1f}–{100 * high:.1f}; "
        f"{labels}, {wrong} of {found['read_correct']['labelled']} read as correct are not, "
        f"{missed} of {found['read_incorrect']['labelled']} read as incorrect are)"
    )


def _json(reading: Reading) -> ReadJson:
    return {
        "outputs": reading.outputs,
        "labelled": reading.labelled,
        "right": round(reading.right * reading.labelled),
        "right_rate": round(reading.right, 6) if reading.labelled else None,
    }


def _read_correct(record: ItemRecord) -> bool:
    return record["verdict"] == "correct"


def _read_incorrect(record: ItemRecord) -> bool:
    return record["verdict"] not in ("correct", "error")
