"""The drill of benchmarks/cluster.py, small: two replicas as processes behind one address, one of them killed."""

import itertools
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from loopback_server import LoopbackServer
from replayed import items

REPLICA = """
import itertools, json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

numbers = itertools.count(1)

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if next(numbers) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        message = {"role": "assistant", "content": "The sorted list is \\\\boxed{1, 2, 3}."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 19}
        body = json.dumps({"id": "1", "model": "small", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
ITEMS = 40


@pytest.fixture
def replicas():
    """Two processes, each with its port; the second is killed while it is at its sixth request."""
    commands = [[sys.executable, "-SIc", REPLICA, last] for last in ("0", "6")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    yield [(process, int(process.stdout.readline())) for process in started]
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def service(replicas):
    """One address: requests go to the replicas in turn, to the other one where nobody listens any more."""
    turns = itertools.count()

    class Router(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format, *args):
            pass

        def do_GET(self):
            self.reply(b'{"object": "list", "data": [{"id": "small", "object": "model"}]}')

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place = next(turns)
            alive = [port for process, port in replicas if process.poll() is None]
            request = urllib.request.Request(f"http://127.0.0.1:{alive[place % len(alive)]}{self.path}", body)
            try:
                with opener.open(request) as reply:
                    self.reply(reply.read())
            except OSError:  # its replica is gone, with what it was at
                self.close_connection = True

        def reply(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with LoopbackServer(Router) as server:
        yield server.http.server_address[1]


def settled(between):
    """The ledger when its last reply is noted, which comes after it is sent."""
    while between.begin_fault():
        time.sleep(0.01)
    return between.ledger()


def test_what_a_killed_replica_was_at_is_asked_again_and_nothing_else(pytester, replicas, service, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from relay import relay

    with relay(service) as between:
        command = [f"--server-url={between.url}", "--engine=openai", "--model=small", "--task=sort8_positive"]
        command += [f"--limit={ITEMS}", "--engine-args=concurrency=8", "-p", "no:cacheprovider"]
        pytester.runpytest_inprocess(*command, "--report-dir=first")
        first = settled(between)
        pytester.runpytest_inprocess(*command, "--report-dir=second")
        second = settled(between)
    assert replicas[1][0].wait() == -signal.SIGKILL
    assert first.broken > 0, "requests were in flight"
    assert (first.distinct, first.replied, first.twice) == (ITEMS, ITEMS, 0)
    assert first.attempts == ITEMS + first.broken
    assert second == first, "the journal has it all"
    for name in ("first", "second"):
        verdicts = Counter(line["verdict"] for line in items(pytester.path / name))
        assert verdicts.total() == ITEMS
        assert verdicts["error"] == 0
