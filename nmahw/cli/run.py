"""``nmahw run``."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MismatchError, UsageError
from ._options import Baud, Port, Timeout
from ._terminal import show_table, tell, working

if TYPE_CHECKING:
    import numpy as np

    from ..link.description import Description
    from ..network import Network

EXAMPLE = "nmahw run --port /dev/ttyUSB0 --limit 20"
#: Answers that are shown one by one.
_SHOWN = 20


def command(
        images: Annotated[list[str] | None, typer.Argument(
            metavar="[IMAGE]...", show_default=False,
            help="Pictures, or .npz files of images; by default the bundled sample that belongs to "
                 "the board's network.")] = None,
        port: Port = ..., baud: Baud = 115200,
        model: Annotated[str | None, typer.Option(
            "--model", metavar="MODEL", show_default=False,
            help="What the board must run: answers are compared with its golden model. By default "
                 "the bundled network of the same hash.")] = None,
        limit: Annotated[int | None, typer.Option(
            metavar="N", min=1, help="Only the first N images.")] = None,
        invert: Annotated[bool, typer.Option(
            "--invert", help="Pictures are dark on bright.")] = False,
        timeout: Timeout = 5.0):
    """Send images to a board, real or virtual, and show its answers beside the golden model's.

    What the line damages is sent again; a wrong answer ends the command with exit code 4.
    """
    import time

    from ..link.host import Host
    from ..link.loading import load_weights
    from ..link.ports import SerialLine
    from ..link.recognise import network_on
    with SerialLine(port, baud) as line:
        host = Host(line, timeout, line.seconds_per_byte)
        board = host.description
        tell(f"board: {board.title}, {board.arithmetic}, {board.cycles_per_image:,} cycles an "
             f"image at {board.clock_hz / 1e6:g} MHz, network {board.network_sha256[:16]}")
        network = network_on(board, model)
        with working("loading weights") as work:
            if load_weights(host, network, lambda done, of: work.count(done, of, "bytes")):
                tell(f"loaded {board.weights.size:,} bytes of weights")
        x, y = _load(images or [], board, network, invert)
        x, y = x[:limit], None if y is None else y[:limit]
        golden = None if network is None else network.predict(x).reshape(len(x), -1)
        rows, wrong, right = [], 0, 0
        begun = time.monotonic()
        with working("running") as work:
            for count, answer in enumerate(host.run(x), 1):
                same = golden is None or bool((answer.outputs == golden[answer.index]).all())
                wrong += not same
                named = int(answer.outputs.argmax()) if len(answer.outputs) > 1 \
                    else int(answer.outputs[0])
                right += y is not None and named == int(y[answer.index])
                rows.append((answer.index, named, "" if y is None else int(y[answer.index]),
                             "not known" if golden is None else "equal" if same else "DIFFERENT",
                             answer.cycles, f"{1e3 * answer.seconds:.1f}",
                             " ".join(map(str, answer.outputs[:10]))))
                work.count(count, len(x))
        seconds = time.monotonic() - begun
        counters = host.counters()
    show_table("Answers", ("image", "class", "label", "golden model", "cycles", "ms", "outputs"),
               rows[:_SHOWN], left=(3, 6))
    if len(rows) > _SHOWN:
        tell(f"... and {len(rows) - _SHOWN:,} more")
    if y is not None:
        tell(f"accuracy: {100 * right / len(x):.2f} % ({right:,} of {len(x):,})")
    tell(f"{len(x):,} images in {seconds:.2f} s: {len(x) / seconds:,.1f} images/s over the line; "
         f"{host.repeated} requests repeated; board: {counters['bad_frames']} bad frames, "
         f"{counters['dropped_images']} images dropped")
    if wrong:
        raise MismatchError(f"all answers must equal the golden model's, but {wrong:,} of "
                            f"{len(x):,} differ")
    if golden is not None:
        tell("all answers equal the golden model's")


def _load(names: list[str], board: "Description", network: "Network | None", invert: bool
          ) -> tuple["np.ndarray", "np.ndarray | None"]:
    """Images, and labels where all files have them."""
    import numpy as np

    from ..bundled import sample_for
    from ..datasets import load_images
    from ..pictures import PICTURE_SUFFIXES, read_picture
    from ..tensor import TensorFormat
    fmt = network.input_format if network is not None else TensorFormat(
        (board.inputs,), 0, (1 << 8 * board.input_bytes) - 1)
    if not names:
        if network is None:
            raise UsageError("images must be given, or --model: the board's network is no "
                             "bundled one")
        sample = sample_for(network)
        return network.check_input(sample.x), sample.y
    parts, labels = [], []
    for name in names:
        if name.lower().endswith(PICTURE_SUFFIXES):
            parts.append(read_picture(name, fmt, invert))
            labels.append(None)
        else:
            found = load_images(name)
            parts.append(found.x.reshape(len(found), *fmt.shape)
                         if found.x[0].size == fmt.size else found.x)
            labels.append(found.y)
        if parts[-1][0].size != fmt.size:
            raise UsageError(f"{name} must hold images of {fmt.size} elements, as "
                             f"{board.title!r} on the board takes, not {parts[-1].shape[1:]}")
    x = np.concatenate(parts)
    if network is not None:
        x = network.check_input(x)
    return x, None if any(y is None for y in labels) else np.concatenate(labels)
