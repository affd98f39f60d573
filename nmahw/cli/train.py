"""``nmahw train``."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._choices import completion
from ._terminal import Work, show_path, show_table, tell, working

if TYPE_CHECKING:
    from ..train.checkpoint import EpochRecord
    from ..train.dataset import Dataset

EXAMPLE = "nmahw train digits --method exact_integers --epochs 20 -o digits.npz"


def _list_methods(wanted: bool) -> None:
    if not wanted:
        return
    from ..train.extras import require_training
    require_training()
    from ..train.methods import METHODS
    from ..train.settings import settings_table
    show_table("Training methods", ("method", "--bits", "what it does"),
               [(method.name, method.bits_form, method.summary) for method in METHODS],
               left=(0, 1, 2))
    show_table("Their settings, for --set FIELD=VALUE",
               ("method", "field", "default", "meaning"),
               [(method.name, *row) for method in METHODS for row in settings_table(method)],
               left=(0, 1, 2, 3))
    raise typer.Exit


def command(
        dataset: Annotated[str, typer.Argument(
            metavar="DATASET", show_default=False, autocompletion=completion("datasets"),
            help="A data set ({datasets}) or an .npz file with x_train, y_train, x_test and "
                 "y_test, or x and y.")],
        out: Annotated[Path, typer.Option(
            "--out", "-o", metavar="FILE", show_default=False,
            help="Network file, NAME.npz; NAME.json (record of the run), NAME.checkpoint.npz and "
                 "the plot lie beside it.")],
        method: Annotated[str, typer.Option(
            "--method", metavar="NAME", autocompletion=completion("methods"),
            help="Training method: {methods}; --list tells more.")] = "exact_integers",
        topology: Annotated[str | None, typer.Option(
            "--topology", metavar="TEXT", show_default=False,
            autocompletion=completion("topologies"),
            help="A name ({topologies}), sizes as 784-64-10, or layers, for example 'conv 6 5 "
                 "padding=2, relu, max_pool 2, flatten, dense 10'; by default one hidden layer "
                 "of 64.")] = None,
        bits: Annotated[str | None, typer.Option(
            "--bits", metavar="BITS", show_default=False,
            help="Widths, in the form that the method takes (--list tells).")] = None,
        epochs: Annotated[int | None, typer.Option(
            "--epochs", metavar="N", show_default=False,
            help="Times that every image is trained on; by default 10, and those of the method's "
                 "warm-up.")] = None,
        seed: Annotated[int, typer.Option(
            "--seed", metavar="N", help="Everything random follows from it.")] = 0,
        settings: Annotated[list[str] | None, typer.Option(
            "--set", metavar="FIELD=VALUE", show_default=False,
            help="A setting of the method; may be given several times.")] = None,
        data: Annotated[Path | None, typer.Option(
            "--data", metavar="FILE", show_default=False,
            help="The data set's .npz file, instead of a download.")] = None,
        validation: Annotated[int | None, typer.Option(
            "--validation", metavar="N", show_default=False,
            help="Training images set aside to choose the best epoch; by default a twelfth."
            )] = None,
        split: Annotated[int, typer.Option(
            "--split", metavar="N", help="Seed of the draw that sets images aside.")] = 0,
        resume: Annotated[bool, typer.Option(
            "--resume/--restart", help="Go on from the checkpoint beside FILE if there is one, or "
            "begin anew.")] = True,
        plot: Annotated[Path | None, typer.Option(
            "--plot", metavar="FILE", show_default=False,
            help="Learning curve, .svg or .png; by default NAME.svg if Matplotlib is installed."
            )] = None,
        list_methods: Annotated[bool, typer.Option(
            "--list", callback=_list_methods, is_eager=True,
            help="Show all methods with their settings and end.")] = False):
    """Train a network without multiplications, or with fewer, and write it as nmahw's Network.

    The epoch with the best validation accuracy is kept; the test images only report. A training
    that was ended goes on when the same command is given again.
    """
    from ..train.extras import require_training
    require_training()
    from ..errors import EnvironmentProblem
    from ..train.curve import check_curve, draw_curve
    from ..train.datasets import load_dataset
    from ..train.methods import METHODS
    from ..train.run import train
    from ..train.settings import with_settings
    from ..train.topology import Topology
    kind = METHODS.get(method)
    chosen = with_settings(kind() if bits is None else kind.with_bits(bits), settings or [])
    epochs = chosen.default_epochs if epochs is None else epochs
    plan = None if topology is None else Topology.of(topology)
    if plot is not None:
        check_curve(plot)
    found = load_dataset(dataset, data, validation, split)
    plan = plan or Topology.of(chosen.default_topology(found.x_train.shape[1:], found.classes))
    tell(f"{found.name}: {len(found.x_train):,} images to train, {len(found.x_validation):,} to "
         f"validate, {len(found.x_test):,} to test; {plan.text}; {method}")
    if chosen.multiplications:
        tell(f"multiplications: {chosen.multiplications}")
    if remark := chosen.remark(plan):
        tell(f"note: {remark}")
    with working("training") as work:
        shown = _Shown(work, found, epochs)
        try:
            run = train(chosen, plan, found, epochs, seed, out, resume=resume,
                        command=_words(dataset, method, plan.text, bits, epochs, seed, settings,
                                       validation, split),
                        on_progress=shown.progress, on_epoch=shown.epoch,
                        on_resume=shown.resume)
        except KeyboardInterrupt:
            work.say("the same command goes on after the last finished epoch")
            raise
    record = run.record
    tell(f"kept: epoch {record['best_epoch']} of {epochs}, validation accuracy "
         f"{100 * record['validation_accuracy']:.2f} %")
    tell(f"test accuracy: {100 * record['test_accuracy']:.2f} %"
         + (f", as a network {100 * record['network_test_accuracy']:.2f} %" if run.network else ""))
    for what, path in run.paths.items():
        show_path(what, path)
    if run.network is None:
        tell(f"no network file: {record['network'].removeprefix('none: ')}")
    try:
        path = draw_curve(run.history, record["best_epoch"], f"{found.name}, {plan.text}, {method}"
                          [:90], plot or out.with_suffix(".svg"))
        show_path("learning curve", path)
    except EnvironmentProblem as error:
        if plot is not None:
            raise
        tell(f"no learning curve: {error}")


def _words(dataset: str, method: str, topology: str, bits: str | None, epochs: int, seed: int,
           settings: list[str] | None, validation: int | None, split: int) -> str:
    """The command line, without paths of this machine."""
    from ..train.settings import portable
    words = ["nmahw", "train", Path(dataset).name, "--method", method, "--topology", topology]
    words += ["--bits", bits] * (bits is not None) + ["--epochs", str(epochs), "--seed", str(seed)]
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        words += ["--set", f"{name}{equals}{portable(value)}"]
    words += ["--validation", str(validation)] * (validation is not None)
    words += ["--split", str(split)] * bool(split)
    return shlex.join(words)


def _loss(loss: float) -> str:
    """Four places; a loss that went astray has no room for all its digits."""
    return f"{loss:.4f}" if loss < 1e6 else f"{loss:.3e}"


class _Shown:
    """Progress of a training on the screen."""

    def __init__(self, work: Work, dataset: "Dataset", epochs: int):
        self._work, self._epochs, self._images = work, epochs, len(dataset.x_train)
        self._begun: float | None = None
        self._first = 0

    def progress(self, epoch: int, images: int, loss: float) -> None:
        done, now = (epoch - 1) * self._images + images, time.monotonic()
        if self._begun is None:
            # What was compiled or resumed before does not count.
            self._begun, self._first = now, done
        rate = (done - self._first) / max(now - self._begun, 1e-9)
        total = self._epochs * self._images
        text = f"images, epoch {epoch} of {self._epochs}, loss {_loss(loss)}"
        if rate:
            left = int((total - done) / rate)
            text += f", {rate:,.0f} images/s, {left // 60}:{left % 60:02} left"
        self._work.count(done, total, text)

    def resume(self, epochs: int) -> None:
        self._work.say(f"going on from the checkpoint, with {epochs} of {self._epochs} epochs done")

    def epoch(self, record: "EpochRecord") -> None:
        self._work.say(f"epoch {record.epoch}: loss {_loss(record.loss)}, training "
                       f"{100 * record.train_accuracy:.2f} %, validation "
                       f"{100 * record.validation_accuracy:.2f} %, {record.seconds:.1f} s")
