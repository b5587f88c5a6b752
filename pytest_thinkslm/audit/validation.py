"""A labelled sample, its key and (optionally) runs: every rater held against the people who labelled. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_thinkslm.audit.agreement import Pair, RaterAgreement, rater_agreement
from pytest_thinkslm.audit.audit_key import AuditKey
from pytest_thinkslm.audit.figures import Figure
from pytest_thinkslm.audit.krippendorff import krippendorff_alpha, percent_agreement
from pytest_thinkslm.audit.labelled import Labels
from pytest_thinkslm.audit.labels import Label
from pytest_thinkslm.audit.paper import paper_as_json
from pytest_thinkslm.audit.run_items import AuditItem, named
from pytest_thinkslm.audit.sample import Pick
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import ItemKey


@dataclass(frozen=True, slots=True)
class Rater:
    """Who is held against people.

    ``readings``: by id, true for correct. ``missing``: how many outputs of the sample it has no verdict on, by reason.
    ``of_reasons``: its readings are of the error reasons of reviews, and held against people's labels of these.
    """

    name: str
    is_judge: bool
    readings: Mapping[str, bool]
    missing: Mapping[str, int] = field(default_factory=dict)
    of_reasons: bool = False


@dataclass(frozen=True, slots=True)
class RaterReport:
    """A rater against the people's reading, and against each annotator alone where there are several.

    ``differences`` are the outputs that it reads otherwise than the people: the ones to look at.
    """

    rater: Rater
    agreement: RaterAgreement
    by_annotator: Mapping[str, RaterAgreement]
    differences: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything that ``thinkslm agreement`` reports.

    Attributes:
        key: the sample.
        labels: how many outputs each annotator called correct, incorrect, unclear, or has not labelled (``missing``).
        labelled: outputs with a reading by people: the annotators' majority.
        ties: outputs on which as many annotators say correct as incorrect; left out.
        covered: outputs of the run in strata of which some output has a reading; the figures are about these.
        alpha: Krippendorff's, between annotators.
        percent: share of equal labels between annotators.
        raters: each with its figures.
    """

    key: AuditKey
    labels: Mapping[str, Mapping[str, int]]
    labelled: int
    ties: int
    covered: int
    alpha: Figure
    percent: Figure
    raters: tuple[RaterReport, ...]

    def as_json(self) -> dict[str, object]:
        """The report as plain values; fractions throughout, no NaN."""
        return {
            "run": self.key.run,
            "sample": {
                "seed": self.key.seed,
                "size": len(self.key.sample.picks),
                "population": self.key.population,
                "covered": self.covered,
                "labelled": self.labelled,
                "ties": self.ties,
            },
            "annotators": {name: dict(counts) for name, counts in self.labels.items()},
            "between_annotators": {
                "krippendorff_alpha": self.alpha.as_json(),
                "percent_agreement": self.percent.as_json(),
            },
            "raters": [
                {
                    "name": report.rater.name,
                    "judge": report.rater.is_judge,
                    "of_reasons": report.rater.of_reasons,
                    "missing": dict(report.rater.missing),
                    **report.agreement.overall.as_json(),
                    "over_tasks": report.agreement.tasks.as_json(),
                    "by_task": {task: row.as_json() for task, row in report.agreement.by_task.items()},
                    "by_annotator": {name: row.overall.as_json() for name, row in report.by_annotator.items()},
                    "differences": [
                        {"id": pick.id, **named(pick.item.key), "rater": _word(report.rater.readings[pick.id])}
                        for pick in report.differences
                    ],
                }
                for report in self.raters
            ],
            "paper": paper_as_json(),
        }


def validate(key: AuditKey, labels: Labels, raters: Sequence[Rater], reasons: Labels | None = None) -> Validation:
    """Hold every rater against the people.

    The people's reading of an output is the one label, or the majority of several; ``unclear`` is no vote. An output
    stands for as many of the run as its stratum has for each output with a reading (inverse inclusion
    probability, post-stratified where labels are missing).

    Args:
        reasons: labels of error reasons, as ``labels``; None without any.

    Raises:
        UsageError: labels are of outputs that are not in the sample.
    """
    known = {pick.id for pick in key.sample.picks}
    for name, given in labels.items():
        strange = [label_id for label_id in given if label_id not in known]
        if strange:
            raise UsageError(
                f"the labels of {name} are of another sample: {len(strange)} of {len(given)} ids are not in its key "
                f"(the first is {strange[0]!r}); give the key of that sample with --key"
            )
    votes = _votes(key, labels)
    readings = people(key, labels)
    _, covered = weights_of(key, readings)
    sides = {False: (readings, _alone(labels)), True: (people(key, reasons or {}), _alone(reasons or {}))}
    return Validation(
        key=key,
        labels={name: _counts(given, len(known)) for name, given in labels.items()},
        labelled=len(readings),
        ties=sum(1 for given in votes.values() if given and _majority(given) is None),
        covered=covered,
        alpha=_between(key, votes, len(labels), krippendorff_alpha),
        percent=_between(key, votes, len(labels), percent_agreement),
        raters=tuple(_report(key, rater, *sides[rater.of_reasons]) for rater in raters),
    )


def people(key: AuditKey, labels: Labels) -> dict[str, bool]:
    """By id, what people say: the one label, or the majority of several; true for correct. Ties are left out."""
    return {name: majority for name, given in _votes(key, labels).items() if (majority := _majority(given)) is not None}


def _votes(key: AuditKey, labels: Labels) -> dict[str, list[Label]]:
    return {
        pick.id: [label for given in labels.values() if (label := given.get(pick.id)) in ("correct", "incorrect")]
        for pick in key.sample.picks
    }


def _alone(labels: Labels) -> dict[str, dict[str, bool]]:
    return {
        name: {label_id: label == "correct" for label_id, label in given.items() if label in ("correct", "incorrect")}
        for name, given in labels.items()
    }


def key_raters(key: AuditKey) -> list[Rater]:
    """The parser and the judge as the key has them."""
    return raters_of({pick.id: pick.item for pick in key.sample.picks}, key.judge)


def run_raters(key: AuditKey, items: Iterable[AuditItem], name: str, judge: str | None) -> list[Rater]:
    """The parser and the judge of a run of the same outputs (rescored, or judged by another model).

    Raises:
        UsageError: the run has none of the sample's outputs.
    """
    wanted: dict[ItemKey, str] = {pick.item.key: pick.id for pick in key.sample.picks}
    digests = {pick.id: pick.item.digest for pick in key.sample.picks}
    found = {
        label_id: item
        for item in items
        if (label_id := wanted.get(item.key)) is not None and digests[label_id] == item.digest
    }
    if not found:
        raise UsageError(
            f"--run {name} has none of the {len(digests)} outputs that were sampled from {key.run}: give a run of "
            "the same outputs, such as the same run rescored or judged by another model"
        )
    absent = {"not in this run": len(digests) - len(found)} if len(found) < len(digests) else {}
    return raters_of(found, judge, absent, suffix=f" ({name})")


def raters_of(
    items: Mapping[str, AuditItem], judge: str | None, absent: Mapping[str, int] | None = None, suffix: str = ""
) -> list[Rater]:
    """Who read these outputs: the parser; the judge if any; what the suite made of both where it is neither."""
    absent = absent or {}
    parser = {label_id: item.parser == "correct" for label_id, item in items.items()}
    raters = [Rater(f"parser{suffix}", False, parser, absent)]
    judged: dict[str, bool] = {}
    missing = Counter(absent)
    for label_id, item in items.items():
        if item.judge is None:
            missing["not asked about the item"] += 1
        elif item.judge.verdict is None:
            missing["cannot tell" if item.judge.status == "judged" else item.judge.status] += 1
        else:
            judged[label_id] = item.judge.verdict == "correct"
    if judge is not None or judged:
        raters.append(Rater(f"judge {judge or ''}".rstrip() + suffix, True, judged, dict(missing)))
        recorded = {label_id: item.verdict == "correct" for label_id, item in items.items()}
        if recorded not in (parser, judged):
            raters.append(Rater(f"recorded verdict{suffix}", False, recorded, absent))
    on_reasons = {
        label_id: item.reason_judge.verdict == "correct"
        for label_id, item in items.items()
        if item.reason_judge is not None and item.reason_judge.verdict is not None
    }
    if on_reasons:
        raters.append(
            Rater(f"judge {judge or ''}".rstrip() + f" on error reasons{suffix}", True, on_reasons, of_reasons=True)
        )
    return raters


def _majority(votes: Sequence[Label]) -> bool | None:
    right, wrong = votes.count("correct"), votes.count("incorrect")
    return None if right == wrong else right > wrong


def _counts(given: Mapping[str, Label | None], size: int) -> dict[str, int]:
    counts = Counter(label for label in given.values() if label is not None)
    counts_by_label = {label: counts[label] for label in ("correct", "incorrect", "unclear")}
    return {**counts_by_label, "missing": size - counts.total()}


def weights_of(
    key: AuditKey, readings: Collection[str], among: Collection[str] | None = None
) -> tuple[dict[str, float], int]:
    """What each of these outputs stands for, and how many outputs of the run all of them do.

    ``among``: the drawn outputs that could have a reading, None for all: the readings of a stratum stand for these.
    """
    picks = [pick for pick in key.sample.picks if pick.id in readings]
    read = Counter(pick.stratum for pick in picks)
    could = Counter(pick.stratum for pick in key.sample.picks if among is None or pick.id in among)
    strata = key.sample.strata
    weights = {pick.id: strata[pick.stratum].weight * could[pick.stratum] / read[pick.stratum] for pick in picks}
    return weights, sum(key.sample.strata[stratum].population for stratum in read)


def _between(
    key: AuditKey,
    votes: Mapping[str, Sequence[Label]],
    annotators: int,
    statistic: Callable[[Sequence[Sequence[Label]], Sequence[float]], Figure],
) -> Figure:
    if annotators < 2:
        return Figure(None, why="there is one annotator; agreement between annotators takes two")
    paired = {name: given for name, given in votes.items() if len(given) > 1}
    weights, _ = weights_of(key, paired)
    return statistic(list(paired.values()), [weights[name] for name in paired])


def _report(
    key: AuditKey, rater: Rater, readings: Mapping[str, bool], by_annotator: Mapping[str, Mapping[str, bool]]
) -> RaterReport:
    several = by_annotator if len(by_annotator) > 1 else {}
    return RaterReport(
        rater,
        rater_agreement(_pairs(key, rater, readings)),
        {name: rater_agreement(_pairs(key, rater, own)) for name, own in several.items()},
        tuple(
            pick
            for pick in key.sample.picks
            if pick.id in readings and rater.readings.get(pick.id, readings[pick.id]) != readings[pick.id]
        ),
    )


def _word(reading: bool) -> Label:
    return "correct" if reading else "incorrect"


def _pairs(key: AuditKey, rater: Rater, readings: Mapping[str, bool]) -> list[Pair]:
    both = readings.keys() & rater.readings.keys() if rater.of_reasons else readings.keys()
    weights, _ = weights_of(key, both, rater.readings if rater.of_reasons else None)
    return [
        Pair(
            task=pick.item.key.task,
            cluster=pick.item.cluster,
            weight=weights[pick.id],
            rater=rater.readings[pick.id],
            human=readings[pick.id],
        )
        for pick in key.sample.picks
        if pick.id in readings and pick.id in rater.readings
    ]
