"""Moments as text."""

from datetime import datetime


def format_moment(moment: datetime) -> str:
    """Format a naive UTC moment as RFC 3339, with microseconds and Z."""
    return moment.isoformat(timespec="microseconds") + "Z"
