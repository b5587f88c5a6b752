"""GGUF files: what their headers say, which one a name and a quant mean, and what is made of them on demand."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("gguf")

from models.file_hub import COMMIT, FileHub
from models.tiny_checkpoints import layout
from models.tiny_gguf import TEMPLATE, write

from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.core.identity import Variant
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.models import gguf_header, gguf_models, hub
from pytest_thinkslm.models.loading import Machine
from pytest_thinkslm.models.marks import special_marks
from pytest_thinkslm.models.variants import resolve_variant
from pytest_thinkslm.settings.run_settings import build_settings

MATRICES, NORM = 96 * 64 + 64 * 128, 64


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("THINKSLM_CACHE", str(tmp_path_factory.mktemp("cache")))


def resolve(model, quant=None, **more):
    return resolve_variant(str(model), quant, "llamacpp", machine=Machine(memory=1 << 34), **more)


def settings(**given):
    found = build_settings({name.replace("_", "-"): value for name, value in given.items()})
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "bits"), [("f16", 16), ("q8_0", 8.5), ("q4_0", 4.5)])
def test_a_header_tells_type_bits_template_and_context(tmp_path, kind, bits):
    found = gguf_header.read(write(tmp_path / "m.gguf", kind), "m")
    assert found.scheme == ("none" if kind == "f16" else kind)
    assert found.bits_per_weight == pytest.approx((MATRICES * bits + NORM * 32) / (MATRICES + NORM), abs=1e-3)
    assert (found.context, found.chat_template, found.imatrix) == (512, TEMPLATE, None)
    assert found.types == {kind: 2, "f32": 1}
    assert found.token("eos") == (95, "</s>")
    assert found.config["num_key_value_heads"] == 2
    assert special_marks(found.files[0], TEMPLATE) == (), "<think> is no special token here: texts keep it anyway"


def test_bits_are_measured_where_the_stated_type_promises_others(tmp_path):
    found = gguf_header.read(write(tmp_path / "m.gguf", "q4_k_m", quantize__imatrix__file="x/imatrix.dat"), "m")
    assert found.scheme == "q4_k_m"
    assert found.bits_per_weight > 8
    assert resolve(found.files[0]).display == "m (GGUF q4_k_m, 8.60 bits per weight, importance matrix imatrix.dat)"


def test_a_file_without_a_chat_template_says_so(tmp_path):
    assert "has no chat template" in resolve(write(tmp_path / "base.gguf", template=None)).note
    with pytest.raises(ModelError, match=r"chat template in .* cannot be used"):
        resolve(write(tmp_path / "bad.gguf", template="{% for %}"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "m.gguf", "q8_0")


@given(data=st.data())
def test_a_damaged_file_is_an_error_and_no_traceback(whole, data):
    content = bytearray(whole.read_bytes())
    cut = data.draw(st.integers(0, len(content) - 1))
    flips = data.draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4))
    for at, value in flips:
        content[at] = value
    damaged = whole.with_name("damaged.gguf")
    damaged.write_bytes(content[:cut])
    with pytest.raises(ModelError, match="fetch it again"):
        gguf_header.read(damaged, "m")
    damaged.write_bytes(content)
    with contextlib.suppress(ModelError):
        gguf_header.read(damaged, "m")


def test_a_pointer_is_named(tmp_path):
    (tmp_path / "m.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ModelError, match="Git LFS pointer"):
        resolve(tmp_path / "m.gguf")


def test_a_split_model_is_one_and_lacks_no_part(tmp_path):
    one, two = (write(tmp_path / f"m-Q8_0-0000{part}-of-00002.gguf", "q8_0") for part in (1, 2))
    found = resolve(one)
    assert found.gguf is not None
    assert (found.gguf.files, found.disk_bytes) == ((one, two), 2 * one.stat().st_size)
    assert set(found.identity()["files"]) == {one.name, two.name}  # type: ignore[call-overload]
    two.unlink()
    with pytest.raises(ModelError, match="lacks 1 of 2 parts"):
        resolve(one)


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "q4_1"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "ud_q4_k_xl"),
        ("a-iq4_xs-00001-of-00003.gguf", "iq4_xs"),
        ("BF16/b-BF16.gguf", "bf16"),
        ("model.gguf", None),
        ("Qwen2.5-7B.gguf", None),
    ],
)
def test_the_type_in_a_files_name(file, tag):
    assert gguf_models.tag_of(Path(file).name) == tag


def test_names_of_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tiny.Q8_0.gguf", "q8_0")
    write(tmp_path / "tiny.Q4_0.gguf", "q4_0")
    files = EngineFactory(settings(model="tiny.Q8_0.gguf,tiny.Q4_0.gguf"), print)
    assert (files.name, files.variants) == ("llamacpp", (Variant("tiny", "q8_0"), Variant("tiny", "q4_0")))
    assert EngineFactory(settings(model="a/b-GGUF:Q4_K_M"), print).variants == (Variant("a/b-GGUF", "q4_k_m"),)
    served = settings(model="llama3:8b", engine="openai", server_url="http://127.0.0.1:1/v1")
    assert EngineFactory(served, print).variants == (Variant("llama3:8b", "none"),)
    with pytest.raises(UsageError, match="no such file"):
        EngineFactory(settings(model="none.gguf"), print)


def test_a_quant_picks_the_file_of_a_folder(tmp_path):
    for kind in ("q8_0", "q4_0"):
        write(tmp_path / f"tiny-{kind}.gguf", kind)
    write(tmp_path / "mmproj-tiny.gguf")
    assert resolve(tmp_path, "q4_0").path.name == "tiny-q4_0.gguf"
    assert resolve(tmp_path, "q4_0").compression.scheme == "q4_0"
    with pytest.raises(UsageError, match="has q4_0, q8_0: say which with --quant"):
        resolve(tmp_path)
    with pytest.raises(UsageError, match="no q5_1; q5_1 is made on demand from a file that is not compressed"):
        resolve(tmp_path, "q5_1")
    with pytest.raises(UsageError, match=r"owner/name-GGUF:Q4_K_M.*llama-quantize SOURCE-bf16"):
        resolve(tmp_path, "q4_k_m")
    write(tmp_path / "again-q4_0.gguf", "q4_0")
    with pytest.raises(UsageError, match="are both q4_0"):
        resolve(tmp_path, "q4_0")


def test_a_file_of_another_type_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    file = write(tmp_path / "x" / "tiny.Q4_0.gguf", "q4_0")
    with pytest.raises(UsageError, match="there is q4_0, but no q8_0"):
        resolve(file, "q8_0")


@pytest.mark.parametrize("quant", ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
def test_types_are_made_on_demand_with_what_the_source_says_of_itself(tmp_path, quant):
    source = write(tmp_path / "tiny-f16.gguf")
    said: list[str] = []
    made = resolve(source, quant, progress=said.append)
    assert made.gguf is not None
    assert (made.compression.scheme, made.compression.source) == (quant, "on-demand")
    kinds = {tensor.name: tensor.kind for tensor in made.gguf.tensors}
    assert kinds == {"token_embd.weight": "q8_0", "blk.0.attn_q.weight": quant, "blk.0.attn_norm.weight": "f32"}
    assert made.chat_template == TEMPLATE
    before = gguf_header.read(source, "m").metadata
    assert {**made.gguf.metadata, "general.file_type": 1} == dict(before)
    assert any("quantizing" in line for line in said)
    said.clear()
    assert resolve(source, quant, progress=said.append).path == made.path
    assert said == [], "once"


def test_a_repository(tmp_path, monkeypatch):
    for kind in ("f16", "q8_0"):
        write(tmp_path / f"tiny-{kind}.gguf", kind)
    names = {"tiny-f16.gguf": 10, "tiny-q8_0.gguf": 5, "mmproj-f16.gguf": 1}
    monkeypatch.setattr(hub, "listing", lambda hub_id, ending: names)
    fetched: list[list[str]] = []

    def snapshot(hub_id, revision, trust, progress, patterns=()):
        fetched.append(list(patterns))
        return tmp_path, "c0ffee"

    monkeypatch.setattr(hub, "snapshot", snapshot)
    assert resolve("a/tiny:Q8_0").path.name == "tiny-q8_0.gguf"
    assert resolve("a/tiny-GGUF", "none").revision == "c0ffee"
    assert resolve("a/tiny-GGUF", "q4_0").compression.source == "on-demand"
    assert fetched == [["tiny-q8_0.gguf"], ["tiny-f16.gguf"], ["tiny-f16.gguf"]]
    with pytest.raises(UsageError, match="there is none, q8_0, but no q4_k_m"):
        resolve("a/tiny:Q4_K_M")
    names.clear()
    with pytest.raises(UsageError, match="has no GGUF files"):
        resolve("a/tiny:Q4_K_M")


def fetched(hub: FileHub, home: Path, *asked: tuple[str, str | None]) -> list[str]:
    """File (below the cache's folders), revision and title of each, as a process that has this hub resolves them."""
    code = (
        "import sys\n"
        "from pytest_thinkslm.core.errors import ThinkSLMError\n"
        "from pytest_thinkslm.models.loading import Machine\n"
        "from pytest_thinkslm.models.variants import label_of, resolve_variant\n"
        f"for name, quant in {asked!r}:\n"
        "    try:\n"
        "        model = resolve_variant(name, quant, 'llamacpp', machine=Machine(memory=1 << 34))\n"
        "        print(label_of(name, 'llamacpp'), model.path.name, model.revision, model.display)\n"
        "    except ThinkSLMError as problem:\n"
        "        print(problem)\n"
        "assert 'torch' not in sys.modules\n"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environ = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**inherited, **environ}, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_repository_over_http(tmp_path):
    """What is fetched of a repository by the ecosystem's notation, and that the next run fetches nothing."""
    place = tmp_path / "repository"
    place.mkdir()
    write(place / "tiny-f16.gguf")
    write(place / "tiny-Q4_K_M.gguf", "q4_k_m")
    write(place / "tiny-Q8_0.gguf", "q8_0")
    (place / "README.md").write_text("no model")
    with FileHub({"owner/tiny-GGUF": place}) as hub:
        asked = (
            ("owner/tiny-GGUF:Q4_K_M", None),
            ("owner/tiny-GGUF", None),
            ("owner/tiny-GGUF", "q8_0"),
            ("owner/tiny-GGUF:Q5_K_M", None),
            ("owner/absent-GGUF:Q4_K_M", None),
        )
        said = fetched(hub, tmp_path / "home", *asked)
        assert said[0].startswith(f"q4_k_m tiny-Q4_K_M.gguf {COMMIT} owner/tiny-GGUF (GGUF q4_k_m, 8.6")
        assert said[1] == said[0]  # what llama.cpp takes, too
        assert said[2].startswith(f"q4_k_m tiny-Q8_0.gguf {COMMIT}")
        assert "there is q4_k_m, q8_0, none, but no q5_k_m" in said[3]
        assert "owner/absent-GGUF" in said[4]
        assert hub.fetched == ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"]
        hub.fetched.clear()
        made = fetched(hub, tmp_path / "home", *asked[:3], ("owner/tiny-GGUF", "q4_0"))
        assert made[:3] == said[:3]
        assert "quantized here)" in made[3]
        assert hub.fetched == ["tiny-f16.gguf"]
    offline = fetched(hub, tmp_path / "home", *asked[:1])
    assert offline == said[:1], "without the hub, from its cache"


def test_a_repository_without_gguf_files_is_converted(tmp_path):
    place = layout(tmp_path / "checkpoint")
    with FileHub({"owner/tiny": place}) as hub:
        said = fetched(hub, tmp_path / "home", ("owner/tiny", "q4_k_m"), ("owner/tiny", "q4_0"))
    assert "there is none, but no q4_k_m" in said[0]
    assert "convert_hf_to_gguf.py" in said[1]  # its tokenizer is empty
    assert sorted(set(hub.fetched)) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_what_the_machine_lacks_is_said_before_anything_is_read(tmp_path):
    file = write(tmp_path / "tiny-f16.gguf")
    with pytest.raises(ModelError, match=r"pip install 'pytest-thinkslm\[llamacpp\]'"):
        resolve_variant(str(file), None, "llamacpp", machine=Machine(modules=frozenset()))
    with pytest.raises(ModelError, match="computes with no GGUF type itself"):
        resolve_variant(str(file), None, "vllm", machine=Machine())
    with pytest.raises(ModelError, match="memory"):
        resolve_variant(str(file), None, "llamacpp", machine=Machine(memory=1000))


@pytest.mark.parametrize(
    ("modules", "engine"), [({"xllamacpp"}, "llamacpp"), ({"torch", "transformers"}, "transformers")]
)
def test_the_embedded_model_runs_on_what_is_installed(monkeypatch, modules, engine):
    from pytest_thinkslm.models import loading

    monkeypatch.setattr(loading, "this_machine", lambda *given: Machine(modules=frozenset(modules)))
    assert EngineFactory(settings(model="embedded"), print).name == engine
    monkeypatch.setattr(loading, "this_machine", lambda *given: Machine(modules=frozenset({*modules, "xllamacpp"})))
    assert EngineFactory(settings(model="embedded", quant="q4_0"), print).name == "llamacpp"
