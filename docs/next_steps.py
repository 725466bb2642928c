"""Fill docs/guide/next-steps-study.md with what `nucleate ablate --publish` wrote: `python docs/next_steps.py`.

The page has marks, ``<!-- NAME -->`` to ``<!-- end -->``; what stands between them is written here, from the tables in
results/next-steps and from nothing else.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "guide" / "next-steps-study.md"
RESULTS = Path(__file__).parents[1] / "results" / "next-steps"
_BACK = "../../results/next-steps"
_BASELINE, _CHANCE = "baseline", "another-seed"
_NOT_IDEAS = {_BASELINE, _CHANCE, "best-combination", "flagship"}
_MARK = re.compile(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)

Row = dict[str, str]


def fill(text: str, results: Path) -> str:
    """Give the page as it should be: what stands between its marks, anew.

    Parameters
    ----------
    text : str
        The page.
    results : Path
        Folder with table.csv, kinds.csv, types.csv and table.md; what is not there yet is said to be so.
    """
    rows = {row["idea"]: row for row in _read(results / "table.csv")}
    known = {
        "setting": lambda: _setting(results),
        "sum": lambda: _sum(rows),
        "figure": lambda: _picture(results, "gains.png", "what each idea is worth, with its interval"),
        "table": lambda: _table(rows),
        "kinds": lambda: _kinds(rows, _read(results / "kinds.csv")),
        "types": lambda: _types(_read(results / "types.csv")),
        "truth": lambda: _picture(results, "strips/truth.jpg", "the truth"),
        _BASELINE: lambda: _picture(results, f"strips/{_BASELINE}.jpg", "the paper's system"),
    }

    def write(found: re.Match[str]) -> str:
        name = found[1]
        inside = known[name]() if name in known else _verdict(name, rows, results=results)
        return f"<!-- {name} -->\n{inside or 'Not run yet.'}\n<!-- end -->"

    return _MARK.sub(write, text)


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _setting(results: Path) -> str:
    """Take the notes from under the table: what the figures mean, the command, the folds, versions and hardware."""
    path = results / "table.md"
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").partition("\n## ")[0].splitlines()
    last = max(index for index, line in enumerate(lines) if line.startswith("|"))
    return "\n".join(lines[last + 1 :]).strip()


def _gain(row: Row) -> str:
    return f"{float(row['gain']):+.3f} [{float(row['gain_low']):+.3f}, {float(row['gain_high']):+.3f}]"


def _sum(rows: dict[str, Row]) -> str:
    """List the ideas that helped, those that hurt and the others, each with its gain."""
    if not rows:
        return ""
    base = rows[_BASELINE]
    said = [f"The paper's system scores {float(base['kaggle']):.3f} on {base['images']} held-out images.", ""]
    ideas = sorted((row for name, row in rows.items() if name not in _NOT_IDEAS), key=lambda row: -float(row["gain"]))
    for kind in ("helped", "hurt", "no clear difference"):
        named = [f"`{row['idea']}` {_gain(row)}" for row in ideas if row["verdict"] == kind]
        said.append(f"- **{kind.capitalize()}** ({len(named)}): {', '.join(named) or 'none'}")
    for name, says in (
        (_CHANCE, "Another seed and nothing else"),
        ("best-combination", "The ideas that helped, together"),
        ("flagship", "The network first shipped, on the same budget"),
    ):
        if name in rows:
            said.append(f"- **{says}**: {_gain(rows[name])}")
    return "\n".join(said)


def _picture(results: Path, name: str, says: str) -> str:
    return f"![{says}]({_BACK}/{name})" if (results / name).is_file() else ""


def _table(rows: dict[str, Row]) -> str:
    lines = []
    for name, row in rows.items():
        gain = ["-", "-", "-"] if name == _BASELINE else [_gain(row), row["by_part"], row["verdict"]]
        score = f"{float(row['kaggle']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]"
        cost = [f"{float(row['seconds']):.0f}", f"{float(row['megabytes']):.1f}"]
        lines.append([name, row["says"], score, *gain, *cost])
    heads = ["idea", "what is changed", "Kaggle score [95 %]", "gain [95 %]", "by fold", "", "training s", "weights MB"]
    return _lines(heads, lines)


def _kinds(rows: dict[str, Row], kinds: list[Row]) -> str:
    images = {row["kind"]: row["images"] for row in kinds}
    found = {(row["idea"], row["kind"]): row for row in kinds}
    lines = [
        [name]
        + [
            f"{float(found[name, kind]['kaggle']):.3f}"
            if name == _BASELINE
            else f"{float(found[name, kind]['gain']):+.3f}"
            for kind in images
        ]
        for name in rows
    ]
    return _lines(["idea", *(f"{kind} ({number})" for kind, number in images.items())], lines if images else [])


def _types(types: list[Row]) -> str:
    lines = []
    for row in types:
        change = f"{float(row['change']):+.3f} [{float(row['low']):+.3f}, {float(row['high']):+.3f}]"
        scores = [f"{float(row['seen']):.3f}", f"{float(row['unseen']):.3f}"]
        lines.append([row["kind"], row["idea"], row["images"], *scores, change])
    return _lines(["type", "system", "images", "seen", "never seen", "change [95 %]"], lines)


def _verdict(name: str, rows: dict[str, Row], *, results: Path) -> str:
    if name not in rows:
        return ""
    row = rows[name]
    said = (
        f"Gain {_gain(row)}, by fold {row['by_part']}: **{row['verdict']}**. {float(row['seconds']):.0f} s a network."
    )
    return "\n\n".join([said, _picture(results, f"strips/{name}.jpg", name)]).strip()


def _lines(heads: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")
    sys.stderr.write(f"written: {PAGE}\n")
