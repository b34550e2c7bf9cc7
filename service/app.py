"""The application factory."""

from __future__ import annotations

from flask import Flask
from flask_migrate import Migrate

from service import auth, cli, errors, observation
from service.api import health, metrics, orders
from service.config import Settings, settings_or_exit
from service.database import Database, engine_options, prepare_engine
from service.json_provider import DecimalJSONProvider
from service.models import db
from service.readiness import MIGRATIONS
from service.runtime import EXTENSION, Runtime

# Request threads that can never wait for the database, so that `/ping` and 503s always get through.
SPARE_THREADS = 2

migrate = Migrate()


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application, by default with the settings of the environment.

    It starts no processor and asks no database. Settings of the environment that are invalid end
    the program with one line on stderr.
    """
    settings = settings or settings_or_exit()
    pool_size = settings.web_threads - SPARE_THREADS
    on_sqlite = settings.database_url.get_backend_name() == "sqlite"
    stall_limit = None if on_sqlite else pool_size // 2
    app = Flask(__name__, static_folder=None)
    app.config.update(
        # An automatic answer to OPTIONS has no JSON.
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url, pool_size),
    )
    app.json = DecimalJSONProvider(app)
    # Redirects have HTML in them.
    app.url_map.merge_slashes = False
    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS))
    with app.app_context():
        prepare_engine(db.engine)
        database = Database(db.engine, stall_limit=stall_limit)
    app.extensions[EXTENSION] = Runtime(settings, database)
    for part in (observation, auth, errors):
        part.init_app(app)
    for resource in (health, metrics, orders):
        app.register_blueprint(resource.blueprint)
    cli.init_app(app)
    return app
