"""From a group of images to echoes with echo times, phase scaling and field strength; or a plain reason why not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..qsm.constants import GAMMA_BAR
from .coils import axes_of_5d, check_coils, coils_in_file, join_coils, split_coils, told_coils, what_to_say
from .grouping import Group
from .images import Grid, check_varies, read_grid, read_values
from .index import BidsFile
from .model import Echo
from .sidecars import Sidecars

if TYPE_CHECKING:
    from ..qsm.phase import PhaseScaling

LONGEST_TE = 0.5  # [s]; above it the number is in milliseconds
SAME_TE = 1e-6  # [s]
PARTS = {"mag": "magnitude", "phase": "phase", "real": "real", "imag": "imag"}
BIPOLAR_KEYS = ("BipolarReadout", "Bipolar", "ReadoutPolarity", "ReadoutMode")


@dataclass
class Acquisition:
    """What the images of a group say."""

    echoes: tuple[Echo, ...]
    grid: Grid
    metadata: dict[str, Any]
    scaling: PhaseScaling | None = None
    notes: list[str] = field(default_factory=list)


def read_acquisition(group: Group, sidecars: Sidecars) -> Acquisition:
    """Check a group's images and read what they say.

    Raises
    ------
    InputError
        If the group cannot be processed; the message names the file, what was found and what was expected.
    """
    notes: list[str] = []
    coils = split_coils(group, notes)
    parts = _choose_parts(group, notes)
    main = parts[0]
    grids = {f.path: read_grid(f.path) for part in parts for f in group.part(part)}
    if coils:
        found = join_coils({name: _find_echoes(coil, parts, grids, sidecars, []) for name, coil in coils.items()})
    else:
        found = _find_echoes(group, parts, grids, sidecars, notes)
    echoes = _in_order(found, notes)
    check_coils(echoes, notes)
    first = grids[_main_file(echoes[0], main)]
    for path, grid in grids.items():
        difference = grid.difference(first)
        if difference:
            raise InputError(f"{path} {difference}; expected one grid for all echoes and parts")
    there = {path for echo in echoes for path in echo.files}
    used = [f for f in group.files if f.path in there]
    metadata = _common_metadata(used, sidecars)
    scaling = _check_values(used, metadata)
    return Acquisition(echoes, first, metadata, scaling, notes)


def _find_echoes(
    group: Group, parts: list[str], grids: Mapping[Path, Grid], sidecars: Sidecars, notes: list[str]
) -> list[Echo]:
    """Echoes of one coil, or of all together, in the order of their names."""
    mains = group.part(parts[0])
    if len(mains) == 1 and grids[mains[0].path].volumes is not None:
        return _echoes_of_4d(group, parts, grids, sidecars, notes)
    return _separate_echoes(group, parts, grids, sidecars, notes)


def _choose_parts(group: Group, notes: list[str]) -> list[str]:
    """Phase, or real and imaginary; with the magnitude if there is one."""
    phase, real, imag = (bool(group.part(part)) for part in ("phase", "real", "imag"))
    if phase:
        if real or imag:
            notes.append("part-phase is used; part-real and part-imag of the same acquisition are not")
        if group.part("mag"):
            return ["phase", "mag"]
        notes.append("no magnitude (part-mag): the mask comes from the phase quality alone, and there is no R2*")
        return ["phase"]
    if real and imag:
        return ["real", "imag", "mag"] if group.part("mag") else ["real", "imag"]
    if real or imag:
        there, absent = ("part-real", "part-imag") if real else ("part-imag", "part-real")
        raise InputError(f"it has {there} but no {absent}; phase needs both")
    raise InputError("it has no part-phase, and not part-real with part-imag")


def _main_file(echo: Echo, main: str) -> Path:
    path: Path = getattr(echo, PARTS[main])
    return path


def _separate_echoes(
    group: Group, parts: list[str], grids: Mapping[Path, Grid], sidecars: Sidecars, notes: list[str]
) -> list[Echo]:
    """One file an echo and part."""
    by_echo: dict[str, dict[str, BidsFile]] = {}
    for part in parts:
        for file in group.part(part):
            by_echo.setdefault(file.entities.get("echo", ""), {})[part] = file
    echoes: list[Echo] = []
    told: list[Any] = []
    for number, files in sorted(by_echo.items(), key=lambda item: (len(item[0]), item[0])):
        absent = [part for part in parts if part not in files]
        if absent:
            there = next(iter(files.values())).path.name
            notes.append(f"echo {number or '(unnumbered)'} is left out: {there} has no part-{absent[0]} beside it")
            continue
        paths: dict[str, Any] = {PARTS[part]: file.path for part, file in files.items()}
        echo = Echo(_echo_time(files, parts, sidecars), number=int(number) if number.isdecimal() else 0, **paths)
        told.append(sidecars.metadata(files[parts[0]].path).get("EchoNumber"))
        volumes = _volumes_of_echo(files, parts, grids, sidecars)
        echoes.append(echo if volumes is None else coils_in_file(echo, range(volumes)))
    if not echoes:
        raise InputError(f"no echo has all of {', '.join('part-' + part for part in parts)}")
    if len(set(told)) == len(told) and all(type(n) is int and n > 0 for n in told):
        if told != [echo.number for echo in echoes]:
            notes.append(f"the echoes are numbers {', '.join(map(str, told))} of the echo train (EchoNumber)")
        echoes = [replace(echo, number=n) for echo, n in zip(echoes, told, strict=True)]
    return echoes


def _volumes_of_echo(
    files: Mapping[str, BidsFile], parts: list[str], grids: Mapping[Path, Grid], sidecars: Sidecars
) -> int | None:
    """Volumes of an echo's files, which have to be coils; None for 3-D files."""
    main = files[parts[0]].path
    number = grids[main].volumes
    for part in parts:
        path = files[part].path
        volumes = grids[path].volumes
        if (volumes or 1) != (number or 1):
            raise InputError(f"{path} has {volumes or 1} volumes but {main.name} has {number or 1}; expected as many")
        if volumes not in (None, 1) and not told_coils(sidecars.metadata(path), volumes):
            raise InputError(
                f"{path} has {volumes} volumes; expected one, since each echo has a file of its own. "
                f"{what_to_say(volumes)}"
            )
    return number


def _echo_time(files: Mapping[str, BidsFile], parts: list[str], sidecars: Sidecars) -> float:
    """Echo time [s] from the sidecar of the phase, else of another part."""
    for part in parts:
        value = sidecars.metadata(files[part].path).get("EchoTime")
        if value is not None:
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            return _checked_te(value, files[part].path)
    raise InputError(f"{files[parts[0]].path}: no sidecar gives EchoTime; expected the echo time in seconds")


def _checked_te(value: Any, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{path}: EchoTime is {value!r}; expected a number of seconds above 0")
    if value > LONGEST_TE:
        raise InputError(f"{path}: EchoTime is {value:g}; expected seconds, and this looks like milliseconds")
    return float(value)


def _echoes_of_4d(
    group: Group, parts: list[str], grids: Mapping[Path, Grid], sidecars: Sidecars, notes: list[str]
) -> list[Echo]:
    """One file a part, echoes along the fourth axis; EchoTime is a list in the sidecar."""
    files = {}
    for part in parts:
        found = group.part(part)
        if len(found) != 1:
            raise InputError(f"{found[0].path}: expected one 4-D file for part-{part}, found {len(found)} files")
        files[part] = found[0]
    main = files[parts[0]]
    further = grids[main.path].further
    number = grids[main.path].volumes
    for file in files.values():
        if grids[file.path].further != further:
            raise InputError(
                f"{file.path} has {grids[file.path].volumes or 'no fourth axis'} but {main.path.name} has {number} "
                "echoes along the fourth axis; expected as many in all parts"
            )
    times: Any = next(
        (t for part in parts if (t := sidecars.metadata(files[part].path).get("EchoTime")) is not None), None
    )
    if times is None:
        raise InputError(f"{main.path}: no sidecar gives EchoTime; expected a list of {number} echo times in seconds")
    times = times if isinstance(times, list) else [times]
    volumes = _volumes_of_echoes(main.path, further, len(times), sidecars, notes)
    paths: dict[str, Any] = {PARTS[part]: file.path for part, file in files.items()}
    echoes = [Echo(_checked_te(te, main.path), number=n, **paths) for n, te in enumerate(times, 1)]
    return [coils_in_file(echo, own) for echo, own in zip(echoes, volumes, strict=True)]


def _volumes_of_echoes(
    path: Path, further: tuple[int, ...], n_echoes: int, sidecars: Sidecars, notes: list[str]
) -> list[list[int]]:
    """Which volumes of a file belong to each echo: one, or one a coil."""
    if len(further) == 2:
        return axes_of_5d(path, (further[0], further[1]), n_echoes, notes)
    number = further[0]
    if n_echoes == number:
        if number != 1:
            notes.append(f"the {number} echoes are read from the fourth axis")
        return [[volume] for volume in range(number)]
    if n_echoes == 1 and told_coils(sidecars.metadata(path), number):
        return [list(range(number))]
    raise InputError(
        f"{path} has {number} volumes, but EchoTime in its sidecar lists {n_echoes}; expected a list of {number} echo "
        "times in seconds" + (f". {what_to_say(number)}" if n_echoes == 1 else "")
    )


def _in_order(echoes: list[Echo], notes: list[str]) -> tuple[Echo, ...]:
    ordered = sorted(echoes, key=lambda echo: echo.te)
    for one, other in itertools.pairwise(ordered):
        if other.te - one.te < SAME_TE:
            names = sorted({one.files[0].name, other.files[0].name})
            raise InputError(
                f"{' and '.join(names)} have the same EchoTime ({one.te * 1e3:g} ms); expected a different one an echo"
            )
    if ordered != echoes:
        given = ", ".join(f"{echo.te * 1e3:g}" for echo in echoes)
        notes.append(f"the echo numbers do not follow the echo times ({given} ms): sorted by echo time")
    return tuple(_numbered(ordered, notes))


def _numbered(ordered: list[Echo], notes: list[str]) -> list[Echo]:
    """Echoes with their places in the echo train; counted off where names and sidecars tell none that can be."""
    numbers = [echo.number for echo in ordered]
    if not all(a < b for a, b in itertools.pairwise([0, *numbers])):
        return [replace(echo, number=place) for place, echo in enumerate(ordered, 1)]
    absent = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
    if absent:
        names = f"echo {absent[0]}" if len(absent) == 1 else f"echoes {', '.join(map(str, absent))}"
        notes.append(f"{names} of the echo train {'is' if len(absent) == 1 else 'are'} not there: the polarity of the "
                     "others goes by their numbers")  # fmt: skip
    return ordered


def _common_metadata(files: list[BidsFile], sidecars: Sidecars) -> dict[str, Any]:
    """Metadata of all images; the phase's win."""
    merged: dict[str, Any] = {}
    for file in sorted(files, key=lambda f: f.entities.get("part") == "phase"):
        merged.update(sidecars.metadata(file.path))
    return merged


def _check_values(files: list[BidsFile], metadata: Mapping[str, Any]) -> PhaseScaling | None:
    """Read every image once; find the scaling of the phase over all echoes together."""
    import numpy as np

    from ..qsm.phase import find_phase_scaling

    phase = []
    for file in files:
        values = read_values(file.path)
        part = file.entities.get("part", "mag")
        check_varies(file.path, values)
        if part == "phase":
            phase.append(values)
    if not phase:
        return None
    sample = np.concatenate([values.sample for values in phase])
    low, high = min(v.minimum for v in phase), max(v.maximum for v in phase)
    try:
        return find_phase_scaling(low, high, sample, metadata)
    except ValueError as error:
        names = [f.path for f in files if f.entities.get("part") == "phase"]
        raise InputError(f"{names[0]}: {error}") from None


def find_b0(metadata: Mapping[str, Any], given: float | None) -> tuple[float, str, float | None, list[str]]:
    """Field strength [T], where it came from, the nominal field [T] of the sidecar, and notes.

    The imaging frequency wins if it is within 5 % of the nominal field: a Siemens "3 T" is 2.895 T.

    Raises
    ------
    InputError
        If nothing tells the field strength.
    """
    nominal, frequency = _number(metadata.get("MagneticFieldStrength")), _number(metadata.get("ImagingFrequency"))
    exact = frequency / GAMMA_BAR if frequency else None
    if given is not None:
        notes = []
        if nominal and abs(given / nominal - 1) > 0.05:
            notes.append(f"--field-strength {given:g} T is used, though the sidecar says {nominal:g} T")
        return given, "--field-strength", nominal, notes
    if nominal is not None and not 0.01 <= nominal <= 30:
        raise InputError(
            f"MagneticFieldStrength is {nominal:g}; expected tesla, such as 3. Correct the sidecar or give "
            "--field-strength"
        )
    if nominal is None and exact is None:
        raise InputError(
            "no sidecar gives MagneticFieldStrength or ImagingFrequency; give --field-strength in tesla, such as 3"
        )
    if exact is not None and (abs(exact / nominal - 1) <= 0.05 if nominal else 0.01 <= exact <= 30):
        source = f"ImagingFrequency {frequency:g} MHz"
        return exact, source, nominal, [] if nominal else ["no MagneticFieldStrength: B0 from ImagingFrequency"]
    if nominal is None:
        raise InputError(f"ImagingFrequency is {frequency:g}; expected MHz, such as 123.2. Give --field-strength")
    notes = [f"ImagingFrequency {frequency:g} does not fit {nominal:g} T: not used"] if exact is not None else []
    return nominal, "MagneticFieldStrength", nominal, notes


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if good else None


def find_bipolar(metadata: Mapping[str, Any], echoes: int) -> tuple[bool | None, list[str]]:
    """Whether the readout was bipolar, by the sidecar; BIDS has no field for it, so None where no other one tells."""
    for key in BIPOLAR_KEYS:
        value = metadata.get(key)
        if value is not None:
            bipolar = value is True or str(value).lower() in ("bipolar", "true", "yes")
            return bipolar, [f"{key} is {value}: {'bipolar' if bipolar else 'monopolar'} readout"] if bipolar else []
    if echoes < 3:
        return False, ["no sidecar tells the readout's polarity: taken as monopolar"] if echoes == 2 else []
    return None, ["no sidecar tells the readout's polarity: found by whether odd and even echoes differ by a ramp"]
