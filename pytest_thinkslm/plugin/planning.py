"""``--plan``: what the run would take, and the end. No model is loaded or fetched, no server asked, nothing written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

from pytest_thinkslm.core.errors import ThinkSLMError, pages
from pytest_thinkslm.core.files import expanded
from pytest_thinkslm.core.identity import ItemRef
from pytest_thinkslm.core.records import Request
from pytest_thinkslm.core.tables import Table, figure_columns, print_line, print_table, text_columns
from pytest_thinkslm.core.text import duration
from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.generating.plan import Load, loads, seconds_of, short, total
from pytest_thinkslm.generating.planner import Planner
from pytest_thinkslm.models.catalogue import catalogue
from pytest_thinkslm.models.prices import Price, price_of
from pytest_thinkslm.models.switches import LEVELS
from pytest_thinkslm.models.thought import ThoughtRoom
from pytest_thinkslm.models.token_counts import counter, estimated
from pytest_thinkslm.plugin.compat_pytest import Terminal
from pytest_thinkslm.plugin.run_gates import RunGates
from pytest_thinkslm.plugin.runner import ref_of
from pytest_thinkslm.settings.run_settings import Settings


class PlanPlugin:
    """Makes the plan of what was collected, and runs nothing.

    Args:
        settings: the run's settings.
        factory: its variants.
        gates: say what they will not see.
    """

    def __init__(self, settings: Settings, factory: EngineFactory, gates: RunGates) -> None:
        self._settings = settings
        self._factory = factory
        self._gates = gates
        self._found: list[tuple[int, str, Load]] = []
        self._prices: dict[int, Price | None] = {}
        self._counted = "estimated"
        self._foreseen: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read the data of what is selected, and weigh it."""
        refs = [ref for item in session.items if (ref := ref_of(item)) is not None]
        if not refs:
            return
        try:
            planner = Planner(self._settings, refs, self._room, lambda variant: self._settings.own_sampling())
            asked: dict[int, list[Request]] = defaultdict(list)
            for ref in refs:
                if not planner.left_out(ref):
                    asked[ref.variant] += _requests(planner, ref)
            for variant, requests in asked.items():
                name, room = self._factory.given_as(variant), self._room(variant)
                count, lengths = counter(name), self._factory.earlier(variant).lengths
                self._counted = self._counted if count is None else "counted by the model's own tokenizer"
                weighed = loads(requests, thinks=room.thinks, lengths=lengths, count=count or estimated)
                self._prices[variant] = price_of(name)
                self._found += [(variant, group, load) for group, load in weighed.items()]
            keys = [ref.key(self._factory.variants) for ref in refs]
            self._foreseen = self._gates.foresee(keys, every=True)
        except ThinkSLMError as error:
            raise pytest.UsageError(f"thinkslm: {error}") from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool:
        """No test is run."""
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """The plan."""
        if not self._found:
            return
        from rich.console import Console

        terminal = Terminal(config)
        console = Console(
            file=terminal.file, force_terminal=terminal.coloured, width=max(terminal.width, 72), highlight=False
        )
        terminalreporter.write_sep("=", "thinkslm: plan")
        print_table(console, self._table())
        for note in self._notes():
            print_line(console, note, "")
        for line in self._foreseen:
            terminalreporter.write_line(line)

    def _table(self) -> Table:
        several, prices = len(self._factory.variants) > 1, self._prices
        rows = [self._row(variant, group.split("|"), [load], prices[variant]) for variant, group, load in self._found]
        for variant in prices:
            parts = [load for own, _, load in self._found if own == variant]
            if len(parts) > 1:
                rows.append(self._row(variant, ["all", ""], parts, prices[variant]))
        if len(prices) > 1:
            rows.append(["all", "", "", *_figures(total(load for _, _, load in self._found)), "", ""])
        if not several:
            rows = [row[1:] for row in rows]
        columns = text_columns(*["variant"] * several, "task", "style")
        return Table([*columns, *figure_columns("outputs", "prompt tokens", "new tokens", "time", "price")], rows)

    def _row(self, variant: int, names: list[str], parts: list[Load], price: Price | None) -> list[str]:
        load = total(parts)
        seconds = seconds_of(load, self._factory.earlier(variant).rate)
        cost = None if price is None else price.of(load.prompt_tokens, load.new_tokens, seconds)
        return [
            self._factory.labels[self._factory.variants[variant]],
            *names,
            *_figures(load),
            "–" if seconds is None else duration(seconds),
            "–" if price is None or cost is None else f"{cost:.2f} {price.currency}",
        ]

    def _notes(self) -> Iterable[str]:
        if self._factory.name == "replay":
            yield "outputs are recorded: nothing is generated"
            return
        yield (
            f"prompt tokens are {self._counted}; new tokens are those of earlier runs here, else what capable models "
            f"usually write ({pages('limits')}), within the limit; what the journal has is not asked again"
        )
        if any(self._factory.earlier(variant).rate is None for variant in self._prices):
            yield "time: no earlier run of it here measured the rate; after one, --plan and each run's start say it"
        if None in self._prices.values():
            example = '"NAME" = { input = 0.4, output = 1.6 }'
            yield f"price: none is set; [tool.thinkslm.prices] in pyproject.toml, e.g. {example}"

    def _room(self, variant: int) -> ThoughtRoom:
        """Whether it thinks, as far as it can be told without fetching or asking anything."""
        thinking, name = self._settings.thinking, self._factory.given_as(variant)
        if self._factory.name == "replay" or thinking == "off":
            return ThoughtRoom(False, None)
        if self._factory.name != "openai" and expanded(name).is_dir():
            return self._factory.thought_room(variant)
        entry = catalogue().get(name)
        by_itself = entry is not None and entry.thinking in ("always", "on", "effort")
        return ThoughtRoom(by_itself or thinking == "on" or thinking in LEVELS, None)


def _requests(planner: Planner, ref: ItemRef) -> list[Request]:
    """An item's request, and those of the further cases that it carries."""
    return [planner.request(ref), *(planner.request(ref, extra.case) for extra in planner.auxiliary(ref))]


def _figures(load: Load) -> list[str]:
    return [str(load.requests), short(load.prompt_tokens), short(load.new_tokens)]


def no_workers(config: pytest.Config) -> None:
    """A plan is made in this process, whatever ``-n`` says."""
    config.option.dist, config.option.tx, config.option.distload, config.option.numprocesses = "no", [], False, 0
