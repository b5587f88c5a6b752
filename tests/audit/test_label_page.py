"""``thinkslm label --web``: who is answered and who is not, and what a person does with the page in Chromium."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from audited_runs import judged, line, run_of

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.audit.labelling import Labelling
from pytest_thinkslm.audit.labels import read_labels
from pytest_thinkslm.reports.label_page import LabelServer

HOSTILE = (
    "<script>document.title='alive'</script><img src=x onerror=\"document.title='alive'\">\\(\\frac{1}{2}\\) &lt; "
    "\\(\\href{javascript:alert(1)}{x}\\) $\\def\\a{\\a\\a}\\a$"
)
GOLD = {"judgement": "wrong", "first_error_step": "2", "reason": "It adds where it has to multiply."}


@pytest.fixture
def sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Four outputs: three of a sorting task, hostile texts among them, and a review of a wrong solution."""
    path = tmp_path / "labels.csv"
    lines = [line(n, True, output=HOSTILE if n == 1 else f"It is {n}.") for n in range(3)]
    lines.append(line(0, True, judged("correct"), task="mr_gsm", gold=GOLD, output="Step 2 adds."))
    assert main(["audit", str(run_of(tmp_path / "run", lines, "jury-1")), "--out", str(path)]) == 0
    capsys.readouterr()
    return path


@pytest.fixture
def server(sheet: Path) -> Iterator[LabelServer]:
    with LabelServer(Labelling(read_labels(sheet))) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    server: LabelServer,
    path: str,
    said: object = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request, under the server's own name and secret unless said otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {"Host": f"127.0.0.1:{server.server_port}", **(headers or {})}
    body = None
    if said is not None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        given = {"Content-Type": "application/json", **given}
    connection.request("POST" if body is not None else "GET", f"/{token or server.token}/{path}", body, given)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def labels(path: Path) -> list[str | None]:
    read = read_labels(path)
    return [read.label(position) for position in range(len(read))]


def place_of(path: Path, task: str) -> int:
    read = read_labels(path)
    return next(position for position in range(len(read)) if read.text(position, "task") == task)


def test_answers_are_saved_at_once_and_the_next_output_follows(server: LabelServer, sheet: Path) -> None:
    state = json.loads(ask(server, "state")[2])
    assert state == {"name": "labels.csv", "outputs": 4, "done": 0, "next": 0}
    status, _, body = ask(server, "items/0", {"label": "incorrect"})
    assert (status, json.loads(body)) == (200, {"outputs": 4, "done": 1, "next": 1})
    assert labels(sheet) == ["incorrect", None, None, None]
    assert json.loads(ask(server, "items/0", {"note": "=odd"})[2])["next"] == 0
    assert read_labels(sheet).text(0, "note") == "=odd"
    assert json.loads(ask(server, "items/0")[2])["label"] == "incorrect"


def test_an_error_reason_is_asked_for_where_judgement_and_step_are_right(server: LabelServer, sheet: Path) -> None:
    place = place_of(sheet, "mr_gsm")
    item = json.loads(ask(server, f"items/{place}")[2])
    assert item["takes_reason"]
    assert "It adds where it has to multiply." in item["gold"]
    assert ask(server, f"items/{place}", {"reason": "correct"})[0] == 400, "the label comes first"
    assert json.loads(ask(server, f"items/{place}", {"label": "correct"})[2])["next"] == place
    assert json.loads(ask(server, f"items/{place}")[2])["asked"] == "reason"
    assert json.loads(ask(server, f"items/{place}", {"reason": "incorrect"})[2])["done"] == 1
    read = read_labels(sheet)
    assert (read.label(place), read.reason(place)) == ("correct", "incorrect")
    assert [read.takes_reason(position) for position in range(4)].count(True) == 1


STRANGERS: list[dict[str, Any]] = [
    {"token": "x" * 43},
    {"token": ""},
    {"token": "%C3%BC"},
    {"headers": {"Host": "evil.example"}},
    {"headers": {"Host": "127.0.0.1"}},
    {"headers": {"Host": "127.0.0.1:1"}},
    {"headers": {"Origin": "http://evil.example"}},
    {"headers": {"Origin": "null"}},
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda given: str(given)[:40])
@pytest.mark.parametrize("said", [None, {"label": "correct"}], ids=["get", "post"])
def test_strangers_find_nothing(server: LabelServer, sheet: Path, stranger: dict[str, Any], said: object) -> None:
    if stranger.get("token") == "":
        stranger = {"token": "/"}
    status, headers, body = ask(server, "items/0", said, **stranger)
    assert (status, body) == (404, b"not found\n")
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert labels(sheet) == [None] * 4


@pytest.mark.parametrize(
    ("path", "said", "headers", "status"),
    [
        ("items/0", {"label": "yes"}, {}, 400),
        ("items/0", {}, {}, 400),
        ("items/0", [1], {}, 400),
        ("items/0", b"{", {}, 400),
        ("items/0", b"[" * 30_000, {}, 400),
        ("items/0", {"note": "x" * 70_000}, {}, 400),
        ("items/0", {"label": "correct"}, {"Content-Type": "text/plain"}, 400),
        ("items/0", {"label": "correct"}, {"Content-Length": "9" * 5_000}, 400),
        ("items/9", {"label": "correct"}, {}, 404),
        ("items/-1", {"label": "correct"}, {}, 404),
        ("items/x", {"label": "correct"}, {}, 404),
        ("nothing", {"label": "correct"}, {}, 404),
        ("../labels.csv", None, {}, 404),
        ("items/" + "9" * 400, None, {}, 404),
        ("server.py", None, {}, 404),
    ],
)
def test_what_is_no_answer_is_refused(
    server: LabelServer, sheet: Path, path: str, said: object, headers: Mapping[str, str], status: int
) -> None:
    assert ask(server, path, said, headers)[0] == status
    assert labels(sheet) == [None] * 4


def test_no_script_but_the_servers_own_may_run(server: LabelServer) -> None:
    for path in ("", "label.js", "label.css", "state", "items/1"):
        status, headers, body = ask(server, path)
        assert status == 200
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        assert headers["Cache-Control"] == "no-store"
        assert server.token.encode() not in body


def test_another_programs_change_is_not_overwritten(server: LabelServer, sheet: Path) -> None:
    sheet.write_text(sheet.read_text() + "\n")
    status, _, body = ask(server, "items/0", {"label": "correct"})
    assert status == 409
    assert "was changed by another program" in json.loads(body)["error"]
    assert labels(sheet) == [None] * 4


def test_a_browser_that_goes_away_is_no_traceback(server: LabelServer, capsys: pytest.CaptureFixture[str]) -> None:
    def answering() -> bool:
        return any("process_request_thread" in thread.name for thread in threading.enumerate())

    def wait_until(wanted: bool) -> None:
        end = time.monotonic() + 20
        while answering() is not wanted and time.monotonic() < end:
            time.sleep(0.01)
        assert answering() is wanted

    with socket.create_connection(("127.0.0.1", server.server_port)) as gone:
        gone.sendall(b"GET /")
        wait_until(True)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
    wait_until(False)
    assert capsys.readouterr().err == ""
    assert ask(server, "state")[0] == 200


def test_it_listens_on_the_loopback_alone(server: LabelServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 43


def test_the_command_says_where_and_goes_on_where_it_was(sheet: Path) -> None:
    for first, word in enumerate(("incorrect", "unclear")):
        command = [sys.executable, "-m", "pytest_thinkslm", "label", str(sheet), "--web", "--annotator", "ann"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/([\w-]{43})/\n", process.stdout.readline())
                assert found is not None
                connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
                connection.request("GET", f"/{found[2]}/state")
                place = json.loads(connection.getresponse().read())["next"]
                assert place == first
                connection.request(
                    "POST",
                    f"/{found[2]}/items/{place}",
                    json.dumps({"label": word}),
                    {"Content-Type": "application/json"},
                )
                assert connection.getresponse().read()
                connection.close()
                process.send_signal(signal.SIGINT)
                said = process.stdout.read()
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()
        assert f"{first + 1} of 4 labelled" in said
    assert labels(sheet.with_name("labels.ann.csv"))[:2] == ["incorrect", "unclear"]


def test_a_port_that_is_taken_is_said(server: LabelServer, sheet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", str(sheet), "--web", "--port", str(server.server_port)]) == 4
    assert "cannot be listened on" in capsys.readouterr().err
    assert main(["label", str(sheet), "--web", "--port", "70000"]) == 4
    assert "a port is a number" in capsys.readouterr().err


# In Chromium

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, server: LabelServer) -> Iterator[Any]:
    """The page, dark on a phone; at the end it has neither complained nor asked for anything but its server."""
    phone = request.param == "phone"
    context = browser.new_context(
        viewport={"width": 360, "height": 640} if phone else {"width": 1200, "height": 800},
        color_scheme="dark" if phone else "light",
        has_touch=phone,
    )
    opened, said, asked = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda sent: asked.append(sent.url))
    opened.goto(server.address)
    shows(opened, "1/4")
    yield opened
    assert said == []
    assert all(url.startswith((server.address, "data:,")) for url in asked)
    context.close()


def shows(page: Any, text: str, element: str = "#place") -> None:
    """Wait until an element holds the text, and the page takes keys."""
    page.locator(element, has_text=text).wait_for(timeout=15_000)
    page.locator("#finish:not([disabled])").wait_for(timeout=15_000)


@in_chromium
def test_one_key_or_one_button_is_an_answer(page: Any, server: LabelServer, sheet: Path) -> None:
    review = place_of(sheet, "mr_gsm")
    page.keyboard.press("m")  # texts as they were written
    for position in range(4):
        shows(page, f"{position + 1}/4 · {position} labelled")
        assert page.locator("#output").text_content() == read_labels(sheet).text(position, "output")
        if position == 1:
            page.keyboard.press("i")
        elif position == review:
            page.click("[data-answer=correct]")
            shows(page, "Is the error that the output names the true one?", "#asked")
            shows(page, f"{position + 1}/4 · {position} labelled")
            assert page.locator("#answers span").all_text_contents() == ["yes", "no", "unclear"]
            page.keyboard.press("u")
        else:
            page.click("[data-answer=correct]")
    shows(page, "4 labelled")
    assert page.locator("#end").is_visible()
    assert labels(sheet) == ["correct", "incorrect", "correct", "correct"]
    assert read_labels(sheet).reason(review) == "unclear"
    page.keyboard.press("b")
    shows(page, "4/4")
    assert "so far: " in page.locator("#asked").text_content()


@in_chromium
def test_texts_are_text_and_fit_the_width(page: Any, sheet: Path) -> None:
    read = read_labels(sheet)
    place = next(position for position in range(4) if read.text(position, "output") == HOSTILE)
    for position in range(place):
        page.keyboard.press("s")
        shows(page, f"{position + 2}/4")
    assert page.locator("#output math mfrac").count() == 1, "a formula is drawn"
    page.keyboard.press("m")
    assert page.locator("#output").text_content() == HOSTILE
    page.keyboard.press("m")
    assert page.locator("#output math").count() == 2, "no link: its command alone"
    assert page.title() == "Labelling labels.csv"
    assert page.locator("#output img, #output script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#output [href], #output [style]").count() == 0
    assert labels(sheet) == [None] * 4


@in_chromium
def test_a_note_is_kept_and_typing_it_answers_nothing(page: Any, sheet: Path) -> None:
    page.keyboard.press("n")
    page.keyboard.type("cui")
    page.keyboard.press("Enter")
    shows(page, "note: cui", "#asked")
    assert read_labels(sheet).text(0, "note") == "cui"
    assert labels(sheet) == [None] * 4


@in_chromium
def test_finishing_ends_the_server(browser: Any, sheet: Path) -> None:
    with LabelServer(Labelling(read_labels(sheet))) as own:
        thread = threading.Thread(target=own.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        page = browser.new_page()
        page.goto(own.address)
        shows(page, "1/4")
        page.keyboard.press("q")
        page.locator("#asked", has_text="The server has ended").wait_for(timeout=15_000)
        thread.join(timeout=30)
        assert not thread.is_alive()
        page.close()
