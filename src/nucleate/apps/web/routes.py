"""What the page may ask for. Annotations are read when this module is loaded, so they are not put off."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel

from nucleate.apps.web.choices import Choices, command
from nucleate.apps.web.desk import Desk
from nucleate.apps.web.downloads import available
from nucleate.apps.web.uploads import receive
from nucleate.core.files import absolute
from nucleate.run.weights import DEFAULT_MODEL, find_model, list_models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["desk_of", "routes"]

routes = APIRouter()
"""Opening, running, downloading."""

_GONE = "this download is no longer there; prepare it again"


def desk_of(request: Request) -> Desk:
    """Give the desk of the application that answers."""
    desk: Desk = request.app.state.desk
    return desk


_Desk = Annotated[Desk, Depends(desk_of)]


class _Path(BaseModel):
    path: str


class _Run(BaseModel):
    images: list[int] | None = None
    choices: Choices = Choices()


class _Wanted(BaseModel):
    images: list[int] | None = None
    exports: list[str]


@routes.get("/api/options")
def _options(desk: _Desk) -> dict[str, Any]:
    """Tell what can be chosen."""
    models = [{"name": model.card.name, "what": model.card.description} for model in list_models()]
    given = desk.machine.model
    if given is not None and given not in {model["name"] for model in models}:
        models.append({"name": given, "what": find_model(given).card.description})
    return {
        "models": models,
        "model": given or DEFAULT_MODEL,
        "exports": available(),
        "output": absolute(desk.machine.output),
    }


@routes.get("/api/state")
def _state(desk: _Desk, *, since: int = -1) -> dict[str, Any]:
    """Tell what changed since a revision, and how far the run is."""
    job = desk.worker.job
    return desk.store.since(since) | {
        "job": None if job is None else job.shown(desk.machine),
        "waiting": desk.worker.waiting,
    }


@routes.post("/api/open")
def _open(desk: _Desk, wanted: _Path) -> dict[str, Any]:
    return {"images": desk.open(wanted.path)}


@routes.post("/api/samples")
def _samples(desk: _Desk) -> dict[str, Any]:
    return {"images": desk.open_samples()}


@routes.put("/api/upload")
async def _upload(desk: _Desk, request: Request, *, name: str) -> dict[str, Any]:
    length = request.headers.get("content-length", "")
    pieces: AsyncIterator[bytes] = request.stream()
    path = await receive(pieces, desk.images, name=name, said=int(length) if length.isdecimal() else None)
    return {"images": await run_in_threadpool(desk.open, str(path))}


@routes.post("/api/close")
def _close(desk: _Desk) -> dict[str, Any]:
    desk.worker.stop()
    desk.store.clear()
    desk.views.first_looks.stop()
    return {}


@routes.post("/api/run")
def _run(desk: _Desk, wanted: _Run) -> dict[str, Any]:
    return desk.run(wanted.images, wanted.choices).shown(desk.machine)


@routes.post("/api/stop")
def _stop(desk: _Desk) -> dict[str, Any]:
    desk.worker.stop()
    return {}


@routes.post("/api/command")
def _command(desk: _Desk, choices: Choices) -> dict[str, str]:
    return {"command": command(desk.store.words() or ["IMAGES"], choices, machine=desk.machine)}


@routes.post("/api/downloads")
def _prepare(desk: _Desk, wanted: _Wanted) -> dict[str, Any]:
    number, found = desk.prepare(wanted.images, wanted.exports)
    try:
        nbytes = found.nbytes
    except FileNotFoundError as error:
        raise HTTPException(404, _GONE) from error
    return {"id": number, "name": found.name, "bytes": nbytes, "packed": found.alone is None}


@routes.get("/api/downloads/{number}")
def _download(desk: _Desk, number: int) -> Response:
    found = desk.downloads.get(number)
    if found is None or not found.is_there():
        raise HTTPException(404, _GONE)
    if found.alone is not None:
        return FileResponse(found.alone, filename=found.name, media_type="application/octet-stream")
    named = {"content-disposition": f"attachment; filename*=utf-8''{quote(found.name)}"}
    return StreamingResponse(found.packed(), headers=named, media_type="application/zip")
