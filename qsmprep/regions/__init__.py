"""Numbers per region."""

from .exclusions import inner_voxels, veins
from .table import AtlasPlace, column_definitions, read_labels, region_table
from .texture import texture_definitions, texture_table

__all__ = [
    "AtlasPlace",
    "column_definitions",
    "inner_voxels",
    "read_labels",
    "region_table",
    "texture_definitions",
    "texture_table",
    "veins",
]
