"""Field maps and χ of the real images that tests use, as pictures in docs/figures.

    python benchmarks/realdata.py [--data ../shared/data]

romeo_crop: a crop of a multi-echo head at 7 T. xa30: a dual-echo field map of a whole head at 3 T, of which there is
the phase difference alone; its voxels of 3.4 mm are far too coarse for χ, so only the fields are shown.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from qsmprep.qsm.background import remove_background
from qsmprep.qsm.fieldmap import map_field
from qsmprep.qsm.phase import find_phase_scaling, to_radians
from qsmprep.qsm.unwrap import unwrap
from qsmprep.report.figures import plot_map

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    crop(given.data / "romeo_crop", given.out)
    head(given.data / "xa30", given.out)
    return 0


def _load(path: Path) -> tuple[Any, Any, dict[str, Any]]:
    image: Any = nib.load(path)
    meta = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    return np.asanyarray(image.dataobj).astype(np.float32), image.affine, meta


def _radians(stored: Any, meta: dict[str, Any]) -> Any:
    return to_radians(stored, find_phase_scaling(float(stored.min()), float(stored.max()), stored, meta), 1)


def _geometry(affine: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    size = np.linalg.norm(affine[:3, :3], axis=0)
    direction = np.linalg.solve(affine[:3, :3] / size, [0.0, 0.0, 1.0])
    return tuple(size), tuple(direction / np.linalg.norm(direction))


def crop(folder: Path, out: Path) -> None:
    """Fields and χ of the crop, as the program's report shows them."""
    with tempfile.TemporaryDirectory() as work:
        program = Path(sys.executable).parent / "qsmprep"
        subprocess.run([program, folder, Path(work) / "out", "participant", "--preset", "partial-brain",
                        "--skip-bids-validation", "-w", Path(work) / "work"], check=True)  # fmt: skip
        for what in ("totalfield", "localfield", "chi"):
            figure = Path(work) / "out" / "sub-01" / "figures" / f"sub-01_desc-{what}_QSM.webp"
            shutil.copy(figure, out / f"crop_{what}.webp")


def head(folder: Path, out: Path) -> None:
    """Total and local field of the whole head."""
    stored, affine, meta = _load(next((folder / "sub-01" / "fmap").glob("*_phasediff.nii.gz")))
    magnitude, *_ = _load(next((folder / "sub-01" / "fmap").glob("*_magnitude1.nii.gz")))
    mask = np.asanyarray(nib.load(folder / "mask_on_magnitude1.nii.gz").dataobj) > 0
    te = (float(meta["EchoTime2"]) - float(meta["EchoTime1"]),)
    size, direction = _geometry(affine)
    phase = _radians(stored, meta)[..., None]
    unwrapped = unwrap(phase, magnitude[..., None], mask, te, size)
    fit = map_field(unwrapped, magnitude[..., None], mask, te, float(meta["MagneticFieldStrength"]), size)
    local, valid = remove_background(fit.field, mask, size, direction, noise=fit.noise)
    inside = fit.field[mask]
    print(f"xa30: TE difference {1000 * te[0]:.2f} ms, field {inside.min():.2f} to {inside.max():.2f} ppm, "
          f"local SD {1000 * local[valid].std():.0f} ppb")  # fmt: skip
    plot_map(fit.field, affine, mask, out / "xa30_total.webp", unit="ppm", title="Total field")
    plot_map(local, affine, mask, out / "xa30_local.webp", vmin=-0.1, vmax=0.1, unit="ppm", title="Local field",
             shown=valid)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
