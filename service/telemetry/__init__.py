"""Logs, metrics and the ids of requests."""
