"""The catalogue against the published table, what each entry needs, and a user's own entries."""

from __future__ import annotations

import csv
import re
from importlib.resources import files
from pathlib import Path

import pytest

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.core.schemes import SCHEMES
from pytest_thinkslm.machine.gpus import Device
from pytest_thinkslm.machine.placement import GIB, PlacementError, need_of_catalogue, place
from pytest_thinkslm.models import hub, loading
from pytest_thinkslm.models.catalogue import Entry, Published, architectures, catalogue, published_as, shipped
from pytest_thinkslm.models.loading import LOADERS, LOCAL_ENGINES, Machine
from pytest_thinkslm.models.preflight import no_engine
from pytest_thinkslm.models.variants import resolve_variant
from pytest_thinkslm.tasks import registry

with files("pytest_thinkslm.reference").joinpath("thinkslm_leaderboard.csv").open(encoding="utf-8") as stream:
    TABLE = list(csv.DictReader(stream))
ROWS = [(row["model_key"], row["quant_key"]) for row in TABLE]
ALL = [(entry, one) for entry in shipped().values() for one in entry.checkpoints.values()]
IDS = [f"{entry.key}-{one.quant}" for entry, one in ALL]


def machine(count: int, gib: int, capability: float) -> Machine:
    gpus = tuple(Device(index, "Simulated", gib * GIB, gib * GIB) for index in range(count))
    return Machine(gpus=gpus, capability=capability, memory=512 * GIB, vllm_version="0.32.0", cpu_build=False)


MACHINES = {
    "1x24": machine(1, 24, 8.9),
    "8x80": machine(8, 80, 9.0),
    "cpu": Machine(memory=64 * GIB, vllm_version="0.32.0"),
}


def test_the_paper_variants_are_the_tables_rows_in_its_order() -> None:
    mine = [
        {
            "model_key": entry.key,
            "quant_key": one.quant,
            "hf_id": one.hub_id,
            "params": entry.params,
            "disk_GB": one.disk_gib,
        }
        for entry, one in ALL
        if entry.kind == "paper" and not one.beside_paper
    ]
    theirs = [
        {
            "model_key": row["model_key"],
            "quant_key": row["quant_key"],
            "hf_id": row["hf_id"],
            "params": float(row["params"].rstrip("B")),
            "disk_GB": None if row["disk_GB"] == "--" else float(row["disk_GB"]),
        }
        for row in TABLE
    ]
    assert len(theirs) == 72
    assert mine == theirs


def test_no_key_contains_a_task_key() -> None:
    clashes = [(key, task) for key in shipped() for task in registry.all_tasks() if task in key]
    assert clashes == []


NEW_FAMILIES = {
    *("qwen3.5", "gemma-3", "gemma-3n", "gemma-4", "gpt-oss", "ministral-3", "smollm3", "granite-4.0", "granite-4.1"),
    *("lfm2.5", "nemotron-nano", "exaone-4.0", "exaone-deep", "olmo-3", "falcon-h1"),
}
NEW = [entry for entry in shipped().values() if entry.family in NEW_FAMILIES or entry.key.startswith("phi-4-mini")]


def test_the_families_of_2025_and_2026_are_there() -> None:
    assert {entry.family for entry in NEW} == NEW_FAMILIES | {"phi"}
    assert {entry.key for entry in NEW} >= {"gpt-oss-20b", "phi-4-mini", "smollm3-3b", "gemma-4-12b", "olmo-3-7b-think"}


@pytest.mark.parametrize("entry", NEW, ids=lambda entry: entry.key)
def test_what_a_new_entry_does_not_have_it_says(entry: Entry) -> None:
    said = " ".join(entry.unconfirmed)
    assert entry.licence
    for name, value in (("context", entry.context), ("thinking", entry.thinking), ("sampling", entry.sampling)):
        assert value or name in said, f"{name} is neither there nor said not to be known"
    assert entry.context is None or 8_192 <= entry.context <= 1_048_576
    for sampling in entry.sampling:
        assert sampling.temperature is not None
        assert 0 <= sampling.temperature <= 1.5
        assert sampling.top_p is None or 0 < sampling.top_p <= 1
        assert str(sampling).startswith("temperature ")
    modes = [sampling.when for sampling in entry.sampling]
    assert len(modes) == len(set(modes))


def test_gated_owners() -> None:
    gated = {entry.key for entry, one in ALL if one.gated}
    assert all(key.startswith(("llama-", "gemma-3")) for key in gated)
    assert {entry.key for entry in NEW if entry.family in ("gemma-3", "gemma-3n")} <= gated


def test_published_beside_the_papers_table() -> None:
    beside = {(entry.key, one.quant) for entry, one in ALL if one.beside_paper}
    assert ("qwen2.5-7b", "w8a8") in beside
    assert ("qwen2.5-7b", "fp8-dynamic") in beside
    assert not beside & set(ROWS)


def test_every_kind_is_there() -> None:
    assert {entry.kind for entry in shipped().values()} == {"paper", "pruned", "distilled", "newer", "embedded"}
    assert shipped()["embedded"].checkpoints["none"].hub_id is None


def test_hub_ids_are_unique() -> None:
    ids = [one.hub_id.lower() for _, one in ALL if one.hub_id]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("entry", "one"), ALL, ids=IDS)
def test_every_checkpoint_has_an_engine_or_a_reason(entry: Entry, one: Published) -> None:
    assert one.quant in SCHEMES
    assert all((one.format, engine) in LOADERS for engine in LOCAL_ENGINES)
    reasons = no_engine(entry, one.format)
    assert set(reasons) == set(LOCAL_ENGINES)
    for engine, why in reasons.items():
        found = loading.obstacles(one.format, one.quant, engine, MACHINES["8x80"])
        # What no release loads is not loaded on the best machine with everything installed, and the other way round.
        assert bool(why) == (bool(found) or engine in entry.no_engine), (engine, why, found)
    if all(reasons.values()):
        assert (entry.key, one.quant) in {
            ("hymba-1.5b", "none"),
            ("phi-3-small", "none"),
            ("minitron-4b", "none"),
            *(
                (f"sparse-llama-3.1-8b-{kind}", quant)
                for kind in ("gsm", "chat", "code")
                for quant in ("fp8-dynamic", "w4a16")
            ),
        }


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('thinking = "sometimes"', "thinking 'sometimes' is unknown"),
        ("sampling = [1]", "a list of tables is expected"),
        ("sampling = [{ heat = 1 }]", "sampling.heat is unknown"),
        ('sampling = [{ temperature = "hot" }]', "sampling.temperature = 'hot'"),
        ('context = "long"', "context = 'long'"),
    ],
)
def test_a_users_entry_with_a_wrong_card_fact(tmp_path: Path, table: str, complaint: str) -> None:
    text = f'[tool.thinkslm.models.mine]\nparams = 1\nhub_id = "a/b"\n{table}\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=re.escape(complaint)):
        catalogue(tmp_path)


def test_a_users_entry_may_have_card_facts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.thinkslm.models.mine]\nparams = 1\nhub_id = "a/b"\ncontext = 4096\nthinking = "on"\n'
        'sampling = [{ when = "thinking", temperature = 0.6, top_p = 0.95 }]\nunconfirmed = ["context: guessed"]\n'
    )
    mine = catalogue(tmp_path)["mine"]
    assert (mine.context, mine.thinking, mine.unconfirmed) == (4096, "on", ("context: guessed",))
    assert [str(one) for one in mine.sampling] == ["temperature 0.6, top-p 0.95 (thinking)"]


@pytest.mark.parametrize("where", MACHINES)
@pytest.mark.parametrize(("model", "quant"), ROWS, ids=[f"{model}-{quant}" for model, quant in ROWS])
def test_all_rows_resolve_offline(model: str, quant: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a hub id, a size, a placement, and an engine or a reason why there is none; nothing is fetched."""

    def unreachable(hub_id: str, revision: str | None = None) -> hub.Remote:
        raise ModelError(f"--model {hub_id}: the hub cannot be reached")

    monkeypatch.setattr(hub, "cached_config", lambda hub_id, revision=None: None)
    monkeypatch.setattr(hub, "look_up", unreachable)
    monkeypatch.setattr(hub, "snapshot", lambda *given: pytest.fail("nothing may be fetched"))
    entry = shipped()[model]
    one = entry.checkpoints[quant]
    here = MACHINES[where]
    need = need_of_catalogue(one.disk_gib, entry.params, SCHEMES[quant].weight_bits)
    if one.disk_gib is not None:
        assert need.weights == int(one.disk_gib * GIB)
    # The table's own sizes of the smallest quantized checkpoints are several times those of their weights.
    assert 0.5 < need.weights / (entry.params * 1e9 * SCHEMES[quant].weight_bits / 8) < 6
    try:
        fits = place(need, here.gpus, model).replicas > 0
    except PlacementError:
        fits = False
    engines = [engine for engine in LOCAL_ENGINES if not loading.obstacles(one.format, quant, engine, here)]
    for engine in LOCAL_ENGINES:
        with pytest.raises(ModelError) as caught:
            resolve_variant(model, quant, engine, machine=here, trust_remote_code=True)
        message = str(caught.value)
        assert f"--model {model} --quant {quant} cannot be run here" in message
        assert f"checkpoint: {one.hub_id} " in message
        nowhere = all(no_engine(entry, one.format).values())
        assert ("the hub cannot be reached" in message) != nowhere
        assert (f"- {engine}: " in message or "- the checkpoint: " in message) == (
            engine not in engines or engine in entry.no_engine
        )
        if engine in engines and engine == "vllm" and here.gpus and engine not in entry.no_engine:
            assert ("- memory: " in message) != fits


def test_the_largest_and_the_smallest_where_they_fit() -> None:
    def largest(where: str) -> set[str]:
        found = set()
        for model, quant in ROWS:
            entry = shipped()[model]
            one = entry.checkpoints[quant]
            try:
                place(need_of_catalogue(one.disk_gib, entry.params, SCHEMES[quant].weight_bits), MACHINES[where].gpus)
            except PlacementError:
                continue
            found.add(f"{model}-{quant}")
        return found

    assert len(largest("8x80")) == 72
    small = largest("1x24")
    assert {"qwen2.5-7b-none", "qwen2.5-14b-gptq4", "llama-3.1-8b-none"} <= small
    assert not {"qwen2.5-32b-none", "llama-3.1-70b-w4a16", "mistral-nemo-12b-none"} & small


def test_hub_ids_are_recognised_by_both_names_of_an_organisation() -> None:
    for hub_id in ("RedHatAI/Qwen2-7B-Instruct-FP8", "neuralmagic/qwen2-7b-instruct-fp8"):
        entry, one = published_as(hub_id, shipped()) or pytest.fail(hub_id)
        assert (entry.key, one.quant) == ("qwen2-7b", "fp8")
    assert published_as("org/other", shipped()) is None


def test_architectures_have_a_reason_for_both_engines() -> None:
    assert set(architectures()) == {"hymba", "phi3small"}
    assert all(set(whys) == {"vllm", "transformers"} for whys in architectures().values())


# -- a user's entries ----------------------------------------------------------------------------------------------


def own(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_own_entries_are_added_and_put_in_place(tmp_path: Path) -> None:
    start = own(
        tmp_path,
        """
        [tool.thinkslm.models.mine]
        params = 1.5
        hub_id = "org/mine"
        quants = { gptq4 = "org/mine-GPTQ-Int4", w8a8 = { folder = "out/w8a8", disk_gib = 1.75 } }

        [tool.thinkslm.models."qwen2.5-7b"]
        quants = { gptq4 = "mirror/seven" }
        """,
    )
    (tmp_path / "below").mkdir()
    found = catalogue(start / "below")
    mine = found["mine"]
    assert (mine.params, mine.kind, mine.family) == (1.5, "own", "own")
    assert mine.checkpoints["none"].hub_id == "org/mine"
    assert mine.checkpoints["gptq4"].hub_id == "org/mine-GPTQ-Int4"
    assert mine.checkpoints["w8a8"].folder == tmp_path / "out" / "w8a8"
    assert mine.checkpoints["w8a8"].disk_gib == 1.75
    seven = found["qwen2.5-7b"]
    assert seven.checkpoints["gptq4"].hub_id == "mirror/seven"
    assert seven.checkpoints["gptq8"] == shipped()["qwen2.5-7b"].checkpoints["gptq8"]
    assert (seven.params, seven.kind) == (7, "paper")
    assert set(found) == {*shipped(), "mine"}
    assert catalogue(tmp_path.parent) is not found


def test_without_entries_of_ones_own_it_is_the_shipped_one(tmp_path: Path) -> None:
    assert catalogue(own(tmp_path, "[tool.other]\nx = 1\n")) is shipped()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.thinkslm.models.mine]\nhub_id = 'org/m'", r"\[tool.thinkslm.models.mine\]: params.* is missing"),
        ("[tool.thinkslm.models.mine]\nparams = 1", "no checkpoint is named"),
        ("[tool.thinkslm.models.mine]\nparams = -1\nhub_id = 'org/m'", "params.* is -1"),
        ("[tool.thinkslm.models.mine]\nparams = 'big'\nhub_id = 'org/m'", "params = 'big': int or float is expected"),
        ("[tool.thinkslm.models.mine]\nparams = true\nhub_id = 'org/m'", "params = True: int or float"),
        ("[tool.thinkslm.models.mine]\nparams = 1\nhub_id = 'mine'", "hub_id 'mine' is not of the form owner/name"),
        (
            "[tool.thinkslm.models.mine]\nparams = 1\nparms = 2\nhub_id = 'o/m'",
            "parms is unknown: did you mean 'params'",
        ),
        ("[tool.thinkslm.models.mine]\nparams = 1\nquants = { gptq5 = 'o/m' }", "quants.gptq5 is no known scheme"),
        ("[tool.thinkslm.models.mine]\nparams = 1\nquants = { gptq4 = 4 }", "quants.gptq4: expected .*, not 4"),
        (
            "[tool.thinkslm.models.mine]\nparams = 1\nquants = { gptq4 = { hub_id = 'o/m', folder = 'x' } }",
            "one of hub_id and folder",
        ),
        (
            "[tool.thinkslm.models.mine]\nparams = 1\nquants = { gptq4 = { hub_id = 'o/m', format = 'gptk' } }",
            "format 'gptk' is unknown: did you mean 'gptq'",
        ),
        (
            "[tool.thinkslm.models.mine]\nparams = 1\nhub_id = 'o/m'\nquants = { none = 'o/n' }",
            "name the same checkpoint",
        ),
        ("[tool.thinkslm.models.gsm8k-tuned]\nparams = 1\nhub_id = 'o/m'", "must not contain a task's .*'gsm8k'"),
        ("[tool.thinkslm.models.Mine]\nparams = 1\nhub_id = 'o/m'", "lower-case letters"),
        ("[tool.thinkslm]\nmodels = 3", "no table of models"),
        ("[tool.thinkslm.models]\nmine = 'o/m'", "a table is expected, not 'o/m'"),
        ("[tool.thinkslm", "cannot be read"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        catalogue(own(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "pyproject.toml"))
