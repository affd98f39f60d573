"""The page that answers the paper's claim: what is compared with what, and what files it needs."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def claim(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("render_claim", BENCHMARKS / "render_claim.py")
    loaded = sys.modules["render_claim"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    monkeypatch.setattr(loaded, "RESULTS", tmp_path)
    (tmp_path / "train").mkdir()
    return loaded


def record(folder: Path, name: str, accuracy: float, rate: float, method: str = "nma") -> None:
    (folder / "train" / f"{name}.json").write_text(json.dumps({
        "format": "nmahw-training", "method": {"name": method}, "multiplications": "none",
        "topology": "64-32-10", "data": {"name": "digits"}, "best_epoch": 2,
        "test_accuracy": accuracy, "history": [{"images_per_s": rate}] * 3}))


def test_records_are_compared_with_their_twins(claim, tmp_path):
    for seed, accuracy in enumerate((0.95, 0.97)):
        record(tmp_path, f"digits-nma-exact-split{seed}-seed{seed}", accuracy, 1000)
        record(tmp_path, f"digits-nma-softplus-seed{seed}", accuracy - 0.02, 50)
    record(tmp_path, "digits-nma-exact-sigmoid-seed0", 0.9, 300)
    record(tmp_path, "digits-nma-softplus-sigmoid-seed0", 0.91, 30)
    record(tmp_path, "digits-nma-rom_softplus-seed0", 0.96, 2000)
    record(tmp_path, "mlp-mogami-fp32-seed0", 0.96, 2000, "mogami")
    (tmp_path / "train" / "other.json").write_text("{}")
    groups = claim.records()
    assert {name: len(group) for name, group in groups.items()} == {
        "digits-nma-exact": 2, "digits-nma-softplus": 2, "digits-nma-exact-sigmoid": 1,
        "digits-nma-softplus-sigmoid": 1, "digits-nma-rom_softplus": 1, "mlp-mogami-fp32": 1}
    text, slower, differences = claim.twins(groups)
    assert slower == pytest.approx([20, 10])
    assert sorted(differences) == pytest.approx([-2, 0, 1])
    assert "| `digits-nma-softplus` | 2 | -2.00 | 20.0 |" in text
    assert "mogami" not in text  # its twin is missing
    assert "| `digits-nma-exact` | nma | digits | 64-32-10 | 2 | 96.00 ± 1.41 | 2 | 1,000 |" \
        in claim.training(groups)
    assert "11 to 45" not in claim._verdict(slower, differences)
    assert "10 to 20 times slower" in claim._verdict(slower, differences)


def comparison(folder: Path, name: str, rows: dict[str, tuple[int, float, int]]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({
        "schema": "nmahw-comparison", "network": {"title": name}, "device": {"name": "part"},
        "array": {"rows": 2, "columns": 3}, "rows": [{
            "arithmetic": arithmetic, "baseline": arithmetic in ("booth", "dsp"), "exact": True,
            "resources": {"lut": lut, "dsp": dsp, "block_ram": 1} if lut else None,
            "fmax_mhz": {"median": 100.0}, "macs_per_s_per_lut": per_lut}
            for arithmetic, (lut, per_lut, dsp) in rows.items()]}))


def test_area_is_put_in_relation_to_the_baselines_of_the_same_table(claim, tmp_path):
    comparison(tmp_path, "net", {"booth": (2000, 4e5, 0), "dsp": (1000, 1e6, 8),
                                 "shared_multiples": (1500, 8e5, 0), "huge": (0, 0, 0)})
    (tmp_path / "list.json").write_text("[]")
    text = claim.area()
    assert "| `shared_multiples` | 1,500 | 0 | 1 | 100 | 0.80 | 2.00 | 0.80 |" in text
    assert "`huge`" not in text
    assert "2.00 times the MAC/s per LUT, of which 1.00 is clock; 0.75 times" in \
        claim.beside_booth()
    assert "part, `shared_multiples`, 2.00 times Booth's, 0.80 of DSP blocks'" \
        in claim._best_exact()


def test_what_has_no_file_is_left_out(claim):
    assert claim.sharing() is None and claim.beside_booth() is None
    assert claim._best_exact() is None and claim.area() == ""
    assert "slower" not in claim._verdict([], [])


def test_sharing_says_what_sharing_alone_is_worth(claim, tmp_path):
    def row(lut, per_lut):
        return {"arithmetic": "shared_multiples", "baseline": False, "accuracy": 0.99,
                "resources": {"lut": lut, "dsp": 0, "block_ram": 2}, "fmax_mhz": {"median": 9.0},
                "macs_per_s_per_lut": per_lut}

    (tmp_path / "sharing.json").write_text(json.dumps({
        "device": "part", "array": "4x4", "rows": {"shared": row(80, 15), "private": row(100, 10)}
    }))
    assert "20 % fewer LUT, 1.50 times the MAC/s per LUT" in claim.sharing()
