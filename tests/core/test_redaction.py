"""Secrets in every encoding that occurs, text that must stay as it is, and streams on which no write fails."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_thinkslm.core import redaction
from pytest_thinkslm.core.records import Output
from pytest_thinkslm.core.redaction import LEAST, MARK, Outlet, redacted
from pytest_thinkslm.core.text import safe_message, safe_text

KEY = 'sk-Zm9v/"ö&bar+17'


def encodings(secret: str) -> list[str]:
    data = secret.encode()
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
    ]


@pytest.mark.parametrize("form", encodings(KEY))
def test_a_key_is_taken_out_in_every_encoding(form: str) -> None:
    redaction.learn(KEY)
    assert redacted(f"a {form} b{form}") == f"a {MARK} b{MARK}"
    assert KEY not in safe_text(f"x{form}")


def test_a_password_of_an_address_alone_and_as_it_is_sent() -> None:
    redaction.learn_address("http://me:p%40ss-word@h:8000/v1")
    basic = base64.b64encode(b"me:p@ss-word").decode()
    for form in ("p@ss-word", "p%40ss-word", "me:p%40ss-word", basic):
        assert redacted(f"a {form} b") == f"a {MARK} b", form
    assert redacted("tell me the word") == "tell me the word"


def test_a_user_without_a_password_is_a_key() -> None:
    redaction.learn_address("http://tok%40en@h/v1")
    for form in ("tok@en", "tok%40en", base64.b64encode(b"tok@en:").decode()):
        assert redacted(f"a {form} b") == f"a {MARK} b", form


@pytest.mark.parametrize("key", ["k", "8", "EMPTY", "none", "1234567", "", "   ", "x-1"])
def test_what_cannot_be_told_from_ordinary_text_is_left(key: str) -> None:
    redaction.learn(key)
    text = "gsm8k: 1234567 EMPTY none x-1 k"
    assert redacted(text) == text


def test_a_secret_within_another_leaves_no_rest_of_it() -> None:
    redaction.learn("key-1234", "key-1234-and-more")
    assert redacted("key-1234-and-more key-1234") == f"{MARK} {MARK}"


@given(st.text(min_size=LEAST, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    redaction.forget()
    redaction.learn(secret)
    if secret.strip() in MARK or len(secret.strip()) < LEAST:
        return
    assert secret.strip() not in redacted(before + secret + after)


def test_the_environment() -> None:
    redaction.learn_environment(
        {
            "OPENAI_API_KEY": "sk-one-111",
            "HF_TOKEN": "hf_two222",
            "https_proxy": "http://u:three-333@p",
            "HOME": "/home/x",
        }
    )
    assert redacted("sk-one-111 hf_two222 three-333 /home/x") == f"{MARK} {MARK} {MARK} /home/x"


def test_a_token_file_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    redaction.learn_environment({"HF_TOKEN_PATH": str(tmp_path / "token")})
    assert not redaction.any_known()


def test_an_output_loses_a_key_that_is_said_back() -> None:
    redaction.learn(KEY)
    output = Output(f"the key is {KEY}", reasoning=f"hm {KEY}", output_tokens=3)
    assert redaction.redacted_output(output) == Output(f"the key is {MARK}", reasoning=f"hm {MARK}", output_tokens=3)
    clean = Output("42")
    assert redaction.redacted_output(clean) is clean


def test_a_message_shows_no_user_of_an_address_however_short() -> None:
    assert safe_message("http://u:PW@h/v1 failed") == f"http://{MARK}@h/v1 failed"
    assert safe_message("mail me@example.org, a @ b") == "mail me@example.org, a @ b"
    assert "\x1b" not in safe_message("\x1b[31mred")
    assert len(safe_message("x" * 100_000)) < 3_000


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "shift_jis", "utf-16", "utf-8"])
@given(text=st.text())
def test_any_text_can_be_written_in_any_encoding(encoding: str, text: str) -> None:
    outlet = Outlet(io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert outlet.write(text + "1–2 → 3 …") == len(text) + 9
    outlet.flush()
    assert not outlet.broken


def test_signs_of_our_own_become_ascii() -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii", write_through=True)
    Outlet(stream).write("1–2 → 3 … ≤ \u4e2d")
    assert buffer.getvalue() == rb"1-2 -> 3 ... <= \u4e2d"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_device_and_no_stream_at_all_are_no_errors() -> None:
    with open("/dev/full", "w") as full:
        outlet = Outlet(full)
        for _ in range(3):
            outlet.write("x" * 10_000)
            outlet.flush()
        assert outlet.broken
    assert Outlet(None).write("abc") == 3


def test_what_is_written_to_a_stream_has_no_secret() -> None:
    redaction.learn("sk-123456789")
    stream = io.StringIO()
    Outlet(stream, messages=True).write("sk-123456789 at http://a:b@c/")
    assert stream.getvalue() == f"{MARK} at http://{MARK}@c/"
