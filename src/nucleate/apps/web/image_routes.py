"""What the page asks about one image: tiles, nuclei, tables. FastAPI reads annotations, so they are not put off."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Query, Response

from nucleate.apps.web.answers import Answer
from nucleate.apps.web.routes import session_of
from nucleate.apps.web.session import Session
from nucleate.apps.web.store import Entry, Finished
from nucleate.apps.web.tiles import LabelLevels, factor_of, inks_of, outline_png, png
from nucleate.apps.web.views import ChangedError, describe
from nucleate.core.image import find_channel
from nucleate.core.outlines import trace
from nucleate.core.project import Projection
from nucleate.core.text import one_line
from nucleate.errors import NucleateError

__all__ = ["image_routes"]

image_routes = APIRouter(prefix="/api/images/{number}")
"""Everything about one image."""

_Session = Annotated[Session, Depends(session_of)]
_At = Annotated[str, Query(pattern=r"^(\d{1,9}(,\d{1,9})*)?$")]


def _entry_of(session: _Session, number: int) -> Entry:
    entry = session.store.get(number)
    if entry is None:
        raise HTTPException(404, "this image is not open any more")
    return entry


_Entry = Annotated[Entry, Depends(_entry_of)]


def _finished_of(session: _Session, entry: _Entry) -> Finished:
    if entry.finished is None:
        raise HTTPException(404, "nuclei were not found in this image yet")
    session.views.check(entry, entry.finished)
    return entry.finished


_Finished = Annotated[Finished, Depends(_finished_of)]


class _View:
    """The part of an image that is looked at: channel, projection, plane."""

    def __init__(
        self, entry: _Entry, *, channel: str | None = None, project: Projection | None = None, at: _At = ""
    ) -> None:
        # The page gives channels by number, since names may be numbers, too, and colours by name.
        self.channel = int(channel) if channel and channel.isdecimal() else channel or None
        self.entry, self.project = entry, project
        self.at = _place(at)


class _Spot:
    """A pixel of one plane."""

    def __init__(self, *, row: int = 0, col: int = 0, at: _At = "") -> None:
        self.row, self.col, self.at = row, col, _place(at)


class _Seen:
    """Which nuclei are shown in colour: those that are at least so sure; the others are grey, or hidden."""

    def __init__(self, *, least: float = 0.0, hide: bool = False) -> None:
        self.least, self.hide = least, hide


def _place(at: str) -> tuple[int, ...]:
    return tuple(map(int, at.split(","))) if at else ()


@image_routes.get("")
def _image(session: _Session, entry: _Entry, *, project: Projection | None = None) -> Answer:
    """Tell size, channels and planes of an image, and the choices that its results were made with."""
    made, fault = None, ""
    try:
        if entry.finished is not None:
            session.views.check(entry, entry.finished)
            made = entry.finished.choices
    except ChangedError as error:  # the image is shown without nuclei
        fault = str(error)
    how = project if made is None else made.project
    try:
        shown = session.views.image(entry, how)
        found = describe(shown)
    except NucleateError as error:
        if entry.status == "new":
            session.store.change(entry.number, status="failed", error=one_line(str(error)))
        raise
    chosen = None if made is None else made.channel
    if chosen and "C" in shown.axes:
        number = find_channel(chosen, shown.channel_names, count=shown.channel_count, name=shown.name)
        found["channel"] = str(number)
    elif chosen and found["channels"]:  # a colour
        found["channel"] = chosen
    with_what = None if made is None else made.model_dump()
    return Answer(found | {"project": how, "made_with": with_what, "fault": fault, "version": entry.revision})


@image_routes.get("/first-look")
def _first_look(session: _Session, entry: _Entry) -> Answer:
    """Tell how far a large plane of an image is gone through."""
    return Answer({"share": session.views.first_looks.share(entry.number)})


@image_routes.post("/first-look/stop")
def _stop_first_look(session: _Session, entry: _Entry) -> Answer:
    session.views.first_looks.stop(entry.number)
    return Answer({})


@image_routes.get("/tile/{level}/{col}/{row}")
def _tile(session: _Session, view: Annotated[_View, Depends()], *, level: int, col: int, row: int) -> Response:
    levels = session.views.picture(view.entry, view.channel, project=view.project, at=view.at)
    pixels = levels.tile(factor_of(level, levels.shape_HW), (row, col))
    if not pixels.size:
        raise HTTPException(404, "there is no such tile")
    return Response(png(pixels), media_type="image/png")


@image_routes.get("/outlines/{level}/{col}/{row}")
def _outlines(
    session: _Session,
    view: Annotated[_View, Depends()],
    *,
    finished: _Finished,
    seen: Annotated[_Seen, Depends()],
    level: int,
    col: int,
    row: int,
) -> Response:
    labels = session.views.labels(view.entry, finished, at=view.at)
    inks = inks_of(session.views.nuclei(finished).confidence, least=seen.least, hide=seen.hide)
    numbers = labels.outlines(factor_of(level, labels.shape_HW), (row, col), inks=inks)
    if not numbers.size:
        raise HTTPException(404, "there is no such tile")
    picture = session.views.picture(view.entry, view.channel, project=view.project, at=view.at)
    return Response(outline_png(numbers, picture.stretch.palette), media_type="image/png")


@image_routes.get("/nucleus")
def _nucleus(
    session: _Session,
    entry: _Entry,
    *,
    finished: _Finished,
    spot: Annotated[_Spot, Depends()],
    seen: Annotated[_Seen, Depends()],
    label: int | None = None,
    shape: bool = False,
) -> Answer:
    """Tell all that is known of a nucleus, given by number or by a place on it; ``shape`` adds polygons."""
    place, hidden = spot.at, seen.hide and label is None
    if label is None:
        label = session.views.labels(entry, finished, at=place).at(spot.row, spot.col)
    found = session.views.nuclei(finished).row(label)
    if found is None or (hidden and found.get("confidence", 1.0) < seen.least):
        return Answer({"label": 0})
    if "plane" in found:
        stack = session.views.segmented(entry, finished).stack_shape
        place = tuple(map(int, np.unravel_index(found["plane"], stack)))
    answer = {"label": label, "at": list(place), "measured": found}
    if shape:
        answer["outlines"] = _polygons(session.views.labels(entry, finished, at=place), label, found=found)
    return Answer(answer)


def _polygons(labels: LabelLevels, label: int, *, found: dict[str, Any]) -> list[list[list[float]]]:
    """Give the polygons of a nucleus, (row, col) where the corner of the picture is (0, 0)."""
    top, left, bottom, right = (int(found[f"bbox_{side}"]) for side in ("row_min", "col_min", "row_max", "col_max"))
    cut = labels.read(slice(top, bottom), slice(left, right))
    corner = np.array([top, left]) + 0.5
    return [(outline.points + corner).tolist() for outline in trace((cut == label).astype(np.int32))]


@image_routes.get("/table")
def _table(
    session: _Session,
    entry: _Entry,
    *,
    finished: _Finished,
    sort: str = "label",
    down: bool = False,
    least: float = 0.0,
    first: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Answer:
    nuclei = session.views.nuclei(finished)
    outcome = replace(finished.outcome, **nuclei.counts)
    if outcome != finished.outcome and session.store.get(entry.number) is entry:  # nuclei were corrected by hand
        session.store.change(entry.number, finished=replace(finished, outcome=outcome))
    return Answer(nuclei.page(sort, down=down, least=least, first=first, count=count))


@image_routes.get("/histograms")
def _histograms(session: _Session, finished: _Finished, *, least: float = 0.0) -> Answer:
    nuclei = session.views.nuclei(finished)
    return Answer({"svg": nuclei.histograms(least), "count": nuclei.count(least), "total": len(nuclei)})
