"""Settings of training methods: read, refused, recorded."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from nmahw.cli.train import _words
from nmahw.errors import UsageError
from nmahw.train.methods import METHODS
from nmahw.train.methods.exact_integers import ExactIntegers
from nmahw.train.settings import portable, setting_text, settings_table, with_settings


@dataclass(frozen=True)
class Settings(ExactIntegers):
    name: ClassVar[str] = "settings"
    part: float = field(default=0.5, metadata={"help": "a part"})
    flag: bool = field(default=False, metadata={"help": "a flag"})
    sizes: tuple[int, ...] = field(default=(1, 2), metadata={"help": "sizes"})


def test_settings_are_read_as_their_defaults_are():
    method = with_settings(Settings(), ["part=1e-3", "flag=true", "sizes=3,4,5", "rate=7",
                                        "loss=softmax"])
    assert (method.part, method.flag, method.sizes, method.rate, method.loss) == (
        0.001, True, (3, 4, 5), 7, "softmax")
    again = with_settings(Settings(), [f"{name}={setting_text(getattr(method, name))}"
                                       for name, _, _ in settings_table(Settings)])
    assert again == method


@pytest.mark.parametrize("setting, word", [
    ("rate", "FIELD=VALUE"), ("speed=3", "must be one of weight_bits"), ("rate=x", "an integer"),
    ("rate=1_0", "an integer"), ("rate=1.5", "an integer"), ("part=much", "a number"),
    ("flag=maybe", "true or false"), ("sizes=1,b", "separated by commas"),
    ("rate=99", "rate must be an integer of")])
def test_settings_that_cannot_be_read(setting, word):
    with pytest.raises(UsageError, match=word):
        with_settings(Settings(), [setting])


@pytest.mark.parametrize("method", list(METHODS), ids=lambda method: method.name)
def test_every_method_explains_itself(method):
    assert method.summary and method.needs is not None
    for name, _, text in settings_table(method):
        assert text, name
    made = method()
    assert with_settings(made, [f"{name}={setting_text(getattr(made, name))}"
                                for name, _, _ in settings_table(method)
                                if getattr(made, name) is not None]) == made


def test_records_have_no_folders_of_this_machine(tmp_path):
    assert portable(str(tmp_path / "model.npz")) == "model.npz"
    assert portable("trained/model.npz") == "trained/model.npz" and portable(3) == 3
    command = _words("digits", "quantised", "digits", None, 1, 0,
                     [f"start={tmp_path / 'model.npz'}", "shift=1"], None, 0)
    assert "--set start=model.npz --set shift=1" in command
