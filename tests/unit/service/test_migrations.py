"""The migrations only add, so that the release before works on the new schema, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.schema import MIGRATIONS

VERSIONS = sorted((MIGRATIONS / "versions").glob("*.py"))
# What an upgrade may ask of Alembic; a new kind is added here when it is known to be harmless.
ADDS = {
    "create_table",
    "create_index",
    "add_column",
    "alter_column",
    "bulk_insert",
    "get_bind",
}
TAKES_AWAY = re.compile(r"\b(ALTER|DELETE|DROP|RENAME|REPLACE|TRUNCATE)\b")


def complaints(source: str) -> Iterator[str]:
    """Yield what of a migration, its downgrade left out, does more than add."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert {"upgrade", "downgrade"} <= {function.name for function in functions}
    for function in functions:
        if function.name != "downgrade":
            for node in ast.walk(function):
                yield from complaints_of(node)


def complaints_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(value=ast.Name(id="op"), attr=name) if name not in ADDS:
            yield f"op.{name}"
        case ast.Call(func=ast.Attribute(attr="alter_column"), keywords=given) if {
            keyword.arg for keyword in given
        } != {"server_default"}:
            yield "a column that changes"
        case ast.Constant(value=str(text)) if TAKES_AWAY.search(text):
            yield text
        case ast.Call(func=ast.Attribute(attr="add_column"), args=[_, ast.Call(keywords=given)]):
            # The release before says nothing about the column when it inserts.
            named = {keyword.arg: ast.unparse(keyword.value) for keyword in given}
            if named.get("nullable") == "False" and "server_default" not in named:
                yield "a column that is needed and has no default"


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_an_upgrade_only_adds(path: Path) -> None:
    assert list(complaints(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("orders", "user_id")',
        'op.rename_table("orders", "order")',
        'op.alter_column("orders", "user_id", new_column_name="client_id")',
        'op.execute("UPDATE orders SET user_id = 1")',
        'op.get_bind().execute(sa.text("ALTER TABLE orders DROP COLUMN user_id"))',
        'op.add_column("orders", sa.Column("client", sa.String(9), nullable=False))',
    ],
)
def test_what_takes_away_is_found(line: str) -> None:
    migration = (
        f"def upgrade():\n    helper()\ndef helper():\n    {line}\ndef downgrade():\n    pass"
    )
    assert list(complaints(migration))


@pytest.mark.parametrize(
    "line",
    [
        'op.add_column("orders", sa.Column("client", sa.String(9)))',
        'op.add_column("orders", sa.Column("n", sa.Integer, nullable=False, server_default="0"))',
    ],
)
def test_a_column_that_the_release_before_need_not_know_is_fine(line: str) -> None:
    assert list(complaints(f"def upgrade():\n    {line}\ndef downgrade():\n    pass")) == []
