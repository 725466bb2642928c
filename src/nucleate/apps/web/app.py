"""The application: routes, the files of the page, errors as one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from nucleate.apps.web.answers import Answer
from nucleate.apps.web.guard import guarded
from nucleate.apps.web.image_routes import image_routes
from nucleate.apps.web.routes import routes
from nucleate.apps.web.views import ChangedError
from nucleate.core.text import one_line
from nucleate.errors import NucleateError, OutputError

if TYPE_CHECKING:
    from nucleate.apps.web.guard import Application, Guard
    from nucleate.apps.web.session import Session

__all__ = ["make_app"]

_STATIC = Path(__file__).parent / "static"


def make_app(session: Session, guard: Guard) -> Application:
    """Make the application.

    Parameters
    ----------
    session : Session
        What it works with.
    guard : Guard
        Whom it lets in.

    Returns
    -------
    ASGI application
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.session = session
    app.include_router(routes)
    app.include_router(image_routes)
    app.add_exception_handler(NucleateError, _one_line)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)
    app.add_api_route("/", _page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_STATIC))
    return guarded(app, guard)


def _page() -> FileResponse:
    return FileResponse(_STATIC / "index.html")


def _one_line(_: Request, error: Exception) -> Answer:
    status = 507 if isinstance(error, OutputError) else 409 if isinstance(error, ChangedError) else 400
    return Answer({"error": one_line(str(error))}, status)


def _unexpected(_: Request, error: Exception) -> Answer:
    return Answer({"error": f"unexpected {type(error).__name__}: {one_line(str(error))}"}, 500)


def _wrong_request(_: Request, error: Exception) -> Answer:
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
    return Answer({"error": one_line("; ".join(told))}, 422)


def _refused(_: Request, error: Exception) -> Answer:
    assert isinstance(error, HTTPException)
    return Answer({"error": error.detail}, error.status_code)
