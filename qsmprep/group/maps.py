"""Mean, median, standard deviation and count of χ or R2* over participants in template space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsmprep.group.quantities import CHI, Quantity

Volume = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """One map in template space, what it shows, and the mask of where it counts (None: where it is not 0)."""

    run: str
    participant: str
    image: Path
    mask: Path | None = None
    quantity: Quantity = CHI


@dataclass
class Moments:
    """Voxelwise count, mean and sum of squared deviations, updated one image at a time (Welford).

    References
    ----------
    Welford BP. Technometrics 1962;4:419. https://doi.org/10.1080/00401706.1962.10490022
    """

    shape: tuple[int, ...]
    n: NDArray[np.int16] = field(init=False)
    mean: Volume = field(init=False)
    squares: Volume = field(init=False)

    def __post_init__(self) -> None:
        self.n = np.zeros(self.shape, np.int16)
        self.mean = np.zeros(self.shape)
        self.squares = np.zeros(self.shape)

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Count `values` (x, y, z) where `valid`."""
        self.n[valid] += 1
        step = values[valid] - self.mean[valid]
        self.mean[valid] += step / self.n[valid]
        self.squares[valid] += step * (values[valid] - self.mean[valid])

    def sd(self) -> Volume:
        """Sample standard deviation; 0 where fewer than two were counted."""
        return np.sqrt(np.divide(self.squares, self.n - 1, out=np.zeros(self.shape), where=self.n > 1))


class Medians:
    """Voxelwise median; keeps the counted values of every image, until they take more than `limit_gb`."""

    def __init__(self, shape: tuple[int, ...], limit_gb: float = 4.0) -> None:
        self.shape, self.left = shape, limit_gb * 1e9
        self._kept: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Keep `values` (x, y, z) where `valid`."""
        self.left -= 8 * int(valid.sum())
        if self.left < 0:
            self._kept = []
            return
        self._kept.append((np.flatnonzero(valid).astype(np.int32), values[valid].astype(np.float32)))

    def median(self) -> NDArray[np.float32] | None:
        """(x, y, z), 0 where nothing was counted; None if there was too much to keep."""
        if self.left < 0 or not self._kept:
            return None
        out = np.zeros(int(np.prod(self.shape)), np.float32)
        for start in range(0, len(out), 2**18):
            stop = min(start + 2**18, len(out))
            part = np.full((len(self._kept), stop - start), np.nan, np.float32)
            for row, (places, values) in zip(part, self._kept, strict=True):
                first, last = np.searchsorted(places, (start, stop))
                row[places[first:last] - start] = values[first:last]
            counted = np.isfinite(part).any(axis=0)
            out[start:stop][counted] = np.nanmedian(part[:, counted], axis=0)
        return out.reshape(self.shape)


@dataclass(frozen=True)
class GroupMap:
    """A quantity over participants: mean, median and SD in its unit (0 where `n` is 0), and how many participants a
    voxel has.

    `median` is None where the images of all participants do not fit in memory.
    """

    quantity: Quantity
    mean: NDArray[np.float32]
    median: NDArray[np.float32] | None
    sd: NDArray[np.float32]
    n: NDArray[np.int16]
    affine: NDArray[np.float64]
    participants: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]


def mean_map(sources: Sequence[Source]) -> GroupMap:
    """Mean over participants; voxels outside a participant's mask are not counted.

    Every participant counts once: several runs or sessions of one are averaged first. Images on another grid than most
    are left out, and so are unreadable ones; `excluded` says which and why.

    Parameters
    ----------
    sources : maps of one quantity in the same space

    Raises
    ------
    ValueError
        If there is no readable image.
    """
    import nibabel as nib

    usable, excluded, affine, shape = same_grid(sources)
    moments, medians = Moments(shape), Medians(shape)
    counted = []
    for participant in sorted({source.participant for source in usable}):
        within = Moments(shape)
        for source in usable:
            if source.participant != participant:
                continue
            try:
                image: Any = nib.load(source.image)
                values = np.asarray(image.dataobj, dtype=np.float32)
                valid = np.isfinite(values) & valid_voxels(source, values)
            except (OSError, EOFError, ValueError) as error:
                excluded.append((source.run, f"{source.image.name} cannot be read ({error})"))
                continue
            within.add(values, valid)
        if within.n.any():
            moments.add(within.mean, within.n > 0)
            medians.add(within.mean, within.n > 0)
            counted.append(participant)
    if not counted:
        raise ValueError("none of the maps in template space has a voxel that can be counted")
    mean, sd = moments.mean.astype(np.float32), moments.sd().astype(np.float32)
    quantity = usable[0].quantity
    return GroupMap(quantity, mean, medians.median(), sd, moments.n, affine, tuple(counted), tuple(excluded))


def valid_voxels(source: Source, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a map counts: inside its mask, or where it is not 0 if it has none."""
    import nibabel as nib

    if source.mask is None:
        return values != 0  # qsmprep writes 0 outside the mask
    image: Any = nib.load(source.mask)
    mask = np.asarray(image.dataobj) > 0
    if mask.shape != values.shape:
        raise ValueError(f"its mask {source.mask.name} has the shape {mask.shape}, the map {values.shape}")
    return np.asarray(mask, dtype=bool)


Grid = tuple[tuple[int, ...], tuple[float, ...]]


def same_grid(
    sources: Iterable[Source],
) -> tuple[list[Source], list[tuple[str, str]], NDArray[np.float64], tuple[int, ...]]:
    """The sources on the commonest grid, those left out with the reason, and that grid."""
    import nibabel as nib

    grids: dict[Source, Grid] = {}
    excluded: list[tuple[str, str]] = []
    for source in sources:
        try:
            image: Any = nib.load(source.image)
            grids[source] = (tuple(image.shape), tuple(np.round(image.affine, 4).ravel().tolist()))
        except Exception as error:  # nibabel raises its own kinds for what is no image
            excluded.append((source.run, f"{source.image.name} cannot be read ({error})"))
    if not grids:
        raise ValueError("there is no readable map in template space")
    common = Counter(grids.values()).most_common(1)[0][0]
    for source, grid in grids.items():
        if grid != common:
            found = " × ".join(str(n) for n in grid[0])
            expected = " × ".join(str(n) for n in common[0])
            excluded.append((source.run, f"its grid ({found}) is not that of most runs ({expected}): run it anew"))
    usable = [source for source, grid in grids.items() if grid == common]
    return usable, excluded, np.array(common[1]).reshape(4, 4), common[0]
