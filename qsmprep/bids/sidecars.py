"""Metadata of an image from all sidecars that apply to it (the inheritance principle of BIDS)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError
from .names import split_name


class Sidecars:
    """Reads JSON sidecars under `root`, each folder and file once.

    A JSON applies to an image if it lies in the image's folder or above it (up to `root`), has the same suffix, and
    none of its entities is missing from, or differs in, the image's name. The nearer file wins; within a folder the one
    with more entities.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._folders: dict[Path, list[tuple[dict[str, str], str, Path]]] = {}
        self._contents: dict[Path, dict[str, Any]] = {}

    def metadata(self, image: str | Path) -> dict[str, Any]:
        """Merged metadata of an image; empty if no sidecar applies.

        Raises
        ------
        InputError
            If a sidecar that applies is no JSON object.
        """
        merged: dict[str, Any] = {}
        for path in self.applicable(image):
            merged.update(self._read(path))
        return merged

    def applicable(self, image: str | Path) -> list[Path]:
        """Sidecars that apply to an image, the one that wins last."""
        image = Path(image)
        entities, suffix, _ = split_name(image.name)
        found: list[Path] = []
        for folder in self._chain(image.parent):
            fitting = [
                (len(own), path)
                for own, own_suffix, path in self._listing(folder)
                if own_suffix == suffix and own.items() <= entities.items()
            ]
            found += [path for _, path in sorted(fitting)]
        return found

    def _chain(self, folder: Path) -> list[Path]:
        """Folders from the root down to `folder`."""
        if not folder.is_relative_to(self.root):
            return [folder]
        chain = [self.root]
        for part in folder.relative_to(self.root).parts:
            chain.append(chain[-1] / part)
        return chain

    def _listing(self, folder: Path) -> list[tuple[dict[str, str], str, Path]]:
        if folder not in self._folders:
            paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
            self._folders[folder] = [(*split_name(path.name)[:2], path) for path in paths]
        return self._folders[folder]

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._contents:
            try:
                content = json.loads(path.read_text(encoding="utf-8-sig"))
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: the sidecar is not readable as JSON ({error})") from None
            if not isinstance(content, dict):
                raise InputError(f"{path}: the sidecar holds a {type(content).__name__}; expected a JSON object")
            self._contents[path] = content
        return self._contents[path]
