"""gunicorn's logger, without its access log: the service logs requests itself."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class QuietLogger(Logger):
    """Logs what gunicorn has to say about itself."""

    def access(self, *_arguments: Any) -> None:
        """Do nothing, not even collect what a line would hold."""
