"""Plans of small datasets, for tests."""

import nibabel as nib
import numpy as np

from qsmprep.bids.plan import make_plan
from qsmprep.settings import Settings


def plan_of(dataset, **options):
    return make_plan(Settings(bids_dir=dataset.root, out_dir=dataset.root.parent / "out", nprocs=1, **options))


def only_run(dataset, **options):
    plan = plan_of(dataset, **options)
    assert not plan.skipped
    (run,) = plan.runs
    return run


def only_reason(dataset, **options):
    """Reason why the only gradient echo cannot be processed."""
    plan = plan_of(dataset, **options)
    assert not plan.runs
    (entry,) = plan.skipped
    return entry.reason


def rewrite(path, change):
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    affine = image.affine.copy()
    data = change(data, affine)
    nib.save(nib.Nifti1Image(data, affine), path)


# what is taken
