"""The operator's commands: `flask orders …`, `flask processing …`, `flask process-orders`."""

from __future__ import annotations

from flask import Flask

from service.commands.archive import archive_orders
from service.commands.operations import cancel_orders, retry_orders
from service.commands.orders import orders_cli
from service.commands.process_orders import process_orders
from service.commands.processing import processing_cli


def init_app(app: Flask) -> None:
    """Register the commands."""
    for command in (retry_orders, cancel_orders, archive_orders):
        orders_cli.add_command(command)
    for group in (orders_cli, processing_cli, process_orders):
        app.cli.add_command(group)
