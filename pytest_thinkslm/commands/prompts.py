"""``thinkslm prompts``: what a run would ask, as a file that a batch service or an offline engine answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.core.files import expanded, write_text
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Request
from pytest_thinkslm.core.text import safe_text
from pytest_thinkslm.engines.batch_files import batch_request, custom_id
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.generating.selection import Selector
from pytest_thinkslm.models.thought import ThoughtRoom
from pytest_thinkslm.settings.run_settings import Settings, build_settings
from pytest_thinkslm.tasks import registry

HELP = "write a run's requests as a batch file (OpenAI's form)"
DESCRIPTION = """\
Write what a run would ask, one request a line, in the form of OpenAI's batches (vLLM's run-batch takes it, too): for
engines that are not asked over a network. The results are scored by 'pytest --engine replay --model RESULTS' with the
same options. Options mean what they mean for pytest (pytest --help says more)."""

EXAMPLES = """\
examples:
  thinkslm prompts --model Qwen/Qwen2.5-1.5B-Instruct --task gsm8k --limit 100 -o batch.jsonl
  vllm run-batch -i batch.jsonl -o results.jsonl --model Qwen/Qwen2.5-1.5B-Instruct
  pytest --engine replay --model results.jsonl --task gsm8k --limit 100"""

#: Options of a run that have a say in what is asked, with their metavar (flags have none) and what they are.
_OPTIONS = {
    "task": ("T,...", "task keys, globs allowed (default: all)"),
    "style": ("S,...", "direct, cot, 5shot, 5shot-cot, 8shot (default: direct)"),
    "limit": ("N", "N items a task (default: all)"),
    "where": ("FACET=VALUE,...", "only items with these facets"),
    "sample": ("METHOD", "how --limit draws: stratified (default) or hash"),
    "stress": ("T[:K],...", "changed forms of each item, too, K of each transformation (default: none)"),
    "repeats": ("N", "samples an item (default: 1)"),
    "temperature": ("T", "0 is greedy decoding (default: 0)"),
    "top-p": ("P", "nucleus sampling mass (default: 1)"),
    "top-k": ("K", "the K likeliest tokens alone (default: 0, all)"),
    "min-p": ("P", "least share of the likeliest token's probability (default: 0)"),
    "presence-penalty": ("X", "taken off the logits of tokens that are there (default: 0)"),
    "max-tokens": ("N", "bound on new tokens an item (default: by task)"),
    "system": ("TEXT", "a system message in every prompt (default: none)"),
    "seed": ("N", "of the sampling noise (default: 0)"),
    "data-seed": ("N", "of sorting lists, exemplars and the sample (default: 0)"),
    "data-dir": ("DIR", "folder with the data sets' files (default: the hub)"),
    "hub-id": ("TASK=ID,...", "other hub ids for data sets"),
    "preset": ("NAME", "thinkslm (the study's protocol) or tour"),
    "accept-data": (None, "ask records that differ from their content pin, too"),
    "strict-data": (None, "stop at any record that differs from its content pin"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the subcommand takes."""
    parser.add_argument("--model", metavar="NAME", required=True, help="the model's name in the requests")
    for name, (metavar, meaning) in _OPTIONS.items():
        if metavar is None:
            parser.add_argument(f"--{name}", action="store_true", help=meaning)
        else:
            parser.add_argument(f"--{name}", metavar=metavar, help=meaning)
    parser.add_argument(
        "--thinks",
        action="store_true",
        help="the model thinks first: room for its thought on top of the answer's limit",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="where they go (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand; returns the exit status. Raises ``ThinkSLMError``."""
    raw = {name: getattr(arguments, name.replace("-", "_")) or None for name in _OPTIONS}
    # As for a server, which names its models itself: nothing is looked for on this machine. None is asked.
    settings = build_settings({**raw, "model": arguments.model, "engine": "openai", "server-url": "http://localhost"})
    if settings is None or len(settings.models) != 1:
        raise UsageError(f"prompts: --model {arguments.model!r}: give one model, its name goes into each request")
    lines = [
        json.dumps(batch_request(each, settings.models[0])) + "\n" for each in _requests(settings, arguments.thinks)
    ]
    if arguments.out is None:
        sys.stdout.writelines(lines)
        return 0
    path = expanded(arguments.out)
    try:
        write_text(path, "".join(lines))
    except OSError as error:
        raise UsageError(f"prompts: -o {path} cannot be written ({error.strerror or error})") from None
    shown = safe_text(str(path))
    print(f"{len(lines)} requests in {shown}; score the results with: pytest --engine replay --model RESULTS ...")
    return 0


def _requests(settings: Settings, thinks: bool) -> Iterator[Request]:
    """The requests of a run of one variant, each once (a seed question may be an item as well)."""
    refs: list[ItemRef] = []
    selector = Selector(settings, EngineFactory(settings, print))
    selector.check()
    for task in registry.select(settings.tasks):
        refs += selector.refs(task, f"test_{task.key}")
    planner = Planner(settings, refs, lambda variant: ThoughtRoom(thinks, None))
    asked: set[str] = set()
    for ref in refs:
        if planner.left_out(ref):
            continue
        cases = [planner.case(ref), *(extra.case for extra in planner.auxiliary(ref))]
        for case in cases:
            request = planner.request(ref, case)
            if custom_id(request) not in asked:
                asked.add(custom_id(request))
                yield request
