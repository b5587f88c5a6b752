"""The key of a label file: which outcome hides behind each id, its weight, and what parser and judge said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from pytest_thinkslm.audit.run_items import AuditItem, JudgeReading, named
from pytest_thinkslm.audit.sample import Pick, Sample, Stratum
from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.item_record import GroupJson, ItemRecord, RulingJson, item_key
from pytest_thinkslm.core.records import ItemRole
from pytest_thinkslm.core.shapes import misfit
from pytest_thinkslm.core.text import safe_values

KEY_VERSION = 1

_NOTE = "This file holds the verdicts. Annotators must not see it before they are done."


@dataclass(frozen=True, slots=True)
class AuditKey:
    """A sample with where it came from.

    Attributes:
        sample: the drawn outcomes and their strata.
        run: name of the run's folder.
        judge: model that judged the run, None without one.
        seed: of the draw.
        share: what part of the sample disagreements could take.
        tasks: tasks that the draw was narrowed to; empty for all.
    """

    sample: Sample
    run: str
    judge: str | None
    seed: int
    share: float
    tasks: tuple[str, ...] = ()

    @property
    def population(self) -> int:
        """How many outcomes of the run the sample stands for."""
        return sum(stratum.population for stratum in self.sample.strata)

    @property
    def digest(self) -> str:
        """What tells this sample from others."""
        ids = "".join(pick.id for pick in self.sample.picks)
        return hashlib.blake2b(ids.encode(), digest_size=8).hexdigest()

    def as_json(self) -> dict[str, object]:
        """The content of the key file."""
        return {
            "note": _NOTE,
            "key_version": KEY_VERSION,
            "run": self.run,
            "judge": self.judge,
            "seed": self.seed,
            "disagreement_share": self.share,
            "tasks": list(self.tasks),
            "population": self.population,
            "strata": [
                {
                    "name": dict(stratum.name),
                    "population": stratum.population,
                    "drawn": stratum.drawn,
                    "weight": stratum.weight,
                }
                for stratum in self.sample.strata
            ],
            "items": {
                pick.id: {
                    **named(pick.item.key),
                    "stratum": pick.stratum,
                    "cluster": pick.item.cluster,
                    "output_digest": pick.item.digest,
                    "parser_verdict": pick.item.parser,
                    "verdict": pick.item.verdict,
                    "source": pick.item.source,
                    "judge": None if pick.item.judge is None else asdict(pick.item.judge),
                    "reason_judge": None if pick.item.reason_judge is None else asdict(pick.item.reason_judge),
                }
                for pick in self.sample.picks
            },
        }


def read_key(path: Path) -> AuditKey:
    """Read a key file.

    Raises:
        UsageError: the file is missing, damaged or of another version.
    """
    try:
        value = files.read_json(path)
        if isinstance(value, dict) and isinstance(value.get("key_version"), int) and value["key_version"] > KEY_VERSION:
            raise UsageError(
                f"key {path} has version {value['key_version']}, this version of the suite reads {KEY_VERSION}"
            )
        if wrong := misfit(value, _KeyJson, (_PickJson,)):
            raise ValueError(wrong.strip())
        return _from_json(safe_values(value))
    except OSError as error:
        raise UsageError(
            f"key {path} cannot be read ({error.strerror or error}); `thinkslm audit` wrote it beside the label file: "
            "put it there again, or name it with --key"
        ) from None
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"key {path} is damaged, or no key of `thinkslm audit` ({error}); draw the sample again"
        ) from None


class _StratumJson(TypedDict):
    name: dict[str, str]
    population: int
    drawn: int


class _PickJson(GroupJson):
    item: str
    repeat: int
    stratum: int
    cluster: str
    output_digest: str
    parser_verdict: str
    verdict: str
    source: str
    judge: RulingJson | None
    #: Absent in keys of earlier versions.
    reason_judge: NotRequired[RulingJson | None]
    #: As ``item_key`` reads them: every pick is of role ``item``, and of no changed form.
    role: NotRequired[ItemRole]
    stress: NotRequired[str]


class _KeyJson(TypedDict):
    """A key file, as far as it is read."""

    key_version: int
    run: str
    judge: str | None
    seed: int
    disagreement_share: float
    tasks: list[str]
    strata: list[_StratumJson]
    items: dict[str, _PickJson]


def _from_json(value: Mapping[str, Any]) -> AuditKey:
    strata = tuple(
        Stratum(dict(entry["name"]), int(entry["population"]), int(entry["drawn"])) for entry in value["strata"]
    )
    picks = tuple(Pick(name, _item(entry), int(entry["stratum"])) for name, entry in value["items"].items())
    if any(not 0 <= pick.stratum < len(strata) for pick in picks) or any(stratum.drawn < 1 for stratum in strata):
        raise ValueError("its strata are not those of its items")
    return AuditKey(
        Sample(picks, strata),
        str(value["run"]),
        value["judge"],
        int(value["seed"]),
        float(value["disagreement_share"]),
        tuple(value["tasks"]),
    )


def _item(entry: Mapping[str, Any]) -> AuditItem:
    return AuditItem(
        key=item_key(cast("ItemRecord", entry)),
        parser=entry["parser_verdict"],
        verdict=entry["verdict"],
        source=entry["source"],
        judge=_reading(entry["judge"]),
        digest=entry["output_digest"],
        cluster=entry["cluster"],
        reason_judge=_reading(entry.get("reason_judge")),
    )


def _reading(judge: RulingJson | None) -> JudgeReading | None:
    if judge is None:
        return None
    return JudgeReading(judge["status"], judge["verdict"], judge["answer"], judge["reason"])
