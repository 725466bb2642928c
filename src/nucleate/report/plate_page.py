"""A plate as one page: how good it is, what each well did, the dose curves, the rules; and the files of a screen."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.files import write_text
from nucleate.report.dose_curves import dose_plot, verdict
from nucleate.report.page import document, table
from nucleate.report.plate_maps import WellMap, heat_map, shown
from nucleate.report.run_page import read_run, run_page
from nucleate.screen.cut import cut_warning
from nucleate.screen.hits import FEWEST_CONTROLS
from nucleate.screen.phenotypes import LEAST_NUCLEI, POSITIVE_PERCENTILE, Rules
from nucleate.screen.results import FIELDS_FOLDER, LISTED_PROBLEMS, write_tables
from nucleate.screen.tables import LEAST, is_fraction, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.screen.analysis import Screen
    from nucleate.screen.results import ScreenRecord

__all__ = ["plate_page", "write_pages"]

_SHOWN_HITS = 200
_OPEN_COMPOUNDS = 24


def write_pages(output: Path, screen: Screen, *, record: ScreenRecord) -> list[str]:
    """Write the tables of a screen, plate.html and report.html.

    Parameters
    ----------
    output : Path
        Folder of the screen.
    screen : Screen
    record : ScreenRecord

    Returns
    -------
    list of str
        What to be warned of, a line each; the page of the plate says it too.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_tables(output, screen, record=record)
    name = Path(record.plate).name
    warnings = [*filter(None, (screen.warning, cut_warning(screen.tables)))]
    notes = [f"Left out: {line}" for line in record.problems[:LISTED_PROBLEMS]]
    notes += [line[0].upper() + line[1:] for line in record.remarks]
    page = plate_page(screen, title=f"Plate {name}", unit=record.unit, notes=notes + warnings)
    write_text(output / "plate.html", page)
    link = ['What the wells say is on <a href="plate.html">the page of the plate</a>.']
    page = run_page(read_run(output / FIELDS_FOLDER), title=f"Fields of plate {name}", notes=link)
    write_text(output / "report.html", page)
    return warnings


def plate_page(screen: Screen, *, title: str, unit: str = "", notes: Sequence[str] = ()) -> str:
    """Lay out a screened plate as a page.

    Parameters
    ----------
    screen : Screen
    title : str
        Heading.
    unit : str
        Of the concentrations.
    notes : sequence of str
        Lines under the heading, such as pictures that were left out.

    Returns
    -------
    str
        A whole HTML document.
    """
    wells = screen.tables.wells
    roles = {role: int((wells["role"] == role).sum()) for role in ("sample", "negative", "positive", "empty")}
    counted = ", ".join(f"{count} {role}" for role, count in roles.items() if count)
    used = wells["role"] != "empty"
    told = (
        f"{screen.shape[0] * screen.shape[1]} wells, of them {counted}; {int(wells['fields'][used].sum()):,} fields, "
        f"{int(wells['nuclei'][used].sum()):,} nuclei"
    )
    return document(
        title,
        [
            f'<h1>{escape(title)}</h1><p class="sub">{told}</p>',
            "".join(f'<p class="note">{escape(note)}</p>' for note in notes),
            _controls(screen, unit),
            _edges(screen),
            _maps(screen, unit),
            _curves(screen, unit),
            _hits(screen, unit),
            _rules(screen),
        ],
    )


def _controls(screen: Screen, unit: str) -> str:
    if not screen.controls:
        return '<h2>Controls</h2><p class="note">No positive controls in the map: no Z-prime and no SSMD.</p>'
    headings = screen.tables.headings
    rows = [
        [
            one.compound or "without a name",
            headings[name],
            *(shown(value) for value in (found.z_prime, found.robust_z_prime, found.ssmd, found.robust_ssmd)),
            f"{found.positives} / {found.negatives}",
            f"{shown(one.concentration)} {unit}".strip(),
        ]
        for one in screen.controls
        for name, found in one.by_feature.items()
    ]
    heading = ["Positive control", "Measure", "Z'", "Z', robust", "SSMD", "SSMD, robust", "Wells", "Concentration"]
    note = (
        "Z' of 0.5 and more parts the controls very well, below 0 they overlap (Zhang et al. 1999). SSMD beyond 3 or "
        "-3 is a very strong effect (Zhang 2007). The robust forms stand on medians."
    )
    return f'<h2>Controls</h2>{table(heading, rows, words=2)}<p class="note">{note}</p>'


def _edges(screen: Screen) -> str:
    rows = []
    for name, found in screen.edges.items():
        # A share of a share says little if the inside has next to none, and nothing if it has none.
        plain = is_fraction(name) or not np.isfinite(found.relative)
        difference = f"{found.difference:+.3f}" if plain else f"{found.relative:+.1%}"
        known = difference if np.isfinite(found.difference) else shown(np.nan)
        rows.append([screen.tables.headings[name], known, shown(found.p), f"{found.rim} / {found.inside}"])
    who = "negative controls" if screen.edge_of == "negative" else "samples"
    note = f"Median of the {who} on the rim of the plate against those inside; p of the Mann-Whitney test."
    if screen.edge_of != "negative":
        note += " There are too few negative controls on one side; different compounds may explain a difference."
    heading = ["Rim against inside", "Difference", "p", "Wells"]
    return f'<h2>Edge of the plate</h2>{table(heading, rows)}<p class="note">{note}</p>'


def _maps(screen: Screen, unit: str) -> str:
    wells = screen.tables.wells
    names = list(wells["well"])
    notes = [
        " ".join(filter(None, [role, compound, f"{shown(dose)} {unit}" if np.isfinite(dose) and compound else ""]))
        + f"; {count} whole nuclei"
        for role, compound, dose, count in zip(
            *(wells[name] for name in ("role", "compound", "concentration", "whole_nuclei")), strict=True
        )
    ]
    roles = list(wells["role"])
    parts = []
    for name, heading in screen.tables.headings.items():
        plain = WellMap(heading, names, wells[name].astype(np.float64), notes, roles)
        parts.append(f"<div><h3>{escape(heading)}</h3>{heat_map(screen.shape, plain)}</div>")
        if np.isfinite(screen.z[name]).any():
            scores = WellMap(f"{heading}, z", names, screen.z[name], notes, roles, around_zero=True, limit=10.0)
            parts.append(f"<div><h3>Its robust z-score, cut at ±10</h3>{heat_map(screen.shape, scores)}</div>")
        else:
            several = int(np.isfinite(wells[name][wells["role"] == "negative"].astype(np.float64)).sum()) > 1
            why = "the negative controls have no spread in it" if several else "it takes two negative controls or more"
            parts.append(f'<div><h3>Its robust z-score</h3><p class="note">None: {why}.</p></div>')
    key = "Dots are negative controls, squares positive ones. Rest the pointer on a well to see what is in it."
    return f'<h2>The plate</h2><p class="note">{key}</p><div class="maps">{"".join(parts)}</div>'


def _curves(screen: Screen, unit: str) -> str:
    if not screen.curves:
        return ""
    compounds = dict.fromkeys(curve.compound for curve in screen.curves)
    headings = screen.tables.headings
    rows = [[c.compound, headings[c.feature], verdict(c, unit), shown(c.fit.r_squared)] for c in screen.curves]
    parts = [f'<div class="scroll">{table(["Compound", "Measure", "Curve", "R²"], rows, words=3)}</div>']
    for compound in compounds:
        plots = "".join(
            f"<figure><h3>{escape(headings[c.feature])}</h3>{dose_plot(c, unit)}<figcaption>{escape(verdict(c, unit))}"
            "</figcaption></figure>"
            for c in screen.curves
            if c.compound == compound
        )
        opened = " open" if len(compounds) <= _OPEN_COMPOUNDS else ""
        parts.append(
            f'<details{opened}><summary><b>{escape(compound)}</b></summary><div class="plots">{plots}</div></details>'
        )
    note = (
        "Each point is a well; grey points over 0 are the negative controls. The line is a four-parameter logistic "
        "curve, the dashed line its IC50 (half-way between its two ends), the band the 95 % interval."
    )
    return f'<h2>Dose and response</h2><p class="note">{note}</p>{"".join(parts)}'


def _hits(screen: Screen, unit: str) -> str:
    names = list(screen.z)
    limits, hits = screen.limits, screen.hits
    scores = np.stack([np.where(hits[name], np.abs(screen.z[name]) / limits[name], 0.0) for name in names])
    strongest = scores.max(axis=0)
    found = [int(i) for i in np.argsort(-strongest, kind="stable") if strongest[i] > 0]
    headings = screen.tables.headings
    blind = [headings[name] for name in names if not np.isfinite(screen.z[name]).any() or not np.isfinite(limits[name])]
    unjudged = f" Not judged: {escape(', '.join(blind))}." if blind else ""
    summaries = screen.tables.summaries
    whole = [headings[name] for name in names if name in summaries and summaries[name].over == "whole_nuclei"]
    chance = (
        f" By chance alone about {shown(screen.expected_by_chance)} would be there: each measure of each well has "
        f"0.27 %. A median or share of fewer than {LEAST} nuclei is not judged. Nuclei that the edge of a field "
        f"cuts do not count for: {escape(', '.join(whole))}."
    )
    known = sorted({f"{limit:.3g}" for limit in limits.values() if np.isfinite(limit)}, key=float)
    if not found:
        none = f"No well lies {' or '.join(known)} robust deviations or more from the controls.{unjudged}{chance}"
        if len(blind) == len(names):
            none = f"No well can be judged: it takes {FEWEST_CONTROLS} negative controls or more that differ a little."
        return f'<h2>Hits</h2><p class="note">{none}</p>'
    more = f" The first {_SHOWN_HITS} of {len(found)} wells; wells.csv has all." if len(found) > _SHOWN_HITS else ""
    note = (
        f"Samples at least {' or '.join(known)} robust standard deviations from the median of the negative controls, "
        f"as their number asks for.{more}{unjudged}{chance}"
    )
    heading = ["Well", "Compound", "Measures, with their z", "Nuclei", "Whole nuclei", "Concentration"]
    rows = [_hit(screen, i, unit=unit) for i in found[:_SHOWN_HITS]]
    return f'<h2>Hits</h2><p class="note">{note}</p><div class="scroll">{table(heading, rows, words=3)}</div>'


def _hit(screen: Screen, i: int, *, unit: str) -> list[str]:
    """Give the row of one well, with the measures by which it is a hit, the furthest first."""
    wells, headings = screen.tables.wells, screen.tables.headings
    far = sorted((name for name, hits in screen.hits.items() if hits[i]), key=lambda name: -abs(screen.z[name][i]))
    seen = ", ".join(f"{headings[name]} {float(screen.z[name][i]):+.1f}" for name in far)
    counts = [f"{int(wells[name][i])}" for name in ("nuclei", "whole_nuclei")]
    dose = f"{shown(float(wells['concentration'][i]))} {unit}".strip()
    return [wells["well"][i], wells["compound"][i], seen, *counts, dose]


def _rules(screen: Screen) -> str:
    rules, reference = Rules(), screen.tables.reference
    ordinary = (
        f"The ordinary nucleus is the median of {reference.nuclei:,} nuclei of the negative controls: area "
        f"{shown(reference.area_px)} px, brightness {shown(reference.brightness)} over a ground of "
        f"{shown(reference.ground)}, texture (standard deviation over brightness) {shown(reference.texture)}."
    )
    condensed = (
        f"Condensed: area at most {rules.condensed_area:g} times, brightness at least {rules.bright:g} times the "
        "ordinary, and not mitotic."
    )
    mitotic = (
        f"Mitotic-looking, as a plate: area at most {rules.plate_area:g} times, brightness at least {rules.bright:g} "
        f"times the ordinary, eccentricity at least {rules.plate_eccentricity:g}. As a cluster of chromosomes: texture "
        f"{rules.cluster_texture:g} robust deviations over the ordinary, solidity at most {rules.cluster_solidity:g}, "
        f"area at least {rules.cluster_area:g} times the ordinary; or texture at least {rules.grains_texture:g} times "
        f"and area at least {rules.grains_area:g} times the ordinary."
    )
    positive = [
        f"Positive for {escape(spoken(channel))}: "
        + (
            f"mean intensity in that channel over {shown(threshold)}, the {POSITIVE_PERCENTILE}th percentile of the "
            "nuclei of the negative controls."
            if np.isfinite(threshold)
            else f"not judged, with under {LEAST_NUCLEI} nuclei of the negative controls in that channel."
        )
        for channel, threshold in screen.tables.thresholds.items()
    ]
    lines = (ordinary, condensed, mitotic, *positive)
    return "<h2>Rules</h2>" + "".join(f'<p class="note">{line}</p>' for line in lines)
