import os
import subprocess
import sys

import pytest

from qsmprep.cli.environment import cache_dir, set_up_environment
from qsmprep.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path / "bids", tmp_path / "out", work_dir=tmp_path / "work", omp_nthreads=3, random_seed=7)


def test_threads_seed_and_caches_are_set(settings, keep_environ, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    set_up_environment(settings)
    assert os.environ["NO_ET"] == "1"
    assert os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"] == "3"
    assert os.environ["ANTS_RANDOM_SEED"] == "8"  # 0 would mean the clock
    assert os.environ["MPLCONFIGDIR"] == "/mine"
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "cache" / "qsmprep" / "numba")


def test_caches_go_to_the_work_dir_where_permissions_promise_too_much(settings, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)  # as below /proc, which root seems to be allowed to write
    monkeypatch.setenv("XDG_CACHE_HOME", str(settings.out_dir.parent))
    assert cache_dir(settings) == settings.work_dir / ".cache"


def test_caches_go_to_the_work_dir_where_home_cannot_be_written(settings, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("HOME", str(blocked / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir(settings) == settings.work_dir / ".cache"


def test_kernels_of_a_read_only_image_are_taken_over(settings, keep_environ, monkeypatch, tmp_path):
    brought = tmp_path / "image" / "qsmprep" / "numba" / "module_1"
    brought.mkdir(parents=True)
    (brought / "kernel.nbi").write_bytes(b"compiled")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "image"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("qsmprep.cli.environment._could_write", lambda folder: tmp_path / "image" not in folder.parents)
    for _ in range(2):  # the second time they are there
        set_up_environment(settings)
        cache = settings.work_dir / ".cache" / "numba"
        assert os.environ["NUMBA_CACHE_DIR"] == str(cache)
        assert (cache / "module_1" / "kernel.nbi").read_bytes() == b"compiled"
    assert [p.name for p in cache.parent.iterdir()] == ["numba"]


def test_libraries_import_with_an_unwritable_home(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    code = (
        "import sys; from pathlib import Path\n"
        "from qsmprep.settings import Settings; from qsmprep.cli.environment import set_up_environment\n"
        f"set_up_environment(Settings(Path('b'), Path('o'), work_dir=Path({str(tmp_path / 'work')!r})))\n"
        "import matplotlib.pyplot, nipype, qsmprep.bids.plan, bids\n"
    )
    environ = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")}
    environ["HOME"] = str(blocked / "home")
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
