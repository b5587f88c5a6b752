"""Fault drills: runs that are killed, terminated, interrupted, whose disks are full, and that meet other runs.

    python benchmarks/faults.py [--share 0.1] [--workdir DIR] [--seed N] [--only WORD] [--forked]

Each drill starts real runs of the suite in processes of their own, on recorded outputs (replay), on a server that this
script is (openai; it knows which replies it has sent), and on a checkpoint of random weights (transformers); with and
without ``-n 2``. Killed runs are started again until one is through. Counted are

- lost: replies that had left the server, or stood in the journal, half a second before a fault and are not in the
  journal after it (on a full disk: neither in the journal nor in the report);
- asked twice: outputs that were in the journal when a run began and were asked for again;
- unaccounted: collected items that are neither in items.jsonl nor reported as not asked by a run that ended by itself;
- wordless: runs that ended by themselves with a traceback, another status than 0, 1, 2 or 4, or a status that no
  sentence explains.

Full disks are small tmpfs mounts; a disk that turns read-only is a small ext4 image that the kernel is told to give up,
as it does after an error of the device (a plain remount is refused while files are open there). Both want Linux and
root, and are skipped elsewhere. ``--share`` takes a part of the drills, ``--only`` those whose name has
some words; ``--forked`` starts the runs as forks of this process, which has loaded torch, as that is most of what a
short run costs (workers of ``-n 2`` load it all the same). Prints a Markdown table; exit status 1 where anything was
counted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

TASKS = ("sort8_positive", "sort8_mixed", "sort16_positive", "sort16_mixed")
#: Items a task, by engine: enough that a fault meets work in progress.
LIMIT = {"replay": 50, "openai": 50, "transformers": 15}
#: KiB that are left on a disk that something else fills while a run writes to it; None: it is small from the start.
LEFT = (0, 4, 8, 16, 32, 64, 128, 256, 1024, None)
_DISK, _SMALL = 16 << 10, 48
#: Where a run has what, below its place.
_FOLDERS = {"journal": "journal", "report": "report", "TMPDIR": "tmp"}


@dataclass
class Tally:
    """One row of the table."""

    drill: str
    engine: str
    faults: int = 0
    runs: int = 0
    outputs: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def fault(self, kind: str, count: int, note: str) -> None:
        if count:
            self.wrong[kind] += count
            self.notes.append(f"{self.drill}, {self.engine}: {kind} {count}: {note}")


class Server:
    """An OpenAI-compatible server that notes when each reply had left it."""

    def __init__(self, latency: float) -> None:
        self.sent: list[tuple[float, str]] = []
        self.latency = latency
        self.down = threading.Event()
        self.number = 0
        self._lock = threading.Lock()
        self.http = _Http(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def replies(self, before: float) -> set[str]:
        with self._lock:
            return {reply for at, reply in self.sent if at < before}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.reply({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(server.latency)
                if server.down.is_set():
                    self.connection.close()
                    self.close_connection = True
                    return
                with server._lock:
                    server.number += 1
                    text = f"reply {server.number}: " + "so it goes, " * 20 + "\\boxed{1, 2}"
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
                self.reply({"id": "c", "object": "chat.completion", "created": 0, "model": body["model"],
                            "choices": [choice], "usage": usage})  # fmt: skip
                with server._lock:
                    server.sent.append((time.monotonic(), text))

            def reply(self, value: object) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()

        return Handler


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are what this server is for."""


class Drills:
    """Everything that the drills share."""

    def __init__(self, root: Path, share: float, seed: int, *, forked: bool = False) -> None:
        self.root = root
        self.forked = forked
        self.share = share
        self.draw = random.Random(seed)
        self.tallies: list[Tally] = []
        self._number = 0
        self._checkpoint: Path | None = None
        replay = root / "outputs.jsonl"
        replay.write_text("".join(
            json.dumps({"task": task, "item": item, "output": f"\\boxed{{{item}, 2}}" + " so" * 100}) + "\n"
            for task in TASKS for item in range(LIMIT["replay"])
        ))  # fmt: skip
        self.replay = replay

    def times(self, count: int) -> int:
        return max(1, round(count * self.share))

    def place(self) -> Path:
        self._number += 1
        place = self.root / f"drill-{self._number}"
        place.mkdir()
        return place

    def checkpoint(self) -> Path:
        if self._checkpoint is None:
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))
            from tiny_checkpoints import random_llama

            self._checkpoint = random_llama(self.root / "tiny")
        return self._checkpoint

    def command(self, engine: str, workers: int, place: Path, server: Server | None, *more: str) -> list[str]:
        arguments = {
            "replay": [f"--model={self.replay}", "--engine=replay", "--engine-args=latency=0.01"],
            "openai": ["--model=tiny", "--engine=openai", "--engine-args=concurrency=4,retries=1"],
            "transformers": [f"--model={self._checkpoint}", "--engine=transformers", "--engine-args=max_batch=8"],
        }[engine]
        if engine == "openai":
            assert server is not None
            arguments.append(f"--server-url={server.url}")
        return [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--task={','.join(TASKS)}"),
            *(f"--limit={LIMIT[engine]}", "--max-tokens=24", f"--journal-dir={place / 'journal'}"),
            *(f"--report-dir={place / 'report'}", *arguments, *(["-n2"] if workers else []), *more),
        ]

    def start(self, command: list[str], place: Path, **environment: str) -> subprocess.Popen[str]:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
        return subprocess.Popen(
            command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
            start_new_session=True, preexec_fn=partial(run_here, command, env) if self.forked else None,
        )  # fmt: skip


def run_here(command: list[str], environment: dict[str, str]) -> None:
    """In the child, where it would load another program: pytest, with what this process has loaded."""
    os.closerange(3, 1 << 12)  # with them the pipe that tells the parent of a failed start
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.path.insert(0, "")
    import pytest

    status = 3
    try:
        status = int(pytest.main(command[command.index("pytest") + 1 :]))
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(status)


def entries(journal: Path) -> Iterator[dict[str, Any]]:
    """The complete entries of a journal."""
    for path in journal.rglob("[!.]*.jsonl"):  # what a run writes and reads back to try the disk begins with a dot
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield json.loads(line)


def lines(report: Path) -> list[dict[str, Any]]:
    path = report / "items.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def finished(process: subprocess.Popen[str], seconds: float = 1_800) -> str:
    """What a run said until its end; its whole process group is gone then."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        said += "\nHANGS"
    return said


#: What explains a status: a table of results, a line of ours, or pytest's own word.
SENTENCES = {
    0: r"passed|incorrect|unparsed|truncated|failed",
    1: r"thinkslm: |error",
    2: r"!!!|Interrupted",
    4: r"thinkslm: ",
}


def judge_ending(tally: Tally, status: int, said: str) -> None:
    tally.runs += 1
    if (
        status not in SENTENCES
        or not re.search(SENTENCES[status], said)
        or re.search(r"Traceback|INTERNALERROR|HANGS", said)
    ):
        tally.fault("wordless", 1, f"status {status}: {said[-1500:]}")


def judge_report(tally: Tally, said: str, report: Path, expected: int) -> None:
    """Of a run that ended by itself, uninterrupted: every item is in the file or was reported as not asked."""
    found = len(lines(report))
    skipped = sum(int(number) for number in re.findall(r"(\d+) skipped", said)[-1:])
    tally.outputs += found
    tally.fault("unaccounted", abs(expected - found - skipped), f"{found} lines, {skipped} skipped of {expected}")


def items_of(engine: str) -> int:
    return LIMIT[engine] * len(TASKS)


def signals(drills: Drills, engine: str, workers: int, number: signal.Signals, count: int) -> None:
    """Runs that get a signal at a random moment, on one journal until one is through, then on the next."""
    tally = Tally(f"{number.name}{', -n 2' if workers else ''}", engine)
    drills.tallies.append(tally)
    server = Server(0.03) if engine == "openai" else None
    if engine == "transformers":
        drills.checkpoint()
    place = drills.place()
    while tally.faults < count:
        before = Counter(entry["key"] for entry in entries(place / "journal"))
        process = drills.start(drills.command(engine, workers, place, server), place)
        wait_for_work(process, place, engine, len(before))
        time.sleep(drills.draw.uniform(0, 1.0 if engine == "transformers" else 2.5))
        through = process.poll() is not None
        at = time.monotonic()
        if not through:
            process.send_signal(number)
            tally.faults += 1
        said = finished(process)
        time.sleep(0.3)  # workers notice that their controller has gone, and the server that its clients have
        after = list(entries(place / "journal"))
        keys = Counter(entry["key"] for entry in after)
        tally.fault("lost", sum((before - keys).values()), "entries of the journal have gone")
        tally.fault("asked twice", sum(keys[key] > 1 for key in keys), "entries of one key")
        if server is not None:
            kept = {entry["output"] for entry in after}
            lost = {text: round(at - sent, 2) for sent, text in server.sent if sent < at - 0.5 and text not in kept}
            tally.fault("lost", len(lost), f"replies are not in the journal, sent so many seconds before: {lost}")
            server.sent.clear()  # what was on its way to a dead client counts for none of the next
        if through or number != signal.SIGKILL:
            judge_ending(tally, process.returncode, said)
            tally.outputs += len(lines(place / "report"))
        if process.returncode == 0:
            judge_report(tally, said, place / "report", items_of(engine))
            place = drills.place()
    process = drills.start(drills.command(engine, workers, place, server), place)
    said = finished(process)
    judge_ending(tally, process.returncode, said)
    judge_report(tally, said, place / "report", items_of(engine))


def wait_for_work(process: subprocess.Popen[str], place: Path, engine: str, known: int) -> None:
    """Until something new was generated (reported, on recorded outputs), or the run is over."""
    spool = place / "report" / ".items.unsorted.jsonl"
    while process.poll() is None:
        if engine == "replay" and spool.is_file() and spool.stat().st_size:
            return
        if engine != "replay" and sum(1 for _ in entries(place / "journal")) > known:
            return
        time.sleep(0.05)


def worker_kills(drills: Drills, engine: str, count: int) -> None:
    """One of two workers is killed; a new one takes over, and nothing is asked twice."""
    tally = Tally("worker killed, -n 2", engine)
    drills.tallies.append(tally)
    server = Server(0.03) if engine == "openai" else None
    if engine == "transformers":
        drills.checkpoint()
    for _ in range(count):
        place = drills.place()
        process = drills.start(drills.command(engine, 1, place, server), place)
        wait_for_work(process, place, engine, 0)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        if workers:
            os.kill(drills.draw.choice(workers), signal.SIGKILL)
            tally.faults += 1
        said = finished(process)
        judge_ending(tally, process.returncode, said)
        judge_report(tally, said, place / "report", items_of(engine))
        keys = Counter(entry["key"] for entry in entries(place / "journal"))
        tally.fault("asked twice", sum(times > 1 for times in keys.values()), "entries of one key")


def engine_kills(drills: Drills, workers: int, count: int) -> None:
    """The server goes away in the middle of a run, and is there again for the next."""
    tally = Tally(f"engine killed{', -n 2' if workers else ''}", "openai")
    drills.tallies.append(tally)
    for _ in range(count):
        server, place = Server(0.03), drills.place()
        process = drills.start(drills.command("openai", workers, place, server), place)
        wait_for_work(process, place, "openai", 0)
        server.down.set()
        tally.faults += 1
        said = finished(process)
        judge_ending(tally, process.returncode, said)
        judge_report(tally, said, place / "report", items_of("openai"))
        before = {entry["key"] for entry in entries(place / "journal")}
        server.down.clear()
        process = drills.start(drills.command("openai", workers, place, server), place)
        said = finished(process)
        judge_ending(tally, process.returncode, said)
        judge_report(tally, said, place / "report", items_of("openai"))
        keys = Counter(entry["key"] for entry in entries(place / "journal"))
        tally.fault("lost", len(before - set(keys)), "entries have gone")
        tally.fault("asked twice", sum(times > 1 for times in keys.values()), "entries of one key")


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount(root: Path) -> bool:
    try:
        with small_disk(root / "probe", 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def ext4_disk(folder: Path) -> Iterator[None]:
    image = folder.with_name(f"{folder.name}.ext4")
    with image.open("wb") as file:
        file.truncate(_DISK << 10)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)], check=True)
    try:
        shutil.rmtree(folder / "lost+found")
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disks(drills: Drills, engine: str, workers: int, what: str, sizes: tuple[int | None, ...]) -> None:
    """The journal, the report folder or the folder of temporary files lies on a disk that is full sooner or later."""
    tally = Tally(f"full disk: {what}{', -n 2' if workers else ''}", engine)
    drills.tallies.append(tally)
    for left in sizes:
        place = drills.place()
        disk = place / _FOLDERS[what]
        with small_disk(disk, _SMALL if left is None else _DISK):
            filled = None if left is None else partial(fill, disk / "filler", left)
            run_on(disk, drills, tally, workers, place, filled, f"{left} KiB left")


def read_only_disks(drills: Drills, engine: str, workers: int, what: str, count: int) -> None:
    """The disk of the journal, the report folder or temporary files turns read-only under the run."""
    tally = Tally(f"read-only disk: {what}{', -n 2' if workers else ''}", engine)
    drills.tallies.append(tally)
    for _ in range(count):
        place = drills.place()
        disk = place / _FOLDERS[what]
        with ext4_disk(disk):
            aborted = partial(subprocess.run, ["mount", "-o", "remount,abort", str(disk)], check=True)
            run_on(disk, drills, tally, workers, place, aborted, "read-only")


def run_on(
    disk: Path,
    drills: Drills,
    tally: Tally,
    workers: int,
    place: Path,
    trouble: Callable[[], object] | None,
    what: str,
) -> None:
    """A run with a folder of its own on a disk that gets into trouble once the run has begun, or is so already."""
    server = Server(0.03) if tally.engine == "openai" else None
    environment = {"TMPDIR": str(disk)} if disk.name == _FOLDERS["TMPDIR"] else {}
    if tally.engine == "transformers":
        drills.checkpoint()
    before: set[str] = set()
    process = drills.start(drills.command(tally.engine, workers, place, server), place, **environment)
    if trouble is not None:
        wait_for_work(process, place, tally.engine, 0)
        time.sleep(drills.draw.uniform(0, 0.5))
        before = {entry["key"] for entry in entries(place / "journal")}
        trouble()
    said = finished(process)
    tally.faults += 1
    judge_ending(tally, process.returncode, said)
    found = re.findall(r"^files: (\S+) \(", said, re.MULTILINE)
    report = place / found[-1] if found else place / "report"
    if process.returncode != 4:
        judge_report(tally, f"{what}: {said}", report, items_of(tally.engine))
    after = list(entries(place / "journal"))
    tally.fault("lost", len(before - {entry["key"] for entry in after}), f"{what}: entries of the journal have gone")
    kept = {line["output"] for line in lines(report)} | {entry["output"] for entry in after}
    if server is not None:
        lost = server.replies(time.monotonic()) - kept
        tally.fault("lost", len(lost), f"{what}: replies are nowhere: {said[-1500:]}")


def fill(path: Path, left: int) -> None:
    """Take all room of a disk but so many KiB."""
    size = 0
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while written := file.write(bytes(1 << 12)):
            size += written
    os.truncate(path, max(0, size - (left << 10)))


def two_runs(drills: Drills, engine: str, workers: int, count: int) -> None:
    """Two runs at once on one journal with folders of their own, and two in one folder."""
    tally = Tally(f"two runs, one journal, one folder{', -n 2' if workers else ''}", engine)
    drills.tallies.append(tally)
    if engine == "transformers":
        drills.checkpoint()
    for _ in range(count):
        place = drills.place()
        server = Server(0.03) if engine == "openai" else None
        first = drills.start(drills.command(engine, workers, place, server), place)
        beside = drills.command(engine, workers, place, server, f"--report-dir={place / 'beside'}")
        second = drills.start(beside, place)
        while not (place / "report" / ".lock").exists() and first.poll() is None:
            time.sleep(0.05)
        third = drills.start(drills.command(engine, workers, place, server), place)
        tally.faults += 1
        refused = finished(third)
        judge_ending(tally, third.returncode, refused)
        if third.returncode != 4 and first.poll() is None:
            tally.fault("lost", 1, f"a second run in one folder was let in: {refused[-500:]}")
        for process, report in ((first, place / "report"), (second, place / "beside")):
            said = finished(process)
            judge_ending(tally, process.returncode, said)
            judge_report(tally, said, report, items_of(engine))
        before = Counter(entry["key"] for entry in entries(place / "journal"))
        again = drills.start(drills.command(engine, workers, place, server, f"--report-dir={place / 'again'}"), place)
        said = finished(again)
        judge_ending(tally, again.returncode, said)
        judge_report(tally, said, place / "again", items_of(engine))
        tally.fault("asked twice", (Counter(e["key"] for e in entries(place / "journal")) - before).total(), "again")


#: How a drill's name says with how many processes it is run.
WORKERS = ("alone", "n2")


def plan(drills: Drills) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every drill, by name."""
    shares = {signal.SIGKILL: 100, signal.SIGTERM: 20, signal.SIGINT: 20}
    for number, total in shares.items():
        for engine, part in (("replay", 0.2), ("openai", 0.5), ("transformers", 0.3)):
            for workers in (0, 1):
                count = drills.times(round(total * part / 2))
                yield (
                    f"{number.name} {engine} {WORKERS[workers]}",
                    lambda e=engine, w=workers, n=number, c=count: signals(drills, e, w, n, c),
                )
    for engine in ("replay", "openai", "transformers"):
        yield f"worker {engine} n2", lambda e=engine: worker_kills(drills, e, drills.times(3))
    for workers in (0, 1):
        yield f"engine openai {WORKERS[workers]}", lambda w=workers: engine_kills(drills, w, drills.times(3))
    if can_mount(drills.root):
        sizes = LEFT if drills.share >= 1 else LEFT[::3]
        for engine, what, workers in product(LIMIT, _FOLDERS, (0, 1)):
            if engine == "replay" and what == "journal":
                continue  # recorded outputs are in no journal
            words = f"disk {engine} {what} {WORKERS[workers]}"
            yield f"full {words}", partial(full_disks, drills, engine, workers, what, sizes)
            if engine == "openai":
                yield f"read-only {words}", partial(read_only_disks, drills, engine, workers, what, drills.times(3))
    else:
        print("full disks: skipped, since nothing can be mounted here", file=sys.stderr)
    for engine in ("replay", "openai", "transformers"):
        for workers in (0, 1):
            yield (
                f"two {engine} {WORKERS[workers]}",
                lambda e=engine, w=workers: two_runs(drills, e, w, drills.times(2)),
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="part of the drills, at least one of each (1.0)")
    parser.add_argument(
        "--only", default="", help="the drills whose name has these words: SIGKILL, disk, two, replay, n2"
    )
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forked", action="store_true", help="run in forks of this process, with torch loaded once")
    options = parser.parse_args()
    root = options.workdir or Path(tempfile.mkdtemp(prefix="faults-"))
    root.mkdir(parents=True, exist_ok=True)
    drills = Drills(root, options.share, options.seed, forked=options.forked)
    if options.forked:
        os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
        drills.checkpoint()
    started = time.monotonic()
    for name, drill in plan(drills):
        if all(word in name.split() for word in options.only.split()):
            drill()
            row = drills.tallies[-1]
            print(f"{time.monotonic() - started:.0f} s: {row.drill}, {row.engine}: {dict(row.wrong) or 'nothing'}",
                  file=sys.stderr, flush=True)  # fmt: skip
    kinds = ("lost", "asked twice", "unaccounted", "wordless")
    print(
        "| drill | engine | faults | runs that ended by themselves | items in their reports | "
        + " | ".join(kinds)
        + " |"
    )
    print("|---|---|---:|---:|---:|" + "---:|" * len(kinds))
    for row in drills.tallies:
        cells = [row.drill, row.engine, row.faults, row.runs, row.outputs, *(row.wrong[kind] for kind in kinds)]
        print("| " + " | ".join(map(str, cells)) + " |")
    for row in drills.tallies:
        print(*row.notes[:3], sep="\n", end="\n" if row.notes else "")
    return 1 if any(row.wrong for row in drills.tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
