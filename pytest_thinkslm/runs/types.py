"""The content of ``results.json``, type by type as in ``results.schema.json`` (a test holds the two together).

Accuracies, rates and interval bounds are fractions; None is not known, never zero.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from pytest_thinkslm.core.item_record import GroupJson, VariantJson
from pytest_thinkslm.core.records import PinState, VerdictName
from pytest_thinkslm.core.schemes import Arithmetic, Source
from pytest_thinkslm.settings.run_settings import IncorrectMode, JudgePolicy
from pytest_thinkslm.statistics.sequential import State
from pytest_thinkslm.tasks.figures import ValueChange
from pytest_thinkslm.tasks.sampling import Method

#: limit: what the run's own options chose (--limit, --where, --recorded-only); adaptive: ended when it was
#: decided; partial: a shard, or what is left of a
#: run that was narrowed by hand or interrupted.
Selection = Literal["full", "limit", "adaptive", "partial"]
GateKind = Literal[
    "regression",
    "noninferiority",
    "paper",
    "min-accuracy",
    "max-unparsed",
    "max-truncated",
    "max-error",
    "max-inconsistent",
    "judge",
    "certificate",
]
GateState = Literal["passed", "failed", "not evaluated", "advisory"]


# --- figures


class Pooled(TypedDict):
    """A share and what it counts."""

    correct: int
    n: int
    accuracy: float | None


class Repeats(TypedDict):
    """Several runs side by side; ``deviation`` is the sample standard deviation over runs."""

    runs: list[float | None]
    mean: float | None
    deviation: float | None
    pooled: Pooled
    pass_at: dict[str, float | None]
    majority_vote: Pooled


class JudgeFigures(TypedDict):
    """The judge's part in a row: ``decided`` are verdicts that are the judge's."""

    asked: int
    judged: int
    unjudged: int
    cannot_tell: int
    decided: int
    agree: int | None
    disagree: int | None
    accuracy_parser: float | None
    accuracy_judge: float | None


class ReadJson(TypedDict):
    """Outputs that were read alike: how many, how many of them people labelled, how many of these they call correct.

    ``right_rate`` is of the labelled, each weighted by the outputs that it stands for.
    """

    outputs: int
    labelled: int
    right: int
    right_rate: float | None


class Corrected(TypedDict):
    """``--labels``: the accuracy that people would give, from the ``labelled`` outputs. See ``runs.corrected``."""

    accuracy: float | None
    ci95: list[float] | None
    labelled: int
    read_correct: ReadJson
    read_incorrect: ReadJson
    undefined: NotRequired[str]


class LabelsJson(TypedDict):
    """``--labels``: which sample, and how much of it is about this run's outputs."""

    annotators: int
    sampled_from: str
    sample: str
    labelled: int
    not_in_this_run: int


class RowData(TypedDict):
    """The data that a row rests on."""

    source: str
    records: int
    expected: int
    partial: str | None
    pin: PinState
    digest: str
    unverified: NotRequired[list[str]]
    notes: list[str]


class OpenedData(TypedDict):
    """The state of a data set that was opened (``data.reader.DataState``)."""

    source: str
    records: int
    expected: int
    partial: str | None
    pin: PinState
    differing: list[int]
    missing: list[int]
    new: int
    unverified: list[int]
    absent: list[int]
    notes: list[str]
    digest: str


class Cut(TypedDict):
    """Outputs that ended at their limit of new tokens; numbers are tokens. See ``cuts.cut_figures``."""

    rate: float
    looping: int
    early: NotRequired[int]
    limit: int | None
    ended_p99: int | None
    enough: int | None


class FigureRow(GroupJson):
    """The figures of one group. Errors count in ``n``; ``label`` is the task, with its test where several are on it."""

    label: NotRequired[str]
    title: str
    n: int
    items: int
    correct: int
    accuracy: float | None
    ci95: list[float] | None
    ci_method: str
    n_effective: NotRequired[float]
    repeats: NotRequired[Repeats]
    void: NotRequired[str]
    incorrect_rate: float | None
    unparsed_rate: float | None
    truncated_rate: float | None
    error_rate: float | None
    thought_rate: NotRequired[float]
    unfinished_thought_rate: NotRequired[float]
    closed_thought_rate: NotRequired[float]
    cut: NotRequired[Cut]
    cut_warning: NotRequired[str]
    stuck_warning: NotRequired[str]
    cluster_warning: NotRequired[str]
    loops_stopped: NotRequired[int]
    judge: NotRequired[JudgeFigures]
    corrected: NotRequired[Corrected]
    failures: dict[str, int]
    rules: dict[str, int]
    grading_timeouts: NotRequired[int]
    output_tokens: NotRequired[int | None]
    prompt_tokens: NotRequired[int | None]
    #: The task's own, of any shape.
    metrics: NotRequired[dict[str, Any]]
    note: NotRequired[str]
    data: NotRequired[RowData]


# --- comparisons


class Change(TypedDict):
    """A figure before and now."""

    before: float | None
    now: float | None


class Ending(TypedDict):
    """What an output ended in."""

    verdict: VerdictName
    answer: str | None
    ending: str | None


class Example(TypedDict):
    """An item that was lost or gained, and both of its outputs."""

    item: str
    change: Literal["lost", "gained"]
    before: Ending
    now: Ending


class ReachedJson(TypedDict):
    """Where the right value first stands in outputs, of items whose gold is a number that the question does not have.

    ``position`` is the median over the items that have it on both sides, in fractions of an output's characters;
    ``lost_had_it`` of the ``lost`` items had the right value in their output, and answered another one.
    """

    checked: int
    both: int
    position: Change
    lost: int
    lost_had_it: int
    lost_had_it_ci95: list[float] | None


class AmountChange(TypedDict):
    """Tokens before and now, means an item; ``ratio`` is of means, ``median_ratio`` of the items' own ratios."""

    tokens: Change
    ratio: float
    ratio_ci95: list[float] | None
    median_ratio: float
    median_ratio_ci95: list[float] | None


class LengthsJson(AmountChange):
    """Output tokens, thoughts included, of the items that both have; shares are of outcomes. See ``runs.lengths``.

    ``thought`` are the tokens of the thoughts alone, by their share of the characters; absent where there are none.
    """

    n: int
    thought: NotRequired[AmountChange]
    loops: Change
    cut: Change
    tokens_per_solved: Change
    reached: NotRequired[ReachedJson]


class DriftClass(TypedDict):
    """The drift of one class of tokens, over all of them alike."""

    tokens: int
    kl_mean: float
    top1_agreement: float


class DriftJson(TypedDict):
    """``--drift``: along the outputs of the variant that it is held against. See ``runs.drift``.

    ``kl_low`` and ``kl_high`` are the 95% interval of ``kl_mean``; ``kl_most`` is what the mean may be at most, given
    that of each distribution only the likeliest tokens are known.
    """

    items: int
    tokens: int
    kl_mean: float
    kl_low: float | None
    kl_high: float | None
    kl_most: float
    top1_agreement: float
    perplexity: Change
    rank: float
    diverged: float
    first_divergence: float | None
    end_probability: Change
    thought_end_probability: NotRequired[Change]
    classes: dict[str, DriftClass]
    #: What was scored, where that is not what answered.
    scored_as: NotRequired[str]


class NoiseJson(TypedDict):
    """``--noise-floor``: shares of items that flipped in the variant, in further runs of the first one, and more.

    ``compression`` is the excess of the one over the other, ``p`` its test against none. See ``runs.noise``.
    """

    runs: int
    items: int
    flips: float
    numerics: float
    numerics_ci95: list[float] | None
    compression: float
    compression_ci95: list[float] | None
    p: float


#: Where a wrong output broke: see ``runs.breaks.where_it_broke``.
Break = Literal["loop", "cut", "form", "abandoned", "copied", "equation", "plan"]

#: What a false step is: see ``runs.breaks``.
StepKind = Literal["copied", "equation"]


class FalseStep(TypedDict):
    """The first false step of an item's output: ``equation``, or ``copied`` wrong from the question."""

    item: str
    kind: StepKind
    text: str


class BreaksJson(TypedDict):
    """Where the outputs of lost items broke, and those of gained items before: items by class; first false steps."""

    lost: dict[Break, int]
    gained: dict[Break, int]
    steps: list[FalseStep]


class BudgetPoint(TypedDict):
    """``--budget-curve``: the items' outcomes with thoughts of at most ``budget`` tokens; shares of them.

    ``forced``: the thought was closed there; ``cut``: and the answer did not end within its limit.
    """

    budget: int
    n: int
    accuracy: float | None
    ci95: list[float] | None
    forced: float
    cut: float


class BudgetCurve(GroupJson):
    """One row's accuracies by the length of its thoughts. ``errors``: items that are left out of every point.

    ``limit`` is how many new tokens a forced answer could have; ``tokens`` what the run and the forced answers took,
    None where that is not known.
    """

    points: list[BudgetPoint]
    limit: int
    tokens: dict[Literal["run", "curve"], int | None]
    errors: int


class ConsistencyChange(TypedDict):
    """Whether items stay right, or wrong, in every form (``--stress``): of one variant against the other, by item."""

    n: int
    before: float
    now: float
    difference: float
    ci95: list[float]
    p: float
    lost: list[str]
    gained: list[str]


class DeltaRow(GroupJson):
    """One group against that of another variant; nulls where nothing could be compared."""

    label: NotRequired[str]
    against: VariantJson
    against_style: NotRequired[str]
    n: int
    accuracy: float | None
    accuracy_against: float | None
    difference: float | None
    ci95: list[float] | None
    p: float | None
    p_corrected: float | None
    kept: float | None
    flips: NotRequired[float]
    flips_ci95: NotRequired[list[float]]
    lost_ci95: NotRequired[list[float]]
    gained_ci95: NotRequired[list[float]]
    lost: list[str]
    gained: list[str]
    outcomes: NotRequired[Change]
    rates: dict[str, Change]
    failures: dict[str, Change]
    method: str | None
    lengths: NotRequired[LengthsJson]
    drift: NotRequired[DriftJson]
    noise: NotRequired[NoiseJson]
    breaks: NotRequired[BreaksJson]
    consistency: NotRequired[ConsistencyChange]
    #: The task's own metrics and break-downs, by dotted name.
    metrics: NotRequired[dict[str, ValueChange]]
    note: NotRequired[str]
    examples: NotRequired[list[Example]]


class StressFigures(TypedDict):
    """The items that a transformation changed, against themselves as they are; ``n`` are its outcomes.

    ``unchanged`` items gave it nothing to change. ``p_corrected`` is Holm's over all transformations of the run.
    """

    items: int
    unchanged: int
    n: int
    accuracy: float
    before: float
    change: float
    ci95: list[float] | None
    p: float
    p_corrected: float
    consistency: float | None
    same_answer: float | None
    flips: int
    flips_ci95: list[float] | None


class PositionBiasJson(TypedDict):
    """Shares of picks and of golds by position, and the p-value of "they do not differ"."""

    picked: list[float]
    expected: list[float]
    p: float


class VarianceJson(TypedDict):
    """A share of the variance of a single score: of the item, and of what differs within it, each within the last.

    These are the style, the transformation, the single form and the repeat, where the run has several.
    """

    source: str
    share: float
    ci95: list[float]


class StressRow(GroupJson):
    """A group's items and their changed forms (``--stress``).

    ``variance`` is that of the task and test over all styles. ``errors`` are outcomes that are in no other figure here.
    """

    label: NotRequired[str]
    items: int
    errors: int
    consistency_ci95: list[float] | None
    consistency: float | None
    transformations: dict[str, StressFigures]
    variance: NotRequired[list[VarianceJson]]
    position_bias: NotRequired[PositionBiasJson]


class ReferenceRow(GroupJson):
    """A figure beside the published one, unpaired."""

    paper: float
    paper_n: int
    accuracy: float | None
    n: int
    difference: float | None
    ci95: list[float] | None
    note: str


class AnyLossJson(VariantJson):
    """The pooled test of any loss of one variant, over all its tasks; numbers of items.

    ``p_corrected`` is Holm's over the variants, where there are several.
    """

    tasks: int
    n: int
    lost: int
    gained: int
    p: float
    p_corrected: NotRequired[float]
    test: str


class GuardJson(TypedDict):
    """One task of a certificate, held against its guard; points."""

    label: str
    task: str
    tier: Literal["critical", "supporting", "advisory"]
    guard: float
    n: int
    drop: float | None
    at_most: float | None
    at_least: float | None
    p_within: float | None
    p_broken: float | None
    p_broken_corrected: float | None
    state: Literal["within", "broken", "open", "not evaluated"]
    why: str


class PooledLoss(TypedDict):
    """A p-value and the name of its test."""

    p: float
    test: str


class CorrectedMean(TypedDict):
    """The mean over ``tasks`` of corrected accuracies (``--labels``), in percent, and its drop in points.

    ``drop`` is None unless the baseline's accuracies of these tasks are corrected, too.
    """

    tasks: int
    mean: float
    ci95: list[float]
    drop: float | None
    drop_ci95: list[float] | None


class CertificateJson(VariantJson):
    """The decision on one variant over all its tasks; points. ``bounds`` of the mean drop are one-sided."""

    against: VariantJson | None
    policy: str | None
    decision: Literal["GO", "NO-GO", "INCONCLUSIVE"]
    margin: float
    tasks: int
    mean_drop: float | None
    bounds: list[float] | None
    p_within: float | None
    p_beyond: float | None
    guards: list[GuardJson]
    any_loss: PooledLoss | None
    decided_by: list[str]
    sentence: str
    needed: str
    corrected: NotRequired[CorrectedMean]


class BaselineJson(TypedDict):
    """What the run was compared with."""

    name: str
    paired: bool
    advisory: bool
    selection: NotRequired[Literal["full", "limit", "adaptive"]]
    variants: NotRequired[list[VariantJson]]
    any_loss: NotRequired[list[AnyLossJson]]


class AdaptiveGroup(GroupJson):
    """How far a group of an adaptive run came.

    ``items`` of ``of`` were looked at. ``looks``, ``state`` and ``level`` are there where a gate is on it: how often it
    was looked at, to what end, and the one-sided p-value that counted as shown at the last look. ``tokens`` are output
    tokens; ``tokens_left`` is what the rest would take by estimate.
    """

    items: int
    of: int
    looks: NotRequired[int]
    state: NotRequired[State]
    level: NotRequired[float]
    tokens: int | None
    tokens_left: int | None


class AdaptiveJson(TypedDict):
    """How an adaptive run went. ``decided``: it ended before all of its items; ``decider`` is the gate that did it."""

    decided: bool
    decider: str | None
    items: int
    of: int
    tokens: int | None
    tokens_left: int | None
    order_seed: int
    spending: str
    certainty: float
    futility: float
    sentence: str
    groups: list[AdaptiveGroup]


class GateJson(TypedDict):
    """One gate; numbers in ``fields`` are percent and percentage points."""

    name: str
    kind: GateKind
    label: str
    state: GateState
    passed: bool | None
    sentence: str
    fields: dict[str, float | str | None]
    lost: list[str]
    gained: list[str]
    advisory: bool
    fails: NotRequired[bool]
    #: Of a gate against a baseline: the task's own metrics and break-downs, by dotted name.
    metrics: NotRequired[dict[str, ValueChange]]
    model: NotRequired[str]
    quant: NotRequired[str]
    task: NotRequired[str]
    test: NotRequired[str]
    style: NotRequired[str]


# --- the judge


class Canaries(TypedDict):
    """How the judge did on outputs whose verdict is known."""

    n: int
    right: int
    threshold: float
    trusted: bool
    failed: list[str]
    problem: NotRequired[str]


class ParserSide(TypedDict):
    """What the parser made of an output."""

    verdict: VerdictName
    answer: Any
    rule: str


class JudgeSide(TypedDict):
    """What the judge made of an output."""

    verdict: str | None
    answer: str | None
    reason: str


class Disagreement(GroupJson):
    """An item that parser and judge call differently."""

    item: str
    repeat: int
    parser: ParserSide
    judge: JudgeSide


class JudgeBlock(TypedDict):
    """The judge of a run."""

    model: str
    policy: JudgePolicy
    fingerprint: str
    canaries: Canaries
    asked: int
    judged: int
    unjudged: int
    over_budget: int
    decided_beside: NotRequired[int]
    agree: int
    disagree: int
    why_unjudged: NotRequired[str]
    disagreements: list[Disagreement]


# --- the run


class FingerprintJson(TypedDict):
    """What an engine's outputs depend on beside the request."""

    digest: str
    facts: dict[str, Any]


class CompressionJson(TypedDict):
    """How a checkpoint is compressed, from its own files."""

    scheme: str | None
    bits: float | None
    method: str | None
    group_size: int | None
    activation_bits: int
    sparsity: float
    source: Source
    bytes: int | None


class SamplingJson(TypedDict):
    """The sampling parameters of a variant."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    presence_penalty: float
    repetition_penalty: float


class VariantFacts(VariantJson):
    """One variant of a run: which checkpoint, on which engine."""

    display: str
    engine: str
    sampling: NotRequired[SamplingJson]
    revision: NotRequired[str | None]
    quantization: NotRequired[dict[str, Any] | None]
    template_sha256: NotRequired[str]
    context: NotRequired[int | None]
    disk_bytes: NotRequired[int | None]
    note: NotRequired[str]
    compression: NotRequired[CompressionJson | None]
    catalogue: NotRequired[str | None]
    fingerprint: FingerprintJson


class DeviceJson(TypedDict):
    """A GPU that held the model."""

    index: int
    name: str
    total_bytes: int


class LoadedJson(TypedDict):
    """What the engine loaded, read from the model's own layers."""

    scheme: str | None
    bits: NotRequired[float]
    group_size: NotRequired[int | None]
    activation_bits: NotRequired[int]
    kernel: NotRequired[str]
    arithmetic: NotRequired[Arithmetic]
    dtype: NotRequired[str]
    kv_cache: NotRequired[str]
    sparsity: float | None
    quantized_layers: int
    linear_layers: int


class Generated(TypedDict):
    """How much was generated of one task and style."""

    generated: int
    output_tokens: int


class VariantMeasured(TypedDict, total=False):
    """One variant, all processes together; what was not measured is absent or null. ``tasks`` is by "task|style"."""

    generated: int
    output_tokens: int
    seconds: float | None
    generating_seconds: float | None
    tokens_per_second: float | None
    joules: float | None
    load_seconds: float
    gpu_seconds: float
    threads: int
    device: str
    dtype: str
    devices: list[DeviceJson]
    peak_memory_bytes: int | None
    peak_gpu_memory_bytes: int | None
    peak_gpu_memory_source: str
    loaded: LoadedJson
    tasks: dict[str, Generated]
    accepted: dict[str, int]


class RunMeasured(TypedDict):
    """Everything volatile. ``variants`` and ``deltas`` are by "model|quant"."""

    started: str
    seconds: float
    variants: dict[str, VariantMeasured]
    judge: NotRequired[dict[str, float]]
    deltas: NotRequired[dict[str, dict[str, Change]]]


class LoopGuard(TypedDict):
    """Whether greedy outputs in an exact loop were ended early, by which rules, and how many."""

    on: bool
    rules: list[str]
    stopped: int


class SettingsJson(TypedDict):
    """What the run was asked to do, as far as outputs and figures depend on it."""

    models: list[str]
    quants: NotRequired[list[str]]
    engine: NotRequired[str]
    styles: list[str]
    repeats: int
    temperature: float
    top_p: float
    max_tokens: int | None
    thinking: NotRequired[str | None]
    top_k: NotRequired[int]
    min_p: NotRequired[float]
    presence_penalty: NotRequired[float]
    repetition_penalty: NotRequired[float]
    sampling: NotRequired[Literal["model"] | None]
    system: NotRequired[str | None]
    seed: int
    data_seed: int
    limit: int | None
    tasks: NotRequired[list[str]]
    stress: NotRequired[list[str]]
    drift: NotRequired[int | None]
    noise_floor: NotRequired[int]
    budget_curve: NotRequired[list[int] | None]
    sample: NotRequired[Method | None]
    where: NotRequired[list[list[str]]]
    recorded_only: NotRequired[bool]
    shard: NotRequired[str | None]
    journal_accept: NotRequired[list[str]]
    incorrect: IncorrectMode
    labels: NotRequired[list[str]]
    judge: NotRequired[str | None]
    judge_policy: NotRequired[JudgePolicy]
    adaptive: NotRequired[bool]
    preset: NotRequired[str | None]
    preset_choices: NotRequired[list[str]]


class Results(TypedDict):
    """The whole of ``results.json``."""

    schema_version: int
    settings: SettingsJson
    versions: dict[str, str]
    variants: list[VariantFacts]
    hardware: dict[str, str | int | None]
    selection: Selection
    results: list[FigureRow]
    baseline: NotRequired[BaselineJson]
    deltas: NotRequired[list[DeltaRow]]
    style_deltas: NotRequired[list[DeltaRow]]
    reference: NotRequired[list[ReferenceRow]]
    stress: NotRequired[list[StressRow]]
    budget_curves: NotRequired[list[BudgetCurve]]
    judge: NotRequired[JudgeBlock]
    labels: NotRequired[LabelsJson]
    loop_guard: NotRequired[LoopGuard]
    adaptive: NotRequired[AdaptiveJson]
    certificate: NotRequired[CertificateJson]
    certificates: NotRequired[list[CertificateJson]]
    gates: list[GateJson]
    problems: list[str]
    measured: RunMeasured
