"""Numbers per region."""

from .cortex import add_grey_matter, cortical_regions, grey_matter_definitions
from .exclusions import inner_voxels, veins
from .freesurfer import add_freesurfer, freesurfer_definitions, read_stats
from .neighbours import add_neighbours, check_neighbours, parse_neighbours
from .raters import rater_definitions, rater_table
from .table import AtlasPlace, column_definitions, read_labels, read_table, region_table
from .texture import texture_definitions, texture_table

__all__ = [
    "AtlasPlace",
    "add_freesurfer",
    "add_grey_matter",
    "add_neighbours",
    "check_neighbours",
    "column_definitions",
    "cortical_regions",
    "freesurfer_definitions",
    "grey_matter_definitions",
    "inner_voxels",
    "parse_neighbours",
    "rater_definitions",
    "rater_table",
    "read_labels",
    "read_stats",
    "read_table",
    "region_table",
    "texture_definitions",
    "texture_table",
    "veins",
]
