"""The application factory."""

from __future__ import annotations

import os
import sys

from flask import Flask
from flask_migrate import Migrate

from service import auth, cli, errors, observation
from service.api import health, metrics, orders
from service.config import ConfigError, Settings
from service.database import Database, engine_options, prepare_engine
from service.json_provider import DecimalJSONProvider
from service.models import db
from service.readiness import MIGRATIONS
from service.runtime import EXTENSION, Runtime

LARGEST_BODY = 1024 * 1024
# Request threads that can never wait for the database, so that `/ping` and 503s always get through.
SPARE_THREADS = 2

migrate = Migrate()


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application, by default with the settings of the environment.

    It starts no processor and asks no database. Settings of the environment that are invalid end
    the program with one line on stderr.
    """
    settings = settings or settings_or_exit()
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        # An automatic answer to OPTIONS has no JSON.
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(
            settings.database_url, settings.web_threads - SPARE_THREADS
        ),
    )
    app.json = DecimalJSONProvider(app)
    # Redirects have HTML in them.
    app.url_map.merge_slashes = False
    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS))
    with app.app_context():
        prepare_engine(db.engine)
        app.extensions[EXTENSION] = Runtime(settings, Database(db.engine))
    for part in (observation, auth, errors):
        part.init_app(app)
    for resource in (health, metrics, orders):
        app.register_blueprint(resource.blueprint)
    cli.init_app(app)
    return app


def settings_or_exit() -> Settings:
    """Return the environment's settings, or end the program with one line on what is wrong."""
    try:
        return Settings.from_environment(os.environ)
    except ConfigError as problem:
        sys.exit(f"order-service: {problem}")
