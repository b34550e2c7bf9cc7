"""The console's blueprint: what all of its pages have in common."""

from __future__ import annotations

from io import BytesIO

from flask import (
    Blueprint,
    Response,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from service.console import text
from service.console.static import ASSETS, find_asset
from service.web.auth import Caller, Scope, needs
from service.web.body import read_whole
from service.web.errors import ApiError
from service.web.origin import is_own_page

# Seconds between two looks of a page that refreshes itself.
REFRESH_SECONDS = 5
# Bytes of a form: some hundred ids, or a filter and a reason.
LARGEST_FORM = 64 * 1024
FOR_EVER = "private, max-age=31536000, immutable"
# Everything comes from here, and nothing is written into a page that could run.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates")


@blueprint.before_request
def _guard() -> None:
    if request.method not in ("GET", "HEAD"):
        if not is_own_page():
            raise ApiError(403, "Only pages of this console may do that.")
        # Werkzeug would take the beginning of a form for all of it: a filter would lack its end.
        request.environ["wsgi.input"] = BytesIO(read_whole(LARGEST_FORM))


@blueprint.after_request
def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@blueprint.app_template_global()
def asset_url(name: str) -> str:
    """Return where an asset of the console is."""
    return url_for("console.get_asset", version=ASSETS[name].version, name=name)


blueprint.add_app_template_filter(text.moment)
blueprint.add_app_template_filter(text.duration)
blueprint.add_app_template_filter(text.number)


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a page made from a template of the console."""
    known: Caller | None = g.get("caller")  # nobody, on the page that asks to log in
    values |= {
        "caller": known,
        "may_read": known is not None and known.may(Scope.ORDERS_READ),
        "may_act": known is not None and known.may(Scope.OPERATE),
        "here": request.full_path.rstrip("?"),
        "refresh_seconds": REFRESH_SECONDS,
    }
    return make_response(render_template(f"console/{template}", **values), status)


def back_to(address: str) -> AnyResponse:
    """Have the browser GET another page of the console."""
    return redirect(address, 303)


@blueprint.get("")
@needs(*Scope)
def without_slash() -> AnyResponse:
    """Lead to the overview."""
    return redirect(url_for("console.overview"), 303)


@blueprint.get("/assets/<version>/<name>")
@needs(*Scope)
def get_asset(version: str, name: str) -> Response:
    """Return a style sheet, a script or an image."""
    asset = find_asset(version, name)
    if asset is None:
        raise NotFound
    response = Response(asset.content, content_type=f"{asset.media_type}; charset=utf-8")
    response.headers["Cache-Control"] = FOR_EVER
    return response
