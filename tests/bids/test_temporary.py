import os
import subprocess
import sys

from qsmprep.bids import temporary
from qsmprep.bids.temporary import remove_leftovers, write_temporary


def written_by(process, folder, name="sub-01_Chimap.nii.gz"):
    """A temporary file under the name that a process of this machine gives it."""
    mine = write_temporary(folder / name, b"half")
    return mine.rename(mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{process}-")))


def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_of_processes_that_are_gone_are_removed_and_those_at_work_stay(tmp_path):
    left = written_by(gone(), tmp_path / "anat")
    at_work = written_by(os.getppid(), tmp_path / "anat")
    whole = tmp_path / "anat" / "sub-01_Chimap.json"
    whole.write_text("{}")
    assert remove_leftovers(tmp_path) == [left]
    assert sorted((tmp_path / "anat").iterdir()) == sorted([at_work, whole])


def test_files_of_another_machine_are_left_alone_until_they_are_old(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "_host", lambda: "node7")
    elsewhere = written_by(gone(), tmp_path)
    monkeypatch.undo()
    assert remove_leftovers(tmp_path) == []
    hours_ago = elsewhere.stat().st_mtime - 2 * 3600
    os.utime(elsewhere, (hours_ago, hours_ago))
    assert remove_leftovers(tmp_path) == [elsewhere]


def test_only_what_the_program_itself_wrote_is_removed(tmp_path):
    for name in (".tmp-notes.txt", ".tmp", ".tmp-node-12-x_sub-01.nii.gz"):
        (tmp_path / name).write_text("the user's own")
        os.utime(tmp_path / name, (0, 0))
    assert remove_leftovers(tmp_path) == []
    assert remove_leftovers(tmp_path / "not there") == []


def test_folders_below_are_only_looked_into_on_request(tmp_path):
    left = written_by(gone(), tmp_path / "sub-02")
    assert remove_leftovers(tmp_path, deep=False) == []
    assert remove_leftovers(tmp_path) == [left]


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path, monkeypatch):
    left = written_by(gone(), tmp_path)

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(left), "unlink", refuse)
    assert remove_leftovers(tmp_path) == []
    assert left.exists()


def test_room_is_left_for_a_name_of_bids(tmp_path, monkeypatch):
    temporary._host.cache_clear()
    monkeypatch.setattr(temporary.socket, "gethostname", lambda: "a-very-long-name." * 10)
    try:
        longest = "x" * 180
        assert len(write_temporary(tmp_path / longest, b"").name) < 255
    finally:
        temporary._host.cache_clear()
