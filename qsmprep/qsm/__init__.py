"""The physics: NumPy arrays in, NumPy arrays out."""

import os

# the idle threads of numba's OpenMP would spin on the cores that the transforms need: half the time of an inversion;
# libgomp reads this once, when the first parallel kernel loads it
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
