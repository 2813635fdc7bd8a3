"""Names, sidecars and safe writing of the files in the output dataset.

Every file is written under a temporary name in its own folder and then renamed (temporary.py), so that a killed run
leaves no half-written file. Equal data give equal bytes (no time stamp in the gzip header).
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import __version__
from .names import ENTITY_NAMES, SHORT_KEYS
from .temporary import write_temporary

if TYPE_CHECKING:
    import pandas as pd

    from ..settings import Settings

GZIP_LEVEL = 5
RAW_LINK = "raw"
_DTYPES = (np.float32, np.uint8, np.int16)
_EXTRA = {short: long for short, long in ENTITY_NAMES.items() if short not in ("sub", "ses")}


def derivative_path(
    out_dir: str | Path,
    entities: Mapping[str, str | None],
    suffix: str,
    *,
    datatype: str = "anat",
    extension: str = ".nii.gz",
    **extra: str | int | None,
) -> Path:
    """Path of a derivative; every entity of the input goes through to the name.

    Parameters
    ----------
    out_dir : the output dataset
    entities : of the run, under PyBIDS' long names; echo and part are left out
    suffix : Chimap, R2starmap, mask, ...
    datatype : "anat", "fmap", or "figures" (which has no session folder)
    extension : from the first dot on
    **extra : further entities under their short names: space, res, desc, seg, label, from_, to, mode, ...

    Raises
    ------
    ValueError
        If an entity in `extra` is not known, or no participant is given.
    """
    from bids.layout.writing import build_path

    named = {key: value for key, value in entities.items() if key not in ("echo", "part") and value is not None}
    for key, value in extra.items():
        short = key.rstrip("_")
        if short not in _EXTRA:
            raise ValueError(f"unknown entity {key!r} for {suffix}{extension}")
        if value is not None:
            named[_EXTRA[short]] = str(value)
    path = build_path(
        {**named, "datatype": datatype, "suffix": suffix, "extension": extension},
        _pattern(named, datatype),
        strict=True,
    )
    if path is None:
        raise ValueError(f"no file name can be built for {suffix}{extension} from {named}")
    return Path(out_dir) / str(path)


def _pattern(named: Mapping[str, str], datatype: str) -> str:
    known = list(ENTITY_NAMES.values())
    unknown = [key for key in named if key not in known]  # private entities of the input go through, too
    where = known.index("coil")
    order = known[1:where] + unknown + known[where:]
    name = "sub-{subject}" + "".join(f"[_{SHORT_KEYS.get(key, key)}-{{{key}}}]" for key in order)
    folder = "sub-{subject}/" if datatype == "figures" else "sub-{subject}[/ses-{session}]/"
    return folder + "{datatype}/" + name + "_{suffix}{extension}"


def sidecar_path(path: str | Path) -> Path:
    """The JSON that stands beside a file: `a_Chimap.nii.gz` -> `a_Chimap.json`."""
    path = Path(path)
    return path.with_name(path.name.split(".", 1)[0] + ".json")


def bids_uri(path: str | Path, settings: Settings) -> str:
    """BIDS URI of a file: `bids:raw:...` for input, `bids::...` for output, `bids:<folder>:...` for `--derivatives`.

    A file outside all of them (the packaged template, say) keeps its file name only.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  links stay links
    for link, root in (("", settings.out_dir), *dataset_links(settings).items()):
        if path.is_relative_to(root):
            # out_dir often lies inside bids_dir, so it is asked first
            return f"bids:{link}:{path.relative_to(root).as_posix()}"
    return path.name


def dataset_links(settings: Settings) -> dict[str, Path]:
    """Names that BIDS URIs use -> dataset."""
    links: dict[str, Path] = {}
    for number, root in enumerate(settings.derivatives, 1):
        name = "".join(c for c in root.name if c.isalnum() or c in "-_") or "derivatives"
        links[name if name not in links and name != RAW_LINK else f"{name}{number}"] = root
    return {**links, RAW_LINK: settings.bids_dir}


def sidecar(
    settings: Settings,
    *,
    sources: Iterable[str | Path] = (),
    description: str | None = None,
    skull_stripped: bool | None = None,
    units: str | None = None,
    resolution: str | None = None,
    spatial_reference: str | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Metadata that every derivative carries.

    Parameters
    ----------
    settings : names the datasets that `sources` lie in
    sources : input files; written as BIDS URIs
    description : one sentence on what the file shows
    skull_stripped : needed for every image but masks and segmentations
    units : "ppm", "Hz", "1/s", "s", ...
    resolution : needed where the file name has `res-`
    spatial_reference : needed where the file name has `space-` and the space is no standard template
    **extra : algorithm, parameters, reference, offset, ... (BIDS writes keys in CamelCase); None is left out
    """
    entries = {
        "Description": description,
        "Units": units,
        "SkullStripped": skull_stripped,
        "Resolution": resolution,
        "SpatialReference": spatial_reference,
        **extra,
        "Sources": sorted({bids_uri(path, settings) for path in sources}) or None,
        "GeneratedBy": [{"Name": "qsmprep", "Version": __version__}],
    }
    return {key: value for key, value in entries.items() if value is not None}


def write_image(
    path: str | Path,
    data: npt.NDArray[Any],
    affine: npt.NDArray[np.floating[Any]],
    sidecar: Mapping[str, Any] | None = None,
    *,
    like: str | Path | None = None,
) -> Path:
    """Write a NIfTI image and its JSON.

    Parameters
    ----------
    path : ends in .nii or .nii.gz; folders are made
    data : (x, y, z[, n]) float32, uint8 or int16; bool becomes uint8 and float64 float32
    affine : (4, 4), voxels to scanner [mm]
    sidecar : contents of the JSON beside it; None for no JSON
    like : image whose qform and sform codes are kept (the input); "scanner" without it

    Raises
    ------
    ValueError
        If the data type is another, or the file cannot be read back.
    """
    import nibabel as nib

    path = Path(path)
    data = _storable(np.asarray(data))
    nifti: Any = nib.Nifti1Image
    image = nifti(data, np.asarray(affine, dtype=np.float64))
    image.header.set_xyzt_units("mm", "sec")
    qform, sform = 1, 1
    if like is not None:
        header: Any = nib.load(like).header
        qform, sform = int(header["qform_code"]), int(header["sform_code"])
    if qform == sform == 0:
        sform = 1  # an input without orientation: write the one that was assumed, so that all readers agree
    image.set_qform(image.affine, code=qform)
    image.set_sform(image.affine, code=sform)
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=GZIP_LEVEL, mtime=0)
    if sidecar is not None:
        write_json(sidecar_path(path), sidecar)
    temporary = write_temporary(path, content)
    try:
        again: Any = nib.load(temporary)
        if again.shape != data.shape or again.get_data_dtype() != data.dtype:
            raise ValueError(f"{path}: written as {data.shape} {data.dtype}, reads back as {again.shape}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _storable(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if data.dtype == np.float64:
        return data.astype(np.float32)
    if data.dtype not in _DTYPES:
        raise ValueError(f"images are written as float32, uint8 or int16, not {data.dtype}")
    return data


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON file; NumPy numbers and arrays, paths and tuples are taken. NaN becomes null."""
    return atomic_write_text(path, json.dumps(_json_ready(content), indent=2, ensure_ascii=False) + "\n")


def _json_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple | set):
        return [_json_ready(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_table(path: str | Path, table: pd.DataFrame, columns: Mapping[str, Any] | None = None) -> Path:
    """Write a TSV (missing values as n/a) and, where `columns` is given, the JSON that defines its columns."""
    if columns is not None:
        write_json(sidecar_path(path), columns)
    return atomic_write_text(path, table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.8g"))


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write a text file (UTF-8) so that it is there whole or not at all."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file so that it is there whole or not at all; folders are made."""
    path = Path(path)
    temporary = write_temporary(path, content)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
