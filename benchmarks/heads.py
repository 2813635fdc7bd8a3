"""The digital heads of the bench: made once, kept as .npz in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

THREE_TESLA: dict[str, Any] = {"b0": 3.0, "te": (0.005, 0.0095, 0.014, 0.0185, 0.023), "voxel_size": (1.0, 1.0, 1.0)}
# SNR is that of the brain's mean at the first echo. Other heads of the field state it of the brightest voxel: their
# SNR 100 leaves the brain about 20, and its field as uncertain as theirs (5 ppb).
HEADS: dict[str, dict[str, Any]] = {
    "3 T 1 mm SNR 100": {**THREE_TESLA, "snr": 100.0},
    "3 T 1 mm SNR 40": {**THREE_TESLA, "snr": 40.0},
    "3 T 1 mm SNR 20": {**THREE_TESLA, "snr": 20.0},
    "7 T 0.8 mm": {"b0": 7.0, "te": (0.004, 0.008, 0.012, 0.016, 0.02), "voxel_size": (0.8, 0.8, 0.8), "snr": 100.0},
    "1.5 T single echo": {"b0": 1.5, "te": (0.04,), "voxel_size": (1.0, 1.0, 2.0), "snr": 40.0},
    "tilted 30": {**THREE_TESLA, "snr": 100.0, "head_tilt": 30.0},
}
SEED = 11
MARGIN = 2  # voxels around the brain


def load_head(name: str, folder: Path) -> dict[str, Any]:
    """A head's echoes and truth, cut to the brain.

    Returns
    -------
    mag, phase : (x, y, z, echo) float32 arrays; phase in radians
    chi, local, total : (x, y, z) float32 arrays [ppm]
    mask : (x, y, z) bool array; nuclei : integer array, label n is `names[n - 1]`
    te [s], b0 [T], voxel_size [mm], b0_dir (unit, voxel axes), phase_per_ppm [rad/ppm]
    """
    from qsmprep.qsm.phase import phase_per_ppm

    path = folder / ("".join(c if c.isalnum() else "_" for c in name) + ".npz")
    if not path.exists():
        _make(HEADS[name], path)
    head: dict[str, Any] = dict(np.load(path))
    head["b0"], head["names"] = float(head["b0"]), [str(n) for n in head["names"]]
    for key in ("te", "voxel_size", "b0_dir"):
        head[key] = tuple(float(v) for v in head[key])
    head["phase_per_ppm"] = phase_per_ppm(head["te"], head["b0"], head["mag"], head["mask"])
    return head


def _make(options: dict[str, Any], path: Path) -> None:
    from qsmprep.phantom import Options, make_subject
    from qsmprep.qsm._grid import mask_box

    wanted = Options(seed=SEED, t1w=False, **options)
    visit = make_subject(wanted, 0, "control")
    axes = visit.grid.affine[:3, :3]
    size = np.linalg.norm(axes, axis=0)
    direction = np.linalg.solve(axes / size, [0.0, 0.0, 1.0])
    truth = visit.truth
    box = mask_box(truth.mask, MARGIN)
    volumes = {"chi": truth.chi, "local": truth.local, "total": truth.total, "mask": truth.mask, "nuclei": truth.nuclei}
    echoes = visit.echoes[box]
    np.savez(
        path, mag=np.abs(echoes), phase=np.angle(echoes).astype(np.float32), te=np.array(wanted.te), b0=wanted.b0,
        voxel_size=size, b0_dir=direction / np.linalg.norm(direction), names=[name for name, _ in truth.regions],
        **{key: volume[box] for key, volume in volumes.items()},
    )  # fmt: skip
