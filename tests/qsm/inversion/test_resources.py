"""What every inversion takes of memory, five echoes of magnitude at hand as in a whole run."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from qsmprep.qsm.inversion import METHODS, invert
from qsmprep.qsm.inversion._variation import Problem

VOLUMES = 12
NAMES = ("hdqsm", "ilsqr", "medi", "mtv", "ndi", "nltv", "rts", "starqsm", "tikhonov", "tikhonov_iterative", "tkd",
         "tv", "whqsm")  # fmt: skip
VOXEL_SIZE, B0_DIR = (1.0, 1.0, 1.0), (0.2, 0.1, 0.97)


@pytest.fixture(scope="module")
def case(head):
    h = head((64, 64, 56), b0_dir=B0_DIR)
    rng = np.random.default_rng(0)
    field = (h.local + rng.normal(0, 0.001, h.local.shape) * h.mask).astype(np.float32)
    return SimpleNamespace(
        field=field,
        mask=h.mask,
        csf=h.mask & (h.chi > 0.15),
        noise=np.full(field.shape, 0.001, np.float32),
        magnitude=rng.uniform(50, 100, (*field.shape, 5)).astype(np.float32),
        volume=4 * np.prod(Problem(field, h.mask, VOXEL_SIZE).grid),
    )


def test_methods_are_complete():
    assert set(NAMES) == set(METHODS)


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise not known"])
@pytest.mark.parametrize("name", [*NAMES, "medi with CSF"])
def test_memory_is_at_most_twelve_volumes_of_the_padded_grid(case, name, known):
    more = {"csf": case.csf} if name.endswith("CSF") else {}

    def run():
        invert(
            case.field, case.mask, VOXEL_SIZE, B0_DIR, method=name.split()[0], magnitude=case.magnitude,
            noise=case.noise if known else None, **more,
        )  # fmt: skip

    run()  # compiled, and the caches of the transforms filled
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= VOLUMES * case.volume, f"{peak / case.volume:.2f} volumes"
