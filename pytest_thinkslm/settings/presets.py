"""Presets: named sets of options. What is given on the command line or as an ini value wins over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_thinkslm.core.errors import UsageError, nearest, pages
from pytest_thinkslm.data import tour
from pytest_thinkslm.settings.values import RawOptions


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a preset: its value, where it comes from; ``shown`` where the value itself is no use to read."""

    option: str
    value: str
    why: str
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.option} {self.shown or self.value}"


@dataclass(frozen=True, slots=True)
class Preset:
    """A protocol.

    Attributes:
        choices: the options that it sets.
        styles: prompt styles by task; every other task is asked ``direct``. An explicit ``--style`` replaces them all.
        on_styles: how its styles differ from the source's.
        remarks: what else the source leaves open, and what is done instead.
    """

    choices: tuple[Choice, ...]
    styles: Mapping[str, tuple[str, ...]]
    on_styles: str
    remarks: tuple[str, ...] = ()


#: The protocol of Srivastava, Cao and Wang (EMNLP 2025), as far as it is published.
THINKSLM = Preset(
    choices=(
        Choice("repeats", "3", "the paper: three runs of the full splits, pooled as k/n over 3n"),
        Choice("temperature", "0.7", "open in the paper: its three runs differ, so they were sampled; a usual value"),
        Choice("top-p", "0.95", "open in the paper; a usual value beside temperature 0.7"),
    ),
    styles={"gsm8k": ("direct", "cot", "5shot", "5shot-cot", "8shot")},
    on_styles="styles: the paper's five for gsm8k; open for its other tasks, which are asked direct",
    remarks=(
        f"prompts and exemplars: open in the paper; those of this suite ({pages('prompts')})",
        "max-tokens: open in the paper; this suite's bound by task and style",
        "seeds: open in the paper; --seed and --data-seed of this run",
    ),
)

#: What the suite is, in a minute: no data set, no hub.
TOUR = Preset(
    choices=(
        Choice("data-dir", str(tour.FOLDER), "self-written records that ship with the suite", "of the tour"),
        Choice("limit", str(tour.RECORDS), "as many as it has of each task"),
        Choice("max-tokens", "48", "short, so that it takes a minute; a true run has limits by task"),
    ),
    styles={},
    on_styles="every figure is over 4 easy items: it shows what a run looks like, and measures nothing",
)

PRESETS: Mapping[str, Preset] = {"thinkslm": THINKSLM, "tour": TOUR}


@dataclass(frozen=True, slots=True)
class Applied:
    """Raw option values with a preset filled in; ``choices`` says each value and its source in a line.

    ``styles`` are prompt styles by task, empty where ``--style`` (or no preset) decides.
    """

    raw: RawOptions
    choices: tuple[str, ...] = ()
    styles: Mapping[str, tuple[str, ...]] | None = None


def _evaluator(raw: RawOptions) -> str:
    """Who decides, beside the paper's GPT-4 Turbo."""
    paper = "evaluator: the paper's is GPT-4 Turbo, asked about every output"
    if not raw.get("judge"):
        return f"{paper}; answers are read by rules here (its way: --judge MODEL --judge-policy all)"
    if raw.get("judge-policy") == "all":
        return f"{paper}; here it is {raw['judge']}, asked about every output, too"
    return (
        f"{paper}; answers are read by rules here, and {raw['judge']} is asked where they find none "
        "(the paper's way: --judge-policy all)"
    )


def apply_preset(raw: RawOptions) -> Applied:
    """Fill in what the preset sets and the user did not.

    Args:
        raw: option values by name, None where unset.

    Raises:
        UsageError: an unknown preset.
    """
    name = raw.get("preset")
    if not name:
        return Applied(raw)
    if name not in PRESETS:
        raise UsageError(f"--preset {name!r} is unknown: {nearest(str(name), PRESETS)}")
    preset = PRESETS[name]
    filled, lines = dict(raw), []
    for choice in preset.choices:
        given = raw.get(choice.option)
        if raw.get("sampling") == "model" and choice.option in ("temperature", "top-p") and given in (None, ""):
            lines.append(f"{choice.option} as the model asks (--sampling model; the preset's is {choice.value})")
            continue
        if given is None or given == "":
            filled[choice.option] = choice.value
            lines.append(f"{choice} ({choice.why})")
        else:
            lines.append(
                f"{choice.option} {given} (given; the preset's is {choice.shown or choice.value}: {choice.why})"
            )
    own_styles = name == "tour" or not raw.get("style")
    remarks = [*([preset.on_styles] if own_styles else []), *preset.remarks]
    if name == "thinkslm":
        remarks.append(_evaluator(raw))
    if not own_styles:
        lines.append("style as given (the preset's are the paper's five for gsm8k, direct for others)")
    if raw.get("limit") and name == "thinkslm":
        lines.append(f"limit {raw['limit']} (given; the paper has the full splits)")
    return Applied(filled, (*lines, *remarks), (preset.styles or None) if own_styles else None)
