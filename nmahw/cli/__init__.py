"""The command line: one sub-command per stage, one file each, found by listing this folder.

A sub-command is a file with a function `command` (its parameters are the command's, its
docstring what ``--help`` says) and a text `EXAMPLE`. It holds no logic: it calls the stage of the
same name and prints what comes back. `_main` turns whatever goes wrong into one line and an exit
code. Stages are imported when they run, so that ``nmahw --help`` is there at once.
"""

from ._main import app, main, run

__all__ = ["app", "main", "run"]
