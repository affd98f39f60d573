"""``nmahw evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ._choices import completion
from ._terminal import tell

EXAMPLE = "nmahw evaluate digits-w4a4 digits"


def command(
        model: Annotated[str, typer.Argument(
            metavar="FILE", show_default=False, autocompletion=completion("models"),
            help="A network file, a bundled network ({models}), or a checkpoint of 'nmahw train'."
            )],
        dataset: Annotated[str, typer.Argument(
            metavar="DATASET", show_default=False, autocompletion=completion("datasets"),
            help="A data set ({datasets}) or an .npz file.")],
        data: Annotated[Path | None, typer.Option(
            "--data", metavar="FILE", show_default=False,
            help="The data set's .npz file, instead of a download.")] = None,
        part: Annotated[str, typer.Option(
            "--part", metavar="NAME", help="Which images: test, validation or train.")] = "test",
        validation: Annotated[int | None, typer.Option(
            "--validation", metavar="N", show_default=False,
            help="As in 'nmahw train'.")] = None,
        split: Annotated[int, typer.Option(
            "--split", metavar="N", help="As in 'nmahw train'.")] = 0):
    """Tell how many images of a data set a network, or a training's checkpoint, gets right.

    A checkpoint is judged by the training's own arithmetic, after its best epoch.
    """
    import numpy as np

    from ..bundled import load_model
    from ..train.checkpoint import is_checkpoint
    from ..train.datasets import fingerprint, load_dataset
    if part not in ("test", "validation", "train"):
        raise UsageError(f"part must be one of test, validation, train, not {part!r}")
    found = load_dataset(dataset, data, validation, split)
    x, y = getattr(found, f"x_{part}"), getattr(found, f"y_{part}")
    if is_checkpoint(model):
        from ..train.extras import require_training
        require_training()
        from ..train.run import restored, scores_of
        checkpoint, trainer = restored(Path(model), found)
        classes = scores_of(trainer, x).argmax(axis=1)
        title = f"{checkpoint.identity['topology']}, epoch {checkpoint.best_epoch}"
        trained_on = checkpoint.identity["data"]
    else:
        network = load_model(model)
        classes, title = network.classify(x), network.title
        if network.classes < found.classes:
            raise UsageError(f"{model} must know the {found.classes} classes of {found.name}, not "
                             f"{network.classes}")
        trained_on = network.metadata.get("data_sha256")
    if trained_on not in (None, fingerprint(found)):
        tell(f"the training had other images, or other parts of them (--split, --validation): some "
             f"{part} images may have been trained on")
    right = int((classes == y).sum())
    tell(f"{title}: {100 * right / len(y):.2f} % of the {part} images of {found.name} "
         f"({right:,} of {len(y):,})")
    wrong = [int(np.sum((y == label) & (classes != label))) for label in range(found.classes)]
    tell("wrong by class: " + " ".join(f"{label}:{count}" for label, count in enumerate(wrong)))
