"""Every option, once: the command line, the ini values and ``--help`` are made from one table.

Short names (``--model``) are registered after all plugins and initial conftests have loaded, and only
where nobody else owns them: whatever the order of loading, ours yields and nothing crashes. The
prefixed names (``--slm-model``) always work.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import pytest

from pytest_thinkslm.core.errors import UsageError, pages

Kind = Literal["text", "list", "int", "float", "flag", "path"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--NAME``, ``--slm-NAME`` and the ini value ``slm_NAME``."""

    name: str
    kind: Kind
    help: str
    metavar: str | None = None
    ini_only: bool = False

    @property
    def dest(self) -> str:
        """Attribute on ``config.option`` and name of the ini value."""
        return "slm_" + self.name.replace("-", "_")

    @property
    def short(self) -> str:
        """The name without prefix, which another plugin may own."""
        return "--" + self.name

    @property
    def prefixed(self) -> str:
        """The name that is always ours."""
        return "--slm-" + self.name

    @property
    def brief(self) -> str:
        """The help in a line or two: its first clauses, and its default where it ends in one."""
        if len(self.help) <= _BRIEF:
            return self.help
        clauses = re.split(r"(?<=[.;]) ", self.help)
        kept = clauses.pop(0)
        while clauses and len(kept) + len(clauses[0]) < _BRIEF:
            kept += " " + clauses.pop(0)
        default = re.search(r" \(default: [^()]*\)$", self.help) if clauses else None
        return kept.rstrip(".;") + (default[0] if default and default[0] not in kept else "")


#: Characters of an option's help from which on ``--help`` has its first clauses alone; docs/options.md has all of it.
_BRIEF = 160

#: The groups of ``--help``: title, the page that says more, and the options.
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "run",
        "options",
        (
            "model",
            "task",
            "style",
            "engine",
            "server-url",
            "engine-args",
            "limit",
            "sample",
            "where",
            "recorded-only",
            "shard",
            "plan",
            "repeats",
            "stress",
            "preset",
            "incorrect",
            "trust-remote-code",
        ),
    ),
    (
        "generation",
        "thinking",
        (
            "temperature",
            "top-p",
            "top-k",
            "min-p",
            "presence-penalty",
            "sampling",
            "system",
            "max-tokens",
            "thinking",
            "budget-curve",
            "seed",
        ),
    ),
    ("data", "data", ("data-dir", "hub-id", "data-seed", "accept-data", "strict-data")),
    ("compression", "compression", ("quant", "drift", "noise-floor")),
    ("judge", "judge", ("judge", "judge-url", "judge-policy", "judge-budget", "labels")),
    (
        "gates",
        "gates",
        (
            "baseline",
            "gate",
            "gate-mode",
            "gate-paper",
            "certify",
            "policy",
            "min-accuracy",
            "max-rate",
            "allow-unevaluated",
            "adaptive",
        ),
    ),
    ("files", "reliability", ("report-dir", "journal-dir", "journal-accept", "fresh", "rescore")),
)


OPTIONS: tuple[Option, ...] = (
    Option(
        "model",
        "list",
        "model under test: 'embedded' (SmolLM2-135M-Instruct, no hub, no GPU), a hub id (owner/name), a local folder, "
        "or GGUF files (FILE.gguf, owner/name:Q4_K_M); with --engine replay a JSONL file of recorded outputs. Several "
        "are separated by commas. Without it the plugin does nothing.",
        "NAME,...",
    ),
    Option(
        "quant",
        "list",
        "compression: none, gptq8, gptq4, w8a8, w8a8-smoothquant, w8a16, w4a16, w4a8, fp8, fp8-dynamic, awq4, "
        "autoround4, nvfp4, sparse-2of4, or a type of GGUF files (q8_0, q4_k_m, ...); behind a + the cache of keys and "
        "values (w8a8+kv-fp8, q4_k_m+kv-q8_0). Several give one run with a column each, paired item by item. A "
        "published checkpoint is taken where the catalogue has one, else the model is compressed on demand (thinkslm "
        "compress). Default: the checkpoint as it is",
        "Q,...",
    ),
    Option("task", "list", "task keys, globs allowed ('sort8_*'); default: all", "T,..."),
    Option(
        "engine",
        "text",
        "auto, transformers, vllm, llamacpp, openai or replay (default: auto), or one of a package or conftest",
        "NAME",
    ),
    Option("server-url", "text", "address of the openai engine's server; its key comes from OPENAI_API_KEY", "URL"),
    Option("engine-args", "list", f"settings of the engine, validated by it ({pages('scaling', 'gguf')})", "K=V,..."),
    Option("style", "list", "prompt styles: direct, cot, 5shot, 5shot-cot, 8shot (default: direct)", "S,..."),
    Option("repeats", "int", "samples an item; more than one needs --temperature above 0 (default: 1)", "N"),
    Option("temperature", "float", "sampling temperature; 0 is greedy decoding (default: 0)", "T"),
    Option("top-p", "float", "nucleus sampling mass (default: 1)", "P"),
    Option("top-k", "int", "sample from the K likeliest tokens alone (default: 0, all)", "K"),
    Option("min-p", "float", "leave out tokens below this share of the likeliest one's probability (default: 0)", "P"),
    Option(
        "presence-penalty",
        "float",
        "taken off the logit of each token that the output has already (default: 0)",
        "X",
    ),
    Option(
        "sampling",
        "text",
        "model: what the checkpoint's generation_config.json asks for, recorded with its values; --temperature and the "
        "like win over it (default: greedy)",
        "model",
    ),
    Option("system", "text", "a system message in every prompt (default: none)", "TEXT"),
    Option("max-tokens", "int", f"bound on new tokens an item; default: by task ({pages('limits')})", "N"),
    Option(
        "thinking",
        "text",
        "on or off; low, medium or high, where the chat template has efforts; or a number of tokens after which a "
        "thought is closed and the answer asked for. What the template (or the server) does nothing for is refused; "
        "default: the model's own way",
        "on|off|low|medium|high|TOKENS",
    ),
    Option(
        "budget-curve",
        "list",
        "after a run of a model that thinks: accuracy by the length of the thought, each closed at these numbers of "
        f"tokens and the answer asked for; auto: at six, for at most half of the run's tokens ({pages('thinking')})",
        "auto|N,...",
    ),
    Option("seed", "int", "seed of the sampling noise alone (default: 0)", "N"),
    Option("data-seed", "int", "seed of sorting lists, exemplars and the --limit sample (default: 0)", "N"),
    Option("limit", "int", "N items a task; a larger limit contains a smaller one (default: all)", "N"),
    Option(
        "stress",
        "list",
        "also ask changed forms of each item whose gold is the same, K of each transformation (3): options, labels, "
        f"numbers, names, distractor, typos, order, layout ({pages('stress')}); those that do not fit a task are "
        "left out",
        "T[:K],...",
    ),
    Option(
        "drift",
        "int",
        "with several variants: token-level distance of each from the one it is held against, along that one's outputs "
        "to N items a task (engine transformers)",
        "N",
    ),
    Option(
        "noise-floor",
        "int",
        "K further runs of the first variant that differ in batches and order alone: which flips of the other variants "
        f"are beyond numerics ({pages('deltas')})",
        "K",
    ),
    Option(
        "sample",
        "text",
        "how --limit draws: stratified, in proportion to facets and classes (default), or hash, by the data seed alone "
        "(default against a baseline that was drawn so)",
        "METHOD",
    ),
    Option(
        "where",
        "list",
        "only items with these facets, e.g. level=5,subject=Algebra; values of one facet are alternatives",
        "FACET=VALUE,...",
    ),
    Option("recorded-only", "flag", "with --engine replay: leave out the items that have no recorded output"),
    Option(
        "shard",
        "text",
        "run the I-th of N parts of equal cost, variants first; the same command without it and with --rescore merges",
        "I/N",
    ),
    Option(
        "plan",
        "flag",
        "say what the run would take (items, prompt tokens, new tokens, time, price), load no model, and end",
    ),
    Option(
        "data-dir", "path", f"folder with the data sets' files ({pages('data')}); default: the Hugging Face hub", "DIR"
    ),
    Option("accept-data", "flag", "run records that differ from their content pin too; every report says so"),
    Option(
        "strict-data",
        "flag",
        "stop at any record that differs from its content pin; default: where few of a set do, they are left out as "
        "unverified, and every report says so (thinkslm data check)",
    ),
    Option("fresh", "flag", "do not read the journal (it is still written)"),
    Option("rescore", "flag", "score what the journal has, without any engine"),
    Option(
        "journal-accept",
        "list",
        "take outputs of a journal whose engine differs in these facts of its fingerprint only (transformers, device, "
        "...); every report says so. A run names the facts where such a journal is there",
        "FACT,...",
    ),
    Option("report-dir", "path", "where the run's files go; default: reports/<time>-<model>-<quant>", "DIR"),
    Option("journal-dir", "path", "where outputs are kept as they finish; default: .thinkslm/journal", "DIR"),
    Option(
        "incorrect",
        "text",
        "data: wrong answers are data, exit 0 unless items are errors or a gate fails (default); "
        "fail: pytest's own status; xfail: wrong answers are expected failures",
        "MODE",
    ),
    Option("trust-remote-code", "flag", "run code that a checkpoint brings along; off unless given"),
    Option("hub-id", "list", "other hub ids for data sets, e.g. gsm8k=owner/copy", "TASK=ID,..."),
    Option(
        "judge",
        "text",
        "LLM judge: a model of an OpenAI-compatible server (--judge-url), or one that the local engine loads; its key "
        "comes from THINKSLM_JUDGE_API_KEY or OPENAI_API_KEY (default: no judge)",
        "MODEL",
    ),
    Option("judge-url", "text", "address of the judge's server, e.g. http://127.0.0.1:8001/v1", "URL"),
    Option(
        "judge-policy",
        "text",
        "fallback: asked where the parser found no answer or several (default); all: asked for every item, and its "
        "verdict decides, as in the study",
        "POLICY",
    ),
    Option(
        "labels",
        "list",
        "label files of `thinkslm audit`, filled in by people: accuracies are stated corrected for the errors of "
        "parser or judge, too, beside those as they were read. With --rescore, on the outputs of the audited run "
        f"({pages('audit')})",
        "FILE,...",
    ),
    Option("judge-budget", "int", "most requests to the judge; what is left then is reported as unjudged", "N"),
    Option(
        "baseline",
        "path",
        "run to compare with: a report folder, a results.json with its items.jsonl beside it, or 'paper' (the ThinkSLM "
        "leaderboard: unpaired and advisory). A run with other prompts, sampling, data or template is refused",
        "RUN",
    ),
    Option(
        "gate",
        "float",
        "fail when a drop of more than MARGIN percentage points below --baseline (or the run's first variant) is shown",
        "MARGIN",
    ),
    Option(
        "gate-mode",
        "text",
        "regression: --gate fails where a larger drop is shown (default); noninferiority: it fails unless a drop of "
        "MARGIN points is ruled out",
        "MODE",
    ),
    Option(
        "certify",
        "float",
        "one decision over all tasks against --baseline (or the run's first variant): GO where a drop of the mean of "
        "MARGIN points is ruled out and so is one of three times as much in every task of 1,000 items or more; NO-GO "
        "where such a drop is shown; else INCONCLUSIVE. Only GO passes",
        "MARGIN",
    ),
    Option(
        "policy",
        "path",
        "TOML file for --certify: margin, guards, which tasks are critical, supporting or advisory, largest rates, "
        f"fewest items ({pages('gates')})",
        "FILE",
    ),
    Option(
        "min-accuracy",
        "list",
        "fail below this accuracy in percent; 'lower:85' asks it of the lower end of the 95% interval",
        "TASK=PCT,...",
    ),
    Option(
        "max-rate",
        "list",
        "fail above this share of unparsed, truncated or error outcomes, or inconsistent items (--stress), in percent",
        "KIND=PCT,...",
    ),
    Option(
        "allow-unevaluated",
        "flag",
        "a gate that could not be evaluated (nothing or too little shared with the baseline, a task that is missing, "
        "too many errors) does not fail the run",
    ),
    Option(
        "adaptive",
        "flag",
        "end the run as soon as --gate or --certify is decided: items in a fixed random order, looked at by "
        f"group-sequential tests; what is not needed is skipped ({pages('adaptive')})",
    ),
    Option("gate-paper", "flag", "let --gate fail a run against '--baseline paper' too"),
    Option(
        "preset",
        "text",
        "thinkslm: the protocol of the ThinkSLM study (three sampled runs pooled, its prompt styles); what the paper "
        "leaves open is printed and recorded. tour: four self-written records of each task, short outputs, no data. "
        "Options given explicitly win",
        "NAME",
    ),
)

#: Options that ask for a decision.
GATES = frozenset({"gate", "certify", "policy", "min-accuracy", "max-rate"})

#: The names that another plugin may own, and what ours are kept under.
SHORT_NAMES: Mapping[str, str] = {option.short: option.dest for option in OPTIONS}

_TYPES_MAY_BE_UNIONS = pytest.version_tuple >= (9, 2)

# Where pytest takes a union, a number may stand in quotes in TOML, and what is no number gets our own message; before
# 9.2 addini asserts on anything but a tag, and pytest's message says what is wrong.
_INI_TYPES: Mapping[Kind, Any] = {
    "text": "string",
    "list": "args",
    "int": int | str if _TYPES_MAY_BE_UNIONS else "int",
    "float": float | int | str if _TYPES_MAY_BE_UNIONS else "float",
    "flag": "bool",
    "path": "string",
}


def register_ini(parser: pytest.Parser) -> None:
    """Register the ini values (they have a namespace of their own and cannot clash)."""
    for option in OPTIONS:
        parser.addini(option.dest, f"default of {option.prefixed}", type=_INI_TYPES[option.kind], default=None)


class Unparsable(Exception):
    """An argument list that argparse refuses."""


class _OwnParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unparsable(message)


def mentioned(args: Iterable[str]) -> bool:
    """Whether an argument may be one of ours (or asks for help, or names a file of arguments)."""
    names = {option.short for option in OPTIONS} | {"-h", "--help"}
    return any(arg.partition("=")[0] in names or arg.startswith(("--slm-", "@")) for arg in map(str, args))


def own_parser(taken: frozenset[str] = frozenset()) -> argparse.ArgumentParser:
    """A parser of our options alone, to split an argument list before conftests have loaded."""
    parser = _OwnParser(add_help=False, allow_abbrev=False)
    for option in OPTIONS:
        names = [option.prefixed] if option.short in taken else [option.short, option.prefixed]
        parser.add_argument(*names, **_argparse_attributes(option))
    return parser


def register_options(parser: pytest.Parser, taken: frozenset[str]) -> None:
    """Register the command-line options; a short name that somebody else owns is left to them.

    ``taken`` has the short names that are known to be owned. They are not even tried: before 9.1 pytest keeps where an
    option's value goes although argparse then refuses the name, and its owner would find no value.
    """
    groups = {
        name: parser.getgroup(f"thinkslm-{title}", f"pytest-thinkslm, {title} ({pages(page)})")
        for title, page, names in GROUPS
        for name in names
    }
    for option in OPTIONS:
        group = groups[option.name]
        attributes = _argparse_attributes(option)
        if option.short not in taken:
            try:
                group.addoption(option.short, option.prefixed, **attributes)
                continue
            except (ValueError, argparse.ArgumentError):
                pass
        attributes["help"] += f" [{option.short} belongs to another plugin here: use {option.prefixed}]"
        group.addoption(option.prefixed, **attributes)


def raw_values(config: pytest.Config) -> dict[str, Any]:
    """What was asked for, by option name: the command line first, then the ini value; None where unset."""
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = getattr(config.option, option.dest, None)
        if value is None:
            try:
                value = config.getini(option.dest)
            except (ValueError, TypeError) as error:
                raise UsageError(f"ini value {option.dest}: {error}") from None
            if option.kind == "path" and value and config.inipath is not None:
                value = str(config.inipath.parent / os.path.expanduser(str(value)))
        if option.kind == "flag" and not value:
            value = None
        values[option.name] = value
    return values


def _argparse_attributes(option: Option) -> dict[str, Any]:
    attributes: dict[str, Any] = {"dest": option.dest, "default": None, "help": option.brief.replace("%", "%%")}
    if option.kind == "flag":
        attributes["action"] = "store_true"
    else:
        attributes["metavar"] = option.metavar
        if option.kind == "list":
            attributes["action"] = "append"
    return attributes
