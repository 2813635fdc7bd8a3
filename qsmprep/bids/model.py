"""The plan as data: what will run and what will not, and why. Frozen, printable, JSON-serialisable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .names import join_entities, split_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..qsm.phase import PhaseScaling


SCANNER_KEYS = ("Manufacturer", "ManufacturersModelName", "StationName", "DeviceSerialNumber")
_PARTS = ("magnitude", "phase", "real", "imag")


@dataclass(frozen=True)
class Coil:
    """What one receiver coil saw of an echo. `volume` is the index into all axes beyond the third, else None."""

    label: str
    magnitude: Path | None = None
    phase: Path | None = None
    real: Path | None = None
    imag: Path | None = None
    volume: int | None = None


@dataclass(frozen=True)
class Echo:
    """One echo: its echo time [s] and files.

    Attributes
    ----------
    te : echo time [s]
    magnitude, phase, real, imag : files; of the first coil where there are `coils`
    volume : index into the fourth axis of 4-D files (into all axes beyond the third), else None
    number : place in the echo train, from 1, which tells the polarity of a bipolar readout
    coils : images of single coils, still to be combined; empty where the scanner has done it
    """

    te: float
    magnitude: Path | None = None
    phase: Path | None = None
    real: Path | None = None
    imag: Path | None = None
    volume: int | None = None
    number: int = 1
    coils: tuple[Coil, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that there are, without repeats."""
        found = [getattr(image, part) for image in (self, *self.coils) for part in _PARTS]
        return tuple(dict.fromkeys(f for f in found if f is not None))


@dataclass(frozen=True)
class Segmentation:
    """FreeSurfer's labels of a T1w.

    Attributes
    ----------
    name : "aparcaseg" or "aseg"
    image : labels in the T1w's space, with FreeSurfer's numbers
    stats : FreeSurfer's tables of volume and thickness, as far as they are there
    unnamed : labels of the image that have no name here, and so no row in the table
    """

    name: str
    image: Path
    stats: tuple[Path, ...] = ()
    unnamed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Anatomy:
    """What another program (sMRIPrep, fMRIPrep) has made of a T1w image.

    Attributes
    ----------
    program : its name and version
    dataset : the derivative dataset
    t1w : preprocessed T1w, whole head
    mask : its brain mask, on the same grid
    to_template, from_template : ITK composite transforms (.h5), as antsApplyTransforms takes them; both or none
    segmentation : FreeSurfer's labels, on the grid of `t1w`
    """

    program: str
    dataset: Path
    t1w: Path
    mask: Path
    to_template: Path | None = None
    from_template: Path | None = None
    segmentation: Segmentation | None = None


@dataclass(frozen=True)
class ManualRegion:
    """A region that a person drew: its number in the output, name, side (L, R or n/a), file, and value in that file.

    `value` is None for a mask: what lies above 0.5 is the region.
    """

    index: int
    name: str
    hemisphere: str
    file: Path
    value: int | None = None

    @property
    def told(self) -> str:
        """Name and side, in words."""
        return self.name + ("" if self.hemisphere == "n/a" else f" ({self.hemisphere})")

    def marks(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Voxels of the region, from the values of its file."""
        return np.asarray(values > 0.5 if self.value is None else np.rint(values) == self.value)


@dataclass(frozen=True)
class ManualRegions:
    """What one rater drew for a run, on the grid of the gradient echo or on that of its T1w."""

    rater: str
    regions: tuple[ManualRegion, ...]
    on_t1w: bool = False

    @property
    def who(self) -> str:
        """Rater in the names of columns."""
        return "".join(c for c in self.rater if c.isalnum()) or "unnamed"

    @property
    def seg(self) -> str:
        """Value of `seg-` in the names of the outputs."""
        return "manual" + (self.who if self.rater else "")


@dataclass(frozen=True)
class Run:
    """One gradient-echo acquisition that can be processed.

    Attributes
    ----------
    entities : PyBIDS' long names (subject, session, acquisition, run, ...) -> value; without echo and part
    suffix : suffix of the input files
    echoes : ascending in echo time
    b0 : field strength [T] used
    b0_source : where it came from, in words
    nominal_field : MagneticFieldStrength of the sidecar [T], if it has one
    scanner : what the sidecar tells of the device, by the names of BIDS (`SCANNER_KEYS`)
    shape : voxels along x, y, z
    voxel_size : [mm]
    b0_dir : unit vector along scanner z, in voxel axes
    obliquity : angle between scanner z and the nearest voxel axis [degrees]
    phase_scaling : from stored values to radians; None for real + imaginary input
    bipolar : whether odd and even echoes were read in opposite directions; None: not told, the data decide
    alternating_axis : voxel axis along which every second slice has π added, which is taken off again; None for none
    t1w : anatomical image of the participant, if any; `t1w_reason` says why this one, or why none
    external : what another program has made of the participant's anatomy; `t1w` is then its T1w
    skull_strip : what finds the brain: ants, deepbet, synthstrip, precomputed, or quality (signal and phase alone)
    mask : brain mask that is there already, on the gradient echo's grid
    mask_replaced : `mask` was put into the output dataset by the user, in the place of the one written there
    t1w_mask : brain mask that is there already, on the grid of `t1w`
    manual : regions that people drew, one entry a rater
    visits : images of which the within-subject template is made, through which the run is registered; empty without one
    memory_gb : estimated peak memory [GB]
    disk_gb : estimated size in the working directory [GB]
    outputs : files that will be written, relative to the output folder
    notes : every decision and fall-back, one sentence each
    """

    entities: dict[str, str]
    suffix: str
    echoes: tuple[Echo, ...]
    b0: float
    b0_source: str
    nominal_field: float | None
    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float]
    b0_dir: tuple[float, float, float]
    obliquity: float
    scanner: Mapping[str, str] = field(default_factory=dict)
    phase_scaling: PhaseScaling | None = None
    bipolar: bool | None = None
    alternating_axis: int | None = None
    t1w: Path | None = None
    t1w_reason: str = ""
    external: Anatomy | None = None
    skull_strip: str = "ants"
    mask: Path | None = None
    mask_replaced: bool = False
    t1w_mask: Path | None = None
    manual: tuple[ManualRegions, ...] = ()
    visits: tuple[Path, ...] = ()
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name without suffix: `sub-01_ses-1_acq-x_run-1`."""
        return join_entities(self.entities)

    @property
    def subject(self) -> str:
        """Participant label, without `sub-`."""
        return self.entities["subject"]

    @property
    def session(self) -> str | None:
        """Session label, without `ses-`."""
        return self.entities.get("session")

    @property
    def te(self) -> tuple[float, ...]:
        """Echo times [s], ascending."""
        return tuple(echo.te for echo in self.echoes)

    @property
    def echo_numbers(self) -> tuple[int, ...]:
        """Places of the echoes in the echo train, from 1; a dropped echo leaves a gap."""
        return tuple(echo.number for echo in self.echoes)

    @property
    def n_coils(self) -> int:
        """Coils that are still to be combined; 0 where the scanner has done it."""
        return len(self.echoes[0].coils)

    @property
    def images(self) -> tuple[Echo | Coil, ...]:
        """Every image: echo by echo, and of each echo coil by coil."""
        return tuple(image for echo in self.echoes for image in (echo.coils or (echo,)))

    @property
    def files(self) -> tuple[Path, ...]:
        """All input images of the gradient echo, without repeats."""
        return tuple(dict.fromkeys(f for echo in self.echoes for f in echo.files))


@dataclass(frozen=True)
class Skipped:
    """A run or a file that is not processed, and the reason."""

    path_or_run: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that a call will do.

    Attributes
    ----------
    runs : what can be processed
    skipped : gradient echoes that cannot be processed, with the fault in their data
    passed_over : files that are no input for QSM
    participants : labels that were looked at, without `sub-`
    notes : about the dataset as a whole
    """

    runs: tuple[Run, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    passed_over: tuple[Skipped, ...] = ()
    participants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Participants with at least one run."""
        return tuple(dict.fromkeys(run.subject for run in self.runs))

    @property
    def without_runs(self) -> tuple[str, ...]:
        """Participants with no gradient echo, neither one to process nor one that cannot be."""
        refused = {split_name(entry.path_or_run)[0].get("subject") for entry in self.skipped}
        return tuple(label for label in self.participants if label not in refused.union(self.subjects))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dictionaries, strings and numbers; each run with its `name`."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        for entry, run in zip(plain["runs"], self.runs, strict=True):
            entry["name"] = run.name
        return plain

    def to_json(self) -> str:
        """Text of `logs/plan.json`."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
