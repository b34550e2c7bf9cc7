"""The order service: accepts orders over HTTP, stores them, and processes each one."""

from service.app import create_app

__all__ = ["create_app"]
