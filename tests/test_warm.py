import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qsmprep
from qsmprep import parameters

# in a process of its own: other tests compile kernels, too
WARM = """
import importlib, json, pkgutil
from numba.core.caching import NullCache
from numba.core.registry import CPUDispatcher
from qsmprep import qsm, stats
from qsmprep.warm import warm

ran, found = warm(24), {}
rooms = [*pkgutil.walk_packages(qsm.__path__, "qsmprep.qsm."), *pkgutil.walk_packages(stats.__path__, "qsmprep.stats.")]
for info in rooms:
    for name, kernel in vars(importlib.import_module(info.name)).items():
        if isinstance(kernel, CPUDispatcher) and kernel.py_func.__module__ == info.name:
            found[f"{info.name}.{name}"] = kernel

def called(kernel):
    function = kernel.py_func
    return [function.__globals__.get(name) for name in function.__code__.co_names]

# a kernel that another one calls lies in the file of that one
reached = [kernel for kernel in found.values() if kernel.signatures]
for kernel in reached:
    reached += [other for other in called(kernel) if isinstance(other, CPUDispatcher) and other not in reached]
kept = {name: kernel in reached for name, kernel in found.items() if not isinstance(kernel._cache, NullCache)}
print(json.dumps({"ran": ran, "kernels": kept}))
"""


@pytest.fixture(scope="module")
def warmed():
    done = subprocess.run([sys.executable, "-c", WARM], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_algorithm_is_warmed(warmed):
    known = {name for kind in ("UNWRAP", "FIELDMAP", "BACKGROUND", "INVERSION", "RELAXOMETRY")
             for name in getattr(parameters, f"{kind}_METHODS")}  # fmt: skip
    assert set(warmed["ran"]) == known
    assert len(warmed["ran"]) == len(known)


def test_every_kernel_is_compiled(warmed):
    kernels = warmed["kernels"]
    assert len(kernels) > 40 and "qsmprep.qsm.combine._blocks._add_coil" in kernels, "the search has to find kernels"
    missed = [name for name, reached in kernels.items() if not reached]
    code = "".join(path.read_text() for path in Path(qsmprep.__file__).parent.rglob("*.py"))
    called = [name for name in missed if len(re.findall(rf"\b{name.rpartition('.')[2]}\b", code)) > 1]
    assert not called, "a run would have to compile these"


def test_importing_it_compiles_nothing_before_the_cache_is_set():
    code = "import sys, qsmprep.warm, qsmprep.cli.environment, qsmprep.settings; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
