"""Parts of packaged regions, by geometry in template space: thirds of the substantia nigra, pulvinar, hand area."""

from __future__ import annotations

import numpy as np

THIRDS = ("anterior", "middle", "posterior")
NIGRA = ("SNr", "SNc-PBP-VTA")
# Coronal plane [mm] behind which the thalamus counts as pulvinar. The template's posterior commissure lies at y = -25,
# where the pulvinar begins; of all planes this one agrees best with the Allen Human Reference Atlas (Dice 0.68).
PULVINAR_BEHIND_Y = -25.5
# left side; the right is its mirror image
HAND_KNOB = (-38.0, -22.0, 57.0)
HAND_RADIUS_MM = 12.0

# index (left; the right is 100 more): name, abbreviation, source
PARTS = {
    1: ("SNr anterior third", "SNr-ant", "SN thirds"),
    2: ("SNr middle third", "SNr-mid", "SN thirds"),
    3: ("SNr posterior third", "SNr-post", "SN thirds"),
    4: ("SNc-PBP-VTA anterior third", "SNc-ant", "SN thirds"),
    5: ("SNc-PBP-VTA middle third", "SNc-mid", "SN thirds"),
    6: ("SNc-PBP-VTA posterior third", "SNc-post", "SN thirds"),
    7: ("pulvinar (posterior thalamus)", "Pul", "pulvinar"),
    8: ("precentral hand area", "M1-hand", "hand area"),
}


def coordinates(shape: tuple[int, ...], affine: np.ndarray, axis: int) -> np.ndarray:
    """World coordinate [mm] along one axis of a grid without rotation, in a shape that broadcasts to the grid."""
    values = np.arange(shape[axis]) * affine[axis, axis] + affine[axis, 3]
    return values.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def thirds(whole: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Cut a region into three of equal length from front to back: masks of the whole volume, to be met with parts."""
    inside = np.broadcast_to(y, whole.shape)[whole]
    front, back = inside.max() + 0.5, inside.min() - 0.5  # edges of the voxels
    first, second = front - (front - back) / 3, back + (front - back) / 3
    return [y > first, (y <= first) & (y > second), y <= second]


def parts_of_side(nuclei: dict[str, np.ndarray], precentral: np.ndarray, affine: np.ndarray, sign: int) -> np.ndarray:
    """Labels 1 to 8 of one side.

    Parameters
    ----------
    nuclei : name -> (x, y, z) bool array of SNr, SNc-PBP-VTA and thalamus
    precentral : (x, y, z) bool array
    affine : voxel-to-world matrix [mm]
    sign : -1 left, 1 right
    """
    shape = precentral.shape
    x, y, z = (coordinates(shape, affine, axis) for axis in range(3))
    labels = np.zeros(shape, np.uint8)
    for number, third in enumerate(thirds(nuclei[NIGRA[0]] | nuclei[NIGRA[1]], y), start=1):
        labels[nuclei[NIGRA[0]] & third] = number
        labels[nuclei[NIGRA[1]] & third] = number + len(THIRDS)
    labels[nuclei["thalamus"] & (y < PULVINAR_BEHIND_Y)] = 7
    away = (x + sign * HAND_KNOB[0]) ** 2 + (y - HAND_KNOB[1]) ** 2 + (z - HAND_KNOB[2]) ** 2
    labels[precentral & (away <= HAND_RADIUS_MM**2)] = 8
    return labels
