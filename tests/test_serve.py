"""The web page and its server: answers, limits, and a real browser."""

import http.client
import json
import shutil
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from test_link_host import Board

from nmahw.bundled import load_model, sample_for
from nmahw.design import Design
from nmahw.errors import EnvironmentProblem, UsageError
from nmahw.link.host import Host
from nmahw.serve import BURST, LEASE_S, MAX_BODY_BYTES, MAX_CONNECTIONS, BoardServer

A, B = "a" * 32, "b" * 32


class Clock:
    """Time that stands still unless it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def design():
    return Design.of(load_model("digits-w4a4"), "quarter_square", 2, 2)


@pytest.fixture
def served(design):
    board = Board(design)
    clock = Clock()
    server = BoardServer(lambda: Host(board, clock=board.clock), design.network, clock=clock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    server.test_board, server.test_clock = board, clock
    yield server
    server.close()
    thread.join()


def ask(server, path, body=None, session=A, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server._port, timeout=20)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, data,
                       {"X-Session": session, **headers})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    kind = response.headers["Content-Type"]
    return response, json.loads(content) if kind == "application/json" else content


def test_a_picture_is_answered_by_board_and_golden_model(served, design):
    response, described = ask(served, "/board")
    assert response.status == 200 and described["shape"] == [8, 8] and described["high"] == 16
    image = sample_for(design.network).x[3].reshape(-1)
    response, answer = ask(served, "/run", {"pixels": image.tolist()})
    golden = design.predict(image[None])[0].tolist()
    assert response.status == 200 and answer["equal"]
    assert answer["board"]["outputs"] == answer["golden"]["outputs"] == golden
    assert answer["board"]["cycles"] == 77
    _, sample = ask(served, "/sample")
    assert len(sample["pixels"]) == 64


def test_a_wrong_board_is_shown_as_wrong(served, monkeypatch):
    right = served.test_board.design.predict
    monkeypatch.setattr(type(served.test_board.design), "predict",
                        lambda self, x: right(x) + 1)
    _, answer = ask(served, "/run", {"pixels": [1] * 64})
    assert answer["equal"] is False


def test_the_page_allows_nothing_but_itself(served):
    response, page = ask(served, "/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert b"http" not in page.replace(b"http-equiv", b"")


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/page.html", "/etc/passwd", "/run",
                                  "/%2e%2e/x", "/board/"])
def test_no_file_is_served(served, path):
    assert ask(served, path)[0].status == 404


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'{"pixels": 5}', b'{"pixels": [1]}',
    json.dumps({"pixels": [17] * 64}).encode(), json.dumps({"pixels": [-1] * 64}).encode(),
    json.dumps({"pixels": [0.5] * 64}).encode(), json.dumps({"pixels": [True] * 64}).encode(),
    b"[" * 20000])
def test_bad_pictures_are_refused(served, body):
    response, answer = ask(served, "/run", body)
    assert response.status == 400 and answer["error"]


def test_what_is_too_large_is_refused_unread(served):
    response, _ = ask(served, "/run", b"x" * (MAX_BODY_BYTES + 1))
    assert response.status == 413


def test_bad_sessions_hosts_and_origins_are_refused(served):
    picture = {"pixels": [0] * 64}
    assert ask(served, "/run", picture, session="x")[0].status == 400
    assert ask(served, "/board", Host="evil.example")[0].status == 421
    assert ask(served, "/board", Host=f"evil.example:{served._port}")[0].status == 421
    assert ask(served, "/run", picture, Origin="http://evil.example")[0].status == 403
    assert ask(served, "/run", picture, Origin=f"http://localhost:{served._port}")[0].status == 200
    for method in ("PUT", "DELETE", "OPTIONS"):
        connection = http.client.HTTPConnection("127.0.0.1", served._port, timeout=20)
        connection.request(method, "/run")
        assert connection.getresponse().status == 501
        connection.close()


def test_one_browser_at_a_time(served):
    picture = {"pixels": [0] * 64}
    assert ask(served, "/run", picture, session=A)[0].status == 200
    response, answer = ask(served, "/run", picture, session=B)
    assert response.status == 503 and answer["error"].startswith("busy")
    assert ask(served, "/run", picture, session=A)[0].status == 200
    served.test_clock.now += LEASE_S
    assert ask(served, "/run", picture, session=B)[0].status == 200
    assert ask(served, "/run", picture, session=A)[0].status == 503


def test_connections_are_limited(served):
    idle = [socket.create_connection(("127.0.0.1", served._port), timeout=20)
            for _ in range(MAX_CONNECTIONS)]
    try:
        with socket.create_connection(("127.0.0.1", served._port), timeout=20) as one_more:
            assert one_more.recv(1) == b""
        idle.pop().close()
        # Its thread ends soon, but not at once.
        for _ in range(1000):
            try:
                assert ask(served, "/board")[0].status == 200
                break
            except (ConnectionError, http.client.HTTPException):
                time.sleep(0.01)
        else:
            pytest.fail("a place that became free must be given to somebody")
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("sent", [b"GET / HT", b"POST /run HTTP/1.1\r\nX-Session: " + A.encode()
                                  + b"\r\nHost: localhost:%d\r\nContent-Length: 9\r\n\r\n["])
def test_a_request_that_trickles_in_is_cut_off(served, monkeypatch, sent):
    monkeypatch.setattr("nmahw.serve.REQUEST_S", 0.2)
    with socket.create_connection(("127.0.0.1", served._port), timeout=20) as slow:
        slow.sendall(sent.replace(b"%d", str(served._port).encode()))
        assert slow.recv(1) == b""


def test_the_rate_is_limited(served):
    found = [ask(served, "/board")[0].status for _ in range(BURST + 5)]
    assert found == [200] * BURST + [429] * 5
    served.test_clock.now += 1
    assert ask(served, "/board")[0].status == 200


def test_a_lost_board_is_told_and_found_again(served):
    board = served.test_board
    carry, board._carry = board._carry, lambda data: b""
    response, answer = ask(served, "/run", {"pixels": [0] * 64})
    assert response.status == 502 and "board" in answer["error"]
    # A page that is opened now must be able to draw.
    assert ask(served, "/board")[1]["shape"] == [8, 8]
    board._carry = carry
    board.decoder.__init__()
    assert ask(served, "/run", {"pixels": [0] * 64})[0].status == 200


def test_another_network_after_the_board_was_lost_is_not_compared(served):
    board = served.test_board
    carry, board._carry = board._carry, lambda data: b""
    assert ask(served, "/run", {"pixels": [0] * 64})[0].status == 502
    described = board.described
    board._carry, board.described = carry, replace(described, network_sha256="ab" * 32)
    response, answer = ask(served, "/run", {"pixels": [0] * 64})
    assert response.status == 502 and "start 'nmahw serve' again" in answer["error"]
    board.described = described
    assert ask(served, "/run", {"pixels": [0] * 64})[1]["equal"]


def test_a_taken_address_and_an_odd_input_are_refused(served, design):
    board = Board(design)
    with pytest.raises(EnvironmentProblem, match="must be free"):
        BoardServer(lambda: Host(board, clock=board.clock), None, ("127.0.0.1", served._port))
    from test_link_endpoint import small_design
    odd = Board(small_design())
    with pytest.raises(UsageError, match="grey picture"):
        BoardServer(lambda: Host(odd, clock=odd.clock), None)


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_draws_and_sees_both_answers(served, design):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"),
                                         args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text)
                if message.type in ("error", "warning") else None)
        page.goto(served.url)
        page.wait_for_function("document.getElementById('about').textContent.includes('cycles')")
        box = page.locator("#pad").bounding_box()
        x, y = box["x"] + 140, box["y"] + 50
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(1, 19):
            page.mouse.move(x + step % 3, y + 10 * step)
        page.mouse.up()
        page.wait_for_selector("#verdict.equal")
        rows = page.locator("#rows tr").all_inner_texts()
        assert len(rows) == 10
        assert all(len(row.split("\t")) == 4 and row.split("\t")[1] == row.split("\t")[2]
                   for row in rows)
        assert "77 clock cycles" in page.inner_text("#figures")
        page.click("#sample")
        page.wait_for_function("document.getElementById('verdict').textContent.length > 0")
        page.click("#clear")
        assert page.locator("#rows tr").count() == 0
        assert not problems
        browser.close()


def test_pictures_files_become_inputs(tmp_path, design):
    image = pytest.importorskip("PIL.Image")
    from nmahw.errors import ModelError
    from nmahw.pictures import read_picture
    grey = np.zeros((8, 8), np.uint8)
    grey[2:6, 3] = 255
    image.fromarray(grey).save(tmp_path / "one.png")
    x = read_picture(tmp_path / "one.png", design.network.input_format)
    assert x.shape == (1, 64) and x.max() == 16 and x.sum() == 64
    assert (read_picture(tmp_path / "one.png", design.network.input_format, True) == 16 - x).all()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nonsense")
    for name in ("bad.png", "none.png"):
        with pytest.raises(ModelError, match=name):
            read_picture(tmp_path / name, design.network.input_format)
