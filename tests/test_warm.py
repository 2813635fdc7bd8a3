import subprocess
import sys

from qsmprep import parameters
from qsmprep.warm import warm


def test_every_algorithm_is_warmed():
    known = {name for kind in ("UNWRAP", "FIELDMAP", "BACKGROUND", "INVERSION", "RELAXOMETRY")
             for name in getattr(parameters, f"{kind}_METHODS")}  # fmt: skip
    ran = warm(24)
    assert set(ran) == known
    assert len(ran) == len(known)


def test_importing_it_compiles_nothing_before_the_cache_is_set():
    code = "import sys, qsmprep.warm, qsmprep.cli.environment, qsmprep.settings; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
