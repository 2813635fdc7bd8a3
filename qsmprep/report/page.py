"""One self-contained page from a template: style and script inside, pictures as data URIs, nothing loaded."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from qsmprep import __version__

_TYPES = {".webp": "image/webp", ".png": "image/png", ".svg": "image/svg+xml"}


def data_uri(path: Path) -> str:
    """A picture as a `data:` URI, so that the page carries it."""
    return _uri(path.read_bytes(), _TYPES[path.suffix.lower()])


def thumbnail_uri(path: Path, width: int = 430) -> str:
    """A picture made small, as a `data:` URI; '' if the file is no readable picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError):
        return ""
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=72, method=4)
    return _uri(buffer.getvalue(), "image/webp")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def write_page(out: Path, template: str, values: Mapping[str, Any]) -> Path:
    """Render a template of `qsmprep/report/templates` and write the page whole or not at all.

    Everything in `values` is escaped; only the packaged style and script go in as they are.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from qsmprep.bids.derivatives import atomic_write_text

    folder = files("qsmprep.report") / "templates"
    environment = Environment(
        loader=PackageLoader("qsmprep.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(
        **values,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "page.js").read_text(encoding="utf-8")),
        version=__version__,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    return atomic_write_text(out, page)
