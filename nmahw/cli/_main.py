"""The application, and the way from an exception to an exit code."""

import errno
import importlib
import inspect
import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated

import typer
import typer.core

from .. import __version__
from ..errors import EXIT_CODES, EnvironmentProblem, NmahwError, UsageError
from ._choices import fill
from ._terminal import console, tell_error

__all__ = ["app", "main", "run", "INTERRUPTED", "BROKEN_PIPE"]

#: Exit codes as a shell gives them: 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows does not name

# What the system says when nothing more can be written.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

# Typer may carry its own copy of click: what its errors derive from is found through one of them.
_ClickError = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


class _Terminated(BaseException):
    """A signal that ends the program; raised so that every tool running is ended first."""

    def __init__(self, number: int):
        self.exit_code = 128 + number


class _Command(typer.core.TyperCommand):
    """A command whose help names the choices there are, looked up only when it is shown."""

    def format_help(self, ctx, formatter):
        for parameter in self.params:
            parameter.help = fill(getattr(parameter, "help", None))
        super().format_help(ctx, formatter)


def _version(wanted: bool) -> None:
    if wanted:
        console().print(f"nmahw {__version__}", highlight=False)
        raise typer.Exit


app = typer.Typer(
    name="nmahw", no_args_is_help=True, add_completion=True, rich_markup_mode="rich",
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: nmahw demo\n\nEach command's --help shows an example.")


_HELP = ("Neural networks on FPGAs without a multiplier: from a trained network to a proven, "
         "placed and routed accelerator.\n\nExit codes: "
         + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".")


@app.callback(help=_HELP)
def _nmahw(version: Annotated[bool, typer.Option(
        "--version", callback=_version, is_eager=True, help="Print the version and end.")] = False):
    pass


def _paragraphs(function: Callable) -> str:
    """Its docstring without the line breaks that the source's width asked for."""
    text = inspect.getdoc(function) or ""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _add_commands() -> None:
    folder = importlib.import_module(__package__)
    for info in pkgutil.iter_modules(folder.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{__package__}.{info.name}")
            # A name that is a word of Python has an underscore behind it.
            name = info.name.rstrip("_").replace("_", "-")
            app.command(name, cls=_Command, help=_paragraphs(module.command),
                        epilog=f"Example: {module.EXAMPLE}")(module.command)


_add_commands()


def _end(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of this process.

    Returns
    -------
    int
        Exit code, see `nmahw.errors.EXIT_CODES`. What went wrong was told on standard error.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="nmahw",
                                                standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # how some versions of typer tell it
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except NmahwError as error:
        tell_error(str(error))
        return error.exit_code
    except _ClickError as error:
        if text := error.format_message():
            command = getattr(getattr(error, "ctx", None), "command_path", "nmahw")
            tell_error(f"{text.rstrip('.')} (see '{command} --help')")
        else:
            console().print(error.ctx.get_help() if getattr(error, "ctx", None) else "")
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        tell_error("interrupted")
        return INTERRUPTED
    except _Terminated as error:
        tell_error("terminated")
        return error.exit_code
    except BrokenPipeError:
        return _pipe_broke()
    except SystemExit as end:
        # How typer ends for the same reason.
        return _pipe_broke() if isinstance(end.__context__, BrokenPipeError) else end.code
    except MemoryError as error:
        tell_error("there must be more memory for data, network or design of this size"
                   + (f": {error}" if str(error) else ""))
        return EnvironmentProblem.exit_code
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            tell_error(f"there must be room for what is written: {error.strerror}")
            return EnvironmentProblem.exit_code
        traceback.print_exc()
        tell_error(f"this is a defect of nmahw {__version__}: please report the lines above")
        return 1


def _pipe_broke() -> int:
    """Whoever read the output has gone (``nmahw info | head``): end without a word."""
    # What is still in the buffer would be written, and fail again, at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    return BROKEN_PIPE


def main() -> None:
    """Entry point of the console script."""
    # A stream that the shell closed (``>&-``) is None.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    sys.exit(run())
