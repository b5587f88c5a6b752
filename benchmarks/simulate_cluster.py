"""How a run's time grows when replicas of a cluster are slow, die or hang: the true client on a clock that jumps.

    python benchmarks/simulate_cluster.py [--replicas 64] [--slots 15] [--requests 20000] [--mean 8] [--journal DIR]

Queue, slots, time-outs, pauses and repetitions are the openai engine's own (``engines/openai_client.py``): its event
loop runs on a virtual clock, and what it would send goes to a made-up router in the same process. A replica works at
``--slots`` requests at once, the rest wait in it. How long a request takes is drawn from recorded latencies, scaled to
a mean of ``--mean`` seconds: those of a run's journal, else quantiles that ship with this script (200 answers of
ARC-Easy and sorting lists by the llamacpp engine, 32 at once). The router gives a request to the less loaded of two
replicas drawn at random, as Ray Serve does, or to the next in turn. A replica that dies breaks off what it holds (a 500
each); the router knows of it.

Prints a Markdown table; times are those of the run over the time of one without faults. Exit status 1 where a
request that was answered was asked again, or one ended neither with an output nor with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import selectors
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_thinkslm.core.records import Message, Output, Sampling
from pytest_thinkslm.engines.openai_client import ChatClient
from pytest_thinkslm.engines.openai_wire import Chat, Failure, ServedModel

#: Of a latency over the mean, at 0%, 5%, ... 100%.
QUANTILES = (
    *(0.11, 0.22, 0.33, 0.44, 0.49, 0.53, 0.57, 0.63, 0.71, 0.78, 0.80),
    *(0.84, 1.02, 1.15, 1.23, 1.30, 1.41, 1.60, 1.78, 2.11, 4.07),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What befalls the replicas.

    Attributes:
        slow: how many take ``factor`` times as long.
        dead: how many die, a tenth of the run's even time after one another; None: each once.
        back: seconds after which a dead one is there again; None: never.
        hung: how many take requests and never answer, from a fifth of the run on.
    """

    title: str
    slow: int = 0
    factor: float = 1.0
    dead: int | None = 0
    back: float | None = None
    hung: int = 0
    together: bool = False


def scenarios(replicas: int) -> list[Scenario]:
    few, node = max(1, replicas // 16), max(1, replicas // 8)
    return [
        Scenario("no fault"),
        Scenario("1 replica takes 4 times as long", slow=1, factor=4.0),
        Scenario(f"{few} take 4 times as long", slow=few, factor=4.0),
        Scenario("1 takes 20 times as long", slow=1, factor=20.0),
        Scenario("1 dies for good", dead=1),
        Scenario(f"a node of {node} dies for good", dead=node, together=True),
        Scenario("each dies once, back after 120 s", dead=None, back=120.0),
        Scenario("all die at once, back after 60 s", dead=replicas, back=60.0, together=True),
        Scenario("1 hangs (no reply; time-out 600 s)", hung=1),
    ]


def main() -> None:
    arguments = read_arguments()
    latencies = recorded(arguments.journal, arguments.mean) if arguments.journal else quantiles(arguments.mean)
    rows, wrong, even = [], 0, {}
    for scenario in scenarios(arguments.replicas):
        cells = []
        for router in (two_choices, in_turn):
            done = simulated(scenario, router, latencies, arguments, even.get(router, 0.0))
            even.setdefault(router, done.seconds)
            wrong += done.twice + done.unaccounted
            cells += [f"{done.seconds / even[router]:.2f}", str(done.again), str(done.errors)]
        rows.append([scenario.title, *cells])
        print(f"{scenario.title}: {cells}", flush=True)
    print(f"\nEven time {even[two_choices]:.0f} s, in turn {even[in_turn]:.0f} s; {arguments.requests} requests.\n")
    print("| | time | asked again | errors | in turn: time | asked again | errors |\n|---|" + "---:|" * 6)
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    raise SystemExit(1 if wrong else 0)


@dataclass(frozen=True, slots=True)
class Done:
    """A run's virtual seconds, what was asked again, its errors, and what must be 0."""

    seconds: float
    again: int
    errors: int
    twice: int
    unaccounted: int


def simulated(
    scenario: Scenario, router: Choice, latencies: Callable[[random.Random], float], arguments: Any, even: float
) -> Done:
    chance = random.Random(arguments.seed)
    cluster = Cluster(scenario, router, latencies, arguments, even, chance)
    client = SimulatedClient(cluster, min(1000, arguments.replicas * arguments.slots), arguments.seed)
    chats = [Chat((Message("user", str(number)),), Sampling(max_tokens=512)) for number in range(arguments.requests)]
    futures = client.submit(chats)
    wait(futures)
    seconds = client.clock.now
    client.close()
    if even == 0 and (problem := futures[0].exception()):
        raise problem
    errors = sum(future.exception() is not None for future in futures)
    again = client.counters.attempts - len(chats)
    return Done(seconds, again, errors, cluster.twice, len(chats) - errors - client.counters.answered)


# The cluster.


@dataclass(eq=False, slots=True)
class Replica:
    """As many requests run as its ``room`` has places; ``load`` counts the waiting ones, too."""

    room: asyncio.Semaphore
    factor: float = 1.0
    alive: bool = True
    hung: bool = False
    load: int = 0
    works: set[asyncio.Task[None]] = field(default_factory=set)


Choice = Callable[["Cluster", Sequence[Replica]], Replica]


def two_choices(cluster: Cluster, replicas: Sequence[Replica]) -> Replica:
    """The less loaded of two at random."""
    return min(cluster.chance.choice(replicas), cluster.chance.choice(replicas), key=lambda one: one.load)


def in_turn(cluster: Cluster, replicas: Sequence[Replica]) -> Replica:
    """One after the other."""
    cluster.turn += 1
    return replicas[cluster.turn % len(replicas)]


class Cluster:
    """Replicas behind a router; every method runs in the client's loop."""

    def __init__(
        self,
        scenario: Scenario,
        router: Choice,
        latencies: Callable[[random.Random], float],
        arguments: Any,
        even: float,
        chance: random.Random,
    ) -> None:
        self.scenario, self.router, self.latencies, self.chance = scenario, router, latencies, chance
        self.replicas = [Replica(asyncio.Semaphore(arguments.slots)) for _ in range(arguments.replicas)]
        for one in self.replicas[: scenario.slow]:
            one.factor = scenario.factor
        self.even, self.turn, self.twice = even, 0, 0
        self.answered: Counter[str] = Counter()
        self.changed: asyncio.Event | None = None

    def begin(self) -> None:
        """Lay out the faults; called in the loop at its first request."""
        loop, self.changed = asyncio.get_running_loop(), asyncio.Event()
        dying = self.replicas if self.scenario.dead is None else self.replicas[: self.scenario.dead]
        for number, one in enumerate(dying):
            share = 0.3 if self.scenario.together else 0.1 + 0.8 * (number + 0.5) / len(dying)
            loop.call_at(share * self.even, self.die, one)
        for one in self.replicas[: self.scenario.hung]:
            loop.call_at(0.2 * self.even, setattr, one, "hung", True)

    def die(self, one: Replica) -> None:
        one.alive = False
        for work in list(one.works):
            work.cancel()
        if self.scenario.back is not None:
            asyncio.get_running_loop().call_later(self.scenario.back, self.revive, one)

    def revive(self, one: Replica) -> None:
        one.alive = True
        assert self.changed is not None
        self.changed.set()

    async def ask(self, key: str) -> bool:
        """Whether the request was answered; False: its replica died over it."""
        if self.changed is None:
            self.begin()
        assert self.changed is not None
        self.twice += key in self.answered
        while not (living := [one for one in self.replicas if one.alive]):
            self.changed.clear()
            await self.changed.wait()
        one = self.router(self, living)
        work = asyncio.get_running_loop().create_task(self.work(one))
        one.works.add(work)
        one.load += 1
        try:
            await work
        except asyncio.CancelledError:
            if not work.cancelled():  # the client's time-out
                work.cancel()
                raise
            return False
        finally:
            one.load -= 1
            one.works.discard(work)
        self.answered[key] += 1
        return True

    async def work(self, one: Replica) -> None:
        async with one.room:
            if one.hung:
                await asyncio.Event().wait()
            await asyncio.sleep(self.latencies(self.chance) * one.factor)


# The client, on a clock that jumps.


class Clock(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """In place of waiting for the next timer, it is that time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of its ``Clock``."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._jumping = clock

    def time(self) -> float:
        return self._jumping.now


class SimulatedClient(ChatClient):
    """The client of the openai engine; what it would send goes to the cluster."""

    def __init__(self, cluster: Cluster, concurrency: int, seed: int) -> None:
        super().__init__("http://127.0.0.1:1/v1", "simulated", concurrency=concurrency)
        self.cluster, self.clock = cluster, Clock()
        self._random = random.Random(seed)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = VirtualLoop(self.clock)
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self._loop

    def _connected(self) -> Any:
        return None

    async def _list_models(self, timeout: float) -> list[ServedModel] | Failure:
        return [ServedModel("simulated")]

    async def _call(self, send: Any, timeout: float) -> bytes | Failure:
        try:
            async with asyncio.timeout(timeout):
                answered = await send(None)
        except TimeoutError:
            return Failure("timeout", f"no answer in {timeout:g} s")
        return b"" if answered else Failure("server", "the replica died (500)")

    async def _send(self, client: Any, body: dict[str, object], chat: Chat) -> Any:
        return await self.cluster.ask(chat.messages[0].content)

    def _read(self, data: bytes, seconds: float, chat: Chat) -> Output | Failure:
        return Output(text="so it is", finish_reason="stop")


# Latencies.


def quantiles(mean: float) -> Callable[[random.Random], float]:
    def drawn(chance: random.Random) -> float:
        place = chance.random() * (len(QUANTILES) - 1)
        low = int(place)
        return mean * (QUANTILES[low] + (place - low) * (QUANTILES[low + 1] - QUANTILES[low]))

    return drawn


def recorded(journal: Path, mean: float) -> Callable[[random.Random], float]:
    found = [
        latency
        for file in journal.rglob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
        if isinstance(latency := json.loads(line).get("latency"), float) and latency > 0
    ]
    if not found:
        raise SystemExit(f"{journal}: no latency in it")
    scale = mean * len(found) / sum(found)
    return lambda chance: chance.choice(found) * scale


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--slots", type=int, default=15, help="requests that a replica works at")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--mean", type=float, default=8.0, help="seconds that a request takes on average")
    parser.add_argument("--journal", type=Path, help="a journal folder whose latencies are drawn from")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
