"""Texts and tables of the synthetic dataset that do not depend on the participant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PARTICIPANT_COLUMNS: dict[str, Any] = {
    "age": {"Description": "Age at the first session", "Units": "year"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "group": {"Description": "Group; a disease's name sets the iron of its regions, any other name means healthy"},
    "score": {"Description": "A made-up cognitive score from 0 to 30 that falls with the iron of affected regions"},
}

RULES_IGNORED = "parameters.json\nperson.json\n**/person.json\n"

README = """# A synthetic dataset

`qsmprep-phantom` computed these images from a digital head; no person was scanned. They are for trying out and testing
software for quantitative susceptibility mapping, and for nothing else.

The head comes from the MNI152NLin2009cAsym template and atlases of its nuclei and cortex. Each participant has a shape,
iron, veins and texture of their own. Susceptibility makes the field (in free space, on a grid finer than the images),
the field and R2* make the complex signal, and the signal is averaged to the voxels; a second-order shim, a smooth
receiver phase and noise are added. Phase is + 2π γ ΔB TE, stored as integers from -4096 to 4094 for -π to π.

What is true is in `derivatives/phantom`. The options are in `derivatives/phantom/parameters.json`; the same options
give the same dataset.
"""

TRUTH_README = """# Truth of the synthetic dataset

On the grid of the gradient-echo images, per participant and session:

- `Chimap` susceptibility [ppm], mean over each voxel's part of the brain, relative to the whole brain's mean
- `desc-local_fieldmap` field [Hz] of the brain's own susceptibility (relative to its mean)
- `desc-total_fieldmap` field [Hz] of the whole head after the shim
- `R2starmap` [1/s], `desc-brain_mask`
- `seg-nuclei_dseg`, `seg-DK_dseg` nuclei and cortical parcels as this person has them; the table's column `chi` is
  what was put in [ppm, relative to soft tissue], before texture and veins

All maps are 0 outside the brain.
"""

SEGMENTATION_COLUMNS: dict[str, Any] = {
    "name": {"Description": "Structure"},
    "hemisphere": {"Description": "Side of the body", "Levels": {"L": "left", "R": "right"}},
    "chi": {"Description": "Susceptibility that was put in, relative to soft tissue", "Units": "ppm"},
}


def descriptions() -> pd.DataFrame:
    """descriptions.tsv of the truth."""
    import pandas as pd

    rows = [
        ("desc-brain", "Brain: voxels of which more than half is brain"),
        ("desc-total", "Field of the whole head after the second-order shim"),
        ("desc-local", "Field of the brain's own susceptibility"),
    ]
    return pd.DataFrame(rows, columns=["desc_id", "description"])
