"""Device families: names, limits, and a small design built on every device."""

import json

import pytest
from small_designs import shared_bench, small_rtlil

from nmahw import devices as folder
from nmahw.boards import Pin
from nmahw.devices import FAMILIES, RESOURCES, FlowOptions, device, device_names, devices
from nmahw.errors import BuildError, UsageError
from nmahw.place import place_and_route

#: The fast tests build for the smallest of each vendor's tools.
FAST = {"ice40-hx8k", "ecp5-25k"}
DEVICES = [pytest.param(name, marks=() if name in FAST else pytest.mark.long)
           for name in devices()]


@pytest.mark.parametrize("name", devices())
def test_a_device_says_everything(name):
    part = device(name)
    assert part.name == name and part.part
    assert set(RESOURCES) <= set(part.limits)
    assert all(limit >= 0 for limit in part.limits.values())
    assert part.rules.name == part.family and part in part.rules.devices
    assert part.rules.hard_multipliers


def test_a_board_stands_for_its_device():
    assert device("ulx3s_85f") == device("ecp5-85k")
    assert "ulx3s_85f" in device_names() and "ecp5-85k" in device_names()
    assert device(device("ecp5-85k")) is device("ecp5-85k")


def test_unknown_device_lists_devices_and_boards():
    with pytest.raises(UsageError, match="one of ecp5-25k, .*ice40-up5k.*icebreaker.*not 'x'"):
        device("x")


@pytest.mark.parametrize("mhz", [0, -5, 3000])
def test_impossible_target_frequency_is_refused(mhz):
    with pytest.raises(UsageError, match="target frequency must be"):
        FlowOptions(target_mhz=mhz)


@pytest.mark.parametrize("family", list(FAMILIES), ids=lambda family: family.name)
def test_hard_multipliers_are_used_only_when_allowed(family):
    part = family.devices[0]
    with_dsp, without = (family.map_commands(part, FlowOptions(hard_multiplier=allowed))
                         for allowed in (True, False))
    assert with_dsp != without


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_is_placed_within_its_limits(name, tmp_path_factory):
    part = device(name)
    bench = shared_bench(tmp_path_factory)
    result, = place_and_route(small_rtlil(elements=2), part, FlowOptions(), [1], bench=bench)
    assert result.fmax_mhz > 10
    assert 20 < result.utilisation["ff"] < 60 and 15 < result.utilisation["lut"] < 150
    assert result.utilisation["dsp"] == result.utilisation["block_ram"] == 0
    assert set(RESOURCES) <= set(result.utilisation)
    # The limits are nextpnr's own.
    report = json.loads(result.report.read_text())["utilization"]
    for kind, resource in part.rules.vendor_cells().items():
        # Gowin's larger multipliers are made of the 9x9 ones that are counted.
        if resource in RESOURCES and kind in report and kind not in ("MULT18X18", "MULT36X36"):
            assert report[kind]["available"] == part.limits[resource], kind


@pytest.mark.parametrize("name", [name for name in DEVICES
                                  if device(name.values[0]).limits["dsp"]])
def test_hard_multipliers_are_counted(name, tmp_path_factory):
    part = device(name)
    bench = shared_bench(tmp_path_factory)
    result, = place_and_route(small_rtlil("multiply", 2, bits=8), part,
                              FlowOptions(hard_multiplier=True), [1], bench=bench)
    assert result.utilisation["dsp"] == 2
    assert result.utilisation["lut"] < 200


def test_every_family_of_the_folder_is_registered():
    assert set(FAMILIES.names()) == {part.family for part in devices().values()}
    assert folder.__name__ == "nmahw.devices"


@pytest.mark.parametrize("family", list(FAMILIES), ids=lambda family: family.name)
def test_constraints_name_pins_and_their_settings(family):
    part, pins = family.devices[0], {"si": Pin("18", attributes=(("PULLUP", "1"),))}
    files = family.constraint_files(part, ["clk", "rst", "si", "so"], pins)
    text = "".join(files.values())
    assert "si" in text and "18" in text and "pull" in text.lower()
    assert set(files) <= set(" ".join(family.place_arguments(part)).replace("=", " ").split())


def test_too_many_ports_for_a_package_that_wants_them_placed():
    part = device("gw1nr-9")
    with pytest.raises(BuildError, match="at most 28 port bits beside its clock, not 40"):
        part.rules.constraint_files(part, ["clk", *map(str, range(40))], {})
