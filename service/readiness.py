"""Whether this process can serve: its database, the schema, and its processor."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from service.dao.schema import read_revision
from service.database import is_missing_table, is_unavailable
from service.runtime import Runtime

MIGRATIONS = Path(__file__).parent / "migrations"


def find_problems(runtime: Runtime) -> dict[str, str]:
    """Return what is not ready: its name (`database`, `schema`, `processor`) and the problem."""
    problems = {}
    try:
        revision = runtime.database.statement(read_revision)
        if schema_problem := _schema_problem(revision):
            problems["schema"] = schema_problem
    except Exception as error:
        if is_missing_table(error):
            problems["schema"] = _schema_problem(None) or ""
        elif is_unavailable(error):
            problems["database"] = "does not answer"
        else:
            raise
    if runtime.settings.processor_threads and runtime.serving:
        processor = runtime.processor
        problem = processor.problem() if processor else "the processor is not running"
        if problem:
            problems["processor"] = problem
    return problems


@cache
def required_revision() -> str:
    """Return the newest migration of this release."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    if head is None:
        raise LookupError(f"no migrations in {MIGRATIONS}")
    return head


def _schema_problem(revision: str | None) -> str | None:
    # Revisions are numbered, and a later one only adds: this release works on that, too, which
    # lets it serve on while its successor migrates.
    if revision and revision.isdecimal() and int(revision) >= int(required_revision()):
        return None
    return (
        f"is at revision {revision or 'none'}; expected {required_revision()}: run flask db upgrade"
    )
