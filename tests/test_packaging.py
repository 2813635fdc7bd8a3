"""The package installs as a wheel, as an editable install and runs from a checkout, with the graphs inside."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE_PACKAGES = sysconfig.get_path("purelib")
CHECK = """
import importlib.util, pathlib
import qsmprep, qsmprep.workflows
print(pathlib.Path(qsmprep.workflows.__file__).resolve())
import qsmprep.bids.plan, qsmprep.cli.main
from qsmprep.settings import preset_names
assert "fast" in preset_names()
import qsmprep.data
assert any(pathlib.Path(qsmprep.data.__file__).parent.rglob("*.nii.gz"))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what belongs to the package, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for folder in ("qsmprep", "workflows"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.nb[ic]"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def fresh(tmp_path):
    """Python of an empty environment."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    return tmp_path / "venv" / "bin" / "python"


def call(*command, cwd, **environ):
    # dependencies are borrowed from this environment; its editable qsmprep is not, since that needs .pth files
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "COV_"))}
    keep |= {"PYTHONPATH": SITE_PACKAGES, "SETUPTOOLS_SCM_PRETEND_VERSION": "1.2.3", **environ}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=keep, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(python, what, cwd):
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    call(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=cwd, PYTHONPATH="")


def no_toplevel_workflows(python, cwd):
    call(python, "-c", "import importlib.util as u; assert u.find_spec('workflows') is None", cwd=cwd)


def test_wheel_installs_the_graphs_as_part_of_the_package(source, fresh, tmp_path):
    call(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=tmp_path
    )
    (wheel,) = (tmp_path / "dist").glob("qsmprep-1.2.3-*.whl")
    install(fresh, [wheel], tmp_path)
    where = call(fresh, "-c", CHECK, cwd=tmp_path)
    assert where.strip().endswith("site-packages/qsmprep/workflows/__init__.py")
    assert str(tmp_path / "venv") in where
    no_toplevel_workflows(fresh, tmp_path)
    assert (fresh.parent / "qsmprep-phantom").is_file()
    assert call(fresh.parent / "qsmprep", "--version", cwd=tmp_path).startswith("qsmprep ")
    assert call(fresh, "-m", "qsmprep", "--version", cwd=tmp_path).startswith("qsmprep ")
    # asked without the borrowed packages, among which is another version of this one
    version = "import importlib.metadata as m; print(m.version('qsmprep'))"
    assert call(fresh, "-c", version, cwd=tmp_path, PYTHONPATH="") == "1.2.3\n"


def test_editable_install_finds_the_graphs(source, fresh, tmp_path):
    # pip builds with what PYTHONPATH lends it
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    call(sys.executable, "-m", "pip", "--python", fresh, "install", *options, "-e", source, cwd=tmp_path)
    where = call(fresh, "-c", CHECK, cwd=tmp_path)
    assert where.strip() == str((source / "workflows" / "__init__.py").resolve())
    no_toplevel_workflows(fresh, tmp_path)


def test_checkout_runs_without_being_installed(source, fresh):
    where = call(fresh, "-c", CHECK, cwd=source)
    assert where.strip() == str((source / "workflows" / "__init__.py").resolve())
    assert call(fresh, "-m", "qsmprep", "--version", cwd=source).startswith("qsmprep ")
