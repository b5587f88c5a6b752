"""The process in which llama.cpp runs: loads a GGUF model, serves it on a loopback port, ends with its parent.

Started as ``python -m pytest_thinkslm.engines.llamacpp_worker FD`` by ``llamacpp_server``. FD is one end of a socket:
the parent sends an ``Order`` over it (pickled; both ends are this program), the worker answers with its address, and
the end of the socket ends the worker. The key never stands on a command line or in an environment.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection


@dataclass(frozen=True, slots=True)
class Order:
    """What to load and how.

    Attributes:
        file: the GGUF file, the first part of a split one.
        key: what requests have to carry.
        slots: sequences at once.
        context: tokens of a slot, prompt and answer.
        threads: of computation.
        arguments: further fields of llama.cpp's parameters, by name.
        cache_type: how keys and values are stored, by ggml's name; empty: as llama.cpp does.
    """

    file: str
    key: str
    slots: int
    context: int
    threads: int
    arguments: tuple[tuple[str, int], ...] = ()
    cache_type: str = ""


def main(descriptor: int) -> None:
    """Serve until the parent is gone or has had enough."""
    connection = Connection(descriptor)
    order: Order = connection.recv()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order.file
    params.api_keys = [order.key]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel, params.n_ctx = order.slots, order.slots * order.context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order.threads
    # No page for browsers, no copies of old prompts in memory; prompts are rendered by the parent.
    params.ui, params.endpoint_slots, params.cache_ram_mib, params.warmup = False, False, 0, False
    for name, value in order.arguments:
        setattr(params, name, value)
    if order.cache_type:
        params.cache_type_k = params.cache_type_v = getattr(
            xllamacpp.ggml_type, f"GGML_TYPE_{order.cache_type.upper()}"
        )
    try:
        server = xllamacpp.Server(params)
        found = [(str(device.get("name")), str(device.get("description"))) for device in xllamacpp.get_device_info()]
        devices = [title for name, title in found if name != "CPU"]
        connection.send((str(server.listening_address), {"version": _version(), "devices": devices}))
    except Exception as problem:  # a C++ error's text is all that there is
        connection.send((None, f"{type(problem).__name__}: {problem}"))
        os._exit(1)
    try:
        while True:
            connection.recv()
    except (EOFError, OSError):
        pass
    # Native threads may be in the middle of a step; everything has been said.
    os._exit(0)


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("xllamacpp")


if __name__ == "__main__":
    main(int(sys.argv[1]))
