"""The application factory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flask import Flask
from flask_migrate import Migrate

from service import commands
from service.accepting.acceptor import Ordering
from service.accepting.batcher import MOST_BATCHES
from service.config import Settings, settings_or_exit
from service.runtime import EXTENSION, Runtime
from service.storage.database import Database, engine_options, prepare_engine
from service.storage.models import db
from service.storage.schema import MIGRATIONS
from service.web import auth, errors, health, metrics, orders, request_log
from service.web.json_provider import DecimalJSONProvider
from service.web.lean import LeanFlask

# Request threads that can never wait for the database's answer, so that `/ping` and 503s always get
# through.
SPARE_THREADS = 2
# Kinds of batches: plain orders, those with a key, and look-ups. A thread for each that may be on
# its way, so that they leave the others theirs.
BATCHERS = 3

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
    app = LeanFlask(__name__, static_folder=None)
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
        threads = ThreadPoolExecutor(
            pool_size + BATCHERS * MOST_BATCHES, thread_name_prefix="database-request"
        )
        database = Database(db.engine, stall_limit, threads)
    app.extensions[EXTENSION] = Runtime(settings, database, Ordering(database, threads, pool_size))
    for part in (request_log, auth, errors):
        part.init_app(app)
    for resource in (health, metrics, orders):
        app.register_blueprint(resource.blueprint)
    commands.init_app(app)
    return app
