"""Whether this process can serve: its database, the schema, and its processor."""

from __future__ import annotations

from service.runtime import Runtime
from service.storage.failures import is_missing_table, is_unavailable, takes_no_writes
from service.storage.schema import read_revision, required_revision

# Seconds without an answer on orders that are to be stored. A server that has lost the majority of
# its group goes on to say that it takes writes, and waits at each commit.
LONGEST_SILENCE = 2.0


def find_problems(runtime: Runtime) -> dict[str, str]:
    """Return what is not ready: its name (`database`, `schema`, `processor`) and the problem."""
    problems = {}
    try:
        with runtime.places.take():
            revision = runtime.database.probe(read_revision)
        if schema_problem := _schema_problem(revision):
            problems["schema"] = schema_problem
    except Exception as error:
        if is_missing_table(error):
            problems["schema"] = _schema_problem(None) or ""
        elif takes_no_writes(error):
            problems["database"] = "takes no writes"
        elif is_unavailable(error):
            problems["database"] = "does not answer"
        else:
            raise
    if not problems and runtime.acceptor.silent_for() > LONGEST_SILENCE:
        problems["database"] = "does not answer"
    if runtime.settings.processor_threads and runtime.serving:
        processor = runtime.processor
        problem = processor.problem() if processor else "the processor is not running"
        if problem:
            problems["processor"] = problem
    return problems


def _schema_problem(revision: str | None) -> str | None:
    # Revisions are numbered, and a later one only adds: this release works on that, too, which
    # lets it serve on while its successor migrates.
    if revision and revision.isdecimal() and int(revision) >= int(required_revision()):
        return None
    return (
        f"is at revision {revision or 'none'}; expected {required_revision()}: run flask db upgrade"
    )
