"""The WSGI entry point, where `flask` and gunicorn look for it."""

from service.app import create_app
from service.server.settings import current_settings

app = create_app(current_settings())
