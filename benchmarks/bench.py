"""Accuracy and speed of every algorithm and preset, as tables in README.md.

    python benchmarks/bench.py [--work-dir DIR] [--only TEXT] [--all-heads] [--phantom128 FILE]

Every row is measured in a process of its own, and kept in the working directory: a bench that was stopped goes on
where it was. Truth: digital heads (`heads.py`), each algorithm alone on its true input and each preset from raw phase
with the true brain mask. Speed: the phantom on which the peers of peers.toml were measured, in units of one pair of
real Fourier transforms on the same grid, timed in turns with the algorithm. The second call counts: the first one
compiles.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
TRUTH_COLUMNS = {
    "kept": "kept %", "xsim": "xSIM", "nrmse": "NRMSE %", "detrended": "detrended %", "hfen": "HFEN %",
    "slope": "deep-grey slope", "r": "r", "rmse_ppb": "RMSE ppb", "xsim_brain": "xSIM, whole brain",
    "nrmse_brain": "NRMSE %, whole brain", "seconds": "seconds", "peak_gb": "peak GB",
}  # fmt: skip
DIGITS = {"kept": 1, "nrmse": 1, "detrended": 1, "hfen": 1, "rmse_ppb": 1, "nrmse_brain": 1, "seconds": 1, "peak_gb": 2}
PRESETS = {  # preset -> heads it is meant for; all of them by default
    "single-echo": ("1.5 T single echo",),
    "7T": ("7 T 0.8 mm",),
    "literature": ("3 T 1 mm SNR 100", "3 T 1 mm SNR 40", "7 T 0.8 mm", "tilted 30"),
}


def main(arguments: list[str]) -> int:
    from heads import HEADS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=HERE / "work")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--all-heads", action="store_true", help="algorithms alone on every head, not on the first")
    parser.add_argument("--phantom128", type=Path, default=HERE.parent.parent / "shared/research/phantom128.py")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.work_dir.mkdir(parents=True, exist_ok=True)
    if given.row:
        print(json.dumps(measure_row(given.row.split("|"), given)))
        return 0
    heads = list(HEADS)
    rows = [f"alone|{stage}|{name}|{head}" for head in (heads if given.all_heads else heads[:1])
            for stage, name in algorithms(("background", "inversion", "singlestep"))]  # fmt: skip
    rows += [f"preset|{name}|{head}" for head in heads for name in presets() if head in PRESETS.get(name, heads)]
    rows.append(f"whole|256 x 256 x 192|{heads[0]}")
    if given.phantom128.exists():
        rows += [f"speed|{stage}|{name}" for stage, name in algorithms(SPEED_STAGES)]
    else:
        print(f"no speed table: {given.phantom128} is not there; name it with --phantom128", file=sys.stderr)
    for row in rows:
        if given.only in row:
            run_row(row, given)
    write_readme({row: result for row in rows if (result := stored(row, given)) is not None})
    return 0


def presets() -> list[str]:
    from qsmprep.settings import preset_names

    return [name for name in preset_names() if name != "partial-brain"]


SPEED_STAGES = ("unwrap", "fieldmap", "relaxometry", "background", "inversion", "singlestep")


def algorithms(stages: tuple[str, ...]) -> list[tuple[str, str]]:
    import importlib

    return [(stage, name) for stage in stages for name in importlib.import_module(f"qsmprep.qsm.{stage}").METHODS]


def _file(row: str, given: argparse.Namespace) -> Path:
    return given.work_dir / ("".join(c if c.isalnum() else "_" for c in row) + ".json")


def stored(row: str, given: argparse.Namespace) -> dict[str, Any] | None:
    path = _file(row, given)
    return json.loads(path.read_text()) if path.exists() else None


def run_row(row: str, given: argparse.Namespace) -> None:
    """Measure a row in a process of its own, unless it is there already."""
    if stored(row, given) is not None:
        return
    head = row.split("|")[-1]
    if row.split("|")[0] in ("alone", "preset", "whole"):
        run_row(f"head|{head}", given)
    command = [sys.executable, str(Path(__file__)), "--work-dir", str(given.work_dir), "--phantom128",
               str(given.phantom128), "--row", row]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{row}: failed\n{done.stderr[-2000:]}", file=sys.stderr, flush=True)
        return
    _file(row, given).write_text(done.stdout.splitlines()[-1] + "\n")
    print(row, done.stdout.splitlines()[-1], flush=True)


def measure_row(parts: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """One row's figures, in this process."""
    measured = {"alone": alone, "preset": preset, "whole": whole, "speed": speed, "head": make_head}[parts[0]](
        *parts[1:], given
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return measured | {"peak_gb": peak}


def make_head(name: str, given: argparse.Namespace) -> dict[str, float]:
    """A head, so that no other row's memory or time holds the making of it."""
    from heads import load_head

    return {"voxels": float(load_head(name, given.work_dir)["mask"].sum())}


def twice(function: Any) -> tuple[Any, float]:
    """Result and seconds of the second call."""
    function()
    begun = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begun


def alone(stage: str, name: str, head_name: str, given: argparse.Namespace) -> dict[str, float]:
    """One algorithm on its true input: local field for inversions, total field for the others."""
    import metrics
    from heads import load_head

    import qsmprep.qsm.background as background
    import qsmprep.qsm.inversion as inversion
    import qsmprep.qsm.singlestep as singlestep

    head = load_head(head_name, given.work_dir)
    geometry = (head["mask"], head["voxel_size"], head["b0_dir"])
    if stage == "background":
        (field, valid), seconds = twice(lambda: background.METHODS[name](head["total"], *geometry))
        local = head["local"]
        return {
            "kept": float(100 * valid.sum() / head["mask"].sum()),
            "xsim": metrics.xsim(field, local, valid), "nrmse": metrics.nrmse(field, local, valid),
            "detrended": metrics.detrended_nrmse(field, local, valid), "hfen": metrics.hfen(field, local, valid),
            "seconds": seconds,
        }  # fmt: skip
    data = {"magnitude": head["mag"], "phase_per_ppm": head["phase_per_ppm"]}
    if stage == "inversion":
        chi, seconds = twice(lambda: inversion.METHODS[name](head["local"], *geometry, **data))
    else:
        (chi, _), seconds = twice(lambda: singlestep.METHODS[name](head["total"], *geometry, **data))
    return metrics.scores(chi, head["mask"] & (chi != 0), head) | {"seconds": seconds}


def preset(name: str, head_name: str, given: argparse.Namespace) -> dict[str, float]:
    """A preset from raw phase to χ, with the true brain mask, by the functions that the workflow calls."""
    import metrics
    from heads import load_head

    from qsmprep.settings import Settings

    values = {"bids_dir": "/data", "out_dir": "/out", "analysis_level": "participant"}
    settings = Settings.resolve(values, preset=name)
    head = load_head(head_name, given.work_dir)
    (chi, valid), seconds = twice(lambda: reconstruct(head, settings))
    return metrics.scores(chi, valid, head) | {"seconds": seconds}


def whole(grid: str, head_name: str, given: argparse.Namespace) -> dict[str, float]:
    """The default from raw phase to χ on a grid of a whole field of view: seconds, and memory with the echoes in it."""
    from heads import load_head

    from qsmprep.settings import Settings

    settings = Settings.resolve({"bids_dir": "/data", "out_dir": "/out", "analysis_level": "participant"})
    head, rng = load_head(head_name, given.work_dir), np.random.default_rng(0)
    shape = [int(n) for n in grid.split("x")]
    margin = [(0, n - have) for n, have in zip(shape, head["mask"].shape, strict=True)]
    noise = [*margin, (0, 0)]
    wide = {key: head[key] for key in ("te", "b0", "voxel_size", "b0_dir")}
    wide["mask"] = np.pad(head["mask"], margin)
    outside = ~np.pad(np.ones(head["mask"].shape, bool), margin)
    for key, top in (("mag", float(head["mag"].mean()) / 20), ("phase", np.pi)):
        wide[key] = np.pad(head.pop(key), noise)
        wide[key][outside] = rng.uniform(0 if key == "mag" else -top, top, (int(outside.sum()), len(wide["te"])))
    del head, outside
    _, seconds = twice(lambda: reconstruct(wide, settings))
    return {"seconds": seconds}


def reconstruct(head: dict[str, Any], settings: Any) -> tuple[Any, Any]:
    """χ and where it is known, by the stages of `workflows/recon.py`."""
    from qsmprep.mask.refine import qsm_mask
    from qsmprep.qsm.background import remove_background
    from qsmprep.qsm.combine import mcpc3ds
    from qsmprep.qsm.fieldmap import map_field
    from qsmprep.qsm.inversion import invert
    from qsmprep.qsm.phase import phase_per_ppm
    from qsmprep.qsm.singlestep import reconstruct as single_step
    from qsmprep.qsm.unwrap import unwrap, voxel_quality

    te, magnitude, brain = tuple(head["te"]), head["mag"], head["mask"]
    size, direction = head["voxel_size"], head["b0_dir"]

    def chosen(method: str) -> dict[str, Any]:
        return {"method": method, **settings.parameters(method)}

    quality = voxel_quality(head["phase"], magnitude, te)
    mask = qsm_mask(brain, quality, **settings.parameters("mask"))
    phase = mcpc3ds(head["phase"], magnitude, te, brain, size, **settings.parameters("mcpc3ds")).phase
    unwrapped = unwrap(phase, magnitude, brain, te, size, **chosen(settings.unwrap))
    fit = map_field(unwrapped, magnitude, brain, te, head["b0"], size, **chosen(settings.fieldmap))
    data = {
        "noise": fit.noise, "magnitude": magnitude, "phase_per_ppm": phase_per_ppm(te, head["b0"], magnitude, mask),
        **chosen(settings.inversion),
    }  # fmt: skip
    if settings.single_step:
        chi, _ = single_step(fit.field, mask, size, direction, **data)
        return chi, chi != 0
    local, valid = remove_background(fit.field, mask, size, direction, noise=fit.noise, **chosen(settings.background))
    return invert(local, valid, size, direction, **data), valid


def speed(stage: str, name: str, given: argparse.Namespace) -> dict[str, float]:
    """Seconds, transform pairs and error on the peers' phantom."""
    import importlib

    import metrics
    from scipy import fft

    spec = importlib.util.spec_from_file_location("phantom128", given.phantom128)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    p = module.build((128, 128, 96))
    method = importlib.import_module(f"qsmprep.qsm.{stage}").METHODS[name]
    mask, geometry = p["mask"], (p["mask"], (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))
    phase, magnitude = (np.ascontiguousarray(np.moveaxis(p[key], 0, -1)) for key in ("phase", "mag"))
    te = tuple(p["tes"])
    if stage == "fieldmap":
        from qsmprep.qsm.combine import mcpc3ds
        from qsmprep.qsm.unwrap import unwrap_romeo

        phase = unwrap_romeo(mcpc3ds(phase, magnitude, te, mask).phase, magnitude, mask, te)
    calls = {
        "unwrap": lambda: method(phase, magnitude, mask, te),
        "fieldmap": lambda: method(phase, magnitude, mask, te, 3.0),
        "relaxometry": lambda: method(magnitude, te, mask),
        "background": lambda: method(p["total"], *geometry),
        "inversion": lambda: method(p["local_n"], *geometry),
        "singlestep": lambda: method(p["total"], *geometry),
    }
    call, volume = calls[stage], p["local_n"]
    call()
    seconds, pairs = [], []
    for _ in range(5):
        for _ in range(3):
            begun = time.perf_counter()
            fft.irfftn(fft.rfftn(volume, workers=2), s=volume.shape, workers=2)
            pairs.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begun)
    measured = {"seconds": float(np.median(seconds)), "pairs": float(np.median(seconds) / np.median(pairs))}
    if stage == "background":
        return measured | {"nrmse": metrics.nrmse(result[0], p["local"], result[1]), "voxels": int(result[1].sum())}
    if stage in ("inversion", "singlestep"):
        chi = result if stage == "inversion" else result[0]
        return measured | {"nrmse": metrics.nrmse(chi, p["chi"], mask)}
    if stage == "fieldmap":
        return measured | {"nrmse": metrics.nrmse(result.field, p["local"] + p["back"], mask)}
    if stage == "relaxometry":
        return measured | {"nrmse": metrics.relative_error(result.r2star, p["r2s"], mask)}
    return measured


def _cell(key: str, value: Any) -> str:
    return "" if value is None else f"{value:.{DIGITS.get(key, 3)}f}"


def truth_table(results: dict[str, dict[str, Any]], kind: str) -> str:
    """The rows `alone|...` or `preset|...` as Markdown."""
    first = ["stage", "algorithm", "head"] if kind == "alone" else ["preset", "head"]
    lines = [
        "| " + " | ".join([*first, *TRUTH_COLUMNS.values()]) + " |",
        "|" + "---|" * (len(first) + len(TRUTH_COLUMNS)),
    ]
    for row, result in results.items():
        if row.startswith(kind + "|"):
            cells = [*row.split("|")[1:], *(_cell(key, result.get(key)) for key in TRUTH_COLUMNS)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def whole_table(results: dict[str, dict[str, Any]]) -> str:
    """The rows `whole|...` as Markdown."""
    lines = ["| grid | head | seconds | peak GB |", "|---|---|---|---|"]
    for row, result in results.items():
        if row.startswith("whole|"):
            lines.append(f"| {' | '.join(row.split('|')[1:])} | {result['seconds']:.1f} | {result['peak_gb']:.2f} |")
    return "\n".join(lines)


def speed_table(results: dict[str, dict[str, Any]]) -> str:
    """The rows `speed|...` as Markdown, beside the peers' figures."""
    peers = tomllib.loads((HERE / "peers.toml").read_text())
    head = ["stage", "algorithm", "seconds", "FFT pairs", "NRMSE %", "voxels kept"]
    head += ["peer", "its pairs", "its NRMSE %", "its voxels"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row, result in results.items():
        if row.startswith("speed|"):
            _, stage, name = row.split("|")
            peer = peers.get(stage, {}).get(name, {})
            own = [f"{result['seconds']:.2f}", f"{result['pairs']:.0f}", _cell("nrmse", result.get("nrmse")),
                   str(result.get("voxels", ""))]  # fmt: skip
            theirs = [str(peer.get(key, "")) for key in ("name", "pairs", "nrmse", "kept")]
            lines.append("| " + " | ".join([stage, name, *own, *theirs]) + " |")
    return "\n".join(lines)


def write_readme(results: dict[str, dict[str, Any]]) -> None:
    """Put the tables between their marks in README.md."""
    path = HERE / "README.md"
    text = path.read_text()
    tables = {
        "alone": truth_table(results, "alone"),
        "presets": truth_table(results, "preset"),
        "whole": whole_table(results),
        "speed": speed_table(results),
    }
    for mark, table in tables.items():
        start, end = f"<!-- bench: {mark} -->", f"<!-- end: {mark} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{table}\n{end}{after}"
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
