import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.group.run import run_group

SHAPE = (12, 12, 10)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = (-40, -16, -14)  # holds the left putamen


@pytest.fixture
def cohort(dataset):
    """Twelve persons whose χ and PET rise together from person to person, and half of whom are patients."""
    rng = np.random.default_rng(0)
    lines = ["participant_id\tgroup\tage"]
    for number in range(12):
        name = f"sub-{number:02d}"
        level = rng.standard_normal()
        dataset.chi(name, 0.05 + 0.01 * level + 0.002 * rng.standard_normal(SHAPE), AFFINE, np.ones(SHAPE))
        dataset.stats(name, [("putamen", "L", 0.05)])
        if number:
            pet(dataset, name, 2 - 0.3 * level + 0.05 * rng.standard_normal(SHAPE))
        lines.append(f"{name}\t{'PD' if number % 2 else 'HC'}\t{60 + number}")
    dataset.participants("\n".join(lines) + "\n")
    return dataset


def pet(dataset, name, values):
    path = dataset.root / "pet" / name / "pet" / f"{name}_trc-DAT_space-MNI152NLin2009cAsym_pet.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)


def run(dataset, text):
    path = dataset.root / "model.toml"
    path.write_text('statistics = ["chi_mean"]\nfwhm = 0\n' + text)
    run_group(dataset.settings(model=path, nprocs=1, derivatives=(dataset.root / "pet",)))
    table = dataset.out / "group" / "colocalization.tsv"
    return pd.read_csv(table, sep="\t") if table.exists() else None


def test_between_and_within_persons(cohort):
    table = run(cohort, 'colocalize = "trc-DAT_pet"\npermutations = 200\ncovariates = ["age"]\n')
    between = table[table["analysis"] == "between"].set_index("region")
    assert between.loc["putamen L", "r"] < -0.9 and between.loc["putamen L", "p_fwe"] < 0.02
    assert (between["n"] == 11).all()
    within = table[table["analysis"] == "within"].set_index("participant_id")
    assert len(within) == 11 and "sub-00" not in within.index and within["r"].abs().max() < 0.25
    together = table[table["analysis"] == "within, all"].iloc[0]
    assert abs(together["r"]) < 0.2 and together["p"] > 0.01
    left_out = pd.read_csv(cohort.out / "group/exclusions.tsv", sep="\t")
    assert "has no map trc-DAT_pet" in set(left_out.loc[left_out["participant_id"] == "sub-00", "reason"])

    name = cohort.out / "group/colocalization_space-MNI152NLin2009cAsym_desc-r_Chimap"
    r = nib.load(f"{name}.nii.gz").get_fdata()
    people = [f"sub-{number:02d}" for number in range(1, 12)]
    chi, other = (
        np.stack([nib.load(next(root.glob(f"{one}/*/*{end}"))).get_fdata()[5, 5, 5] for one in people])
        for root, end in ((cohort.out, "_Chimap.nii.gz"), (cohort.root / "pet", "_pet.nii.gz"))
    )
    group, age = np.arange(1, 12) % 2, np.arange(1, 12.0)
    model = np.column_stack([np.ones(11), group, age])
    residual = np.eye(11) - model @ np.linalg.pinv(model)
    assert r[5, 5, 5] == pytest.approx(stats.pearsonr(residual @ chi, residual @ other).statistic, abs=1e-5)
    assert json.loads(name.with_suffix(".json").read_text())["DegreesOfFreedom"] == 7


def test_maps_that_are_not_there_are_told(cohort):
    assert run(cohort, 'colocalize = "trc-PIB_pet"\n') is None
    notes = json.loads((cohort.out / "group/design.json").read_text())["notes"]
    assert any("trc-PIB_pet.nii.gz" in note and "found 0" in note for note in notes)
