"""Numbers per region."""

from .exclusions import inner_voxels, veins
from .freesurfer import add_freesurfer, freesurfer_definitions, read_stats
from .table import AtlasPlace, column_definitions, read_labels, region_table
from .texture import texture_definitions, texture_table

__all__ = [
    "AtlasPlace",
    "add_freesurfer",
    "column_definitions",
    "freesurfer_definitions",
    "inner_voxels",
    "read_labels",
    "read_stats",
    "region_table",
    "texture_definitions",
    "texture_table",
    "veins",
]
