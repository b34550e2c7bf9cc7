"""The operator's commands: `flask orders …`, `flask clients …`, `flask process-orders` and more."""

from __future__ import annotations

from flask import Flask

from service.commands.archive import archive_orders
from service.commands.audit import audit_cli
from service.commands.clients import clients_cli
from service.commands.database_check import check_database
from service.commands.events import events_cli
from service.commands.operations import cancel_orders, retry_orders
from service.commands.orders import orders_cli
from service.commands.process_orders import process_orders
from service.commands.processing import processing_cli


def init_app(app: Flask) -> None:
    """Register the commands."""
    for command in (retry_orders, cancel_orders, archive_orders):
        orders_cli.add_command(command)
    groups = (orders_cli, processing_cli, events_cli, clients_cli, audit_cli)
    for group in (*groups, process_orders, check_database):
        app.cli.add_command(group)
