"""The operator's pages below `/console`: made on the server, with a little script on top."""

from __future__ import annotations

from flask import Flask

from service.console import (
    actions,
    audit,
    bulk,
    errors,
    events,
    operations,
    orders,
    overview,
    processing,
    workers,
)
from service.console.site import blueprint

# Each adds its pages to the blueprint.
PAGES = (actions, audit, bulk, errors, events, operations, orders, overview, processing, workers)


def init_app(app: Flask) -> None:
    """Add the pages to the application."""
    app.register_blueprint(blueprint)
