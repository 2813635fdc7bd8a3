"""Which T1-weighted image goes with a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .images import check_varies, read_grid, read_values
from .index import BidsFile
from .sidecars import Sidecars


class AnatomyChooser:
    """Chooses the T1w image of a run: same session first, then pre-scan normalised, then the latest run.

    Images are opened once each; what cannot be read is left aside, and the reason says so.
    """

    def __init__(self, images: Sequence[BidsFile], sidecars: Sidecars) -> None:
        self._images = images
        self._sidecars = sidecars
        self._faults: dict[Path, str | None] = {}

    def choose(self, subject: str, session: str | None) -> tuple[Path | None, str]:
        """The T1w image, or None; and the reason in words."""
        mine = [f for f in self._images if f.entities.get("subject") == subject]
        if not mine:
            return None, "this participant has no T1w image: mask and registration use the gradient echo's magnitude"
        ranked = sorted(mine, key=lambda f: self._rank(f, session), reverse=True)
        faults = []
        for file in ranked:
            fault = self._fault(file.path)
            if fault:
                faults.append(fault)
                continue
            reason = self._reason(file, ranked, session)
            return file.path, "; ".join([reason, *(f"left aside: {f}" for f in faults)])
        return None, "no T1w image of this participant can be used: " + "; ".join(faults)

    def _rank(self, file: BidsFile, session: str | None) -> tuple[Any, ...]:
        own = file.entities.get("session")
        digits = file.entities.get("run", "")
        run = int(digits) if digits.isdigit() else 0
        # without one in the run's own session the latest session counts, by its label
        return own == session, own or "", self._normalised(file), run, file.path.name

    def _normalised(self, file: BidsFile) -> bool:
        """Whether the receive field was corrected on the scanner (pre-scan normalise)."""
        if "norm" in file.entities.get("reconstruction", "").lower():
            return True
        try:
            image_type = self._sidecars.metadata(file.path).get("ImageType")
        except InputError:
            return False
        return isinstance(image_type, list) and any(str(item).upper() == "NORM" for item in image_type)

    def _fault(self, path: Path) -> str | None:
        if path not in self._faults:
            try:
                grid = read_grid(path)
                if grid.volumes not in (None, 1):
                    raise InputError(f"{path} has {grid.volumes} volumes; expected one T1w image")
                check_varies(path, read_values(path))
                self._faults[path] = None
            except InputError as error:
                self._faults[path] = str(error)
        return self._faults[path]

    def _reason(self, file: BidsFile, ranked: list[BidsFile], session: str | None) -> str:
        if len(ranked) == 1:
            where = "the only T1w image of this participant"
            if file.entities.get("session") != session:
                where += f", from {_session(file)}"
            return where
        own = file.entities.get("session")
        why = []
        if own != session:
            why.append(f"no T1w image in this session, so one from {_session(file)}")
        rivals = [f for f in ranked if f.entities.get("session") == own]
        if self._normalised(file) and not all(self._normalised(f) for f in rivals):
            why.append("pre-scan normalised")
        peers = [f for f in rivals if self._normalised(f) == self._normalised(file)]
        if len(peers) > 1:
            why.append("the latest run" if "run" in file.entities else "last by name")
        return f"1 of {len(ranked)} T1w images: " + (", ".join(why) or "the only one in this session")


def _session(file: BidsFile) -> str:
    session = file.entities.get("session")
    return f"ses-{session}" if session else "outside of any session"
