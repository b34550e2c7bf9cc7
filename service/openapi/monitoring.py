"""`/metrics`, `/ping`, `/healthz`, `/readyz`, and this document."""

from __future__ import annotations

from decimal import Decimal

from service.openapi.answers import JSON, answer, response
from service.openapi.details import Details, answer_object
from service.web.schemas import StatisticsSchema

ANSWERS = (StatisticsSchema,)
TAG, ABOUT = "Monitoring", "About"
FIGURES = {
    "total_orders": 10,
    "pending_orders": 1,
    "processing_orders": 2,
    "completed_orders": 5,
    "failed_orders": 1,
    "cancelled_orders": 1,
    "avg_processing_time_seconds": Decimal("0.076826"),
}
EXPOSITION = 'order_service_orders{status="Completed"} 5.0\n'
TEXT = {"schema": {"type": "string"}, "example": EXPOSITION}
OPENMETRICS = {"schema": {"type": "string"}, "example": f"{EXPOSITION}# EOF\n"}
STACK_ONLY = {"x-stack-only": True}
FOR_THE_STACK = "For the stack itself: behind the stack's nginx it is 404."
STATUS = {"type": "string"}
DETAILS = {
    "metrics.get_metrics": Details(
        TAG,
        {
            "200": response(
                "The figures.",
                {
                    JSON: {"schema": StatisticsSchema, "example": FIGURES},
                    "text/plain": TEXT,
                    "application/openmetrics-text": OPENMETRICS,
                },
                "Vary",
            )
        },
        description=(
            "JSON, unless `Accept` prefers `text/plain` or `application/openmetrics-text`: then"
            " these and the service's own figures, in the exposition format of Prometheus."
        ),
    ),
    "health.ping": Details(
        TAG,
        {
            "200": answer(
                "It answers.",
                answer_object({"message": {"type": "string", "enum": ["success"]}}),
                {"message": "success"},
            )
        },
        (),
    ),
    "health.healthz": Details(
        TAG,
        {
            "200": answer(
                "The process serves.",
                answer_object({"status": {"type": "string", "enum": ["ok"]}}),
                {"status": "ok"},
            )
        },
        (),
        description=FOR_THE_STACK,
        extensions=STACK_ONLY,
    ),
    "health.readyz": Details(
        TAG,
        {
            "200": answer(
                "It is ready.",
                answer_object(
                    {"status": {"type": "string", "enum": ["ready"]}, "release": {"type": "string"}}
                ),
                {"status": "ready", "release": "1.4.0"},
            )
        },
        ("not_ready",),
        description=FOR_THE_STACK,
        extensions=STACK_ONLY,
    ),
    "docs.get_document": Details(
        ABOUT,
        {"200": answer("OpenAPI 3.1.", {"type": "object"}, {"openapi": "3.1.0"})},
        (),
    ),
    "docs.show_page": Details(
        ABOUT,
        {"200": response("A page.", {"text/html": {"schema": {"type": "string"}}})},
        (),
    ),
}
