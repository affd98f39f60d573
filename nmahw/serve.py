"""A small local web page: draw a digit, see a board's outputs beside the golden model's.

It serves one page and three questions, and no file. It listens on the loopback interface unless
told otherwise, takes only requests that name the host it was started for (so that no foreign page
can reach it by a name of its own), limits their size and rate, and lends the board to one browser
at a time. Connections are limited in number, and in the time that a request may take to come in.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from urllib.parse import urlsplit

import numpy as np

from .bundled import sample_for
from .errors import EnvironmentProblem, MismatchError, NmahwError, UsageError
from .link.host import Host
from .network import Network

__all__ = ["BoardServer", "LEASE_S", "MAX_BODY_BYTES", "MAX_CONNECTIONS", "RATE_PER_S",
           "REQUEST_S"]

#: Largest request.
MAX_BODY_BYTES = 64 * 1024
#: Requests a second that are answered, and how many may come at once.
RATE_PER_S, BURST = 20.0, 40
#: The board stays with a browser for so long after its last request.
LEASE_S = 10.0
#: Connections at the same time; one more is closed at once.
MAX_CONNECTIONS = 32
#: A request has to be in so long after its connection was made, or after the request before it.
REQUEST_S = 15.0
_TIMEOUT_S = 10.0


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, text: str):
        self.status = status
        super().__init__(text)


class BoardServer:
    """One board behind HTTP.

    Parameters
    ----------
    connect : callable
        Gives a `Host`; called again when the board was lost.
    network : Network or None
        What the board runs, for the golden model and test images.
    address : (str, int)
        Port 0 is any free one.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    url : str

    Raises
    ------
    EnvironmentProblem
        The address cannot be had.
    UsageError
        The network's input is no picture.
    """

    def __init__(self, connect: Callable[[], Host], network: Network | None,
                 address: tuple[str, int] = ("127.0.0.1", 0),
                 clock: Callable[[], float] = time.monotonic):
        self._connect, self._network, self._clock = connect, network, clock
        self._host: Host | None = connect()
        # What the page shows stays when the board is lost.
        self._description = board = self._host.description
        self._shape = _picture_shape(network, board.inputs)
        self._high = (network.input_format.high if network is not None
                      else (1 << 8 * board.input_bytes) - 1)
        self._board = threading.Lock()
        self._state = threading.Lock()
        self._lease: tuple[str, float] | None = None
        self._tokens, self._counted = float(BURST), clock()
        self._shown = 0
        self.page = resources.files(f"{__package__}.web").joinpath("page.html").read_bytes()
        self.policy = _content_policy(self.page.decode())
        handler = type("Handler", (_Handler,), {"board": self})
        try:
            self._server = _Server(address, handler)
        except OSError as error:
            raise EnvironmentProblem(f"address {address[0]}:{address[1]} must be free and ours: "
                                     f"{error.strerror or error}") from None
        host, port = self._server.server_address[:2]
        self._names = {address[0], host, "localhost"}
        self._port = port
        self.url = f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{port}/"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or an interrupt comes."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()

    def is_here(self, authority: str) -> bool:
        """Whether ``HOST:PORT`` is this server under a name of its own.

        A foreign page can make its own name point here, but not a number.
        """
        name, _, port = authority.rpartition(":")
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._names and port == str(self._port)
        return port == str(self._port)

    def admit(self) -> None:
        """Count a request against the rate; refuse those above it."""
        with self._state:
            now = self._clock()
            self._tokens = min(BURST, self._tokens + (now - self._counted) * RATE_PER_S)
            self._counted = now
            if self._tokens < 1:
                raise _Refused(HTTPStatus.TOO_MANY_REQUESTS,
                               f"at most {RATE_PER_S:g} requests a second are answered")
            self._tokens -= 1

    def describe(self) -> dict[str, object]:
        """What the page shows of the board."""
        board = self._description
        return {"title": board.title, "arithmetic": board.arithmetic, "shape": self._shape,
                "high": self._high, "clock_hz": board.clock_hz,
                "cycles_per_image": board.cycles_per_image,
                "network_sha256": board.network_sha256}

    def sample(self) -> dict[str, object]:
        """The next test image of the network's sample."""
        try:
            images = sample_for(self._network) if self._network is not None else None
        except UsageError:
            images = None
        if images is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no test images belong to the board's network")
        with self._state:
            self._shown = (self._shown + 1) % len(images)
            index = self._shown
        return {"pixels": images.x[index].reshape(-1).tolist()}

    def run(self, session: str, document: object) -> dict[str, object]:
        """The board's answer to a picture, and the golden model's."""
        x = self._read(document)
        self._borrow(session)
        with self._board:
            try:
                if self._host is None:
                    self._host = self._again()
                answer, = self._host.run(x)
            except NmahwError as error:
                self._host = None
                raise _Refused(HTTPStatus.BAD_GATEWAY, str(error)) from None
        result: dict[str, object] = {"board": {
            "outputs": answer.outputs.tolist(), "class": int(answer.outputs.argmax()),
            "cycles": answer.cycles, "ms": 1e3 * answer.seconds}}
        if self._network is not None:
            golden = self._network.predict(x).reshape(-1)
            result |= {"golden": {"outputs": golden.tolist(), "class": int(golden.argmax())},
                       "equal": bool((golden == answer.outputs).all())}
        return result

    def _again(self) -> Host:
        """The board after it was lost; another one may be there now."""
        host = self._connect()
        if host.description.network_sha256 != self._description.network_sha256:
            raise MismatchError(f"the board must run the network that it ran before, but it runs "
                                f"{host.description.title!r}: start 'nmahw serve' again")
        self._description = host.description
        return host

    def _read(self, document: object) -> np.ndarray:
        pixels = document.get("pixels") if isinstance(document, dict) else None
        size = self._shape[0] * self._shape[1]
        if not isinstance(pixels, list) or len(pixels) != size or not all(
                type(value) is int and 0 <= value <= self._high for value in pixels):
            raise _Refused(HTTPStatus.BAD_REQUEST,
                           f"pixels must be {size} integers of 0..{self._high}")
        x = np.array(pixels, np.int64)[None]
        return x if self._network is None else x.reshape(1, *self._network.input_format.shape)

    def _borrow(self, session: str) -> None:
        """Give the board to this browser, or say that another one has it."""
        with self._state:
            now = self._clock()
            if self._lease and self._lease[0] != session and now < self._lease[1]:
                raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE,
                               f"busy: another browser uses the board; it is free in "
                               f"{self._lease[1] - now:.0f} s unless more is drawn there")
            self._lease = session, now + LEASE_S


class _Server(ThreadingHTTPServer):
    """A thread for each of a limited number of connections."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]):
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        """Say nothing of connections that break: that is the other end's business."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    board: BoardServer
    timeout = _TIMEOUT_S
    server_version = "nmahw"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        # A request that trickles in resets the socket's own time-out with every byte.
        self._watch = threading.Timer(REQUEST_S, self._give_up)
        self._watch.daemon = True
        self._watch.start()
        try:
            super().handle_one_request()
        finally:
            self._watch.cancel()

    def _give_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def do_GET(self) -> None:
        self._answer({"/board": self.board.describe, "/sample": self.board.sample})

    def do_POST(self) -> None:
        self._answer({"/run": lambda: self.board.run(self._session(), self._document())})

    def log_message(self, format: str, *values: object) -> None:
        """Nothing: what a browser sends is not worth a line each."""

    def _answer(self, questions: dict[str, Callable[[], dict]]) -> None:
        try:
            # A page of another origin, or a name that was made to point here, is not answered.
            if not self.board.is_here(self.headers.get("Host", "")):
                raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host asked for")
            origin = self.headers.get("Origin")
            if origin is not None and not self.board.is_here(urlsplit(origin).netloc):
                raise _Refused(HTTPStatus.FORBIDDEN, "pages of other origins are not answered")
            self.board.admit()
            path = self.path.partition("?")[0]
            if path == "/" and self.command == "GET":
                self._send(HTTPStatus.OK, self.board.page, "text/html; charset=utf-8")
            elif path in questions:
                self._send_json(HTTPStatus.OK, questions[path]())
            else:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        except _Refused as error:
            # The body was perhaps not read: the connection cannot go on.
            self.close_connection = True
            self._send_json(error.status, {"error": str(error)})
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _session(self) -> str:
        session = self.headers.get("X-Session", "")
        if not re.fullmatch(r"[0-9a-f]{32}", session):
            raise _Refused(HTTPStatus.BAD_REQUEST, "X-Session must be 32 hexadecimal digits")
        return session

    def _document(self) -> object:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the request's length must be told")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                           f"a request must have at most {MAX_BODY_BYTES} bytes")
        body = self.rfile.read(int(length))
        self._watch.cancel()  # the board may take its time
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request must be JSON") from None

    def _send_json(self, status: HTTPStatus, document: dict) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))),
                            ("Content-Security-Policy", self.board.policy),
                            ("X-Content-Type-Options", "nosniff"),
                            ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
                            ("Cache-Control", "no-store"),
                            *((("Connection", "close"),) if self.close_connection else ())):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _picture_shape(network: Network | None, inputs: int) -> tuple[int, int]:
    """Rows and columns of what is drawn."""
    side = int(round(inputs ** 0.5))
    if network is not None and len(network.input_format.shape) == 3:
        if network.input_format.shape[0] == 1:
            return network.input_format.shape[1:]
    elif side * side == inputs:
        return side, side
    raise UsageError(f"the board's network must take a grey picture, not {inputs} inputs")


def _content_policy(page: str) -> str:
    """Only the page's own script and style run, and they reach nobody else."""
    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
            f"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
