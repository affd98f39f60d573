"""The certificate: granted without a multiplier, refused with one at any stage."""

import pytest
from amaranth.back import rtlil
from networks import network_for
from small_designs import shared_bench, small_rtlil

from nmahw.arith import ARITHMETICS
from nmahw.certify import FORBIDDEN_CELLS, Certificate, Finding, certify, rtlil_cells
from nmahw.compare import flow_options
from nmahw.design import Design
from nmahw.devices import FAMILIES, FlowOptions, device
from nmahw.errors import CertificateError
from nmahw.place import place_and_route

TEXT = r'''
attribute \generator "by hand: cell $mul \not_one"
attribute \top 1
module \top
  attribute \src "array.py:3"
  wire width 8 \cell
  attribute \src "array.py:12"
  attribute \keep 1
  cell $mul \product
    parameter \A_WIDTH 8
    connect \A \cell
  end
  cell $add $1
    connect \A \cell
  end
  attribute \src "process.py:1"
  process $2
    assign \cell 8'00000000
  end
end
module \top.unit
  cell \MULT18X18D \hard
  end
  cell \top.other \instance
  end
end
'''


def test_cells_are_read_with_module_and_source():
    cells = [(c.module, c.kind, c.cell, c.source) for c in rtlil_cells(TEXT)]
    assert cells == [("top", "$mul", "product", "array.py:12"), ("top", "$add", "$1", ""),
                     ("top.unit", "MULT18X18D", "hard", ""),
                     ("top.unit", "top.other", "instance", "")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return shared_bench(tmp_path_factory)


def test_an_adder_is_granted_at_every_stage(bench):
    text, part, options = small_rtlil(elements=2), device("ice40-hx8k"), FlowOptions()
    placed = place_and_route(text, part, options, [1], bench=bench)
    certificate = certify(text, part, options, bench, placed, "adder")
    assert certificate.granted and certificate.require() is certificate
    assert list(certificate.cells) == ["RTLIL", "netlist", "placed netlist"]
    assert all(count > 10 for count in certificate.cells.values())
    assert "adder on ice40-hx8k: no multiplier in" in str(certificate)


def test_a_product_in_logic_cells_is_refused(bench):
    certificate = certify(small_rtlil("multiply", 2, sources=True), device("ice40-hx8k"),
                          FlowOptions(), bench, label="product")
    assert not certificate.granted and certificate.counts == {"$mul": 2}
    with pytest.raises(CertificateError, match=r"(?s)product on ice40-hx8k must have no "
                       r"multiplier, but has 2:.*\$mul .* in top \(RTLIL, from .*"
                       r"small_designs.py:\d+"):
        certificate.require()


def test_a_hard_multiplier_is_found_in_both_netlists(bench):
    text, part = small_rtlil("multiply", 2, bits=8), device("ecp5-25k")
    options = FlowOptions(hard_multiplier=True)
    placed = place_and_route(text, part, options, [1], bench=bench)
    certificate = certify(text, part, options, bench, placed)
    stages = [(finding.stage, finding.kind) for finding in certificate.findings]
    assert stages == 2 * [("RTLIL", "$mul")] + 2 * [("netlist", "MULT18X18D")] + \
        2 * [("placed netlist", "MULT18X18D")]
    assert certificate.counts == {"$mul": 2, "MULT18X18D": 2}


@pytest.mark.parametrize("kind", sorted(FORBIDDEN_CELLS))
def test_every_forbidden_cell_is_refused(kind, bench, monkeypatch):
    # The netlist of this text does not matter here, only that its RTLIL is searched.
    text = small_rtlil() + f"module \\hidden\n  cell {kind} \\it\n  end\nend\n"
    monkeypatch.setattr("nmahw.certify.synthesise",
                        lambda *arguments: type("Netlist", (), {"cells": {"SB_LUT4": 1}}))
    certificate = certify(text, device("ice40-hx8k"), FlowOptions(), bench)
    assert [(f.module, f.cell) for f in certificate.findings] == [("hidden", "it")]


@pytest.mark.parametrize("family", list(FAMILIES), ids=lambda family: family.name)
def test_an_instance_of_any_familys_multiplier_is_refused(family, bench, monkeypatch):
    kind = sorted(family.hard_multipliers)[0]
    text = small_rtlil() + f"module \\hidden\n  cell \\{kind} \\it\n  end\nend\n"
    monkeypatch.setattr("nmahw.certify.synthesise",
                        lambda *arguments: type("Netlist", (), {"cells": {"SB_LUT4": 1}}))
    assert certify(text, device("ice40-hx8k"), FlowOptions(), bench).counts == {kind: 1}


def test_a_long_list_is_cut():
    findings = tuple(Finding("RTLIL", "top", f"${n}", "$mul") for n in range(25))
    with pytest.raises(CertificateError, match="has 25:") as caught:
        Certificate("big", "ecp5-25k", findings, {"RTLIL": 100}).require()
    assert "and 15 more" in str(caught.value) and "$9 " in str(caught.value)


def certified(kind, bench):
    """Certificate of a whole accelerator: addressing, pooling and requantisation are in it."""
    design = Design.of(network_for("averages", kind), kind.name, 1, 1)
    return design, certify(design.rtlil(pins="serial"), device("ecp5-25k"),
                           flow_options(design.arithmetic), bench, label=kind.name)


@pytest.mark.parametrize("name", [kind.name for kind in ARITHMETICS if kind.exact])
def test_whole_accelerators_multiply_only_in_baselines(name, bench, monkeypatch):
    monkeypatch.setattr("nmahw.certify.synthesise",
                        lambda *arguments: type("Netlist", (), {"cells": {"LUT4": 1}}))
    kind = ARITHMETICS.get(name)
    design, certificate = certified(kind, bench)
    multiplies = "$mul" in rtlil.convert(design.arithmetic.create())
    assert certificate.granted is not multiplies
    assert kind.is_baseline or not multiplies


# What they become in LUTs, carry chains, block RAM and distributed RAM, and a hard multiplier.
MAPPED = ("bit_serial", "distributed", "dsp", "quarter_square")


@pytest.mark.parametrize("name", [
    pytest.param(kind.name, marks=[] if kind.name in MAPPED else pytest.mark.long)
    for kind in ARITHMETICS if kind.exact])
def test_mapped_accelerators_are_granted_unless_they_multiply(name, bench):
    design, certificate = certified(ARITHMETICS.get(name), bench)
    assert list(certificate.cells) == ["RTLIL", "netlist"]
    multiplies = "$mul" in rtlil.convert(design.arithmetic.create())
    assert certificate.granted is not multiplies
    if multiplies:
        with pytest.raises(CertificateError):
            certificate.require()
