"""What a sweep is asked to do: a TOML file, read, checked and expanded.

::

    title = "LeNet-5"
    data = "mnist.npz"             # images for accuracies; by default the models' own samples

    [models.lenet]                 # float models, quantised again for every width
    file = "lenet5.onnx"
    calibration = "mnist.npz"

    [grid]                         # every combination; [[grid]] for several
    model = ["lenet5-w8a8"]
    arithmetic = ["quarter_square", "conv=distributed,dense=bit_serial"]
    bits = ["8x8", "4x4"]          # weights x activations; only for [models]
    array = ["4x4", "8x8"]
    device = ["ecp5-45k"]
    seed = [1, 2, 3]

    [[list]]                       # the same for what does not fit into a grid
    model = "digits-w4a4"

    [constraints]                  # fits, COLUMN_min, COLUMN_max
    accuracy_min = 0.98

    [objective]
    minimise = ["lut"]
    maximise = ["images_per_s"]

    [search]                       # with it, place and route only near the front
    budget = 0.25

    [limits]
    time_s = 1800
    memory_mb = 2000

    [cost]
    per_core_hour = 0.04
    currency = "EUR"

Relative file names are relative to the TOML file.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from ..arith import ARITHMETICS
from ..assignment import AUTO
from ..devices import device as find_device
from ..errors import NmahwError, UsageError
from ..place import check_seeds
from ._spec_values import bits, number, shape, table, texts, whole
from .columns import COLUMNS, Column, nearest

__all__ = ["FloatModel", "Limits", "Point", "Spec", "read_spec"]

_AXES = ("model", "arithmetic", "bits", "array", "device", "seed")
_DEFAULTS = {"array": ["4x4"], "seed": [1]}
_MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class FloatModel:
    """A trained model, quantised for every width that is asked for.

    Attributes
    ----------
    file, calibration : Path
    calibration_images : int
    architecture, input_shape, input_scale
        See `nmahw.frontends.ImportOptions`.
    """

    file: Path
    calibration: Path
    calibration_images: int = 2000
    architecture: str | None = None
    input_shape: tuple[int, ...] | None = None
    input_scale: float | None = None


@dataclass(frozen=True, order=True)
class Point:
    """One place-and-route run that is asked for; `bits` is None for an integer network's own."""

    model: str
    bits: tuple[int, int] | None
    arithmetic: str
    rows: int
    columns: int
    device: str
    seed: int

    @property
    def design(self) -> tuple[object, ...]:
        """What tells its design from others: all but device and seed."""
        return self.model, self.bits, self.arithmetic, self.rows, self.columns


@dataclass(frozen=True)
class Limits:
    """What one job may take; None is no limit.

    Attributes
    ----------
    time_s, memory_mb : float or None
    """

    time_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Spec:
    """A sweep.

    Attributes
    ----------
    title : str
    points : tuple of Point
        In the order of the file, none twice.
    models : mapping of str to FloatModel
    data : Path or None
        Images for accuracies.
    must_fit : bool
        Leave designs out that the estimator finds too large.
    least, most : mapping of str to float
        Constraints on columns.
    objective : tuple of str
        Columns; which way is better follows from the column.
    budget : float or None
        Share of the runs that a search may spend; None is no search.
    limits : Limits
    per_core_hour : float or None
    currency : str
    text : str
        The file, as it was read.
    """

    title: str
    points: tuple[Point, ...]
    models: Mapping[str, FloatModel] = field(default_factory=dict)
    data: Path | None = None
    must_fit: bool = False
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    objective: tuple[str, ...] = ("lut", "images_per_s")
    budget: float | None = None
    limits: Limits = Limits()
    per_core_hour: float | None = None
    currency: str = ""
    text: str = ""

    def allows(self, row: Mapping[str, object]) -> bool:
        """Whether what is known of `row` keeps every constraint; unknown values do."""
        return all(row.get(name) is None or row[name] >= bound
                   for name, bound in self.least.items()) and \
            all(row.get(name) is None or row[name] <= bound
                for name, bound in self.most.items())


def read_spec(path: str | Path) -> Spec:
    """The sweep that a TOML file asks for.

    Raises
    ------
    UsageError
        The file cannot be read, has unknown keys, empty grids or contradictory constraints; the
        message begins with the file's name.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path} must be a readable file: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} must be a text in UTF-8") from None
    # Integers of thousands of digits are no TOMLDecodeError.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} must be TOML: {error}") from None
    try:
        return replace(_spec(document, path), text=text)
    except NmahwError as error:
        raise type(error)(f"{path}: {error}") from None


def _spec(document: dict, path: Path) -> Spec:
    table(document, "the file", ("title", "data", "models", "grid", "list", "constraints",
                                 "objective", "search", "limits", "cost"))
    models = {name: _float_model(name, entry, path.parent)
              for name, entry in table(document.get("models", {}), "[models]").items()}
    points = _points(document, models, path.parent)
    least, most, must_fit = _constraints(table(document.get("constraints", {}), "[constraints]"))
    search = document.get("search")
    if search is None and (least or most or must_fit):
        raise UsageError("[constraints] must come with [search]: without it, everything is built "
                         "('nmahw pareto --where' chooses among results)")
    budget = None
    if search is not None:
        budget = number(table(search, "[search]", ("budget",)).get("budget", 0.25),
                        "search budget", 0, 1)
    limits = table(document.get("limits", {}), "[limits]", ("time_s", "memory_mb"))
    cost = table(document.get("cost", {}), "[cost]", ("per_core_hour", "currency"))
    data = document.get("data")
    return Spec(
        title=texts(document.get("title", path.stem), "title", one=True)[0], points=points,
        models=models, data=None if data is None else _file(data, "data", path.parent),
        must_fit=must_fit, least=least, most=most,
        objective=_objective(table(document.get("objective", {}), "[objective]",
                                   ("minimise", "maximise"))),
        budget=budget,
        limits=Limits(**{key: number(value, f"limit {key}", 0) for key, value in limits.items()}),
        per_core_hour=None if "per_core_hour" not in cost else number(
            cost["per_core_hour"], "cost per_core_hour", 0, least_allowed=True),
        currency=texts(cost.get("currency", ""), "currency", one=True)[0])


def _file(name: object, what: str, folder: Path) -> Path:
    path = folder / texts(name, what, one=True)[0]
    # Not Path.is_file: a name that is too long is an error there.
    if not os.path.isfile(path):
        raise UsageError(f"{what} must be an existing file, not {path}")
    return path


def _float_model(name: str, entry: object, folder: Path) -> FloatModel:
    where = f"[models.{name}]"
    entry = table(entry, where, ("file", "calibration", "calibration_images", "architecture",
                                 "input_shape", "input_scale"))
    for key in ("file", "calibration"):
        if key not in entry:
            raise UsageError(f"{where} must name its {key}")
    more = {}
    if "calibration_images" in entry:
        more["calibration_images"] = whole(entry["calibration_images"], "calibration_images", 1)
    if "architecture" in entry:
        more["architecture"] = texts(entry["architecture"], "architecture", one=True)[0]
    if "input_shape" in entry:
        more["input_shape"] = shape(entry["input_shape"])
    if "input_scale" in entry:
        more["input_scale"] = number(entry["input_scale"], "input_scale", 0)
    return FloatModel(_file(entry["file"], f"{where} file", folder),
                      _file(entry["calibration"], f"{where} calibration", folder), **more)


def _points(document: dict, models: Mapping[str, FloatModel], folder: Path
            ) -> tuple[Point, ...]:
    grids = document.get("grid", [])
    grids = grids if isinstance(grids, list) else [grids]
    single = document.get("list", [])
    if not isinstance(single, list):
        raise UsageError("points must be given as [[list]], not [list]")
    found: dict[Point, None] = {}
    for entry in [*grids, *single]:
        where = "[[list]]" if any(entry is one for one in single) else "[grid]"
        axes = {**_DEFAULTS, **table(entry, where, _AXES)}
        for name in ("model", "arithmetic", "device"):
            if name not in axes:
                raise UsageError(f"{where} must name its {name}")
        axes = {name: _axis(name, value, where) for name, value in axes.items()}
        # What is wrong in one entry must not show after hours of building others.
        size = 1
        for values in axes.values():
            size *= len(values)
        if size + len(found) > _MOST_POINTS:
            raise UsageError(f"a sweep must have at most {_MOST_POINTS:,} points, not {size:,}")
        for model in axes["model"]:
            name = _model(model, models, "bits" in axes, where, folder)
            for arithmetic, width, array, device, seed in product(
                    axes["arithmetic"], axes.get("bits", [None]), axes["array"], axes["device"],
                    axes["seed"]):
                found[Point(name, width, arithmetic, *array, device, seed)] = None
    if not found:
        raise UsageError("a sweep must have a [grid] or a [[list]], not neither")
    return tuple(found)


def _model(name: str, models: Mapping[str, FloatModel], has_bits: bool, where: str, folder: Path
           ) -> str:
    from ..bundled import models as bundled
    if name in models:
        if not has_bits:
            raise UsageError(f"{where} must have bits for the float model {name!r}, for example "
                             f"bits = [\"8x8\"]")
        return name
    if has_bits:
        raise UsageError(f"{where} must have bits for the float models of [models] only: "
                         f"{name!r} has its own")
    if name in bundled():
        return name
    if os.path.isfile(folder / name):
        return str(folder / name)
    known = [*models, *bundled()]
    raise UsageError(f"model must be one of {', '.join(known)} or a file, not {name!r}"
                     f"{nearest(name, known)}")


def _axis(name: str, value: object, where: str) -> list:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise UsageError(f"{where} must have at least one {name}, not none")
    if name == "seed":
        found = check_seeds([whole(one, "seed", 0) for one in values])
    elif name == "bits":
        found = [bits(one) for one in values]
    elif name == "array":
        found = [shape(one, 2) for one in values]
    elif name == "arithmetic":
        found = [_arithmetic(one) for one in values]
    else:
        found = texts(values, name)
    if name == "device":
        for one in found:
            find_device(one)
    if len(set(found)) != len(found):
        raise UsageError(f"{where} must have different values of {name}, not {values!r}")
    return found


def _arithmetic(value: object) -> str:
    """A name, a choice by layer as text, or one as a table."""
    if isinstance(value, Mapping):
        value = ",".join(f"{layer}={name}" for layer, name in value.items())
    text = texts(value, "arithmetic", one=True)[0].replace(" ", "")
    if text == AUTO:
        raise UsageError("arithmetic must be named: 'auto' is what 'nmahw estimate' shows")
    for part in text.split(","):
        ARITHMETICS.get(part.rpartition("=")[2])
        if "=" not in part and "," in text:
            raise UsageError(f"a choice by layer must be like conv=NAME,dense=NAME, not {text!r}")
    return text


def _objective(entry: Mapping[str, object]) -> tuple[str, ...]:
    if not entry:
        return Spec.objective
    found: list[str] = []
    for key, sense, word in (("minimise", -1, "less"), ("maximise", 1, "more")):
        for name in texts(entry.get(key, []), key):
            known = _known_column(name, f"objective {key}")
            if name in found:
                raise UsageError(f"objective {name} must be named once")
            if known.sense != sense:
                raise UsageError(f"objective {key} must name columns of which {word} is better, "
                                 f"not {name}")
            found.append(name)
    if not 2 <= len(found) <= 4:
        raise UsageError(f"[objective] must name 2 to 4 columns, not {len(found)}")
    return tuple(found)


def _known_column(name: str, what: str) -> Column:
    known = [key for key, one in COLUMNS.items() if one.sense]
    if name not in known:
        raise UsageError(f"{what} must be one of {', '.join(known)}, not {name!r}"
                         f"{nearest(name, known)}")
    return COLUMNS[name]


def _constraints(entry: Mapping[str, object]
                 ) -> tuple[dict[str, float], dict[str, float], bool]:
    numeric = [name for name, one in COLUMNS.items() if one.sense]
    known = ["fits", *(f"{name}_{end}" for name in numeric for end in ("min", "max"))]
    least: dict[str, float] = {}
    most: dict[str, float] = {}
    for key, value in table(entry, "[constraints]", known).items():
        if key == "fits":
            if not isinstance(value, bool):
                raise UsageError(f"constraint fits must be true or false, not {value!r}")
            continue
        name, _, end = key.rpartition("_")
        (least if end == "min" else most)[name] = number(value, f"constraint {key}",
                                                         least_allowed=True)
    for name in sorted({*least, *most}):
        low, high = least.get(name), most.get(name)
        can_least, can_most = COLUMNS[name].least, COLUMNS[name].most
        if low is not None and high is not None and low > high:
            raise UsageError(f"constraints must not contradict each other: {name}_min = {low:g} "
                             f"is above {name}_max = {high:g}")
        if low is not None and can_most is not None and low > can_most:
            raise UsageError(f"constraint {name}_min must be at most {can_most:g}, not {low:g}")
        if high is not None and can_least is not None and high < can_least:
            raise UsageError(f"constraint {name}_max must be at least {can_least:g}, not "
                             f"{high:g}")
    return least, most, bool(entry.get("fits", False))

