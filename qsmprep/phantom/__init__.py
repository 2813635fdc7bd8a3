"""The digital head: susceptibility to signal to BIDS dataset, with the truth beside it.

`make_subject` gives one visit as arrays, `write_dataset` a whole dataset on disk, `Options` says what is wanted.
"""

from .dataset import write_dataset
from .subject import Options, Truth, Visit, make_subject

__all__ = ["Options", "Truth", "Visit", "make_subject", "write_dataset"]
