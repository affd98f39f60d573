"""The program: ``nmahw``, the console script, and ``python -m nmahw``.

Loading the command line takes a moment; who interrupts it then is told the same as later.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process."""
    try:
        from .cli import main as command_line
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
