"""``nmahw serve``."""

from typing import Annotated

import typer

from ._options import Baud, Port, Timeout
from ._terminal import tell, tell_error

EXAMPLE = "nmahw serve --port /dev/ttyUSB0"


def command(
        port: Port, baud: Baud = 115200,
        model: Annotated[str | None, typer.Option(
            "--model", metavar="MODEL", show_default=False,
            help="What the board must run; by default the bundled network of the same hash.")
        ] = None,
        bind: Annotated[str, typer.Option(
            "--bind", metavar="ADDRESS", help="Interface to listen on. Anything but the loopback "
            "interface lets others use the board.")] = "127.0.0.1",
        http: Annotated[int, typer.Option(
            "--http", metavar="PORT", min=0, max=65535,
            help="Port of the page; 0 is any free one.")] = 8080,
        timeout: Timeout = 5.0):
    """Serve a local web page: draw a digit, see the board's outputs beside the golden model's."""
    from ..link.host import Host
    from ..link.loading import load_weights
    from ..link.ports import SerialLine
    from ..link.recognise import network_on
    from ..serve import BoardServer
    lines: list[SerialLine] = []

    def connect() -> Host:
        while lines:
            lines.pop().close()
        lines.append(SerialLine(port, baud))
        return Host(lines[-1], timeout, lines[-1].seconds_per_byte)

    first = connect()
    try:
        network = network_on(first.description, model)
        hosts = [first]

        def ready() -> Host:
            host = hosts.pop() if hosts else connect()
            load_weights(host, network)
            return host

        server = BoardServer(ready, network, (bind, http))
        tell(f"board: {first.description.title} by {first.description.arithmetic}")
        if network is None:
            tell_error("the board's network is not known: there is no golden model beside it; "
                       "give --model")
        if bind not in ("127.0.0.1", "::1", "localhost"):
            tell_error(f"anybody who can reach {bind} can use this board")
        tell(f"page: {server.url} (end with Ctrl-C)")
        server.serve()
    finally:
        for line in lines:
            line.close()
