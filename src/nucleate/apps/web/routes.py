"""What the page may ask for. FastAPI reads annotations when this module is loaded, so they are not put off."""

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel

from nucleate.apps.web.answers import Answer
from nucleate.apps.web.choices import Choices, command
from nucleate.apps.web.downloads import available
from nucleate.apps.web.session import Session
from nucleate.apps.web.uploads import receive
from nucleate.core.files import absolute
from nucleate.run.weights import DEFAULT_MODEL, find_model, list_models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["routes", "session_of"]

routes = APIRouter()
"""Opening, running, downloading."""

_GONE = "this download is no longer there; prepare it again"


def session_of(request: Request) -> Session:
    """Give the session of the application that got the request."""
    session: Session = request.app.state.session
    return session


_Session = Annotated[Session, Depends(session_of)]


class _Path(BaseModel):
    path: str


class _Run(BaseModel):
    images: list[int] | None = None
    choices: Choices = Choices()


class _Wanted(BaseModel):
    images: list[int] | None = None
    exports: list[str]


@routes.get("/api/options")
def _options(session: _Session) -> Answer:
    """Tell what can be chosen."""
    models = [{"name": model.card.name, "what": model.card.description} for model in list_models()]
    given = session.machine.model
    if given is not None and given not in {model["name"] for model in models}:
        models.append({"name": given, "what": find_model(given).card.description})
    return Answer(
        {
            "models": models,
            "model": given or DEFAULT_MODEL,
            "exports": available(),
            "output": absolute(session.machine.output),
        }
    )


@routes.get("/api/state")
def _state(session: _Session, *, since: int = -1) -> Answer:
    """Tell what changed since a revision, and how far the run is."""
    job = session.worker.job
    of_run = {"job": None if job is None else job.shown(session.machine), "waiting": session.worker.waiting}
    return Answer(session.store.since(since) | of_run)


@routes.post("/api/open")
def _open(session: _Session, wanted: _Path) -> Answer:
    return Answer({"images": session.open(wanted.path)})


@routes.post("/api/samples")
def _samples(session: _Session) -> Answer:
    return Answer({"images": session.open_samples()})


@routes.put("/api/upload")
async def _upload(session: _Session, request: Request, *, name: str) -> Answer:
    length = request.headers.get("content-length", "")
    pieces: AsyncIterator[bytes] = request.stream()
    path = await receive(pieces, session.images, name=name, said=int(length) if length.isdecimal() else None)
    return Answer({"images": await run_in_threadpool(session.open, str(path))})


@routes.post("/api/close")
def _close(session: _Session) -> Answer:
    session.worker.stop()
    session.store.clear()
    session.views.first_looks.stop()
    return Answer({})


@routes.post("/api/run")
def _run(session: _Session, wanted: _Run) -> Answer:
    return Answer(session.run(wanted.images, wanted.choices).shown(session.machine))


@routes.post("/api/stop")
def _stop(session: _Session) -> Answer:
    session.worker.stop()
    return Answer({})


@routes.post("/api/command")
def _command(session: _Session, choices: Choices) -> Answer:
    return Answer({"command": command(session.store.words() or ["IMAGES"], choices, machine=session.machine)})


@routes.post("/api/downloads")
def _prepare(session: _Session, wanted: _Wanted) -> Answer:
    number, found = session.prepare(wanted.images, wanted.exports)
    try:
        nbytes = found.nbytes
    except FileNotFoundError as error:
        raise HTTPException(404, _GONE) from error
    return Answer({"id": number, "name": found.name, "bytes": nbytes, "packed": found.alone is None})


@routes.get("/api/downloads/{number}")
def _download(session: _Session, number: int) -> Response:
    found = session.downloads.get(number)
    if found is None or not found.is_there():
        raise HTTPException(404, _GONE)
    if found.alone is not None:
        return FileResponse(found.alone, filename=found.name, media_type="application/octet-stream")
    named = {"content-disposition": f"attachment; filename*=utf-8''{quote(found.name)}"}
    return StreamingResponse(found.packed(), headers=named, media_type="application/zip")
