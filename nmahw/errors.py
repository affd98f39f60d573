"""The errors a person can act on, and the exit code each gives the command line.

Every error raised on purpose derives from `NmahwError`. Its message is one or two
sentences in the form "X must be Y, not Z", naming what has to change. Anything else that
escapes is a defect of nmahw itself.
"""

__all__ = ["NmahwError", "UsageError", "ModelError", "MismatchError", "BuildError",
           "DoesNotFit", "NotPlaced", "CertificateError", "EnvironmentProblem", "TrainingError",
           "EXIT_CODES"]


class NmahwError(Exception):
    """Base of all errors that nmahw raises on purpose."""

    exit_code = 1


class UsageError(NmahwError):
    """A name, an option or a value given by the user is not one nmahw can take."""

    exit_code = 2


class ModelError(NmahwError):
    """A model or data file is damaged, foreign, or holds a network nmahw cannot run."""

    exit_code = 3


class MismatchError(NmahwError):
    """Two things that must be equal bit for bit are not (golden model and hardware)."""

    exit_code = 4


class CertificateError(MismatchError):
    """A design holds a multiplier, so the no-multiplier certificate is refused."""


class BuildError(NmahwError):
    """A tool refused a design: synthesis, place and route, or a simulator's compilation."""

    exit_code = 5


class DoesNotFit(BuildError):
    """The design needs more of some resource than the device has.

    Parameters
    ----------
    message : str
        One sentence for the user.
    lacking : dict of str to (int, int)
        Resource name to (needed, available).
    """

    def __init__(self, message: str, lacking: dict[str, tuple[int, int]] | None = None):
        super().__init__(message)
        self.lacking = dict(lacking or {})


class NotPlaced(BuildError):
    """The design fits by its numbers, but is not routed, or is not fast enough."""


class EnvironmentProblem(NmahwError):
    """Something outside the package is missing or unusable: a tool, a folder, an extra."""

    exit_code = 6


class TrainingError(NmahwError):
    """A training went astray: its loss is no finite number any more."""

    exit_code = 7


#: What each exit code of the command line means (130 is the shell's code for an interrupt).
EXIT_CODES = {
    0: "success",
    1: "defect in nmahw",
    UsageError.exit_code: "usage",
    ModelError.exit_code: "model or data file",
    MismatchError.exit_code: "mismatch or refused certificate",
    BuildError.exit_code: "build",
    EnvironmentProblem.exit_code: "environment",
    TrainingError.exit_code: "training went astray",
    130: "interrupt",
}
