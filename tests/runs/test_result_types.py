"""The types of results.json and its JSON schema say the same: the same keys, the same of them required."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

import pytest_thinkslm.runs
from pytest_thinkslm.core.identity import ItemKey
from pytest_thinkslm.core.item_record import ItemLine, ItemRecord, ReviewJson, RulingJson, item_key, read_line
from pytest_thinkslm.core.records import Answer, Case, Message, Output, Review, Verdict
from pytest_thinkslm.core.rulings import Ruling
from pytest_thinkslm.runs.items import ItemSpool, item_record, slim, to_line
from pytest_thinkslm.runs.types import Results
from pytest_thinkslm.scoring.grading import Graded, Judged

SCHEMA = json.loads((Path(pytest_thinkslm.runs.__file__).parent / "results.schema.json").read_text())


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node of the schema behind its reference; the object where it may be null, too."""
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
    options = [option for option in node.get("oneOf", ()) if option.get("type") != "null"]
    return resolved(options[0]) if len(options) == 1 else node


def typed_dicts(hint: Any, node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Every TypedDict below a type, beside its node of the schema."""
    node = resolved(node)
    if is_typeddict(hint):
        yield path, hint, node
        for name, inner in get_type_hints(hint).items():
            if name in node.get("properties", {}):
                yield from typed_dicts(inner, node["properties"][name], f"{path}.{name}")
    elif get_origin(hint) is list:
        yield from typed_dicts(get_args(hint)[0], node.get("items", {}), f"{path}[]")
    elif get_origin(hint) is dict:
        more = node.get("additionalProperties")
        yield from typed_dicts(get_args(hint)[1], more if isinstance(more, dict) else {}, f"{path}{{}}")
    else:
        for option in get_args(hint):
            if is_typeddict(option):
                yield from typed_dicts(option, node, path)


#: The schema has one definition of a fraction for places that may be null and those that never are.
NEVER_NULL = {
    "thought_rate", "unfinished_thought_rate", "closed_thought_rate", "paper", "threshold", "rate",
}  # fmt: skip


def nullable(node: Mapping[str, Any]) -> bool:
    """Whether the schema takes null there."""
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return any(nullable(option) for option in node.get("oneOf", ())) or "null" in (
        [node["type"]] if isinstance(node.get("type"), str) else node.get("type", ())
    )


def keys(hint: Any) -> tuple[set[str], set[str]]:
    """All keys of a TypedDict, and those that it requires."""
    hints = get_type_hints(hint, include_extras=True)
    optional = {name for name, inner in hints.items() if get_origin(inner) is NotRequired}
    return set(hints), (set(hints) & hint.__required_keys__) - optional


FOUND = {path: (hint, node) for path, hint, node in typed_dicts(Results, SCHEMA, "results")}


def test_every_part_of_the_file_is_reached() -> None:
    assert len(FOUND) > 30
    assert {"results.results[].repeats.pooled", "results.measured.variants{}.devices[]"} <= set(FOUND)


@pytest.mark.parametrize("path", FOUND)
def test_keys_and_what_is_required_agree(path: str) -> None:
    hint, node = FOUND[path]
    assert keys(hint) == (set(node["properties"]), set(node.get("required", ())))


@pytest.mark.parametrize("path", FOUND)
def test_words_and_nulls_agree(path: str) -> None:
    hint, node = FOUND[path]
    for name, inner in get_type_hints(hint).items():
        part = node["properties"][name]
        options = get_args(inner) if get_origin(inner) in (Union, type(int | str)) else (inner,)
        words = {word for option in options if get_origin(option) is Literal for word in get_args(option)}
        assert words == set(resolved(part).get("enum", ())) - {None}, name
        if inner is not Any and "enum" not in resolved(part) and "const" not in part:
            assert (type(None) in options) or not nullable(part) or name in NEVER_NULL, name
            assert nullable(part) or type(None) not in options, name


def items() -> Iterator[ItemLine]:
    case = Case("t", 0, "number", "q", "1", facets={"level": "1"}, cluster="c", note="odd")
    key, verdict = ItemKey("m", "none", "t", "test_t", "direct", "0000"), Verdict("incorrect", "why", "cut", True)
    plain = Graded(Answer("2", "box"), verdict)
    judged = Graded(Answer(None, "none"), verdict, Judged(Ruling("judged", "correct", "1", "so"), "judge", verdict))
    output = Output("C. " * 20, "thought", "length", 3, 4, stopped="loop")
    yield item_record(key, None, graded=plain)
    yield item_record(key, case, graded=plain, output=Output("x"), messages=[Message("user", "q")])
    yield item_record(key, case, graded=judged, output=output)
    yield item_record(key, case, graded=Graded(Answer(Review("wrong", "2"), "box"), verdict))
    yield item_record(key._replace(role="stress", stress="options-1"), case, graded=plain)


@pytest.mark.parametrize("line", list(items()))
def test_lines_have_the_keys_of_their_type(line: ItemLine) -> None:
    for value, hint in (
        (line, ItemLine),
        (slim(line), ItemRecord),
        (line["judge"], RulingJson),
        (line["answer"], ReviewJson),
    ):
        if isinstance(value, dict):
            known, required = keys(hint)
            assert required <= set(value) <= known


def test_every_optional_key_of_a_line_occurs(tmp_path: Path) -> None:
    seen = {name for line in items() for name in line}
    assert seen == set(get_type_hints(ItemLine)) - {"attempts"}
    spool, (line, *_) = ItemSpool(tmp_path), items()
    for _ in range(2):
        spool.add(item_key(line), to_line(line))
    assert [record["attempts"] for record in spool.records(lambda key: True)] == [2]
    spool.discard()


def test_a_line_is_read_as_it_was_written() -> None:
    for line in items():
        assert read_line(to_line(line)) == line


@pytest.mark.parametrize(
    "damage",
    [
        "", "[]", "{", "[" * 100_000,
        *({"item": 3}, {"model": None}, {"judge": "yes"}, {"judge": {"verdict": None}}),
        *({"messages": 1}, {"messages": [1]}),
    ],
)  # fmt: skip
def test_what_is_no_line_is_a_value_error(damage: str | dict[str, Any]) -> None:
    text = damage if isinstance(damage, str) else json.dumps({**next(items()), **damage})
    with pytest.raises(ValueError, match=r"."):
        read_line(text)


def test_a_line_of_an_earlier_version_is_of_the_suites_own_test() -> None:
    line: dict[str, Any] = {
        name: value for name, value in next(items()).items() if name not in ("test", "role", "repeat")
    }
    assert read_line(json.dumps(line)) == next(items())
