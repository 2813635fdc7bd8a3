"""The files of one visit: echoes, T1w and truth, with their sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bids.derivatives import write_image, write_table
from ..qsm.constants import GAMMA_BAR
from . import signal
from .subject import Options, Truth, Visit
from .tables import SEGMENTATION_COLUMNS

NOMINAL_FIELDS = (0.5, 1.0, 1.5, 3.0, 7.0, 9.4, 11.7)


def nominal_field(b0: float) -> float:
    """What a scanner of this field strength calls itself [T]: 3 for 2.895."""
    near = min(NOMINAL_FIELDS, key=lambda field: abs(field - b0))
    return near if abs(near - b0) <= 0.05 * near else b0


def scanner(b0: float) -> dict[str, Any]:
    """Sidecar entries of the pretended scanner."""
    return {
        "Manufacturer": "qsmprep",
        "ManufacturersModelName": "phantom",
        "MagneticFieldStrength": nominal_field(b0),
        "ImagingFrequency": round(GAMMA_BAR * b0, 6),
        "MRAcquisitionType": "3D",
    }


def _stem(entities: Mapping[str, str]) -> str:
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def _folder(root: Path, entities: Mapping[str, str], datatype: str) -> Path:
    return root.joinpath(*(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities), datatype)


def write_visit(raw: Path, truth: Path, entities: Mapping[str, str], visit: Visit, options: Options) -> None:
    """Write one visit below `raw` and `truth`; `entities` are sub and, where there are sessions, ses."""
    anat = _folder(raw, entities, "anat")
    stem = _stem(entities)
    parts = " x ".join(map(str, visit.factor))
    for n, (part, data) in enumerate(_parts(visit, options)):
        echo = n // 2
        sidecar = {
            **scanner(options.b0),
            "EchoTime": options.te[echo],
            "RepetitionTime": max(0.040, round(options.te[-1] + 0.006, 4)),
            "FlipAngle": 15,
            "ScanningSequence": "GR",
            "SequenceVariant": "SP",
            "NonlinearGradientCorrection": True,
            "BipolarReadout": options.bipolar,
            "PulseSequenceDetails": f"Simulated: {parts} parts a voxel, SNR {options.snr:g}",
        }
        if part != "mag":
            sidecar["Units"] = "arbitrary"
        path = anat / f"{stem}_echo-{echo + 1}_part-{part}_MEGRE.nii.gz"
        write_image(path, data, visit.grid.affine, sidecar)
    if visit.t1w is not None and visit.t1w_grid is not None:
        _write_t1w(anat / f"{stem}_T1w.nii.gz", visit, options)
    _write_truth(truth, entities, visit, options)


def _parts(visit: Visit, options: Options) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """(part, image) of every echo, two an echo."""
    scale = 4000 / float(np.percentile(np.abs(visit.echoes[..., 0]), 99.8))
    for e in range(visit.echoes.shape[-1]):
        echo = visit.echoes[..., e]
        if options.parts == "mag-phase":
            yield "mag", signal.store_magnitude(echo, scale)
            yield "phase", signal.store_phase(echo)
        else:
            yield "real", np.clip(np.rint(echo.real * scale), -32768, 32767).astype(np.int16)
            yield "imag", np.clip(np.rint(echo.imag * scale), -32768, 32767).astype(np.int16)


def _write_t1w(path: Path, visit: Visit, options: Options) -> None:
    assert visit.t1w is not None and visit.t1w_grid is not None
    sidecar = {
        **scanner(options.b0),
        "EchoTime": 0.003,
        "RepetitionTime": 2.3,
        "InversionTime": 0.9,
        "FlipAngle": 9,
        "ScanningSequence": "GR_IR",
        "SequenceVariant": "SP_MP",
        "NonlinearGradientCorrection": True,
    }
    data = np.clip(np.rint(visit.t1w * 600), 0, 32767).astype(np.int16)
    write_image(path, data, visit.t1w_grid.affine, sidecar)


def _write_truth(root: Path, entities: Mapping[str, str], visit: Visit, options: Options) -> None:
    truth, affine, stem = visit.truth, visit.grid.affine, _stem(entities)
    anat, fmap = _folder(root, entities, "anat"), _folder(root, entities, "fmap")
    hertz = np.float32(GAMMA_BAR * options.b0)
    first = f"bids:raw:{_folder(Path(), entities, 'anat').as_posix()}/{stem}_echo-1_part-"
    first += ("mag" if options.parts == "mag-phase" else "real") + "_MEGRE.nii.gz"
    common = {"SkullStripped": True, "Sources": [first]}
    reference = {"ReferenceRegion": "whole brain", "ReferenceOffset": truth.reference}
    write_image(anat / f"{stem}_Chimap.nii.gz", truth.chi, affine, {**common, **reference, "Units": "ppm"})
    write_image(anat / f"{stem}_R2starmap.nii.gz", truth.r2star, affine, {**common, "Units": "1/s"})
    write_image(anat / f"{stem}_desc-brain_mask.nii.gz", truth.mask, affine, {"Type": "Brain", "Sources": [first]})
    magnitude = np.abs(visit.echoes[..., 0]) * truth.mask
    magnitude = (magnitude / magnitude.max() * 4000).astype(np.int16)
    for kind, field in (("total", truth.total), ("local", truth.local)):
        sidecar: dict[str, Any] = {**common, "Units": "Hz", "PPMToHz": float(hertz)}
        sidecar |= {"ShimCoefficients": list(truth.shim)} if kind == "total" else reference
        write_image(fmap / f"{stem}_desc-{kind}_fieldmap.nii.gz", field * hertz, affine, sidecar)
        write_image(fmap / f"{stem}_desc-{kind}_magnitude.nii.gz", magnitude, affine, common)
    for seg, labels, names in _segmentations(truth):
        path = anat / f"{stem}_seg-{seg}_dseg.nii.gz"
        write_image(path, labels, affine, {**SEGMENTATION_COLUMNS, "Sources": [first]})
        rows = [(n, *key, visit.person.chi[key] / 1000) for n, key in enumerate(names, 1)]
        write_table(path.with_name(f"{stem}_seg-{seg}_dseg.tsv"), _table(rows))


def _segmentations(truth: Truth) -> Iterator[tuple[str, NDArray[np.uint8], tuple[tuple[str, str], ...]]]:
    yield "nuclei", truth.nuclei, truth.regions
    yield "DK", truth.cortex, truth.parcels


def _table(rows: list[tuple[Any, ...]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=["index", "name", "hemisphere", "chi"])
