"""Brain extraction and the masks of the reconstruction."""
