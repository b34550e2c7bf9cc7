"""The WSGI entry point, where `flask` and gunicorn look for it."""

from service.app import create_app

app = create_app()
