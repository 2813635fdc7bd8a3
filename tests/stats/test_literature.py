"""Iron over age against published numbers."""

import numpy as np
import pytest

from qsmprep.stats.literature import REGIONS, illustrative_chi, iron, ppb_per_iron


def test_iron_at_thirty_equals_what_others_derive_from_the_same_curves():
    """Expected iron [µg/g] at 30 years as the public script for kFe of Hagberg's QSM challenge lists it."""
    expected = {"globus pallidus": 203.41, "putamen": 106.77, "caudate": 78.35}
    assert {region: float(iron(region, 30)) for region in REGIONS} == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("region", "mean", "sd"), [("globus pallidus", 213, 34.9), ("putamen", 133.2, 34.3), ("caudate", 92.8, 21.4)]
)
def test_curves_pass_the_means_of_adults(region, mean, sd):
    """Means and SDs of 30 to 100 years in table 1a of the same paper."""
    assert iron(region, np.arange(30, 101)).mean() == pytest.approx(mean, abs=0.15 * sd)


def test_ferritin_has_the_susceptibility_that_theory_gives():
    """About 1.3 ppb per µg/g (Schenck 1992, doi:10.1111/j.1749-6632.1992.tb49617.x, at body temperature)."""
    assert ppb_per_iron() == pytest.approx(1.3, abs=0.1)
    assert illustrative_chi("putamen", [30.0])[0] == pytest.approx(106.77 * ppb_per_iron(), rel=1e-3)


def test_unknown_region():
    with pytest.raises(KeyError, match="thalamus"):
        iron("thalamus", 30)
