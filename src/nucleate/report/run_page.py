"""A run as one page: counts, distributions, pictures, timings, settings. Made from the folder of results alone."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.text import counted, one_line
from nucleate.errors import UsageError
from nucleate.export.read_table import read_columns
from nucleate.report.histograms import histogram
from nucleate.report.page import document, figure, jpeg_data, table
from nucleate.report.plate_maps import shown
from nucleate.run.journal import refuse_unfinished
from nucleate.run.outputs import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Run", "choose_images", "read_run", "run_page"]

_SHOWN_COLUMNS = ("nuclei", "median_area_px", "seconds")
_SHOWN_IMAGES = 3
_SHOWN_ROWS = 1000
_SIDE = 560


@dataclass(frozen=True, eq=False)
class Run:
    """The results of a run, as read from its folder.

    Parameters
    ----------
    folder : Path
    images : dict
        The columns of summary.csv, with ``confidence``, the mean over the nuclei of each.
    area, confidence : (n,) ndarray
        Of every nucleus; empty if no measurements were written.
    area_unit : str
        ``px`` or ``µm²``.
    record : dict
        The content of run.json.
    """

    folder: Path
    images: dict[str, NDArray[Any]]
    area: NDArray[np.float64]
    confidence: NDArray[np.float64]
    area_unit: str
    record: dict[str, Any]

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which images are finished."""
        finished: NDArray[np.bool_] = self.images["status"] == "ok"
        return finished


def read_run(folder: Path) -> Run:
    """Read the folder that ``nucleate segment`` wrote.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Run

    Raises
    ------
    UsageError
        If there is no run in it.
    InputError
        If a table is damaged.
    """
    refuse_unfinished(folder)
    if not (folder / "summary.csv").is_file():
        where = one_line(str(folder))
        raise UsageError(f"{where}: no summary.csv in it; name a folder that nucleate segment or screen wrote")
    images = read_columns(folder / "summary.csv", texts=["image", "status", "error"], needed=_SHOWN_COLUMNS)
    measured: dict[str, NDArray[Any]] = {}
    if (folder / "measurements.csv").is_file():
        wanted = ["area_px", "area_um2", "confidence"]
        measured = read_columns(folder / "measurements.csv", wanted, texts=["image"])
    nothing = np.zeros(0)
    area, unit = measured.get("area_um2", nothing), "µm²"
    if not (area.size and np.isfinite(area).all()):
        area, unit = measured.get("area_px", nothing), "px"
    confidence = measured.get("confidence", nothing)
    place = {name: i for i, name in enumerate(images["image"])}
    owner = np.array([place.get(name, -1) for name in measured.get("image", nothing)], dtype=np.int64)
    known = np.isfinite(confidence) & (owner >= 0)
    count = np.bincount(owner[known], minlength=len(place))
    total = np.bincount(owner[known], confidence[known], len(place))
    images["confidence"] = total / np.where(count, count, np.nan)
    return Run(folder, images, area, confidence, unit, read_record(folder / "run.json"))


def choose_images(run: Run) -> dict[str, list[str]]:
    """Choose images worth looking at, at most three of each kind.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict of str to list of str
        ``typical``: closest to the middle of all in count, area and confidence (sum of the distances from the median,
        each in units of the median distance); ``odd``: furthest from it; ``unsure``: the lowest mean confidence. No
        image comes twice.
    """
    done = np.flatnonzero(run.done)
    if not done.size:
        return {"typical": [], "odd": [], "unsure": []}
    nuclei, area, confidence = (run.images[name][done] for name in ("nuclei", "median_area_px", "confidence"))
    distance = _distances(np.log1p(nuclei)) + _distances(np.log1p(area)) + _distances(confidence)
    ranked = {
        "typical": done[np.argsort(distance, kind="stable")],
        "odd": done[np.argsort(-distance, kind="stable")],
        "unsure": done[np.argsort(confidence, kind="stable")][: int(np.isfinite(confidence).sum())],
    }
    names = run.images["image"]
    share = max(1, min(_SHOWN_IMAGES, done.size // 3))
    chosen: dict[str, list[str]] = {}
    taken: set[str] = set()
    for kind, images in ranked.items():
        chosen[kind] = [name for name in names[images] if name not in taken][:share]
        taken.update(chosen[kind])
    return chosen


def _distances(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell how far values lie from their median, in units of the median distance.

    An unknown value, such as the area of an image without nuclei, counts as far as the furthest.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(values.size)
    away = np.abs(values - np.median(values[known]))
    unit = float(np.median(away[known])) or float(away[known].max()) or 1.0
    return np.where(known, away, away[known].max()) / unit


def run_page(run: Run, *, title: str | None = None, notes: Sequence[str] = ()) -> str:
    """Lay out a run as a page.

    Parameters
    ----------
    run : Run
    title : str, optional
        Heading; the folder's name when None.
    notes : sequence of str
        HTML lines under the heading.

    Returns
    -------
    str
        A whole HTML document.
    """
    done = run.done
    nuclei = run.images["nuclei"][done]
    seconds = run.images["seconds"]
    title = title or f"Run {run.folder.resolve().name}"
    failed = int((run.images["status"] == "failed").sum())
    left = int((run.images["status"] == "not done").sum())
    told = [counted(int(done.sum()), "image"), counted(int(np.nansum(nuclei)), "nucleus", many="nuclei")]
    told += [f"{failed:,} failed"] * bool(failed) + [f"{left:,} not done"] * bool(left)
    plots = [
        histogram(nuclei, "Nuclei in an image", whole=True),
        histogram(run.area, f"Area of a nucleus ({run.area_unit})"),
        histogram(run.confidence, "Confidence of a nucleus", bounds=(0.0, 1.0)),
        histogram(seconds[done], "Seconds for an image"),
    ]
    return document(
        title,
        [
            f'<h1>{escape(title)}</h1><p class="sub">{", ".join(told)}</p>',
            "".join(f'<p class="note">{note}</p>' for note in notes),
            _numbers(run),
            '<h2>Distributions</h2><p class="note">The dashed line is the median.</p>',
            f'<div class="plots">{"".join(plots)}</div>',
            _pictures(run),
            _failures(run),
            _every_image(run),
            _settings(run.record),
        ],
    )


def _numbers(run: Run) -> str:
    done = run.done
    seconds = run.images["seconds"][done]
    rows = [
        ("Nuclei in an image", run.images["nuclei"][done], ""),
        ("Area of a nucleus", run.area, run.area_unit),
        ("Confidence of a nucleus", run.confidence, ""),
        ("Seconds for an image", seconds, "s"),
    ]
    cells = []
    for name, values, unit in rows:
        known = values[np.isfinite(values)]
        if known.size:
            quartiles = [shown(float(q)) for q in np.percentile(known, [5, 25, 50, 75, 95])]
            cells.append([f"{name} ({unit})" if unit else name, f"{known.size:,}", *quartiles])
    total = (
        f'<p class="note">All images together took {_duration(float(np.nansum(seconds)))}.</p>' if done.any() else ""
    )
    heading = ["", "Number", "5 %", "25 %", "Median", "75 %", "95 %"]
    return table(heading, cells) + total


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _pictures(run: Run) -> str:
    kinds = {
        "typical": ("Typical", "closest to the middle of all images in count, area and confidence"),
        "odd": ("Furthest from the others", "in count, area and confidence: look here first for what went wrong"),
        "unsure": ("Least confident", "the lowest mean confidence of the nuclei"),
    }
    row = {name: i for i, name in enumerate(run.images["image"])}
    parts = []
    for kind, names in choose_images(run).items():
        figures = [_figure(run, name, row=row[name]) for name in names]
        if any(figures):
            heading, what = kinds[kind]
            parts.append(f'<h3>{heading}</h3><p class="note">{what}</p><div class="plots">{"".join(figures)}</div>')
    if not parts:
        return '<p class="note">No pictures: the run wrote no overlays (--export overlay).</p>'
    return "<h2>Pictures</h2>" + "".join(parts)


def _figure(run: Run, name: str, *, row: int) -> str:
    path = run.folder / f"{name}.overlay.png"
    if not path.is_file():
        return ""
    nuclei, confidence = run.images["nuclei"][row], run.images["confidence"][row]
    told = "1 nucleus" if nuclei == 1 else f"{nuclei:.0f} nuclei"
    told += f", mean confidence {confidence:.2f}" * bool(np.isfinite(confidence))
    return figure(name, jpeg_data(path, side=_SIDE), told=told)


def _failures(run: Run) -> str:
    failed = np.flatnonzero(run.images["status"] == "failed")
    if not failed.size:
        return ""
    rows = [[str(run.images["image"][i]), str(run.images["error"][i])] for i in failed[:_SHOWN_ROWS]]
    return f'<h2>Failed</h2><div class="scroll">{table(["Image", "Why"], rows, words=2)}</div>'


def _every_image(run: Run) -> str:
    columns = run.images
    rows = [
        [
            str(columns["image"][i]),
            *(shown(float(columns[c][i])) for c in ("nuclei", "median_area_px", "confidence", "seconds")),
        ]
        for i in np.flatnonzero(run.done)[:_SHOWN_ROWS]
    ]
    more = int(run.done.sum()) - len(rows)
    note = f'<p class="note">The first {len(rows):,}; {more:,} more are in summary.csv.</p>' if more > 0 else ""
    heading = ["Image", "Nuclei", "Median area (px)", "Mean confidence", "Seconds"]
    return f'<h2>Every image</h2>{note}<div class="scroll">{table(heading, rows)}</div>' if rows else ""


def _settings(record: dict[str, Any]) -> str:
    flat = {"nucleate": record.get("nucleate"), **record.get("settings", {})}
    flat |= {key: value for key, value in record.items() if key not in {"settings", "inputs", "left_out", "nucleate"}}
    rows = [[key, "not given" if value is None else str(value)] for key, value in flat.items() if key != "version"]
    return f"<h2>Settings</h2>{table(['Setting', 'Value'], rows, words=2)}" if record else ""
