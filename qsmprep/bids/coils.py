"""Images of single receiver coils: which axis or entity tells them apart, and what has to be refused as ambiguous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from .grouping import Group
from .model import Coil, Echo

COUNT_KEY = "NumberReceiveCoilActiveElements"


def split_coils(group: Group, notes: list[str]) -> dict[str, Group]:
    """The group's images coil by coil, by the entity `coil-`; empty where images of all coils together are there."""
    labels = sorted({f.entities["coil"] for f in group.files if "coil" in f.entities}, key=lambda x: (len(x), x))
    together = [f for f in group.files if "coil" not in f.entities]
    if not labels:
        return {}
    if any(f.entities.get("part") in ("phase", "real") for f in together):
        notes.append(
            f"images of {len(labels)} single coils (coil-) are left aside: those of all coils together are used"
        )
        group.files[:] = together
        return {}
    coils = {label: Group(group.entities, group.suffix, []) for label in labels}
    for file in group.files:
        if "coil" in file.entities:
            coils[file.entities["coil"]].files.append(file)
        else:
            notes.append(
                f"{file.path.name} is left aside: it has no coil-, and its phase is there for single coils only"
            )
    return coils


def join_coils(found: Mapping[str, Sequence[Echo]]) -> list[Echo]:
    """Echoes with the images of every coil.

    Raises
    ------
    InputError
        If coils have not the same echoes.
    """
    first = next(iter(found.values()))
    label = next(iter(found))
    for other, echoes in found.items():
        if [echo.te for echo in echoes] != [echo.te for echo in first]:
            raise InputError(
                f"coil-{other} has echo times {_milliseconds(echoes)}, but coil-{label} has {_milliseconds(first)}; "
                "expected the same echoes of all coils"
            )
    if len(found) == 1:
        return list(first)
    together = zip(*found.values(), strict=True)
    return [with_coils(one, [_coil(name, image) for name, image in zip(found, images, strict=True)])
            for one, images in zip(first, together, strict=True)]  # fmt: skip


def coils_in_file(echo: Echo, volumes: Sequence[int]) -> Echo:
    """An echo whose coils are these volumes of its files."""
    if len(volumes) == 1:
        return replace(echo, volume=volumes[0])
    return with_coils(echo, [_coil(str(n), replace(echo, volume=volume)) for n, volume in enumerate(volumes, 1)])


def with_coils(echo: Echo, coils: Sequence[Coil]) -> Echo:
    """The echo with its coils, and the files of the first one as its own."""
    one = coils[0]
    return replace(echo, magnitude=one.magnitude, phase=one.phase, real=one.real, imag=one.imag, volume=one.volume,
                   coils=tuple(coils))  # fmt: skip


def told_coils(metadata: Mapping[str, Any], volumes: int) -> bool:
    """Whether the sidecar says that there are as many receiver coils as volumes."""
    return volumes > 1 and metadata.get(COUNT_KEY) == volumes


def what_to_say(volumes: int) -> str:
    """Advice where volumes may be coils or repetitions."""
    return (
        f'Coils or repetitions? If they are coils, say "{COUNT_KEY}": {volumes} in the sidecar; if they are '
        "repetitions, average them as complex numbers, or give each a file of its own (run-)"
    )


def axes_of_5d(path: Path, further: tuple[int, int], n_echoes: int, notes: list[str]) -> list[list[int]]:
    """Flat indices of the volumes of a 5-D file: a list of coils an echo.

    Raises
    ------
    InputError
        If neither axis is as long as the list of echo times.
    """
    a, b = further
    if a == n_echoes:
        if a == b:
            notes.append(f"the fourth and fifth axis are both {a} long: read as (x, y, z, echo, coil)")
        return [[echo * b + coil for coil in range(b)] for echo in range(a)]
    if b == n_echoes:
        notes.append("echoes are read from the fifth axis, coils from the fourth")
        return [[coil * b + echo for coil in range(a)] for echo in range(b)]
    raise InputError(
        f"{path} has a fourth axis of {a} and a fifth of {b}, but EchoTime in its sidecar lists {n_echoes}; expected "
        "(x, y, z, echo, coil) and as many echo times as echoes"
    )


def check_coils(echoes: Sequence[Echo], notes: list[str]) -> None:
    """Raise an InputError if coils cannot be combined; else say how they will be."""
    n = len(echoes[0].coils)
    if not n:
        return
    for echo in echoes:
        if len(echo.coils) != n:
            raise InputError(f"{echo.files[0]} has {len(echo.coils)} coils, but {echoes[0].files[0].name} has {n}")
        if not all(coil.magnitude or coil.real for coil in echo.coils):
            raise InputError(
                f"{echo.files[0]}: images of single coils without magnitude cannot be weighted; expected part-mag, or "
                "part-real and part-imag"
            )
    way = "matched in phase by MCPC-3D-S" if len(echoes) > 1 else "matched in phase to a virtual reference coil"
    notes.append(f"{n} single coils are found and combined: {way}, weighted by the square of their magnitude")


def _coil(label: str, image: Echo) -> Coil:
    return Coil(label, image.magnitude, image.phase, image.real, image.imag, image.volume)


def _milliseconds(echoes: Sequence[Echo]) -> str:
    return ", ".join(f"{echo.te * 1e3:g}" for echo in echoes) + " ms"
