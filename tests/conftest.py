"""Small BIDS datasets for tests: written file by file, and a digital head made once a run."""

import json
import os
from pathlib import Path
from time import monotonic, sleep

import nibabel as nib
import numpy as np
import pytest

SHAPE = (14, 12, 10)
TE = (0.004, 0.008, 0.012)


def wrapped(te, shape=SHAPE):
    """Phase [rad] that fills ±π: a ramp of several turns."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    angle = 1500 * te * (x + 0.7 * y - 0.4 * z)
    angle.flat[:2] = (np.pi - 1e-6, -np.pi + 1e-6)
    return (angle + np.pi) % (2 * np.pi) - np.pi


class DatasetMaker:
    """Writes a raw dataset; every method returns the paths it wrote."""

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.json("dataset_description.json", {"Name": "test", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
        (self.root / "README").write_text("A dataset that tests wrote.\n")

    def json(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def image(self, name, data, sidecar=None, affine=None):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine), path)
        if sidecar is not None:
            self.json(name.split(".")[0] + ".json", sidecar)
        return path

    def name(self, subject="01", session=None, datatype="anat", **entities):
        folder = f"sub-{subject}/" + (f"ses-{session}/" if session else "") + f"{datatype}/"
        parts = [f"sub-{subject}"] + ([f"ses-{session}"] if session else [])
        return folder + "_".join([*parts, *(f"{k}-{v}" for k, v in entities.items() if v is not None)])

    def gre(
        self, subject="01", session=None, *, te=TE, parts=("mag", "phase"), suffix="MEGRE", extension=".nii.gz",
        datatype="anat", shape=SHAPE, affine=None, sidecar=None, integer=True, number_echoes=True, **entities,
    ):  # fmt: skip
        """A gradient echo, one file an echo and part."""
        paths = []
        for number, time in enumerate(te, 1):
            phase = wrapped(time, shape)
            magnitude = 1000 * np.exp(-time / 0.03) * (1 + 0.2 * np.cos(phase))
            data = {
                "mag": magnitude.astype(np.int16),
                "phase": np.rint(phase / np.pi * 4096).astype(np.int16) if integer else phase.astype(np.float32),
                "real": (magnitude * np.cos(phase)).astype(np.float32),
                "imag": (magnitude * np.sin(phase)).astype(np.float32),
            }
            for part in parts:
                named = {**entities, "echo": number if number_echoes else None, "part": part}
                name = self.name(subject, session, datatype, **named) + f"_{suffix}{extension}"
                metadata = {"EchoTime": time, "MagneticFieldStrength": 3} if sidecar is None else dict(sidecar)
                if part == "phase":
                    metadata["Units"] = "arbitrary" if integer else "rad"
                paths.append(self.image(name, data[part], metadata, affine))
        return paths

    def t1w(self, subject="01", session=None, sidecar=None, **entities):
        data = np.random.default_rng(0).integers(0, 900, (10, 10, 10)).astype(np.int16)
        return self.image(self.name(subject, session, **entities) + "_T1w.nii.gz", data, sidecar or {})


@pytest.fixture
def dataset(tmp_path):
    return DatasetMaker(tmp_path / "bids")


@pytest.fixture
def keep_environ():
    """Undo what a test does to the environment variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory):
    """A BIDS dataset of two digital heads: sub-01 (control) and sub-02 (patient), 3 mm, 3 T, 3 echoes, T1w at 2 mm.

    The truth is in `derivatives/phantom`. Read only: a test that changes files copies it first.
    """
    from qsmprep.phantom import Options, write_dataset

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the workers of one run share it
    out_dir, lock, done, broken = (base / f"phantom{end}" for end in ("", ".lock", ".done", ".broken"))
    try:
        lock.mkdir()
    except FileExistsError:
        limit = monotonic() + 300
        while not done.exists():
            if broken.exists() or monotonic() > limit:
                pytest.fail(f"another worker did not finish {out_dir}")
            sleep(0.3)
        return out_dir
    size = {"voxel_size": (3.0, 3.0, 3.0), "t1w_voxel_size": (2.0, 2.0, 2.0)}
    try:
        write_dataset(out_dir, Options(groups=("control", "patient"), seed=1, te=(0.004, 0.010, 0.016), **size))
    except BaseException:
        broken.touch()
        raise
    done.touch()
    return out_dir
