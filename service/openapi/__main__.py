"""`python -m service.openapi` writes the document to where the service has it."""

from __future__ import annotations

from service.openapi.document import PATH, build_text

PATH.write_text(build_text(), encoding="utf-8")
