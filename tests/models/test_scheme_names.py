"""Names of compression that people type: taken, or answered with what to type."""

from __future__ import annotations

import re

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.schemes import KV_CACHES, SCHEMES, named, parts_of, variant_named
from pytest_thinkslm.settings.run_settings import build_settings


@pytest.mark.parametrize("key", SCHEMES)
@pytest.mark.parametrize("form", [str, str.upper, lambda key: key.replace("-", "_"), lambda key: f" {key} "])
def test_a_key_is_taken_in_any_case(key, form):
    assert named(form(key)) == key


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("awq", "awq4"),
        ("GPTQ-Int4", "gptq4"),
        ("fp8_block", "fp8-dynamic"),
        ("2:4", "sparse-2of4"),
        ("Q4_K_M", "q4_k_m"),
        ("iq4-xs", "iq4_xs"),
        ("SmoothQuant", "w8a8-smoothquant"),
        ("auto-round", "autoround4"),
    ],
)
def test_what_means_one_scheme_is_taken(typed, key):
    assert named(typed) == key


@pytest.mark.parametrize(
    ("typed", "answers"),
    [
        ("int4", ("w4a16", "gptq4", "awq4")),
        ("int8", ("w8a8", "w8a16", "gptq8")),
        ("4bit", ("w4a16", "gptq4")),
        ("gptq", ("gptq4", "gptq8")),
        ("nf4", ("bitsandbytes", "w4a16")),
        ("bnb4", ("bitsandbytes", "w4a16")),
        ("fp4", ("nvfp4", "mxfp4", "w4a16")),
        ("hqq", ("as it is", "w4a16")),
        ("bf16", ("none",)),
        ("gguf", ("q8_0", "q4_k_m")),
        ("UD-Q4_K_XL", ("FILE.gguf", "owner/name:TYPE")),
    ],
)
def test_what_means_several_or_none_is_answered_with_what_to_type(typed, answers):
    with pytest.raises(UsageError) as caught:
        named(typed)
    message = str(caught.value)
    assert message.startswith(f"--quant {typed} ")
    assert all(answer in message for answer in answers)
    offered = set(re.findall(r"\b(?:w\d+a\d+|gptq\d|awq4|mxfp4|fp8-dynamic)\b", message))
    assert offered <= SCHEMES.keys(), "what is offered can be typed"


@pytest.mark.parametrize("typed", ["gptq5", "quick", "w5a5", "qq", ""])
def test_anything_else_is_unknown(typed):
    with pytest.raises(UsageError, match="is unknown"):
        named(typed)


def quants(typed, engine="auto"):
    server = {"server-url": "http://127.0.0.1:1/v1"} if engine == "openai" else {}
    settings = build_settings({"model": "m", "quant": typed, "engine": engine, **server})
    assert settings is not None
    return settings.quants


def test_names_become_keys_in_the_settings_each_once():
    assert quants("W8A8,awq,awq4,none") == ("w8a8", "awq4", "none")
    with pytest.raises(UsageError, match="--quant int4 does not say how"):
        quants("int4")


@pytest.mark.parametrize("engine", ["openai", "replay"])
def test_a_label_stays_as_it_is_typed_where_nothing_is_loaded_here(engine):
    assert quants("q4_k_m,int4", engine) == ("q4_k_m", "int4")


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("w8a8+kv-fp8", "w8a8+kv-fp8"),
        ("Q4_K_M + KV-Q8_0", "q4_k_m+kv-q8_0"),
        ("awq+kv_fp8_e5m2", "awq4+kv-fp8-e5m2"),
        ("kv-fp8", "none+kv-fp8"),
        ("w8a8", "w8a8"),
    ],
)
def test_the_cache_stands_behind_the_weights(typed, key):
    assert variant_named(typed) == key
    assert quants(typed) == (key,)
    weights, cache = parts_of(key)
    assert weights in SCHEMES
    assert cache is None or cache in KV_CACHES


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("w8a8+kv-fp9", "the cache 'kv-fp9' is unknown: did you mean 'kv-fp8'"),
        ("w8a8+gptq4", "the cache 'gptq4' is unknown"),
        ("kv-q9", "the cache 'kv-q9' is unknown"),
        ("w8a8-kv-fp8", "a cache stands behind a +"),
        ("int4+kv-fp8", "does not say how"),
    ],
)
def test_what_is_no_cache_is_said(typed, says):
    with pytest.raises(UsageError) as caught:
        variant_named(typed)
    assert says in str(caught.value)


def test_no_checkpoint_has_a_cache():
    with pytest.raises(UsageError, match="pytest --quant takes it, here give --quant w8a8"):
        named("w8a8+kv-fp8")


def test_a_label_with_a_plus_that_is_no_cache_stays_whole():
    assert parts_of("mine+8bit") == ("mine+8bit", None)
