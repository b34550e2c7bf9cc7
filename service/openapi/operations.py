"""`/operations`."""

from __future__ import annotations

from service.openapi.answers import answer
from service.openapi.details import BODY, DATABASE, Details, page_of
from service.web.processing_schemas import NewOperationSchema, OperationSchema
from service.web.schemas import PageQuerySchema

ANSWERS = (OperationSchema,)
TAG = "Operations"
FILTER = {"status": "Failed", "error_contains": "status 500"}
OPERATION = {
    "operation_id": 7,
    "action": "retry",
    "filter": FILTER,
    "new_key": False,
    "state": "Running",
    "changed": 1200,
    "skipped": 0,
    "requested_by": "anna",
    "stopped_by": None,
    "error": None,
    "created_at": "2026-11-22T18:39:24.492919Z",
    "updated_at": "2026-11-22T18:39:26.663267Z",
    "finished_at": None,
}
REF = {"$ref": "#/components/schemas/Operation"}
DETAILS = {
    "operations.create_operation": Details(
        TAG,
        {"202": answer("It is stored, and begins.", REF, OPERATION | {"changed": 0}, "Location")},
        (*BODY, *DATABASE),
        description=(
            "It applies to all orders that match when it is asked for, in small batches. It"
            " survives a crash, and goes on in another process."
        ),
        body=NewOperationSchema,
        body_examples={
            "retry": {"value": {"action": "retry", "filter": FILTER}},
            "cancel": {"value": {"action": "cancel", "filter": {"user_id": 456}}},
        },
    ),
    "operations.list_operations": Details(
        TAG,
        {"200": answer("A page.", *page_of("operations", OperationSchema, OPERATION))},
        query=PageQuerySchema,
    ),
    "operations.get_operation": Details(
        TAG,
        {"200": answer("The operation.", REF, OPERATION)},
        ("validation_failed", "operation_not_found", *DATABASE),
    ),
    "operations.stop_operation": Details(
        TAG,
        {
            "200": answer(
                "The operation; one that had ended is as it was.",
                REF,
                OPERATION | {"state": "Stopped", "stopped_by": "anna"},
            )
        },
        ("validation_failed", "operation_not_found", *DATABASE),
    ),
}
