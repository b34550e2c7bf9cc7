"""The application factory."""

from __future__ import annotations

import math

from flask import Flask
from flask_migrate import Migrate

from service import commands, console
from service.accepting.acceptor import Acceptor
from service.clients import Clients
from service.config import Settings, settings_or_exit
from service.processing.processor import POOL_SIZE
from service.runtime import EXTENSION, Runtime
from service.storage.database import Database
from service.storage.engine import engine_options, prepare_engine
from service.storage.models import PROCESSING, db
from service.storage.outbox import write_events_on
from service.storage.places import Places
from service.storage.schema import MIGRATIONS
from service.web import (
    auth,
    docs,
    errors,
    health,
    metrics,
    operations,
    orders,
    processing,
    request_log,
    strictness,
)
from service.web.json_provider import DecimalJSONProvider

# Threads that never wait for the database, so that `/ping` and 503s always get through.
SPARE_THREADS = 2
# Threads that never wait for orders to be stored, so that reads get through as well.
SPARE_FROM_WRITERS = 6
# The least time, in seconds, after which MySQL gives up on a processor that is silent: one that is
# alive asks for orders each second.
SHORTEST_IDLE = 5

migrate = Migrate()


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application, by default with the settings of the environment.

    It starts no processor and asks no database. Settings of the environment that are invalid end
    the program with one line on stderr.
    """
    settings = settings or settings_or_exit()
    app = Flask(__name__, static_folder=None)
    _configure(app, settings)
    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS))
    app.extensions[EXTENSION] = _make_runtime(app, settings)
    for part in (request_log, strictness, auth, errors):
        part.init_app(app)
    for resource in (docs, health, metrics, orders, operations, processing):
        app.register_blueprint(resource.blueprint)
    console.init_app(app)
    request_log.count_failures_from_zero(app)
    commands.init_app(app)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    url = settings.database_url
    # What a processor that hangs has locked is free as soon as what it has claimed.
    idle_timeout = max(SHORTEST_IDLE, math.ceil(settings.processor_lease_seconds))
    app.config.update(
        # An automatic answer to OPTIONS has no JSON.
        PROVIDE_AUTOMATIC_OPTIONS=False,
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(url, settings.web_threads),
        SQLALCHEMY_BINDS={PROCESSING: {"url": url, **engine_options(url, POOL_SIZE, idle_timeout)}},
    )
    app.json = DecimalJSONProvider(app)
    # Redirects have HTML in them.
    app.url_map.merge_slashes = False


def _make_runtime(app: Flask, settings: Settings) -> Runtime:
    with app.app_context():
        engines = db.engines
    for engine in engines.values():
        prepare_engine(engine)
        if settings.events_url is not None:
            write_events_on(engine)
    database = Database(engines[None])
    threads = settings.web_threads
    places = Places(threads - SPARE_THREADS)
    writers = max(threads // 2, threads - SPARE_FROM_WRITERS)
    return Runtime(
        settings=settings,
        database=database,
        processing_database=Database(engines[PROCESSING]),
        places=places,
        acceptor=Acceptor(database, places, writers),
        clients=Clients(database, settings),
    )
