"""The files of others are those that were fetched, and their licence is beside them."""

from __future__ import annotations

import hashlib
import json
import re

from service.console.static import FOLDER, TYPES


def test_vendored_files_are_what_was_fetched() -> None:
    packages = json.loads((FOLDER / "vendor.json").read_text())
    for package in packages:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["integrity"].startswith("sha512-")
        for file in package["files"]:
            content = (FOLDER / file["to"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"], file["to"]
    vendored = {file["to"] for package in packages for file in package["files"]}
    own = {"console.css", "console.js", "icon.svg"}
    assert set(TYPES) - own == vendored - {"LICENSES/htmx.txt"}


def test_no_asset_asks_for_what_is_elsewhere() -> None:
    for name in ("console.css", "console.js"):
        text = (FOLDER / name).read_text()
        assert "http" not in text
        assert "@import" not in text
        assert "eval" not in text
