"""Ends a worker's tools when the worker is gone, however it ended.

Tools run in process groups of their own, which outlive a worker that gets SIGKILL. So a worker
marks its environment, which everything it starts inherits, and starts one small process that does
nothing but wait for the worker's end of a pipe to close; then that kills whatever carries the mark.
"""

import os
import subprocess
import sys
import time
import uuid

__all__ = ["MARK", "start"]

#: Environment variable that names the worker a process belongs to.
MARK = "NMAHW_SWEEP_WORKER"
# A process that is between fork and exec does not show the mark yet: look more than once.
_ROUNDS, _PAUSE_S = 6, 0.25

_guard: subprocess.Popen | None = None


def start() -> None:
    """Begin to guard this process, once."""
    global _guard
    if _guard is not None:
        return
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    mark = uuid.uuid4().hex
    _guard = subprocess.Popen([sys.executable, "-m", __name__, mark], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=environment, start_new_session=True)
    os.environ[MARK] = mark


def _kill_marked(mark: str) -> None:
    import psutil  # comes with distributed
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()
        except psutil.Error:
            continue  # ended meanwhile, or somebody else's


def _main(mark: str) -> None:
    sys.stdin.buffer.read()
    for _ in range(_ROUNDS):
        _kill_marked(mark)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    _main(sys.argv[1])
