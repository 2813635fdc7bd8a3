"""qsmprep: a BIDS App for quantitative susceptibility mapping (QSM) of the brain."""

from importlib import metadata as _metadata
from pathlib import Path as _Path

try:
    __version__ = _metadata.version("qsmprep")
except _metadata.PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"

# In a checkout the graphs stand beside this package, not in it: let `qsmprep.workflows` be found there too.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "workflows" / "__init__.py").is_file():
    __path__.append(str(_checkout))
