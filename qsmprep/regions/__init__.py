"""Numbers per region."""

from .table import column_definitions, read_labels, region_table
from .texture import texture_definitions, texture_table

__all__ = ["column_definitions", "read_labels", "region_table", "texture_definitions", "texture_table"]
