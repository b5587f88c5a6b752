from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.identity import ItemRef, id_of, item_refs, limited, short_name
from pytest_thinkslm.plugin.options import GROUPS, OPTIONS, own_parser
from pytest_thinkslm.settings.run_settings import build_settings
from pytest_thinkslm.settings.values import split_list


def settings(**raw: Any) -> Any:
    return build_settings({"model": "m", **{name.replace("_", "-"): value for name, value in raw.items()}})


def test_no_model_no_settings() -> None:
    assert build_settings({}) is None
    assert build_settings({"model": ""}) is None


def test_defaults_are_those_of_the_contract() -> None:
    value = settings()
    assert (value.styles, value.repeats, value.temperature, value.top_p) == (("direct",), 1, 0.0, 1.0)
    assert (value.seed, value.data_seed, value.limit, value.incorrect) == (0, 0, None, "data")
    assert (value.engine, value.trust_remote_code, value.fresh, value.rescore) == ("auto", False, False, False)


def test_lists_are_split_at_commas_and_repeats() -> None:
    assert split_list(["a,b", " c "]) == ("a", "b", "c")
    assert settings(style="cot,direct,cot").styles == ("cot", "direct")


def test_paths_are_absolute(tmp_path: Path) -> None:
    assert settings(data_dir=str(tmp_path)).data_dir == tmp_path


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"engine": "openai"}, "needs --server-url"),
        ({"server_url": "http://127.0.0.1:1/v1"}, "is for --engine openai"),
        ({"repeats": 2}, "temperature 0"),
        ({"top_p": 1.5}, "out of range"),
        ({"hub_id": "gsm8k"}, "expected NAME=VALUE"),
        ({"temperature": "nan"}, "out of range"),
        ({"limit": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(**raw)


def test_every_option_has_both_names_and_help() -> None:
    parser = own_parser()
    for option in OPTIONS:
        assert option.help
        value = [] if option.kind == "flag" else ["1"]
        for name in (option.short, option.prefixed):
            assert getattr(parser.parse_args([name, *value]), option.dest) is not None


def test_help_has_each_option_once_in_a_group_and_in_a_line_or_two() -> None:
    names = [name for _, _, group in GROUPS for name in group]
    assert sorted(names) == sorted(option.name for option in OPTIONS)
    pages = Path(__file__).parents[2] / "docs"
    assert [page for _, page, _ in GROUPS if not (pages / f"{page}.md").is_file()] == []
    for option in OPTIONS:
        assert option.help.startswith(option.brief.partition(" (default:")[0])
        assert len(option.brief) < 300


def test_a_larger_limit_contains_a_smaller_one_and_the_data_seed_redraws() -> None:
    small, large = limited("gsm8k", range(1319), 64, 0), limited("gsm8k", range(1319), 100, 0)
    assert len(small) == 64
    assert set(small) < set(large)
    assert large == sorted(large)
    assert limited("gsm8k", range(1319), 64, 1) != small
    assert limited("gsm8k", range(50), 64, 0) == list(range(50))


def test_ids_are_those_of_the_contract() -> None:
    ref = ItemRef(0, "gsm8k", "5shot-cot", 17, 2)
    assert id_of(ref, repeats=1) == "5shot-cot-0017"
    assert id_of(ref, repeats=3) == "5shot-cot-0017-r2"
    assert id_of(ref, repeats=3, label="qwen2.5-7b+gptq4") == "qwen2.5-7b+gptq4-5shot-cot-0017-r2"


def test_refs_come_variant_by_variant() -> None:
    refs = list(item_refs(2, "math", ("direct", "cot"), [3, 5], 2))
    assert [ref.variant for ref in refs] == [0] * 8 + [1] * 8
    assert refs[0] == ItemRef(0, "math", "direct", 3, 1)
    assert refs[1].repeat == 2
    assert len(set(refs)) == len(refs)


@pytest.mark.parametrize(
    ("name", "short"),
    [("owner/Model-1.5B", "Model-1.5B"), ("/a/b/", "b"), ("odd name[x]", "odd_name_x_"), ("/", "model")],
)
def test_short_names_fit_into_ids(name: str, short: str) -> None:
    assert short_name(name) == short


@pytest.mark.parametrize("url", ["http://user:s3cret@host:8000/v1?key=s3cret", "http://u:s3cret@[::1"])
def test_no_message_shows_the_credentials_of_an_address(url: str) -> None:
    with pytest.raises(UsageError, match="is for --engine openai") as caught:
        build_settings({"model": "tiny", "server-url": url})
    assert "s3cret" not in str(caught.value)
