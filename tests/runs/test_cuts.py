"""Outputs cut by the limit: when a run says so, and which limit it names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import record

from pytest_thinkslm.reports.summary import notes
from pytest_thinkslm.runs.cuts import cut_figures
from pytest_thinkslm.runs.results import figures


def ended(tokens: int | None = 10) -> dict[str, object]:
    return {"finish_reason": "stop", "output_tokens": tokens}


def cut(tokens: int | None = 64, **fields: object) -> dict[str, object]:
    return {"finish_reason": "length", "output_tokens": tokens, **fields}


CUT = "of outputs were cut by the limit of new tokens"
UNKNOWN = "the limit that would have done is unknown: double it"
EARLY = {"stopped": "server"}
NO_ROOM = (
    "new tokens, before the limit that was asked for: the server's context has no room for prompt and answer; give "
    "each request more of it there (llama.cpp's -c, Ollama's num_ctx, --max-model-len)"
)
LOOP = {"stopped": "loop", "failure": "repetition"}


@pytest.mark.parametrize(
    ("records", "enough", "said"),
    [
        ([ended()] * 95 + [cut()] * 5, None, None),
        (
            [ended(n) for n in range(1, 95)] + [cut()] * 6,
            None,
            "6.0% of outputs were cut by the limit of new tokens; 99% of those that ended took at most 94 tokens; "
            "the limit that would have done is unknown: double it (--max-tokens 128)",
        ),
        (
            [ended(n) for n in range(1, 91)] + [cut(40, **LOOP)] * 10,
            90,
            "10.0% of outputs were cut by the limit of new tokens; all of them run in a loop, which no limit ends; "
            "99% of those that ended took at most 90 tokens; a limit of 90 would have done for all that does not loop",
        ),
        (
            [cut(64)] * 3 + [cut(64, failure="repetition")],
            None,
            "100.0% of outputs were cut by the limit of new tokens; 1 of these 4 run in a loop, which no limit ends; "
            "the limit that would have done is unknown: double it (--max-tokens 128)",
        ),
        (
            [ended(None), cut(None)],
            None,
            f"50.0% {CUT}; {UNKNOWN}",
        ),
        (
            [cut(80, thought="closed")],
            None,
            f"100.0% {CUT}; {UNKNOWN}",
        ),
        (
            [ended(90)] * 5 + [cut(200, **EARLY), cut(160, **EARLY)],
            None,
            f"28.6% of outputs were cut; all of them after 160 to 200 {NO_ROOM}; 99% of those that ended took at most "
            "90 tokens",
        ),
        (
            [cut(160, **EARLY), cut(160, **EARLY), cut(512)],
            None,
            f"100.0% of outputs were cut; 2 of these 3 after 160 {NO_ROOM}; {UNKNOWN} (--max-tokens 1024)",
        ),
        (
            [cut(None, stopped="context")] * 3,
            None,
            "100.0% of outputs were cut; all of them before the limit that was asked for: the engine's context has no "
            "room for prompt and answer; where the model has more, give more (--engine-args max_model_len=N or "
            "context=N), else shorten the prompt",
        ),
        (
            [cut(1548, stopped="context")] * 3,
            None,
            "100.0% of outputs were cut; all of them after 1,548 new tokens, before the limit that was asked for: the "
            "engine's context has no room for prompt and answer; where the model has more, give more (--engine-args "
            "max_model_len=N or context=N), else shorten the prompt",
        ),
        ([{"finish_reason": None}] * 3, None, None),
    ],
    ids=[
        "5% is not more",
        "unknown",
        "loops alone",
        "loops beside",
        "no counts",
        "bound on the thought",
        "no context",
        "no context for some",
        "no context and no counts",
        "a model's context",
        "errors",
    ],
)
def test_what_is_said(records, enough, said):
    made, sentence = cut_figures(records)
    assert made["enough"] == enough
    assert (sentence or None) == said


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), min_size=1))
def test_the_limit_that_would_have_done_lets_99_percent_end(lengths):
    records = [ended(count) if stops else cut(count, **LOOP) for stops, count in lengths]
    made = cut_figures(records)[0]
    stopped = [count for stops, count in lengths if stops]
    assert made["looping"] == len(lengths) - len(stopped)
    if stopped:
        assert sum(count <= made["enough"] for count in stopped) >= 0.99 * len(stopped)
        assert made["enough"] in stopped
    else:
        assert made["enough"] is None
    json.dumps(made)


def test_a_row_carries_it_and_reports_say_it():
    records = [record(n, True, **(cut() if n < 2 else ended())) for n in range(10)]
    (row,) = figures(records, (), {})
    assert row["cut"]["rate"] == 0.2
    assert any(
        "20.0% of outputs were cut" in note and note.startswith("sort8_positive (direct)") for note in notes([row])
    )


def test_a_note_names_the_variant_where_there_are_several():
    records = [
        record(n, True, quant=quant, **(cut() if n < 2 else ended())) for quant in ("none", "q4") for n in range(10)
    ]
    found = notes(figures(records, (), {}))
    assert [note.partition(":")[0] for note in found] == [
        "sort8_positive (direct, none)",
        "sort8_positive (direct, q4)",
    ]


@pytest.mark.parametrize(("outputs", "stuck", "said"), [(1, 1, True), (6, 1, False), (6, 2, False), (6, 3, True)])
def test_one_list_of_hundreds_among_six_is_no_damage(outputs, stuck, said):
    records = [record(n, True, **({"stuck": "100, "} if n < stuck else {})) for n in range(outputs)]
    assert ("stuck_warning" in figures(records, (), {})[0]) is said


def test_outputs_that_are_one_unit_over_and_over_are_told_of_wherever_a_figure_is_read():
    stuck = {"stuck": "!", "finish_reason": "length"}
    few, many = ([record(n, n > 5, **(stuck if n < count else {})) for n in range(100)] for count in (5, 6))
    assert "stuck_warning" not in figures(few, (), {})[0]
    rows = figures(many, (), {})
    said = "6 of 100 outputs are nothing but '!' (or the like) over and over: damaged weights"
    assert said in rows[0]["stuck_warning"]
    assert any(said in note for note in notes(rows, brief=True))
