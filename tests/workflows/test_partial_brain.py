"""The whole program without registration: quick enough to be killed, to fail and to be repeated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep.bids.temporary import write_temporary
from qsmprep.cli.main import run

CROP = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "romeo_crop"


def maps(out):
    """Name -> bytes of every image and table."""
    files = [f for f in out.rglob("*") if f.name.endswith((".nii.gz", ".tsv")) and "logs" not in f.parts]
    return {str(f.relative_to(out)): f.read_bytes() for f in files}


@pytest.fixture(scope="module")
def crop(tmp_path_factory):
    """Real data of a part of a brain, processed."""
    if not CROP.exists():
        pytest.skip(f"the real data are not there: {CROP}")
    base = tmp_path_factory.mktemp("crop")
    code = run([str(CROP), str(base / "out"), "participant", "--no-normalization", "-w", str(base / "work")])
    return base, code


def test_real_crop_runs_to_a_map_and_a_report(crop):
    base, code = crop
    assert code == 0
    anat = base / "out" / "sub-01" / "anat"
    chi = nib.load(anat / "sub-01_Chimap.nii.gz")
    raw = nib.load(CROP / "sub-01" / "anat" / "sub-01_echo-1_part-mag_MEGRE.nii.gz")
    assert chi.shape == raw.shape
    assert np.allclose(chi.affine, raw.affine)
    mask = np.asanyarray(nib.load(anat / "sub-01_desc-qsm_mask.nii.gz").dataobj) > 0
    values = np.asanyarray(chi.dataobj)
    assert mask.mean() > 0.6, "kernels that meet the volume's edge may not eat the crop"
    assert (values[~mask] == 0).all()
    assert 0.01 < values[mask].std() < 0.06, "brain tissue at 7 T"
    sidecar = json.loads((anat / "sub-01_Chimap.json").read_text())
    assert sidecar["PhaseScaling"]["source"] == "histogram"
    assert sidecar["PhaseScaling"]["slope"] == pytest.approx(np.pi / 0.0036744, rel=1e-3)
    page = (base / "out" / "sub-01.html").read_text()
    assert "data:image/webp" in page
    assert "not for diagnosis" in page


def test_veins_of_the_real_crop_are_paramagnetic(crop):
    anat = crop[0] / "out" / "sub-01" / "anat"
    chi, r2star, mask = (
        np.asanyarray(nib.load(anat / f"sub-01_{name}.nii.gz").dataobj)
        for name in ("Chimap", "R2starmap", "desc-qsm_mask")
    )
    inside = mask > 0
    values = chi[inside]
    # veins hold deoxygenated blood: at 7 T they decay fast and are the most paramagnetic tissue of this crop
    assert chi[inside & (r2star > 80)].mean() > 0.02
    assert r2star[inside & (chi > 0.08)].mean() > 2 * r2star[inside].mean()
    assert ((values - values.mean()) ** 3).mean() / values.std() ** 3 > 1, "the tail of the histogram is positive"


def test_only_susceptibility_is_written_where_nothing_is_normalised(crop):
    names = [f.name for f in (crop[0] / "out").rglob("*.nii.gz")]
    assert not [n for n in names if "space-" in n or "dseg" in n]


def test_settings_of_a_run_reproduce_it(crop, tmp_path):
    base, _ = crop
    config = base / "out" / "logs" / "settings.toml"
    code = run([str(CROP), str(tmp_path / "out"), "participant", "--config", str(config), "-w", str(tmp_path / "w")])
    assert code == 0
    assert maps(tmp_path / "out") == maps(base / "out")


def test_a_second_run_reuses_every_stage(crop):
    base, _ = crop
    before = maps(base / "out")
    command = [str(CROP), str(base / "out"), "participant", "--no-normalization", "-w", str(base / "work")]
    assert run([*command, "--skip-bids-validation"]) == 0
    assert maps(base / "out") == before
    timings = pd.read_csv(base / "out" / "logs" / "timings.tsv", sep="\t")
    assert timings.loc[timings["stage"] == "recon.inversion", "seconds"].iloc[0] < 1


def test_outputs_removed_by_the_user_come_back_from_the_cache(crop):
    base, _ = crop
    chi = base / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz"
    before = chi.read_bytes()
    chi.unlink()
    command = [str(CROP), str(base / "out"), "participant", "--no-normalization", "-w", str(base / "work")]
    assert run([*command, "--skip-bids-validation"]) == 0
    assert chi.read_bytes() == before


def test_killed_and_run_again_gives_the_same(crop, tmp_path):
    base, _ = crop
    command = [sys.executable, "-m", "qsmprep", str(CROP), str(tmp_path / "out"), "participant"]
    command += ["--no-normalization", "--skip-bids-validation", "-w", str(tmp_path / "work")]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "work").rglob("phase_offset/result_*.pklz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "sub-01.html").exists(), "it was killed in the middle"
    half = write_temporary(tmp_path / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz", b"as if killed while writing")
    half.rename(half.with_name(half.name.replace(f"-{os.getpid()}-", f"-{process.pid}-")))
    assert subprocess.run(command, check=False).returncode == 0
    assert maps(tmp_path / "out") == maps(base / "out")
    assert not list((tmp_path / "out").rglob(".tmp*")), "what was half-written is gone"
    timings = pd.read_csv(tmp_path / "out" / "logs" / "timings.tsv", sep="\t")
    assert timings.loc[timings["stage"] == "recon.phase_offset", "seconds"].iloc[0] < 1, "what was done is reused"


@pytest.mark.usefixtures("crop")
def test_changed_input_is_processed_anew(tmp_path):
    copy = tmp_path / "bids"
    shutil.copytree(CROP, copy)
    (tmp_path / "work").mkdir()
    arguments = [str(copy), str(tmp_path / "out"), "participant", "--no-normalization", "-w", str(tmp_path / "work")]
    assert run([*arguments, "--skip-bids-validation"]) == 0
    first = (tmp_path / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").read_bytes()
    path = copy / "sub-01" / "anat" / "sub-01_echo-2_part-phase_MEGRE.nii.gz"
    image = nib.load(path)
    data = np.asanyarray(image.dataobj).copy()
    data[10:14] = data[11:15]
    nib.save(nib.Nifti1Image(data, image.affine, image.header), path)
    assert run([*arguments, "--skip-bids-validation"]) == 0
    assert (tmp_path / "out" / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").read_bytes() != first


def test_a_run_that_fails_leaves_the_others_unharmed(dataset, tmp_path, capfd):
    shape = (24, 24, 24)
    dataset.gre("01", shape=shape)
    noisy = dataset.gre("02", shape=shape)
    rng = np.random.default_rng(0)
    for path in noisy:
        if "part-phase" in path.name:
            nib.save(nib.Nifti1Image(rng.integers(-4096, 4095, shape).astype(np.int16), np.diag([2, 2, 2, 1])), path)
    out = tmp_path / "out"
    arguments = [str(dataset.root), str(out), "participant", "--no-normalization", "-w", str(tmp_path / "work")]
    assert run([*arguments, "--skip-bids-validation"]) == 1
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").exists()
    failures = pd.read_csv(out / "logs" / "failures.tsv", sep="\t", dtype=str)
    assert list(failures["run"]) == ["sub-02"]
    assert "noise" in failures["cause"].iloc[0]
    assert (out / failures["crash_file"].iloc[0]).is_file()
    page = (out / "sub-02.html").read_text()
    assert "noise" in page, "a report is made of what failed"
    told = "".join(capfd.readouterr())
    assert "Traceback" not in told and "nipype" not in told
    assert not list(out.rglob("*.tmp")) and not list((out / "sub-02").rglob("*Chimap*"))


def test_every_form_of_input_gives_its_map(dataset, tmp_path):
    """Magnitude and phase, real and imaginary parts, a 4-D file, phase alone, and a single echo, all of one object."""
    te, affine = (0.004, 0.008, 0.012), np.diag([2.0, 2.0, 2.0, 1.0])
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (26, 24, 22)], indexing="ij")
    field = 300 * (x - 0.5 * y) + 150 * np.exp(-8 * ((x - 0.2) ** 2 + y**2 + (z + 0.1) ** 2))
    echoes = [1000 * np.exp(-t / 0.03 + 1j * t * field) * (1 + 0.1 * np.cos(5 * z)) for t in te]
    # a field without any noise would leave it to rounding how strongly χ is regularised
    rng = np.random.default_rng(0)
    echoes = [echo + 4 * (rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape)) for echo in echoes]
    parts = {"mag": np.abs, "phase": np.angle, "real": np.real, "imag": np.imag}
    for subject, wanted in (
        ("01", ("mag", "phase")),
        ("02", ("real", "imag")),
        ("03", ("phase",)),
        ("04", ("phase", "mag")),
    ):
        for part in wanted:
            volumes = [parts[part](echo).astype(np.float32) for echo in echoes[: 1 if subject == "04" else None]]
            for number, (time_, volume) in enumerate(zip(te, volumes, strict=False), 1):
                name = dataset.name(subject, echo=number, part=part) + "_MEGRE.nii.gz"
                meta = {"EchoTime": time_, "MagneticFieldStrength": 3, **({"Units": "rad"} if part == "phase" else {})}
                dataset.image(name, volume, meta, affine)
    for part in ("mag", "phase"):
        name = dataset.name("05", part=part) + "_MEGRE.nii.gz"
        meta = {"EchoTime": list(te), "MagneticFieldStrength": 3, **({"Units": "rad"} if part == "phase" else {})}
        dataset.image(name, np.stack([parts[part](e) for e in echoes], -1).astype(np.float32), meta, affine)
    out = tmp_path / "out"
    arguments = [str(dataset.root), str(out), "participant", "--no-normalization", "-w", str(tmp_path / "work")]
    assert run([*arguments, "--skip-bids-validation"]) == 0

    def values(subject, suffix="Chimap"):
        path = out / f"sub-{subject}" / "anat" / f"sub-{subject}_{suffix}.nii.gz"
        return nib.load(path).get_fdata() if path.exists() else None

    first = values("01")
    assert first.std() > 1e-3
    assert np.array_equal(values("05"), first)
    assert np.allclose(values("02"), first, atol=1e-4)
    assert np.allclose(values("02", "R2starmap"), values("01", "R2starmap"), atol=1e-2)
    for subject in ("03", "04"):
        both = (values(subject) != 0) & (first != 0)
        assert both.sum() > 1000
        assert np.corrcoef(values(subject)[both], first[both])[0, 1] > 0.9
        assert values(subject, "R2starmap") is None
        assert (out / f"sub-{subject}.html").is_file()
