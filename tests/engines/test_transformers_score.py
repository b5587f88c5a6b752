"""The capability ``score`` against distributions that are computed directly, on tiny random checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import tiny_checkpoints

from pytest_thinkslm.core.errors import EngineError
from pytest_thinkslm.core.records import Message, Request, Sampling
from pytest_thinkslm.engines import transformers_score
from pytest_thinkslm.engines.scoring import Forced, Scored, Scorer, TokenScore
from pytest_thinkslm.engines.transformers_engine import TransformersEngine
from pytest_thinkslm.models.resolve import resolve

torch = pytest.importorskip("torch")

REQUEST = Request((Message("user", "how many apples?"),), Sampling(), label="apples 0001")
TEXT = " forty two apples are there + 12 = 42 wait no"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("models"))


def pair(parent: Path, hidden: int = 32, sharper: float = 40) -> tuple[Path, Path]:
    """A random llama, and the same with noise on its weights; both surer of themselves than random ones are."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    first = tiny_checkpoints.random_llama(parent / "first", hidden=hidden)
    second = first.with_name("second")
    model = AutoModelForCausalLM.from_pretrained(first, dtype=torch.float32)
    torch.manual_seed(1)
    with torch.no_grad():
        model.lm_head.weight *= sharper
        model.save_pretrained(first)
        for weight in model.parameters():
            weight += 0.05 * weight.std() * torch.randn_like(weight)
    model.save_pretrained(second)
    AutoTokenizer.from_pretrained(first).save_pretrained(second)
    return first, second


@pytest.fixture
def engines(folders: tuple[Path, Path]) -> Iterator[list[TransformersEngine]]:
    made = [TransformersEngine(resolve(str(folder)), engine_args={"dtype": "float32"}) for folder in folders]
    yield made
    for engine in made:
        engine.close()


def result(engine: TransformersEngine, forced: Forced) -> Scored:
    return engine.score([forced])[0].result(timeout=120)


def scores(engines: list[TransformersEngine], text: str = TEXT, *, ended: bool = True) -> list[TokenScore]:
    kept = result(engines[0], Forced(REQUEST, text, ended)).distributions
    assert kept is not None
    return list(result(engines[1], Forced(REQUEST, text, ended, kept)).tokens)


def directly(folders: tuple[Path, Path], text: str = TEXT) -> tuple[Any, Any, Any]:
    """Logarithms of the next-token probabilities of both along text and end, and the tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "how many apples?"}], add_generation_prompt=True, tokenize=False
    )
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    tokens = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    logs = []
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *tokens]])).logits[0]
        logs.append(logits[len(start) - 1 : -1].double().log_softmax(-1))
    return logs[0], logs[1], torch.tensor(tokens)


def test_scores_are_those_of_a_direct_computation(
    engines: list[TransformersEngine], folders: tuple[Path, Path]
) -> None:
    found = scores(engines)
    before, now, tokens = directly(folders)
    kl = (before.exp() * (before - now)).sum(-1)
    assert kl.min() > 1e-5
    assert [token.kl for token in found] == pytest.approx(kl.tolist(), rel=0.01)
    assert sum(token.kl for token in found) == pytest.approx(float(kl.sum()), rel=0.001)
    own = torch.arange(len(tokens)), tokens
    assert [token.log_probability for token in found] == pytest.approx(now[own].tolist(), rel=1e-3)
    assert [token.agrees for token in found] == (before.argmax(-1) == now.argmax(-1)).tolist()
    assert [token.rank for token in found] == ((now > now[own][:, None]).sum(-1) + 1).tolist()
    assert [token.end_now for token in found] == pytest.approx(now[:, 1].exp().tolist(), rel=1e-3, abs=1e-9)
    assert [token.end_before for token in found] == pytest.approx(before[:, 1].exp().tolist(), rel=1e-3, abs=1e-4)


def test_what_is_not_kept_is_bounded(
    engines: list[TransformersEngine], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_score, "MOST_KEPT", 20)
    found = scores(engines)
    before, now, _ = directly(folders)
    kl = (before.exp() * (before - now)).sum(-1).tolist()
    for token, true in zip(found, kl, strict=True):
        assert token.kl <= true * 1.0001 + 1e-6
        assert true <= token.kl_most * 1.0001 + 1e-6
    assert sum(token.kl for token in found) < sum(kl) < sum(token.kl_most for token in found)


def test_a_model_is_no_distance_from_itself(engines: list[TransformersEngine]) -> None:
    found = scores([engines[0], engines[0]])
    assert max(token.kl for token in found) < 1e-5
    assert all(token.agrees for token in found)
    assert [token.log_probability for token in found] == pytest.approx(
        [token.log_probability_before for token in found], abs=1e-4
    )


def test_tokens_have_their_classes_and_an_end_only_where_there_was_one(engines: list[TransformersEngine]) -> None:
    kinds = [token.kind for token in scores(engines)]
    assert kinds[-1] == "end"
    assert {"digit", "operator", "other", "end"} <= set(kinds)
    assert "end" not in [token.kind for token in scores(engines, ended=False)]


def test_tokens_of_the_answer_are_a_class_of_their_own(engines: list[TransformersEngine]) -> None:
    start = TEXT.rindex("2")
    kept = result(engines[0], Forced(REQUEST, TEXT)).distributions
    plain, told = (
        [token.kind for token in result(engines[1], Forced(REQUEST, TEXT, against=kept, answer=answer)).tokens]
        for answer in (None, (start, start + 1))
    )
    (place,) = [place for place, kinds in enumerate(zip(plain, told, strict=True)) if kinds[0] != kinds[1]]
    assert (plain[place], told[place]) == ("digit", "answer")
    whole = result(engines[1], Forced(REQUEST, TEXT, against=kept, answer=(0, len(TEXT)))).tokens
    assert [token.kind for token in whole] == ["answer"] * (len(whole) - 1) + ["end"]


def test_other_tokens_and_nothing_at_all_are_errors_of_that_text(engines: list[TransformersEngine]) -> None:
    kept = result(engines[0], Forced(REQUEST, TEXT)).distributions
    with pytest.raises(EngineError, match="apples 0001: this model's tokenizer splits the text into other tokens"):
        result(engines[1], Forced(REQUEST, TEXT + " more", against=kept))
    with pytest.raises(EngineError, match="no token of its output"):
        result(engines[1], Forced(REQUEST, "", ended=False))
    assert result(engines[1], Forced(REQUEST, "", against=None)).distributions is not None


def test_scoring_and_answering_share_an_engine_that_can_be_closed(engines: list[TransformersEngine]) -> None:
    engine = engines[0]
    assert isinstance(engine, Scorer)
    texts = engine.score([Forced(REQUEST, TEXT)] * 3)
    outputs = engine.submit([Request(REQUEST.messages, Sampling(max_tokens=3), label="a")])
    assert outputs[0].result(timeout=120).output_tokens is not None
    assert all(one.result(timeout=120).distributions for one in texts)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.score([Forced(REQUEST, TEXT)])[0].result(timeout=10)


def test_further_runs_have_batches_of_their_own(
    engines: list[TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_thinkslm.engines import transformers_decode

    sizes: list[int] = []
    decode = transformers_decode.decode

    def counted(model: Any, rows: Any, *further: Any, **more: Any) -> None:
        sizes.append(len(rows))
        decode(model, rows, *further, **more)

    monkeypatch.setattr(transformers_decode, "decode", counted)
    requests = [Request(REQUEST.messages, Sampling(max_tokens=3), noise=noise) for noise in (0, 1, 2) for _ in range(6)]
    texts = [future.result(timeout=120).text for future in engines[0].submit(requests)]
    assert sizes == [6, 3, 3, 2, 2, 2]
    assert len(set(texts)) == 1  # in float32 the batch makes no difference
