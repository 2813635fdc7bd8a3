"""Brain extraction by programs of others: deepbet (a Python package) and SynthStrip, both networks; and masks as given.

None of them is a part of qsmprep, and nothing is ever downloaded. Each runs as a process of its own: PyTorch and our
compiled kernels bring different OpenMP libraries, and the memory goes back when the process ends.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..errors import EnvironmentFault, InputError

# FreeSurfer's own name first; all of them take -i and -m
SYNTHSTRIP_PROGRAMS = ("mri_synthstrip", "synthstrip", "synthstrip-singularity", "nipreps-synthstrip")
TIMEOUT = 3600  # [s]; on one CPU a network takes a minute or two
_DEEPBET = "import sys; from deepbet import run_bet; run_bet([sys.argv[1]], mask_paths=[sys.argv[2]], no_gpu=True)"


def find_synthstrip() -> str | None:
    """Path of the first of `SYNTHSTRIP_PROGRAMS` that is on PATH."""
    return next((path for name in SYNTHSTRIP_PROGRAMS if (path := shutil.which(name))), None)


def program_of(method: str) -> dict[str, str]:
    """For a sidecar: the program of a method, with its version or path; {} for one that needs none."""
    if method == "deepbet":
        return {"Program": f"deepbet {_version('deepbet')}"}
    return {"Program": str(find_synthstrip())} if method == "synthstrip" else {}


def check_program(method: str) -> None:
    """Make sure that what a method needs is there, before any work.

    Raises
    ------
    EnvironmentFault
        If it is not; the message tells how to install it.
    """
    if method == "deepbet" and importlib.util.find_spec("deepbet") is None:
        raise EnvironmentFault(
            "--skull-strip deepbet: the Python package deepbet is not installed. Install it where qsmprep "
            "is (pip install deepbet; several GB with PyTorch), or choose another --skull-strip."
        )
    if method == "synthstrip" and find_synthstrip() is None:
        raise EnvironmentFault(
            f"--skull-strip synthstrip: none of the programs {', '.join(SYNTHSTRIP_PROGRAMS)} is on PATH. Install "
            "SynthStrip (with FreeSurfer 7.3 or later, or on its own, see "
            "https://surfer.nmr.mgh.harvard.edu/docs/synthstrip) and set PATH, or choose another --skull-strip."
        )


def extract_by_program(image: Path, out_mask: Path, method: str, *, program: str | None = None) -> None:
    """Write the brain mask that deepbet (of a T1w) or SynthStrip (of any contrast) finds.

    Parameters
    ----------
    image : path of a 3-D image of a whole head
    out_mask : path to write, uint8 on the grid of `image`
    method : "deepbet" or "synthstrip"
    program : path of SynthStrip; without it PATH is searched

    Raises
    ------
    EnvironmentFault
        If the program is not installed.
    InputError
        If the program fails, takes too long, or leaves no mask on the image's grid; its last words are told.

    References
    ----------
    Fisch L, et al. Comput Biol Med 2024;179:108845. https://doi.org/10.1016/j.compbiomed.2024.108845
    Hoopes A, et al. NeuroImage 2022;260:119474. https://doi.org/10.1016/j.neuroimage.2022.119474
    """
    if program is None:
        check_program(method)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "mask.nii.gz"
        if method == "deepbet":
            _run([sys.executable, "-c", _DEEPBET, str(image), str(made)], method, image)
        else:
            _run([program or str(find_synthstrip()), "-i", str(image), "-m", str(made)], method, image)
        if not made.is_file():
            raise InputError(f"{image}: {method} ended without an error but wrote no mask")
        mask = mask_on_grid(made, image)
    if not mask.any():
        raise InputError(f"{image}: {method} found no brain in it; look at the image, or choose another --skull-strip")
    source: Any = nib.load(image)
    out_mask.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), source.affine), out_mask)


def mask_on_grid(mask: Path, like: Path) -> NDArray[np.bool_]:
    """A mask as (x, y, z) bool array on the grid of `like`; axes are permuted and flipped where they have to be.

    Nothing is interpolated: programs that bring images to a standard orientation change the order of the voxels only.

    Raises
    ------
    InputError
        If the mask lies on another grid.
    """
    from ..bids.images import read_grid, values_on_grid

    return np.asarray(values_on_grid(mask, read_grid(like), "a mask") > 0.5)


def _run(command: Sequence[str], method: str, image: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{image}: {method} was stopped after {TIMEOUT} s") from None
    except OSError as error:
        raise EnvironmentFault(f"{method} could not be started: {command[0]}: {error.strerror}") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise InputError(f"{image}: {method} failed with exit code {done.returncode}: {words}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"
