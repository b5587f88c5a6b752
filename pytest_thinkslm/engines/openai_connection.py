"""How a server is reached: certificates to trust, proxies, the HTTP client."""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import ModelError, UsageError
from pytest_thinkslm.engines.openai_wire import Endpoint


def connected(endpoint: Endpoint, timeout: float, tls: ssl.SSLContext) -> Any:
    """The official client for an endpoint; importing it takes most of a second.

    Raises ModelError for a proxy in the environment that the HTTP library cannot take, or a name that no header can.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):  # which that client sends along
        if not (value := os.environ.get(name, "")).isascii() or (value and not value.isprintable()):
            raise ModelError(f"{name} holds a character that no header can carry: set it again, or unset it")

    try:
        # A proxy from the environment is no way to reach a server on this machine.
        http = DefaultAsyncHttpxClient(trust_env=not endpoint.loopback, timeout=timeout, verify=tls)
    except Exception as error:  # a scheme, a package, a port
        raise ModelError(_about_proxies(error)) from None
    return AsyncOpenAI(
        api_key=endpoint.key,
        base_url=endpoint.url,
        max_retries=0,
        timeout=timeout,
        default_headers={"Authorization": f"Basic {endpoint.basic}"} if endpoint.basic else None,
        http_client=http,
    )


def trusted(ca: Path | None, *, plain: bool = False) -> ssl.SSLContext:
    """Certificates to trust: the machine's (and certifi's where it is installed), those of SSL_CERT_FILE and of ``ca``.

    Args:
        ca: file with more of them.
        plain: the server is asked without TLS, so that it does not matter what SSL_CERT_FILE names.

    Raises:
        UsageError: a file holds none.
    """
    if plain and ca is None:
        return ssl.create_default_context()
    named = [("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE")), ("--engine-args ca", str(ca) if ca else None)]
    given = [(source, file) for source, file in named if file]
    for source, file in given:  # OpenSSL would wait for a pipe
        with _certificates_of(source, file):
            files.open_file(Path(file)).close()
    context = ssl.create_default_context()  # SSL_CERT_DIR is OpenSSL's own
    if importlib.util.find_spec("certifi") is not None:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    for source, file in given:
        with _certificates_of(source, file):
            context.load_verify_locations(cafile=file)
    return context


@contextmanager
def _certificates_of(source: str, file: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:  # SSLError is one, whose strerror says less
        why = problem if isinstance(problem, ssl.SSLError) else problem.strerror or problem
        raise UsageError(f"{source}={file}: no certificates can be read from it ({why})") from None


def _about_proxies(error: Exception) -> str:
    """Why no connection can be made with the proxies of the environment; their addresses may hold passwords."""
    names = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    values = [os.environ.get(name) or os.environ.get(name.lower()) or "" for name in names]
    if any(value.lower().startswith("socks") for value in values):
        return (
            f"{' and '.join(names)}: a SOCKS proxy, for which the package socksio is needed: pip install socksio, "
            "or unset the variable, or add the server to NO_PROXY"
        )
    return (
        f"no connection can be made with the proxies of the environment ({', '.join(names) or 'none is set'}): "
        f"{type(error).__name__}; give them as http://HOST:PORT, or add the server to NO_PROXY"
    )


_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
