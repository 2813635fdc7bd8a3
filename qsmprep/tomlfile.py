"""TOML files that users write, read with messages that name the option."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from qsmprep.errors import UsageError


def load_toml(path: Path, option: str) -> dict[str, Any]:
    """Content of a TOML file.

    Parameters
    ----------
    option : the option that names the file, for messages

    Raises
    ------
    UsageError
        If the file is missing, cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{option}: there is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: {path} cannot be read ({error}).") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{option}: {path} is not valid TOML: {error}.") from None
