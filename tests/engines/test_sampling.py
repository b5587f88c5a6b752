"""Sampling parameters: what is asked for, what a checkpoint asks for, and what each engine makes of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_thinkslm.core.errors import EngineError, ModelError, UsageError
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines.openai_engine import OpenAIEngine
from pytest_thinkslm.engines.sampling import advice, sampling_of, stated
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.gates.baselines import sampling_differences
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.journal.journal import entry_key
from pytest_thinkslm.models.generation import asked_sampling
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.settings.run_settings import Settings, build_settings

FULL = Sampling(0.6, 0.95, 20, 7, top_k=20, min_p=0.1, presence_penalty=1.5, repetition_penalty=1.1)
OPENS = "{{ messages[0].content }}{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as faulty:
        yield faulty


def made(**raw: Any) -> Settings:
    found = build_settings({"model": "m", **{name.replace("_", "-"): value for name, value in raw.items()}})
    assert found is not None
    return found


def checkpoint(folder: Path, content: object, template: str = OPENS) -> ResolvedModel:
    folder.mkdir(exist_ok=True)
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "generation_config.json").write_text(text)
    return ResolvedModel("m", "folder", folder, "M", {}, 0, chat_template=template)


# -- options and generation_config.json ---------------------------------------------------------------------


def test_options() -> None:
    found = made(temperature="0.6", top_p="0.95", top_k="20", min_p="0.1", presence_penalty="-1.5", system="Be brief.")
    assert found.own_sampling() == Sampling(0.6, 0.95, top_k=20, min_p=0.1, presence_penalty=-1.5)
    assert (found.system, found.sampling) == ("Be brief.", None)
    assert made().own_sampling() == Sampling()
    assert made(sampling="greedy") == made()
    assert made(sampling="model", repeats=3).sampling == "model", "whether that is greedy is not known yet"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"top_k": "-1"}, "--top-k -1 is out of range"),
        ({"top_k": "1.5"}, "no whole number"),
        ({"min_p": "1.5"}, "--min-p 1.5 is out of range"),
        ({"presence_penalty": "3"}, "--presence-penalty 3 is out of range"),
        ({"presence_penalty": "-3"}, "--presence-penalty -3 is out of range"),
        ({"sampling": "modle"}, "did you mean 'model'"),
        ({"sampling": "model", "temperature": "0", "repeats": "2"}, "at temperature 0"),
        ({"system": " "}, "--system is empty"),
        ({"thinking": "hihg"}, "give on, off, low, medium, high"),
        ({"thinking": "0"}, "give on, off, low, medium, high"),
    ],
)
def test_what_cannot_be_asked(raw: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        made(**raw)


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (None, {}),
        ({}, {}),
        ({"eos_token_id": 2, "transformers_version": "5.0"}, {}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"do_sample": True, "temperature": 0.6, "top_k": 20}, {"temperature": 0.6, "top_k": 20}),
        ({"top_p": 0.9}, {"temperature": 1.0, "top_p": 0.9}),
        ({"temperature": 0.6, "min_p": None, "num_beams": 1}, {"temperature": 0.6}),
        ({"do_sample": False, "temperature": 0.6}, {"temperature": 0.0}),
        ({"repetition_penalty": 1.05}, {"repetition_penalty": 1.05}),
        ({"do_sample": True, "top_k": -1}, {"temperature": 1.0, "top_k": 0}),
        ({"do_sample": True, "repetition_penalty": 1.05}, {"temperature": 1.0, "repetition_penalty": 1.05}),
    ],
)  # fmt: skip
def test_what_a_checkpoint_asks_for(tmp_path: Path, content: object, asked: dict[str, float]) -> None:
    assert asked_sampling(checkpoint(tmp_path / "m", content).path, "M") == asked


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("{", ModelError, "generation_config.json cannot be read"),
        ("[]", ModelError, "no JSON object"),
        ({"temperature": "hot"}, ModelError, "temperature 'hot', which is out of range"),
        ({"top_p": 3}, ModelError, "top_p 3, which is out of range"),
        ({"temperature": True}, ModelError, "temperature True"),
        ('{"top_k": 1e400}', ModelError, "top_k inf, which is out of range"),
        ('{"temperature": 1e400}', ModelError, "temperature inf, which is out of range"),
        ({"num_beams": 4}, UsageError, "asks for num_beams 4, which is not done here"),
    ],
)
def test_a_generation_config_that_cannot_be_followed(
    tmp_path: Path, content: object, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        asked_sampling(checkpoint(tmp_path / "m", content).path, "M")


def test_as_the_model_asks(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "m", {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1})
    assert sampling_of(made(), model) == sampling_of(made(), None) == Sampling()
    assert sampling_of(made(sampling="model"), model) == Sampling(0.6, top_k=20, repetition_penalty=1.1)
    given = made(sampling="model", temperature="1", min_p="0.05")
    assert sampling_of(given, model) == Sampling(1.0, top_k=20, min_p=0.05, repetition_penalty=1.1)
    assert stated(sampling_of(given, model)) == {
        "temperature": 1.0, "top_p": 1.0, "top_k": 20, "min_p": 0.05, "presence_penalty": 0.0,
        "repetition_penalty": 1.1,
    }  # fmt: skip
    with pytest.raises(UsageError, match="no checkpoint is here"):
        sampling_of(made(sampling="model"), None)
    with pytest.raises(UsageError, match="says nothing about sampling"):
        sampling_of(made(sampling="model"), checkpoint(tmp_path / "none", None))
    with pytest.raises(UsageError, match="asks for greedy decoding"):
        sampling_of(made(sampling="model", repeats=2), checkpoint(tmp_path / "greedy", {"do_sample": False}))


def test_greedy_decoding_of_a_model_that_thinks(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "m", {"temperature": 0.6, "top_p": 0.95, "top_k": 20})
    said = advice(made(), model)
    assert "asks for --temperature 0.6 --top-p 0.95 --top-k 20" in said
    assert "--sampling model" in said
    assert advice(made(thinking="512"), model)
    assert "its card may" in advice(made(), checkpoint(tmp_path / "none", None))
    for quiet in (made(temperature="0.6"), made(sampling="model"), made(thinking="off")):
        assert advice(quiet, model) == ""
    assert advice(made(), None) == ""
    assert advice(made(), checkpoint(tmp_path / "plain", None, "{{ messages[0].content }}")) == ""


# -- where they go ------------------------------------------------------------------------------------------


def request(sampling: Sampling, text: str = "?") -> Request:
    return Request((Message("user", text),), sampling, label="a label")


def test_journal_keys() -> None:
    plain = request(Sampling(0.7, 0.9, 64, 5))
    assert entry_key(plain) == entry_key(request(Sampling(0.7, 0.9, 64, 5, 0, 0.0, 0.0, 1.0)))
    others = [{"top_k": 20}, {"min_p": 0.1}, {"presence_penalty": 0.1}, {"repetition_penalty": 1.1}, {"top_k": 1}]
    keys = {entry_key(request(dataclasses.replace(plain.sampling, **other))) for other in [{}, *others]}  # type: ignore[arg-type]
    assert len(keys) == 6


def test_requests_of_the_planner() -> None:
    found = made(system="Be brief.", temperature="0.6", top_k="20")
    ref = ItemRef(0, "sort8_positive", "direct", 0)
    asked = Planner(found, [ref]).request(ref)
    assert asked.messages[0] == Message("system", "Be brief.")
    assert asked.messages[1:] == Planner(made(), [ref]).request(ref).messages
    assert (asked.sampling.temperature, asked.sampling.top_k) == (0.6, 20)
    assert asked.sampling.seed is not None
    card = Planner(found, [ref], sampling=lambda variant: Sampling(1.0, min_p=0.2)).request(ref)
    assert (card.sampling.temperature, card.sampling.min_p, card.sampling.max_tokens) == (
        1.0,
        0.2,
        asked.sampling.max_tokens,
    )


@pytest.mark.parametrize(
    ("baseline", "run", "names"),
    [
        ({"temperature": 0}, {"temperature": 0, "top_k": 0, "presence_penalty": 0.0, "system": None}, []),
        ({"temperature": 0}, {"temperature": 0, "top_k": 20, "min_p": 0.1, "top_p": 0.9}, []),
        ({"temperature": 1}, {"temperature": 1, "top_k": 20}, ["top_k"]),
        ({"temperature": 0}, {"temperature": 0, "presence_penalty": 1.0}, ["presence_penalty"]),
        ({"temperature": 0}, {"temperature": 0, "repetition_penalty": 1.1}, ["repetition_penalty"]),
        ({"temperature": 0, "system": "a"}, {"temperature": 0, "system": "b"}, ["system"]),
        ({"temperature": 0, "thinking": "low"}, {"temperature": 0, "thinking": "high"}, ["thinking"]),
    ],
)
def test_runs_that_differ(baseline: dict[str, Any], run: dict[str, Any], names: list[str]) -> None:
    assert [line.partition(" ")[0] for line in sampling_differences(baseline, run)] == names


def test_on_the_wire(server: FaultyServer) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url)
    engine.submit([request(FULL, "x: ok")])[0].result(timeout=30)
    engine.close()
    (body,) = server.bodies
    sent = {name: body[name] for name in ("top_k", "min_p", "presence_penalty", "repetition_penalty", "top_p")}
    assert sent == {"top_k": 20, "min_p": 0.1, "presence_penalty": 1.5, "repetition_penalty": 1.1, "top_p": 0.95}


def test_a_server_without_a_parameter_that_is_asked_for(server: FaultyServer) -> None:
    engine = OpenAIEngine("tiny", server_url=server.url, engine_args={"concurrency": "1"})
    with pytest.raises(EngineError, match="'top_k' is not supported"):
        engine.submit([request(FULL, "x: no-top_k")])[0].result(timeout=30)
    assert engine.submit([request(Sampling(max_tokens=4), "x: no-top_k")])[0].result(timeout=30).text
    with pytest.raises(EngineError, match="does not take top_k, min_p, repetition_penalty, which this run asks for"):
        engine.submit([request(FULL, "x: no-top_k")])[0].result(timeout=30)
    engine.close()


# -- the transformers engine --------------------------------------------------------------------------------

weights_and_parameters = st.lists(
    st.tuples(
        st.lists(st.integers(0, 20), min_size=7, max_size=7).filter(any),
        st.integers(0, 9),
        st.sampled_from([0, 0.1, 0.5, 1]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


@settings(deadline=None)
@given(weights_and_parameters)
def test_filters_by_their_definition(rows: list[tuple[list[int], int, float]]) -> None:
    torch = pytest.importorskip("torch")
    from pytest_thinkslm.engines.transformers_filters import least_probable, most_probable

    weights = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    weights = weights / weights.sum(-1, keepdim=True)
    top_k, min_p = torch.tensor([row[1] for row in rows]), torch.tensor([row[2] for row in rows], dtype=torch.float64)
    kept, likely = most_probable(weights, top_k), least_probable(weights, min_p)
    for at, row in enumerate(weights.tolist()):
        least = sorted(row)[-min(rows[at][1], 7)] if rows[at][1] else 0
        assert kept[at].tolist() == [value if value >= least else 0 for value in row]
        assert likely[at].tolist() == [value if value >= rows[at][2] * max(row) else 0 for value in row]


def test_penalties_are_those_of_the_library() -> None:
    torch = pytest.importorskip("torch")
    from transformers import RepetitionPenaltyLogitsProcessor

    from pytest_thinkslm.engines.transformers_filters import Penalties

    torch.manual_seed(3)
    logits, prompts, said = torch.randn(2, 50), [[1, 2, 3], [4, 4, 9]], [[7, 8], [9, 11]]
    both = [Sampling(repetition_penalty=1.3, presence_penalty=0.5), Sampling(repetition_penalty=0.8)]
    penalties = Penalties(both, prompts, "cpu")
    penalties.apply(logits)
    for step in zip(*said, strict=True):
        penalties.note(torch.tensor(step))
    found = penalties.apply(logits)
    for row, sampling in enumerate(both):
        ids = torch.tensor([prompts[row] + said[row]])
        wanted = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(ids, logits[row : row + 1].clone())[0]
        wanted[said[row]] -= sampling.presence_penalty
        assert torch.allclose(found[row], wanted)
    penalties.keep(torch.tensor([1]))
    assert torch.allclose(penalties.apply(logits[1:])[0], found[1])
    assert not Penalties.needed([Sampling(), Sampling(1.0, top_k=3)])


def check_on(engine: Any) -> None:
    """Each parameter does to real outputs what it says, the same alone and beside others."""

    def texts(*samplings: Sampling) -> list[str]:
        asked = [request(one, "Name three animals and say why you like each of them.") for one in samplings]
        return [future.result(timeout=300).text for future in engine.submit(asked)]

    greedy = Sampling(max_tokens=16)
    one = Sampling(2.0, max_tokens=16, seed=3, top_k=1)
    sure = Sampling(2.0, max_tokens=16, seed=3, min_p=1.0)
    present = Sampling(max_tokens=16, presence_penalty=2.0)
    repeated = Sampling(max_tokens=16, repetition_penalty=3.0)
    wild = Sampling(2.0, max_tokens=16, seed=3)
    few = Sampling(2.0, max_tokens=16, seed=3, top_k=3)
    together = texts(greedy, one, sure, present, repeated, wild, few)
    assert together[0] == together[1] == together[2], "one token to choose from"
    assert together[3] != together[0]
    assert together[4] != together[0]
    assert len({together[0], together[5], together[6]}) == 3
    assert [texts(alone)[0] for alone in (present, repeated, few)] == [together[3], together[4], together[6]]


@pytest.mark.model
def test_on_the_embedded_model(engine: TransformersEngine) -> None:
    check_on(engine)


@pytest.mark.vllm
@pytest.mark.model
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no module vllm in this environment")
def test_on_vllm(embedded_model: ResolvedModel) -> None:
    from pytest_thinkslm.engines.vllm_engine import VLLMEngine

    engine = VLLMEngine(embedded_model, engine_args={"max_num_seqs": "8", "dtype": "float32"})
    try:
        check_on(engine)
    finally:
        engine.close()
