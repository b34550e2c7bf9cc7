"""What all tables have in common: their base and the types of their columns."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Integer, LargeBinary, Numeric, text
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

# The longest error text that is kept.
LAST_ERROR_LENGTH = 1000
# Of who posted, asked for, or changed something.
NAME_LENGTH = 255
# The engine of those that process orders (Flask-SQLAlchemy: a bind key).
PROCESSING = "processing"


class Base(DeclarativeBase):
    """The declarative base of all tables."""


db = SQLAlchemy(model_class=Base)
if TYPE_CHECKING:  # what a type checker knows of `db.Model`
    Model = Base
else:
    Model = db.Model


class Money(TypeDecorator[Decimal]):
    """An amount with two decimals: DECIMAL on MySQL, whole cents on SQLite, which has none."""

    impl = Numeric(12, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Turn an amount into what is stored."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(2))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Turn what is stored into an amount."""
        if value is None or dialect.name != "sqlite":
            return cast("Decimal | None", value)
        return Decimal(value).scaleb(-2)


# SQLite counts rows by itself only in a column of the type INTEGER.
Identity = BigInteger().with_variant(Integer, "sqlite")
Moment = SqlDateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
ZERO = text("0")
Hash = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql")
