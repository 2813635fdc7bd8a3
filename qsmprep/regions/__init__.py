"""Numbers per region."""

from .table import column_definitions, read_labels, region_table

__all__ = ["column_definitions", "read_labels", "region_table"]
