"""Compile every kernel ahead of time, into the cache that later runs read: `python -m qsmprep.warm`.

Containers call it when they are built, so that no user waits for a compiler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def warm(size: int = 28) -> list[str]:
    """Run every algorithm on a small sphere.

    Parameters
    ----------
    size : edge of the volume [voxels of 2 mm]

    Returns
    -------
    names : the algorithms that ran
    """
    import numpy as np

    from .qsm import background, fieldmap, inversion, relaxometry, singlestep, unwrap
    from .qsm.combine import combine_coils, mcpc3ds
    from .qsm.constants import PHASE_PER_PPM, hertz_per_ppm
    from .qsm.dipole import forward_field
    from .stats.clusters import find_clusters
    from .stats.tfce import neighbours, tfce

    te, b0, voxel, b0_dir = (0.005, 0.012, 0.019), 3.0, (2.0, 2.0, 2.0), (0.0, 0.0, 1.0)
    radius = np.linalg.norm(np.indices((size, size, size), np.float32) - (size - 1) / 2, axis=0)
    brain = radius < 0.42 * size
    field = forward_field(np.where(radius < size / 8, np.float32(0.1), np.float32(0)), voxel, b0_dir)
    magnitude = np.stack([np.exp(-20 * t) * brain for t in te], -1).astype(np.float32)
    turns = 2 * np.pi * hertz_per_ppm(b0) * field[..., None] * np.array(te)
    phase = np.angle(np.exp(1j * (turns + 0.5))).astype(np.float32)

    ran = []
    unwrap.voxel_quality(phase, magnitude, te)
    combine_coils(lambda coil: (magnitude, phase), 2, te, voxel, bipolar=None)
    combine_coils(lambda coil: (magnitude[..., :1], phase[..., :1]), 2, te[:1], voxel)
    phase = mcpc3ds(phase, magnitude, te, brain, voxel).phase
    for name in unwrap.METHODS:
        unwrapped = unwrap.unwrap(phase, magnitude, brain, te, voxel, method=name)
        ran.append(name)
    unwrap.unwrap(phase, magnitude, brain, te, voxel, method="romeo", mode="individual")
    for name in fieldmap.METHODS:
        fit = fieldmap.map_field(unwrapped, magnitude, brain, te, b0, voxel, method=name)
        ran.append(name)
    noise = np.where(radius < 2, np.float32(np.inf), fit.noise)  # what is not trusted is filled in by kernels, too
    background.remove_background(fit.field, brain, voxel, b0_dir, extend_mm=3.0)
    for name in background.METHODS:
        local, valid = background.remove_background(fit.field, brain, voxel, b0_dir, method=name, noise=noise)
        ran.append(name)
    data: dict[str, Any] = {"noise": noise, "magnitude": magnitude, "phase_per_ppm": PHASE_PER_PPM}
    for name in inversion.METHODS:
        csf: dict[str, Any] = {"csf": radius < 3} if name == "medi" else {}
        inversion.invert(local, valid, voxel, b0_dir, method=name, **data, **csf)
        ran.append(name)
    for name in singlestep.METHODS:
        singlestep.reconstruct(fit.field, brain, voxel, b0_dir, method=name, **data)
        ran.append(name)
    for name in relaxometry.METHODS:
        relaxometry.fit_r2star(magnitude, te, brain, method=name)
        ran.append(name)
    table = neighbours(brain)
    tfce(local[brain], table)
    find_clusters(local[brain], table, 1e-3)
    return ran


def main() -> None:
    """Warm the cache that `qsmprep` uses on this machine."""
    from .cli.environment import set_up_environment
    from .settings import Settings

    set_up_environment(Settings(Path("bids"), Path("out")))  # before anything compiled is imported
    print(f"compiled: {', '.join(warm())}")


if __name__ == "__main__":
    main()
