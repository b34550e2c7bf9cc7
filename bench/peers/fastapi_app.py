"""The peer that a user would pick instead: FastAPI, an aiomysql pool, one autocommit insert.

It stores into the service's own table with the service's own statement, so that MySQL has the same
work. It processes nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiomysql
import pymysql
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, ConfigDict, Field

POOL_SIZE = int(os.environ.get("POOL_SIZE", "16"))

Id = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True)]

INSERT = (
    "INSERT INTO orders (order_id, user_id, item_ids, total_amount, attempts, fence,"
    " available_at, created_at, updated_at)"
    " VALUES (%s, %s, %s, %s, 0, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
)
STATUS = "COALESCE(outcome, IF(lease_owner IS NULL, 'Pending', 'Processing'))"
LIST = (
    f"SELECT order_id, user_id, item_ids, total_amount, {STATUS}, created_at FROM orders"  # noqa: S608
    " ORDER BY id DESC LIMIT %s"
)
METRICS = (
    "SELECT COUNT(*), SUM(outcome IS NULL AND lease_owner IS NULL),"
    " SUM(outcome IS NULL AND lease_owner IS NOT NULL), SUM(outcome = 'Completed'),"
    " SUM(outcome = 'Failed'), AVG(processing_microseconds) FROM orders"
)


class NewOrder(BaseModel):
    """The body of `POST /orders`."""

    model_config = ConfigDict(extra="forbid")

    order_id: Id
    user_id: Id
    item_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]
    total_amount: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class Accepted(BaseModel):
    """The answer to an accepted order."""

    message: str
    order_id: int


class Status(BaseModel):
    """An order's status."""

    order_id: int
    status: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool of connections for as long as the process serves."""
    url = urlsplit(os.environ["DATABASE_URL"])
    app.state.pool = await aiomysql.create_pool(
        host=url.hostname,
        port=url.port,
        user=url.username,
        password=url.password,
        db=url.path.lstrip("/"),
        autocommit=True,
        minsize=POOL_SIZE,
        maxsize=POOL_SIZE,
    )
    yield
    app.state.pool.close()
    await app.state.pool.wait_closed()


app = FastAPI(lifespan=lifespan)
basic = HTTPBasic(auto_error=False)
username = os.environ["AUTH_USERNAME"].encode()
password = os.environ["AUTH_PASSWORD"].encode()


async def authenticate(
    credentials: Annotated[HTTPBasicCredentials | None, Depends(basic)],
) -> None:
    """Refuse wrong credentials."""
    if (
        credentials is None
        or not secrets.compare_digest(credentials.username.encode(), username)
        or not secrets.compare_digest(credentials.password.encode(), password)
    ):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})


authenticated = [Depends(authenticate)]


@app.exception_handler(RequestValidationError)
async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Answer a bad body with the fields and their problems."""
    problems: dict[str, list[str]] = {}
    for problem in error.errors():
        problems.setdefault(str(problem["loc"][-1]), []).append(problem["msg"])
    return JSONResponse({"error": problems}, 400)


@app.get("/ping")
async def ping() -> dict[str, str]:
    """Tell that the process serves."""
    return {"message": "success"}


@app.post("/orders", status_code=201, dependencies=authenticated)
async def create_order(order: NewOrder, response: Response) -> Accepted:
    """Store an order."""
    values = (order.order_id, order.user_id, json.dumps(order.item_ids), order.total_amount)
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        try:
            await cursor.execute(INSERT, values)
        except pymysql.err.IntegrityError:
            raise HTTPException(409, "Duplicate order_id. This order already exists.") from None
    response.headers["Location"] = f"/orders/{order.order_id}"
    return Accepted(message="Order received", order_id=order.order_id)


@app.get("/orders/{order_id}", dependencies=authenticated)
async def get_order(order_id: int) -> Status:
    """Show an order's status."""
    rows = await fetch(f"SELECT {STATUS} FROM orders WHERE order_id = %s", order_id)  # noqa: S608
    if not rows:
        raise HTTPException(404, "Order not found")
    return Status(order_id=order_id, status=rows[0][0])


@app.get("/orders", dependencies=authenticated)
async def list_orders(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, Any]:
    """List orders, newest first."""
    return {
        "orders": [
            {
                "order_id": row[0],
                "user_id": row[1],
                "item_ids": json.loads(row[2]),
                "total_amount": float(row[3]),
                "status": row[4],
                "created_at": row[5],
            }
            for row in await fetch(LIST, limit)
        ]
    }


@app.get("/metrics", dependencies=authenticated)
async def metrics() -> dict[str, Any]:
    """Count the orders."""
    total, *counts, average = (await fetch(METRICS))[0]
    names = ("pending_orders", "processing_orders", "completed_orders", "failed_orders")
    return {
        "total_orders": total,
        **{name: int(count or 0) for name, count in zip(names, counts, strict=True)},
        "avg_processing_time_seconds": float(average or 0) / 1_000_000,
    }


async def fetch(sql: str, *args: object) -> list[tuple[Any, ...]]:
    """Run one query."""
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(sql, args)
        rows: list[tuple[Any, ...]] = await cursor.fetchall()
        return rows
