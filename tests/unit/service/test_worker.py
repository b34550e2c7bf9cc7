"""gunicorn's names that the service uses: each is there, and none is private."""

from __future__ import annotations

import ast
import inspect
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import make_settings
from gunicorn.http.message import Message
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker

from service import server
from service.server.worker import OrderServiceWorker

FOLDER = Path(next(iter(server.__path__)))
OVERRIDDEN = {
    "accept",
    "enqueue_req",
    "handle",
    "handle_error",
    "handle_exit",
    "handle_quit",
    "handle_request",
    "init_process",
    "is_parent_alive",
    "murder_pending",
    "notify",
}
# What a worker of gunicorn's has, set when it is made.
USED = {"alive", "nr_conns", "pending_conns", "poller"}
USED_OF_CONNECTIONS = {"client", "data_ready", "initialized", "server", "sock", "timeout"}
USED_OF_REQUESTS = {"body", "headers", "must_close"}


def own_names() -> set[str]:
    """Return what the worker defines."""
    return {name for name in vars(OrderServiceWorker) if not name.startswith("__")}


def test_what_is_overridden_is_there() -> None:
    bases = {name for kind in (ThreadWorker, Worker) for name in vars(kind)}
    assert own_names() & bases == OVERRIDDEN
    for name in OVERRIDDEN:
        ours, theirs = getattr(OrderServiceWorker, name), getattr(ThreadWorker, name)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        ), name


def test_what_is_used_is_there() -> None:
    set_by_them = {
        name for kind in (ThreadWorker, Worker) for name in kind.__init__.__code__.co_names
    }
    assert set_by_them >= USED
    assert set(TConn.__init__.__code__.co_names) >= USED_OF_CONNECTIONS
    assert set(Message.__init__.__code__.co_names) >= USED_OF_REQUESTS
    assert callable(Message.force_close)
    assert callable(ThreadWorker.on_pending_socket_readable)
    # Nothing of ours has the name of something of theirs.
    ours = own_names() | {"serving", "told_to_stop"}
    assert not (ours - OVERRIDDEN) & set_by_them


def test_no_librarys_private_name_is_reached_into() -> None:
    modules = sorted(FOLDER.parent.rglob("*.py"))
    assert len(modules) > 40
    found = [f"{path.name}: {name}" for path in modules for name in private_names(path)]
    assert found == []


def private_names(path: Path) -> Iterator[str]:
    """Yield what a module uses of others' private names, however it gets at it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="_deserialize"):
                pass  # marshmallow's documented way to a field of one's own
            case ast.Attribute(attr=name) if is_private(name):
                yield ast.unparse(node)
            case ast.ImportFrom(module=module, names=names):
                yield from (one.name for one in names if is_private(one.name))
                yield from (part for part in (module or "").split(".") if is_private(part))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_each_of_gunicorns_settings_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/orders.db")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    found = runpy.run_path(str(FOLDER / "gunicorn.conf.py"))
    tree = ast.parse((FOLDER / "gunicorn.conf.py").read_text(encoding="utf-8"))
    hooks = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    values = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    ]
    own = {name for name in (*hooks, *values) if name.islower() and not name.startswith("_")}
    assert own <= set(found)
    # gunicorn leaves out what it does not know, without a word.
    assert own <= set(make_settings())
