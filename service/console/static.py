"""The console's style sheet, scripts and icon, read once and served from memory.

Their address holds a hash of their content, so browsers may keep them for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
TYPES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, its media type, and the part of its address that changes with it."""

    content: bytes
    media_type: str
    version: str


def _load(name: str) -> Asset:
    content = (FOLDER / name).read_bytes()
    return Asset(content, TYPES[name], hashlib.sha256(content).hexdigest()[:16])


ASSETS = {name: _load(name) for name in TYPES}


def find_asset(version: str, name: str) -> Asset | None:
    """Return the asset of this name and version, or None."""
    asset = ASSETS.get(name)
    return asset if asset is not None and asset.version == version else None
