from __future__ import annotations

import pytest

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.settings.presets import apply_preset
from pytest_thinkslm.settings.run_settings import Settings, build_settings


def settings(**raw: object) -> Settings:
    built = build_settings({"model": "m", "preset": "thinkslm", **{k.replace("_", "-"): v for k, v in raw.items()}})
    assert built is not None
    return built


def test_the_preset_is_the_papers_protocol_and_says_what_is_open() -> None:
    built = settings()
    assert (built.repeats, built.temperature, built.top_p, built.limit) == (3, 0.7, 0.95, None)
    assert built.styles_for("gsm8k") == ("direct", "cot", "5shot", "5shot-cot", "8shot")
    assert built.styles_for("mr_ben") == ("direct",)
    assert set(built.styles) == {"direct", "cot", "5shot", "5shot-cot", "8shot"}
    said = "\n".join(built.preset_choices)
    for choice in ("repeats 3 (the paper", "temperature 0.7 (open", "top-p 0.95 (open", "styles:", "max-tokens: open"):
        assert choice in said


@pytest.mark.parametrize(
    ("raw", "field", "value", "said"),
    [
        ({"repeats": "5"}, "repeats", 5, "repeats 5 (given; the preset's is 3"),
        ({"temperature": 0.2}, "temperature", 0.2, "temperature 0.2 (given"),
        ({"top_p": "1"}, "top_p", 1.0, "top-p 1 (given"),
        ({"style": "cot"}, "styles", ("cot",), "style as given"),
        ({"limit": 10}, "limit", 10, "limit 10 (given; the paper has the full splits)"),
    ],
)
def test_explicit_options_win_and_that_is_recorded(
    raw: dict[str, object], field: str, value: object, said: str
) -> None:
    built = settings(**raw)
    assert getattr(built, field) == value
    assert said in "\n".join(built.preset_choices)


def test_an_explicit_style_is_asked_of_every_task() -> None:
    built = settings(style="cot")
    assert built.styles_for("gsm8k") == built.styles_for("arc_easy") == ("cot",)


def test_without_a_preset_nothing_is_filled_in() -> None:
    raw = {"model": "m", "repeats": None}
    assert apply_preset(raw).raw == raw
    built = build_settings(raw)
    assert built is not None
    assert (built.repeats, built.preset, built.preset_choices) == (1, None, ())
    assert built.styles_for("gsm8k") == ("direct",)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'thinkslm'"):
        settings(preset="thinkslms")
