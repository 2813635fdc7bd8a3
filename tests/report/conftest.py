"""A small output dataset as the participant workflow leaves it, made without running it."""

import json
from pathlib import Path

import numpy as np
import pytest

AFFINE = np.diag([-3.0, 3.0, 3.0, 1.0])  # LAS, so that the display has to turn it
AFFINE[:3, 3] = (90, -108, -81)
SHAPE = (60, 72, 54)
NUCLEI = (  # index, name, hemisphere, centre [mm], radii [mm], χ [ppm]
    (1, "putamen", "L", (-26, 2, 1), (5, 12, 7), 0.06),
    (101, "putamen", "R", (26, 2, 1), (5, 12, 7), 0.055),
    (2, "caudate", "L", (-13, 14, 8), (5, 10, 7), 0.045),
    (102, "caudate", "R", (13, 14, 8), (5, 10, 7), 0.043),
    (3, "red nucleus", "L", (-6, -20, -10), (4, 4, 4), 0.09),
    (103, "red nucleus", "R", (6, -20, -10), (4, 4, 4), 0.085),
    (4, "brain <stem>", "n/a", (0, -30, -30), (8, 8, 14), 0.0),
)


def millimetres(shape=SHAPE, affine=AFFINE):
    """(3, x, y, z) scanner coordinates of the voxels [mm]."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    return np.einsum("ij,jxyz->ixyz", affine[:3, :3], grid) + affine[:3, 3, None, None, None]


def ellipsoid(centre, radii, shape=SHAPE, affine=AFFINE):
    where = millimetres(shape, affine)
    return sum(((where[i] - centre[i]) / radii[i]) ** 2 for i in range(3)) < 1


@pytest.fixture(scope="session")
def head():
    """Arrays of a toy head: magnitude, brain, labels, χ [ppm], field [ppm]."""
    rng = np.random.default_rng(0)
    brain, skull = ellipsoid((0, -15, 5), (68, 85, 62)), ellipsoid((0, -13, 3), (80, 98, 76))
    labels = np.zeros(SHAPE, np.int16)
    chi = rng.normal(0, 0.01, SHAPE)
    for index, _, _, centre, radii, value in NUCLEI:
        inside = ellipsoid(centre, radii)
        labels[inside] = index
        chi[inside] += value
    x, y, z = millimetres()
    field = 0.4 * np.exp(-((y - 60) ** 2 + (z + 30) ** 2) / 1500) - 0.002 * z
    magnitude = 900.0 * skull - 300 * brain + rng.normal(0, 20, SHAPE) + 2 * x * brain
    return {"magnitude": magnitude, "brain": brain, "labels": labels, "chi": chi * brain, "field": field}


def make_run_entry(subject, session=None, t1w=True):
    """A run as `logs/plan.json` has it."""
    entities = {"subject": subject} | ({"session": session} if session else {}) | {"run": "1"}
    name = f"sub-{subject}" + (f"_ses-{session}" if session else "") + "_run-1"
    echoes = [
        {"te": te, "magnitude": f"/data/{name}_echo-{i}_part-mag_MEGRE.nii.gz",
         "phase": f"/data/{name}_echo-{i}_part-phase_MEGRE.nii.gz", "real": None, "imag": None, "volume": None}
        for i, te in enumerate((0.004, 0.012, 0.020, 0.028), 1)
    ]  # fmt: skip
    return {
        "name": name, "entities": entities, "suffix": "MEGRE", "echoes": echoes, "b0": 2.8936,
        "b0_source": "ImagingFrequency", "nominal_field": 3.0, "shape": list(SHAPE), "voxel_size": [3.0, 3.0, 3.0],
        "b0_dir": [0.0, 0.1, 0.995], "obliquity": 5.7, "bipolar": False, "mask": None,
        "phase_scaling": {"slope": 0.000767, "intercept": 0.0, "kind": "integer_4096", "source": "histogram",
                          "description": "integers from -4096 to 4095"},
        "t1w": "/data/sub-01_T1w.nii.gz" if t1w else None,
        "t1w_reason": "the only one" if t1w else "there is no T1w image of this participant",
        "notes": ["Slices are oblique by 5.7 degrees; B0 was turned accordingly."], "outputs": [], "memory_gb": 1.0,
    }  # fmt: skip


def write_stats(path: Path, values: dict):
    """A regional table; `values` maps index -> χ mean [ppm] and overrides the toy head's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    statistics = ("n_voxels", "volume_mm3", "coverage", "chi_mean", "chi_median", "chi_sd", "r2star_mean", "r2star_sd")
    lines = ["\t".join(("index", "name", "hemisphere", *statistics))]
    for index, name, hemisphere, _, _, chi in NUCLEI:
        mean = values.get(index, chi)
        text = "n/a" if mean is None else f"{mean:.5f}"
        coverage = 0.5 if index == 103 else 1.0
        lines.append(f"{index}\t{name}\t{hemisphere}\t40\t1080\t{coverage}\t{text}\t{text}\t0.01\t25.2\t3.1")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_figures(folder: Path, name: str, head, only=None):
    from qsmprep.report import figures as draw

    def path(what):
        return draw.figure_path(folder, name, what)

    chi, brain, field = head["chi"], head["brain"], head["field"]
    draw.plot_mask(head["magnitude"], AFFINE, brain, brain & (field < 0.3), path("mask"))
    wrapped = np.angle(np.exp(1j * 200 * field))
    draw.plot_phase(wrapped, np.angle(np.exp(900j * field)), AFFINE, brain, path("phase"), te=(0.004, 0.028))
    draw.plot_map(field, AFFINE, brain, path("totalfield"), unit="ppm", title="Total field")
    if only == "early":
        return
    draw.plot_map(chi / 5, AFFINE, brain, path("localfield"), unit="ppm", title="Local field")
    draw.plot_chi(chi, AFFINE, brain, path("chi"))
    draw.plot_map(20 + 100 * chi, AFFINE, brain, path("r2star"), vmin=0, unit="1/s", title="R2*", cmap="magma")
    draw.plot_histogram(chi, brain, head["labels"] == 4, path("histogram"), reference_name="brain stem")
    import pandas as pd

    lookup = pd.DataFrame([(n[0], n[1]) for n in NUCLEI], columns=["index", "name"])
    draw.plot_labels(chi, head["labels"], AFFINE, brain, path("atlasdeepgrey"), lookup=lookup)
    moved = np.roll(head["magnitude"], 2, 0)
    for key, names in (("coreg", ("gradient echo", "T1w")), ("norm", ("T1w", "template"))):
        out = [path(f"{key}{end}") for end in ("before", "after", "target")]
        draw.plot_registration(
            head["magnitude"], moved, head["magnitude"], AFFINE, *out[:2], mask=brain, out_target=out[2], names=names
        )


@pytest.fixture(scope="session")
def run_entry():
    return make_run_entry


@pytest.fixture(scope="session")
def affine():
    return AFFINE


@pytest.fixture(scope="session")
def derivatives(tmp_path_factory, head):
    """Output dataset: sub-01 complete, sub-02 with one session that failed after the total field, sub-03 refused."""
    out = tmp_path_factory.mktemp("derivatives") / "qsmprep"
    (out / "logs").mkdir(parents=True)
    (out / "dataset_description.json").write_text(
        '{"Name": "A <b>toy</b> dataset & more", "DatasetType": "derivative"}'
    )
    plan = {
        "runs": [make_run_entry("01"), make_run_entry("02", "a", t1w=False), make_run_entry("02", "b", t1w=False)],
        "skipped": [{"path_or_run": "sub-03_run-1", "reason": "no phase: found part-mag only, expected part-phase."}],
        "passed_over": [], "participants": ["01", "02", "03"], "notes": [],
    }  # fmt: skip
    (out / "logs" / "plan.json").write_text(json.dumps(plan))
    (out / "logs" / "settings.toml").write_text(
        'preset = "default"\nunwrap = "romeo"\nbackground = "vsharp"\ninversion = "rts"\nreference = "brain"\n'
        "[vsharp]\nradius_max_mm = 12.0\nradius_min_mm = 1.0\nstep_mm = 1.0\nthreshold = 0.05\n"
        "[mask]\nquality_threshold = 0.5\n"
    )
    (out / "logs" / "crash-1.txt").write_text(
        "Traceback <most recent call last>:\nValueError: no voxel is left & gone\n"
    )
    (out / "logs" / "failures.tsv").write_text(
        "run\tstage\tcause\tfix\tcrash_file\n"
        "sub-02_ses-b_run-1\tbackground\tno voxel of the mask can hold the kernel\t"
        "lower vsharp.radius_min_mm\tcrash-1.txt\n"
    )
    for name, verdict, reasons in (
        ("sub-01_run-1", "PASS", []),
        ("sub-02_ses-a_run-1", "CHECK", ["CHECK: look <at> it"]),
    ):
        folder = out / name.split("_")[0] / ("ses-a" if "ses-a" in name else "") / "anat"
        folder.mkdir(parents=True)
        qc = {
            "brain_volume_ml": 1422.2,
            "chi_sd_ppb": 31.5,
            "qsm_mask_fraction": 0.93,
            "verdict": verdict,
            "reasons": reasons,
        }
        (folder / f"{name}_desc-qc_iqms.json").write_text(json.dumps(qc))
        (folder / f"{name}_Chimap.json").write_text(
            json.dumps({"Units": "ppm", "ReferenceRegion": "csf", "ReferenceOffset": 0.00123, "Unwrapping": "romeo"})
        )
        write_stats(folder / f"{name}_seg-deepgrey_desc-stats_dseg.tsv", {3: None} if verdict == "CHECK" else {})
        draw_figures(out / name.split("_")[0] / "figures", name, head)
    draw_figures(out / "sub-02" / "figures", "sub-02_ses-b_run-1", head, only="early")
    return out
