"""Derivatives of a few persons as the participant level leaves them, small enough to be written for every test."""

import json

import nibabel as nib
import numpy as np
import pytest

from qsmprep.settings import Settings

SPACE = "MNI152NLin2009cAsym"
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
HEADER = "index\tname\themisphere\tn_voxels\tvolume_mm3\tcoverage\tchi_mean\tchi_sd\tr2star_mean"


class Dataset:
    """Writes runs into an output dataset and makes the settings of a group call on it."""

    def __init__(self, root):
        self.bids, self.out, self.root = root / "bids", root / "out", root
        self.bids.mkdir()
        self.out.mkdir()

    def settings(self, **given):
        return Settings(bids_dir=self.bids, out_dir=self.out, analysis_level="group", work_dir=self.root / "w", **given)

    def folder(self, name):
        parts = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
        folder = self.out.joinpath(*parts, "anat")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def stats(self, name, rows, seg="deepgrey"):
        """`rows`: (name, hemisphere, χ mean [ppm] or None)."""
        lines = [HEADER]
        for index, (region, side, chi) in enumerate(rows, 1):
            text = "n/a" if chi is None else str(chi)
            lines.append(f"{index}\t{region}\t{side}\t10\t80\t1\t{text}\t0.01\t30")
        path = self.folder(name) / f"{name}_seg-{seg}_desc-stats_dseg.tsv"
        path.write_text("\n".join(lines) + "\n")

    def cohort(self, groups, regions, rng, shift=None, statistics=("chi_median",), sessions=("",)):
        """Persons sub-<group><number> with normal χ [ppb] per region (mean, SD); returns participant -> group.

        `shift` : (group, region) -> difference [ppb]; a region is `seg.name`, and has two sides.
        """
        people = {f"sub-{group}{i:03d}": group for group, n in groups.items() for i in range(n)}
        names = [name.split(".") for name in regions]
        for who, group in people.items():
            for session in sessions:
                run = f"{who}_ses-{session}" if session else who
                for seg in dict.fromkeys(seg for seg, _ in names):
                    mine = [name for name in names if name[0] == seg]
                    lines = ["\t".join(("index", "name", "hemisphere", *statistics))]
                    for index, (_, name) in enumerate(mine):
                        mean, sd = regions[f"{seg}.{name}"]
                        mean += (shift or {}).get((group, f"{seg}.{name}"), 0.0)
                        for number, side in ((index + 1, "L"), (index + 101, "R")):
                            drawn = (f"{rng.normal(mean, sd) / 1000:.6f}" for _ in statistics)
                            lines.append("\t".join((str(number), name, side, *drawn)))
                    path = self.folder(run) / f"{run}_seg-{seg}_desc-stats_dseg.tsv"
                    path.write_text("\n".join(lines) + "\n")
        return people

    def quality(self, name, verdict="PASS", reasons=()):
        path = self.folder(name) / f"{name}_desc-qc_iqms.json"
        path.write_text(json.dumps({"chi_sd_ppb": 30.0, "verdict": verdict, "reasons": list(reasons)}))

    def chi(self, name, data, affine=AFFINE, mask=None, suffix="Chimap"):
        stem = self.folder(name) / f"{name}_space-{SPACE}_res-1"
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), f"{stem}_{suffix}.nii.gz")
        if mask is not None:
            nib.save(nib.Nifti1Image(np.asarray(mask, np.uint8), affine), f"{stem}_desc-qsm_mask.nii.gz")

    def r2star(self, name, data):
        self.chi(name, data, suffix="R2starmap")

    def participants(self, text):
        (self.bids / "participants.tsv").write_text(text)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)
