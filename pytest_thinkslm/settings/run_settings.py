"""The validated settings of a run: one frozen object, made once from options and ini values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pytest_thinkslm.core import entry_points, schemes
from pytest_thinkslm.core.errors import UsageError, nearest
from pytest_thinkslm.core.records import Sampling
from pytest_thinkslm.core.text import without_credentials
from pytest_thinkslm.settings.gate_specs import GateMode, GateSpecs, parse_margin, parse_max_rate, parse_min_accuracy
from pytest_thinkslm.settings.policies import Policy, make_policy
from pytest_thinkslm.settings.presets import apply_preset
from pytest_thinkslm.settings.selections import parse_shard, parse_where
from pytest_thinkslm.settings.values import RawOptions, checked_path, resolve_path, split_list
from pytest_thinkslm.tasks import stress
from pytest_thinkslm.tasks.prompts import STYLES
from pytest_thinkslm.tasks.sampling import METHODS, Method

ENGINES = ("auto", "transformers", "vllm", "llamacpp", "openai", "replay")
#: The entry points of engines that a user brings.
ENGINE_GROUP = "pytest_thinkslm.engines"
SAMPLINGS = ("greedy", "model")
INCORRECT_MODES = ("data", "fail", "xfail")
JUDGE_POLICIES = ("fallback", "all")

#: Bounds of numbers, beyond which engines overflow and nothing is meant: of whole ones, seeds (what 64 bits hold with
#: room for a repeat's), repeats of an item (each is a test), and other numbers.
MOST, MOST_SEED, MOST_REPEATS, HIGHEST = 2**31 - 1, 2**62, 1_000, 1_000.0
#: Budgets of ``--budget-curve``, at most.
MOST_BUDGETS = 12

JudgePolicy = Literal["fallback", "all"]
IncorrectMode = Literal["data", "fail", "xfail"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do. Field by field the options of ``--help``; None means "by default".

    ``tasks`` are patterns, or with ``tasks_of_replay`` those of recorded outputs, where the command names none;
    ``max_tokens`` None means by task and style; ``quants`` empty means the
    checkpoint as it is. ``baseline`` is a path or "paper". ``task_styles``, where not empty, are a preset's prompt
    styles by task, and ``styles`` is all of them; ``preset_choices`` says its values and where they come from.
    ``sampling`` is "model" where the checkpoint's own parameters are taken, but for those in ``sampling_given``, which
    were given as options; ``system`` is the text of a system message in every prompt.
    ``drift`` is how many items a task each variant is led along; ``noise_floor`` how many further runs of the first
    variant there are. ``budget_curve`` are the numbers of tokens at which thoughts are closed after the run to see what
    is answered there; empty: six that the run's thoughts decide; None: none.
    ``stress`` are the changed forms that are asked beside each item (``options-1``).
    ``thinking`` is "on", "off", an effort ("low", "medium", "high") or a number of tokens as text.
    ``sample`` None means as the baseline was drawn, else stratified; ``where`` has pairs of facet and value; ``shard``
    is the part of the run that is run, as ``3/8``.
    """

    models: tuple[str, ...]
    quants: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    tasks_of_replay: bool = False
    engine: str = "auto"
    server_url: str | None = None
    engine_args: Mapping[str, str] = field(default_factory=dict)
    styles: tuple[str, ...] = ("direct",)
    repeats: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    sampling: str | None = None
    sampling_given: tuple[str, ...] = ()
    max_tokens: int | None = None
    thinking: str | None = None
    system: str | None = None
    seed: int = 0
    data_seed: int = 0
    limit: int | None = None
    stress: tuple[str, ...] = ()
    drift: int | None = None
    noise_floor: int = 0
    budget_curve: tuple[int, ...] | None = None
    sample: Method | None = None
    where: tuple[tuple[str, str], ...] = ()
    recorded_only: bool = False
    shard: str | None = None
    plan: bool = False
    data_dir: Path | None = None
    accept_data: bool = False
    strict_data: bool = False
    fresh: bool = False
    rescore: bool = False
    journal_accept: tuple[str, ...] = ()
    report_dir: Path | None = None
    journal_dir: Path = Path(".thinkslm/journal")
    incorrect: IncorrectMode = "data"
    trust_remote_code: bool = False
    hub_ids: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[Path, ...] = ()
    judge: str | None = None
    judge_url: str | None = None
    judge_policy: JudgePolicy = "fallback"
    judge_budget: int | None = None
    baseline: str | None = None
    gates: GateSpecs = field(default_factory=GateSpecs)
    gate_paper: bool = False
    allow_unevaluated: bool = False
    adaptive: bool = False
    preset: str | None = None
    preset_choices: tuple[str, ...] = ()
    task_styles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def styles_for(self, task: str) -> tuple[str, ...]:
        """The prompt styles that a task is asked in; a preset may have some of its own for some tasks."""
        return self.task_styles.get(task, ("direct",)) if self.task_styles else self.styles

    def own_sampling(self, card: Mapping[str, float] | None = None) -> Sampling:
        """The sampling parameters; the planner sets the bound on new tokens and the seed.

        Args:
            card: what the checkpoint asks for (``--sampling model``); options that were given win over it.
        """
        names = ("temperature", "top_p", "top_k", "min_p", "presence_penalty")
        own = {name: getattr(self, name) for name in names}
        if card:
            own |= {name: value for name, value in card.items() if name not in self.sampling_given}
        return Sampling(**own)


def build_settings(raw: RawOptions) -> Settings | None:
    """Validate the raw option values; None where no model is asked for.

    Raises:
        UsageError: an unknown name, a value out of range, or options that contradict each other.
    """
    models = split_list(raw.get("model"))
    if not models:
        return None
    applied = apply_preset(raw)
    raw = applied.raw
    task_styles = dict(applied.styles or {})
    temperature = _number(raw, "temperature", 0.0, low=0.0)
    repeats = _integer(raw, "repeats", 1, low=1, high=MOST_REPEATS)
    if repeats > 1 and temperature == 0 and (raw.get("sampling") != "model" or raw.get("temperature") is not None):
        raise UsageError(
            f"--repeats {repeats} at temperature 0 asks for the same greedy output {repeats} times: "
            "give --temperature above 0 (0.7, say), or leave --repeats out"
        )
    sampled = _sampled(raw)
    if raw.get("fresh") and raw.get("rescore"):
        raise UsageError("--fresh ignores the journal and --rescore uses nothing but the journal: give one of them")
    if raw.get("accept-data") and raw.get("strict-data"):
        raise UsageError(
            "--accept-data runs records that differ from their pins and --strict-data stops at the first of them: "
            "give one of them"
        )
    for model in models:
        checked_path(model, "model")
    if raw.get("judge"):
        checked_path(str(raw["judge"]), "judge")
    data_dir = resolve_path(raw.get("data-dir"), "data-dir")
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError(f"--data-dir {data_dir} is no folder: give the folder that holds the data sets' files")
    return Settings(
        models=models,
        quants=_quants(raw),
        tasks=split_list(raw.get("task")),
        engine=_engine(raw),
        server_url=_server_url(raw),
        engine_args=_pairs(raw, "engine-args"),
        styles=_names(raw, "style", STYLES, _union(task_styles) or ("direct",)),
        repeats=repeats,
        temperature=temperature,
        **sampled,
        sampling="model" if _name(raw, "sampling", SAMPLINGS, "greedy") == "model" else None,
        sampling_given=tuple(name for name in _SAMPLED if raw.get(name.replace("_", "-")) not in (None, "")),
        max_tokens=_integer(raw, "max-tokens", None, low=1),
        thinking=_thinking(raw),
        system=_system(raw),
        seed=_integer(raw, "seed", 0, low=0, high=MOST_SEED),
        data_seed=_integer(raw, "data-seed", 0, low=0, high=MOST_SEED),
        limit=_integer(raw, "limit", None, low=1),
        stress=stress.parse(split_list(raw.get("stress"))),
        drift=_drift(raw),
        noise_floor=_integer(raw, "noise-floor", 0, low=0, high=MOST_REPEATS),
        budget_curve=_budget_curve(raw),
        **_selection(raw),
        data_dir=data_dir,
        accept_data=bool(raw.get("accept-data")),
        strict_data=bool(raw.get("strict-data")),
        fresh=bool(raw.get("fresh")),
        rescore=bool(raw.get("rescore")),
        journal_accept=_journal_accept(raw),
        report_dir=resolve_path(raw.get("report-dir"), "report-dir"),
        journal_dir=resolve_path(raw.get("journal-dir") or ".thinkslm/journal", "journal-dir") or Path(),
        incorrect=cast("IncorrectMode", _name(raw, "incorrect", INCORRECT_MODES, "data")),
        trust_remote_code=bool(raw.get("trust-remote-code")),
        hub_ids=_pairs(raw, "hub-id"),
        labels=_labels(raw),
        judge=raw.get("judge") or None,
        judge_url=raw.get("judge-url") or None,
        judge_policy=cast("JudgePolicy", _name(raw, "judge-policy", JUDGE_POLICIES, "fallback")),
        judge_budget=_judge_budget(raw),
        baseline=_baseline(raw),
        gates=_gates(raw),
        gate_paper=bool(raw.get("gate-paper")),
        allow_unevaluated=bool(raw.get("allow-unevaluated")),
        adaptive=_adaptive(raw),
        preset=str(raw["preset"]) if raw.get("preset") else None,
        preset_choices=applied.choices,
        task_styles=task_styles,
    )


def is_own_engine(name: object) -> bool:
    """Whether an engine is one that a user brings."""
    return bool(name) and name not in ENGINES


def _engine(raw: RawOptions) -> str:
    """One of the suite's, or of those that packages and conftests bring."""
    given = raw.get("engine")
    return _name(
        raw, "engine", (*ENGINES, *entry_points.names(ENGINE_GROUP)) if is_own_engine(given) else ENGINES, "auto"
    )


def _journal_accept(raw: RawOptions) -> tuple[str, ...]:
    facts = tuple(dict.fromkeys(split_list(raw.get("journal-accept"))))
    if facts and raw.get("fresh"):
        raise UsageError("--journal-accept takes outputs of journals and --fresh reads none: give one of them")
    if facts and raw.get("engine") == "replay":
        raise UsageError("--journal-accept is about the journal, and --engine replay has none: leave it out")
    return facts


def _quants(raw: RawOptions) -> tuple[str, ...]:
    """The schemes asked for; a label as it is typed where recorded outputs or a server have them."""
    values = split_list(raw.get("quant"))
    if raw.get("engine") not in ("replay", "openai") and not is_own_engine(raw.get("engine")):
        values = tuple(map(schemes.variant_named, values))
    return tuple(dict.fromkeys(values))


def _server_url(raw: RawOptions) -> str | None:
    url = raw.get("server-url") or None
    if raw.get("engine") == "openai" and url is None:
        raise UsageError("--engine openai needs --server-url, e.g. --server-url http://127.0.0.1:8000/v1")
    if url is not None and raw.get("engine") != "openai":
        raise UsageError(f"--server-url {without_credentials(str(url))} is for --engine openai: give both")
    return url


#: Options that say how tokens are chosen, by their names as fields.
_SAMPLED = ("temperature", "top_p", "top_k", "min_p", "presence_penalty")


def _sampled(raw: RawOptions) -> dict[str, Any]:
    """Top-p, top-k, min-p and the presence penalty, in their ranges."""
    top_p, min_p = _number(raw, "top-p", 1.0, low=0.0), _number(raw, "min-p", 0.0, low=0.0)
    if not 0 < top_p <= 1:
        raise UsageError(
            f"--top-p {top_p:g} is out of range: it is the probability mass to sample from, above 0, at most 1"
        )
    if min_p > 1:
        raise UsageError(f"--min-p {min_p:g} is out of range: it is a share of the likeliest token's probability")
    penalty = _number(raw, "presence-penalty", 0.0, low=-2.0)
    if penalty > 2:
        raise UsageError(f"--presence-penalty {penalty:g} is out of range: from -2 to 2, 0 is none")
    top_k = _integer(raw, "top-k", 0, low=0)
    return {"top_p": top_p, "top_k": top_k, "min_p": min_p, "presence_penalty": penalty}


def _selection(raw: RawOptions) -> dict[str, Any]:
    """What selects items beside their number."""
    if raw.get("recorded-only") and raw.get("engine") != "replay":
        raise UsageError("--recorded-only is about recorded outputs: add --engine replay, or leave it out")
    sample = _name(raw, "sample", METHODS, "")
    shard = parse_shard(raw.get("shard"))
    return {
        "sample": cast("Method", sample) if sample else None,
        "where": parse_where(split_list(raw.get("where"))),
        "recorded_only": bool(raw.get("recorded-only")),
        "shard": None if shard is None else str(shard),
        "plan": bool(raw.get("plan")),
    }


def _labels(raw: RawOptions) -> tuple[Path, ...]:
    """Label files; a glob stands for the files that it finds."""
    found: list[Path] = []
    for name in split_list(raw.get("labels")):
        path = checked_path(name, "labels").absolute()
        matches = sorted(path.parent.glob(path.name)) if any(char in path.name for char in "*?[") else [path]
        if not matches:
            raise UsageError(f"--labels {name}: there is no such file; `thinkslm audit RUN` makes label files")
        found += matches
    return tuple(dict.fromkeys(found))


def _system(raw: RawOptions) -> str | None:
    text = raw.get("system")
    if text is None:
        return None
    if not str(text).strip():
        raise UsageError("--system is empty: give the text of the system message, or leave it out")
    return str(text)


def _thinking(raw: RawOptions) -> str | None:
    value = raw.get("thinking")
    if value is None or value == "":
        return None
    text = str(value)
    if text in ("on", "off", "low", "medium", "high"):
        return text
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and 0 < int(text) <= MOST:
        return str(int(text))
    raise UsageError(
        f"--thinking {text!r}: give on, off, low, medium, high, or the most tokens a thought may have (512, say)"
    )


def _judge_budget(raw: RawOptions) -> int | None:
    """Requests to the judge at most. Raises ``UsageError`` for judge options without a judge."""
    for option in ("judge-url", "judge-policy", "judge-budget"):
        if raw.get(option) and not raw.get("judge"):
            # The name alone: an address may hold a password.
            raise UsageError(f"--{option} is about the judge, and there is none: add --judge MODEL")
    budget: int | None = _integer(raw, "judge-budget", None, low=1)
    return budget


def _union(task_styles: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """All of a preset's styles; ``direct``, which every other task is asked in, among them."""
    return tuple(dict.fromkeys(["direct"] * bool(task_styles) + [s for styles in task_styles.values() for s in styles]))


def _baseline(raw: RawOptions) -> str | None:
    """A path, absolute, or "paper" (also as an ini value, which arrives as a path beside the ini file)."""
    value = raw.get("baseline")
    if not value:
        return None
    path = checked_path(str(value), "baseline").absolute()
    return "paper" if str(value) == "paper" or (path.name == "paper" and not path.exists()) else str(path)


def _drift(raw: RawOptions) -> int | None:
    """How many items a task the drift is measured on. Raises ``UsageError`` where no model may be loaded for it."""
    items: int | None = _integer(raw, "drift", None, low=1)
    if items is not None and raw.get("rescore"):
        raise UsageError(
            "--drift leads the models along outputs, and --rescore loads none: leave one of them out (what the journal "
            "has is not generated again without --rescore, either)"
        )
    return items


def _budget_curve(raw: RawOptions) -> tuple[int, ...] | None:
    """The budgets in order, empty for ``auto``. Raises ``UsageError``."""
    given = split_list(raw.get("budget-curve"))
    if not given:
        return None
    if str(raw.get("thinking")) == "off":
        raise UsageError(
            "--budget-curve closes thoughts early, and --thinking off asks for none: leave one of them out"
        )
    if given == ("auto",):
        return ()
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,8}", one) for one in given) or len(given) > MOST_BUDGETS:
        raise UsageError(
            f"--budget-curve {','.join(given)[:100]}: give 'auto', or at most {MOST_BUDGETS} numbers of tokens, say "
            "64,256,1024"
        )
    return tuple(sorted({int(one) for one in given}))


def _adaptive(raw: RawOptions) -> bool:
    """Whether the run ends when its gates are decided. Raises ``UsageError`` where nothing could be."""
    if not raw.get("adaptive"):
        return False
    gate, certify = (raw.get(option) not in (None, "") for option in ("gate", "certify"))
    if not (gate or certify or raw.get("policy")):
        raise UsageError(
            "--adaptive ends a run as soon as its gates or its certificate are decided, and none is asked for: add "
            "--gate MARGIN or --certify MARGIN (in points) with --baseline RUN, or with several variants of which the "
            "first is the baseline"
        )
    if gate and (certify or raw.get("policy")):
        raise UsageError("--adaptive ends a run by --gate or by --certify: give one of them")
    if raw.get("noise-floor"):
        raise UsageError("--adaptive cannot be used with --noise-floor, whose flips are of all items: leave one out")
    if raw.get("stress"):
        raise UsageError(
            "--adaptive cannot be used with --stress: changed forms are compared on all of their items; leave one of "
            "them out"
        )
    if _baseline(raw) == "paper":
        raise UsageError(
            "--adaptive cannot be used with --baseline paper: only its figures are known, not its items; give a run as "
            "the baseline"
        )
    return True


#: Said of a margin without anything to hold it against.
NO_BASELINE = (
    "--gate {margin} needs a baseline to hold the run against: add --baseline with a report folder, a results.json or "
    "'paper', or run several variants, of which the first is the baseline; for a fixed bar use --min-accuracy"
)


#: Said of a certificate without anything to hold the run against.
NOTHING_TO_CERTIFY = (
    "--certify needs something to hold the run against: add --baseline with a report folder, or several variants "
    "(--quant none,w8a8), of which the first is the baseline"
)


def _several(raw: RawOptions) -> bool:
    """Whether the run may have several variants: it is known of recorded outputs when their file is read."""
    return len(split_list(raw.get("model"))) > 1 or len(_quants(raw)) > 1 or raw.get("engine") == "replay"


def _gates(raw: RawOptions) -> GateSpecs:
    """Every gate that is asked for, validated.

    Raises:
        UsageError: what cannot be read, or a margin without a baseline to hold it against.
    """
    from pytest_thinkslm.tasks import registry

    baseline, margin = _baseline(raw), raw.get("gate")
    mode = cast("GateMode", _name(raw, "gate-mode", get_args(GateMode), "regression"))
    if margin is None or margin == "":
        for option in ("gate-mode", "gate-paper"):
            if raw.get(option):
                raise UsageError(f"--{option} is about --gate, which is not given: add --gate MARGIN (in points)")
        margin = None
    elif baseline is None and not _several(raw):
        raise UsageError(NO_BASELINE.format(margin=margin))
    elif baseline == "paper" and mode == "noninferiority":
        raise UsageError(
            "--gate-mode noninferiority cannot be used with --baseline paper: only its figures are known, so runs "
            "cannot be paired, and no split is large enough; use the regression mode, or a run as the baseline"
        )
    if raw.get("gate-paper") and baseline != "paper":
        raise UsageError("--gate-paper is about --baseline paper: leave it out, any other baseline gates by itself")
    minima, rates = split_list(raw.get("min-accuracy")), split_list(raw.get("max-rate"))
    max_rates = parse_max_rate(",".join(rates)) if rates else ()
    if any(rate.kind == "inconsistent" for rate in max_rates) and not split_list(raw.get("stress")):
        raise UsageError(
            "--max-rate inconsistent is about items in changed forms: add --stress with the transformations, e.g. "
            "--stress options,layout"
        )
    return GateSpecs(
        parse_min_accuracy(",".join(minima), tuple(registry.all_tasks())) if minima else (),
        max_rates,
        None if margin is None else parse_margin(str(margin), mode),
        _policy(raw, baseline),
    )


def _policy(raw: RawOptions, baseline: str | None) -> Policy | None:
    """What is to be certified; None where nothing is.

    Raises:
        UsageError: what cannot be read, or nothing to hold the run against.
    """
    from pytest_thinkslm.tasks import registry

    certify, file = raw.get("certify"), resolve_path(raw.get("policy"), "policy")
    if certify in (None, "") and file is None:
        return None
    if baseline == "paper":
        raise UsageError(
            "--certify cannot be used with --baseline paper: only its figures are known, so runs cannot be paired"
        )
    if baseline is None and not _several(raw):
        raise UsageError(NOTHING_TO_CERTIFY)
    return make_policy(certify, file, tuple(registry.all_tasks()))


def _name(raw: RawOptions, option: str, valid: tuple[str, ...], default: str) -> str:
    value = raw.get(option)
    if value is None or value == "":
        return default
    if value not in valid:
        raise UsageError(f"--{option} {value!r} is unknown: {nearest(str(value), valid)}")
    return str(value)


def _names(raw: RawOptions, option: str, valid: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    values = split_list(raw.get(option))
    for value in values:
        if value not in valid:
            raise UsageError(f"--{option} {value!r} is unknown: {nearest(value, valid)}")
    return tuple(dict.fromkeys(values)) or default


def _integer(raw: RawOptions, option: str, default: Any, *, low: int, high: int = MOST) -> Any:
    value = raw.get(option)
    if value is None or value == "":
        return default
    try:
        number = int(str(value))
    except ValueError:
        raise UsageError(f"--{option} {value!r} is no whole number") from None
    if not low <= number <= high:
        bound = f"at least {low}" if number < low else f"at most {high}"
        raise UsageError(f"--{option} {number} is out of range: {bound}")
    return number


def _number(raw: RawOptions, option: str, default: float, *, low: float) -> float:
    value = raw.get(option)
    if value is None or value == "":
        return default
    try:
        number = float(str(value))
    except ValueError:
        raise UsageError(f"--{option} {value!r} is no number") from None
    if not math.isfinite(number) or not low <= number <= HIGHEST:
        bound = f"at most {HIGHEST:g}" if number > HIGHEST else f"at least {low:g}"
        raise UsageError(f"--{option} {number:g} is out of range: {bound}")
    return number


def _pairs(raw: RawOptions, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for piece in split_list(raw.get(option)):
        key, equals, value = piece.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--{option} {piece!r}: expected NAME=VALUE, several separated by commas")
        pairs[key.strip()] = value.strip()
    return pairs
