"""Results files of sweeps that nobody ran."""

from nmahw.sweep.store import Store, point_key

VERSIONS = {"yosys": "1"}


def attempt(design, seed, status="done", lut=100, fmax=100.0, device="ice40-hx8k", **more):
    """A row of the table of attempts."""
    key = point_key(design, {}, device, seed, more.get("versions", VERSIONS))
    return {"key": key, "design": design, "device": device, "seed": seed, "status": status,
            "lut": lut if status == "done" else None, "ff": 1, "dsp": 0, "block_ram": 2,
            "fmax_mhz": fmax if status == "done" else None, "no_multiplier": 1, "seconds": 2.0,
            "versions": VERSIONS, **more}


def design(name, arithmetic="bit_serial", cycles=1000, **more):
    """A row of the table of designs."""
    return {"design": name, "model": "digits", "bits": "4x4", "content": "c" * 64,
            "arithmetic": arithmetic, "rows": 2, "columns": 2, "code": "x", "status": "done",
            "accuracy": 0.96, "cycles_per_image": cycles, "macs_per_image": 500,
            "is_baseline": 0, "options": {}, "yosys_passes": [], **more}


def write_results(folder):
    """A file of four designs: built twice, built once, on another device, refused."""
    path = folder / "r.sqlite"
    with Store(path, write=True) as store:
        store.add([design("a"), design("b", "<b>&\"odd", 500), design("c", accuracy=0.5),
                   design("d", status="refused")],
                  [attempt("a", 1, lut=100, fmax=90.0), attempt("a", 2, lut=102, fmax=110.0),
                   attempt("b", 1, lut=300, fmax=100.0),
                   attempt("c", 1, lut=5000, fmax=50.0, device="ecp5-25k"),
                   attempt("d", 1, status="refused", reason="too odd")])
    return path
