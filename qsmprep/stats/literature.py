"""Iron over age from the literature, for illustration only.

No person is scored by these curves: absolute χ differs up to twofold between pipelines and references, and χ in
vivo holds myelin, calcium and blood as well as iron.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

# y = a (1 - exp(-k age)) + c, non-haem iron in mg per 100 g of wet tissue
_HALLGREN_SOURANDER = {
    "globus pallidus": (21.41, 0.09, 0.37),
    "putamen": (14.62, 0.04, 0.46),
    "caudate": (9.66, 0.05, 0.33),
}
REGIONS = tuple(_HALLGREN_SOURANDER)
CITATION = (
    "Hallgren & Sourander, J Neurochem 1958, 3:41-51, doi:10.1111/j.1471-4159.1958.tb12607.x; susceptibility of "
    "ferritin's iron by Curie's law with 3.78 Bohr magnetons an atom, Schenck & Zimmerman, NMR Biomed 2004, "
    "17:433-445, doi:10.1002/nbm.922"
)
_MAGNETONS = 3.78  # effective moment per iron atom of ferritin
_DENSITY = 1.04e6  # of grey matter, g/m³
_IRON = 55.845  # g/mol
_BODY = 310.15  # K


def iron(region: str, age: ArrayLike) -> NDArray[np.float64]:
    """Mean iron of a region at an age, in µg per g of wet tissue.

    Parameters
    ----------
    region
        One of `REGIONS`.
    age
        Years.

    Raises
    ------
    KeyError
        If there is no curve for the region.

    References
    ----------
    Hallgren & Sourander, J Neurochem 1958, doi:10.1111/j.1471-4159.1958.tb12607.x.
    """
    gain, pace, start = _HALLGREN_SOURANDER[region]
    return 10 * (gain * -np.expm1(-pace * np.asarray(age, float)) + start)


def ppb_per_iron() -> float:
    """Volume susceptibility of ferritin at body temperature [ppb] for each µg of its iron per g of tissue.

    Curie's law μ0 n m² / (3 k T), 1.35 ppb. Measured were 1.10 ± 0.08 ppb for ferritin, and much the same in cadaveric
    brain (Zheng 2013), where χ of grey matter is linear in iron with r = 0.84 (Langkammer 2012). What χ maps of living
    persons show is less still, as inversions lose contrast and as myelin works against iron.

    References
    ----------
    Schenck & Zimmerman, NMR Biomed 2004, doi:10.1002/nbm.922.
    Zheng et al., Measuring iron in the brain using quantitative susceptibility mapping and X-ray fluorescence imaging,
    NeuroImage 2013.
    Langkammer et al., NeuroImage 2012, doi:10.1016/j.neuroimage.2012.05.049.
    """
    atoms = 1e-6 * _DENSITY / _IRON * constants.N_A
    moment = _MAGNETONS * constants.value("Bohr magneton")
    return float(1e9 * constants.mu_0 * atoms * moment**2 / (3 * constants.k * _BODY))


def illustrative_chi(region: str, age: ArrayLike) -> NDArray[np.float64]:
    """χ of a region's iron alone at an age [ppb], against tissue without iron: shape and order of size, no norm.

    Parameters and exceptions are those of `iron`.
    """
    return ppb_per_iron() * iron(region, age)
