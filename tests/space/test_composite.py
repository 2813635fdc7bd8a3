import nibabel as nib
import numpy as np
import pytest

from qsmprep.space._ants import load_ants
from qsmprep.space.composite import write_composite


@pytest.fixture
def parts(tmp_path):
    """A warp of 2 mm along x, and a turn by 90 degrees about z."""
    ants = load_ants()
    field = np.zeros((20, 20, 20, 1, 3), np.float32)
    field[..., 0] = 2
    image = nib.Nifti1Image(field, np.diag([-1.0, -1.0, 1.0, 1.0]))
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "warp.nii.gz")
    turn = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
    turn.set_parameters([0, -1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    ants.write_transform(turn, str(tmp_path / "turn.mat"))
    return tmp_path / "warp.nii.gz", tmp_path / "turn.mat"


def test_points_go_through_a_chain_in_the_order_in_which_it_is_listed(parts, tmp_path):
    ants = load_ants()
    warp, turn = parts
    written = [write_composite(chain, tmp_path / f"{n}.h5") for n, chain in enumerate([(warp, turn), (turn, warp)])]
    first, second = (ants.read_transform(str(path)).apply_to_point([3.0, 4.0, 5.0]) for path in written)
    assert first == pytest.approx([-4, 5, 5], abs=1e-4), "moved, then turned"
    assert second == pytest.approx([-4, 3, 5], abs=1e-4), "turned out of the warp's field, where nothing moves"


def test_a_warp_or_a_turn_alone_can_be_written(parts, tmp_path):
    ants = load_ants()
    warp, turn = (write_composite([part], tmp_path / f"{part.stem}.h5") for part in parts)
    assert ants.read_transform(str(warp)).apply_to_point([3.0, 4.0, 5.0]) == pytest.approx([5, 4, 5], abs=1e-4)
    assert ants.read_transform(str(turn)).apply_to_point([3.0, 4.0, 5.0]) == pytest.approx([-4, 3, 5], abs=1e-4)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tmp")]
