"""Who may import whom: the floors of docs/design/house.md, read from the imports of every file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.base

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "nucleate"

# Room -> rooms it may import. A room is a folder or a file straight under nucleate. `errors` and `core` carry every
# floor above them (only nets/ stands on its own). What is not named here is not allowed: nothing points up, and rooms
# on one floor do not see each other. Imports for type checking count too: a name in a signature is a dependency.
GROUND = {"errors", "core"}
FLOORS: dict[str, set[str]] = {
    "errors": set(),
    "nets": set(),
    "core": {"errors"},
    "post": GROUND,
    "score": GROUND,
    "io": GROUND,
    "export": GROUND,
    "run": {"post", "io", "export"} | GROUND,
    "data": {"io"} | GROUND,
    "train": {"data", "run", "post", "score", "nets"} | GROUND,
    "api": {"run", "io", "nets"} | GROUND,
    "screen": {"run", "io", "export"} | GROUND,
    "report": {"screen", "run", "score", "export"} | GROUND,
    "study": {"train", "api", "run", "post", "score", "data", "report", "export", "nets.build"} | GROUND,
    "apps": {"api", "study", "report", "screen", "export", "train", "run", "score", "data", "io", "nets.to_onnx"}
    | GROUND,
    # The face hands names on from below, each when it is first asked for; it stands beside the doors.
    "__init__": {"api", "run", "score", "data", "io"} | GROUND,
    "__main__": {"apps"},
}

# Libraries kept to some rooms: everything else must run, and start fast, without them.
LIBRARIES: dict[str, set[str]] = {
    "torch": {"nets", "train"},
    "optuna": {"train"},
    "typer": {"apps"},
    "rich": {"apps"},
    "matplotlib": {"report"},
    "magicgui": {"apps"},
    "napari": {"apps"},
    "fastapi": {"apps"},
    "uvicorn": {"apps"},
}
# Verbs that start another door, which they import when they are called.
STARTED = {"nucleate.apps.cli.serve": "web"}
CORE_LIBRARIES = {"numpy", "scipy"}


def _imports(source: str, module: str) -> list[tuple[int, str]]:
    """List (line, absolute dotted name) of every import, `importlib.import_module("name")` included."""
    found = []
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            named = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
            found += [(node.lineno, name) for name in named if isinstance(name, str)]
    return found


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def _floor_offences(source: str, module: str) -> list[str]:
    room = _room(module)
    below = FLOORS.get(room, GROUND)  # a room without a row is named by test_every_room_has_a_floor
    found = []
    for line, name in _imports(source, module):
        parts = name.split(".")
        if parts[0] == "nucleate":
            target = parts[1] if len(parts) > 1 else "__init__"
            inside = ".".join(parts[1:3])
            if target in {"__version__", room} or target in below or inside in below:
                continue
            found.append(f"{module}:{line}: {room} must not see {inside or 'nucleate itself'}")
        elif room not in LIBRARIES.get(parts[0], {room}):
            found.append(f"{module}:{line}: {parts[0]} belongs to {', '.join(sorted(LIBRARIES[parts[0]]))}")
        elif room == "core" and parts[0] not in CORE_LIBRARIES | sys.stdlib_module_names:
            found.append(f"{module}:{line}: core stands on numpy and scipy alone, not {parts[0]}")
    return found


def _door_offences(source: str, module: str) -> list[str]:
    """Find doors (folders of apps, such as apps/cli) that import each other."""
    door, started = module.split(".")[2], STARTED.get(module)
    names = [(line, name.split(".")) for line, name in _imports(source, module)]
    meant = [(line, parts[2]) for line, parts in names if parts[:2] == ["nucleate", "apps"] and len(parts) > 2]
    return [
        f"{module}:{line}: the door {door} must not see {other}"
        for line, other in meant
        if other not in {door, started}
    ]


def test_every_room_has_a_floor() -> None:
    rooms = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if not path.name.startswith((".", "__p"))
    }
    assert rooms - {"py.typed", "py", "weights", "samples"} <= set(FLOORS)


def test_the_page_shows_the_table_in_force() -> None:
    page = (PACKAGE.parents[1] / "docs" / "design" / "house.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| `(\w+)` \|(.*)\|$", page, flags=re.MULTILINE)
    assert {room: set(re.findall(r"`([\w.]+)`", seen)) for room, seen in rows} == FLOORS


def test_what_the_page_says_to_open_is_there() -> None:
    page = (PACKAGE.parents[1] / "docs" / "design" / "house.md").read_text(encoding="utf-8")
    rows = page.split("| to change | open |\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    lacking = []
    for row in rows:
        file = PACKAGE
        for word in re.findall(r"`([^`]+)`", row.split("|")[2]):
            if "/" in word:
                file = PACKAGE / word
                lacking += [] if file.exists() else [word]
            elif not re.search(rf"\b{word}\b", file.read_text(encoding="utf-8")):
                lacking.append(f"{word} in {file.name}")
    assert (len(rows) >= 16, lacking) == (True, [])


def test_floors_have_no_circle() -> None:
    below: set[str] = set()
    waiting = dict(FLOORS)
    while waiting:
        ready = [room for room, seen in waiting.items() if {name.split(".")[0] for name in seen} <= below]
        assert ready, f"these see each other in a circle: {sorted(waiting)}"
        below.update(ready)
        for room in ready:
            del waiting[room]


def test_nothing_points_up_or_aside() -> None:
    found = [
        line
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in _floor_offences(path.read_text(encoding="utf-8"), _module(path))
    ]
    assert "\n".join(found) == ""


def test_doors_do_not_see_each_other() -> None:
    doors = [path for path in sorted((PACKAGE / "apps").rglob("*.py")) if path.parent.name != "apps"]
    found = [line for path in doors for line in _door_offences(path.read_text(encoding="utf-8"), _module(path))]
    assert "\n".join(found) == ""


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nucleate.post.split", "from nucleate.score import matching"),
        ("nucleate.core.labels", "from nucleate.run import engine"),
        ("nucleate.core.labels", "from ..run import engine"),
        ("nucleate.core.labels", "def f():\n    from nucleate.run.engine import Engine"),
        ("nucleate.core.labels", "if TYPE_CHECKING:\n    from nucleate.run.engine import Engine"),
        ("nucleate.core.labels", "import skimage"),
        ("nucleate.run.engine", "import torch"),
        ("nucleate.run.engine", "importlib.import_module('torch.nn')"),
        ("nucleate.api", "import torch"),
        ("nucleate.apps.cli.segment", "from nucleate.nets import build"),
        ("nucleate.nets.unet", "from nucleate.errors import ModelError"),
        ("nucleate.report.score_page", "from nucleate.study import paper"),
        ("nucleate.data.synth", "import nucleate"),
    ],
)
def test_a_planted_import_is_caught(module: str, source: str) -> None:
    assert len(_floor_offences(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nucleate.post.split", "from nucleate.core.labels import relabel\nimport numpy"),
        ("nucleate.post.split", "from . import threshold\nfrom .threshold import otsu"),
        ("nucleate.apps.cli.export", "from nucleate.nets.to_onnx import export_onnx"),
        ("nucleate.apps.cli.main", "from nucleate import __version__"),
        ("nucleate.study.paper", "from nucleate.report import figures"),
        ("nucleate.train.loop", "import torch"),
    ],
)
def test_an_innocent_import_passes(module: str, source: str) -> None:
    assert _floor_offences(source, module) == []


def test_a_planted_door_is_caught() -> None:
    assert len(_door_offences("from nucleate.apps.other import page", "nucleate.apps.cli.serve")) == 1
    assert len(_door_offences("from nucleate.apps.web import app", "nucleate.apps.cli.demo")) == 1
    assert len(_door_offences("from nucleate.apps.cli import console", "nucleate.apps.web.app")) == 1
    assert _door_offences("from nucleate.apps.web import server", "nucleate.apps.cli.serve") == []
    assert _door_offences("from nucleate.apps.cli import options", "nucleate.apps.cli.serve") == []


# --- what is really loaded, in a fresh interpreter ------------------------------------------------------------------


def _fresh(code: str, *, cwd: Path | None = None) -> str:
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300, cwd=cwd
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    return asked.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'onnxruntime', 'skimage', 'scipy', 'tifffile', 'PIL', 'typer', 'pydantic'}"
    assert _fresh(f"import sys, nucleate; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_settings_load_no_writer() -> None:
    code = "import sys, nucleate.run.settings; print([name for name in sys.modules if name.startswith({!r})])"
    assert _fresh(code.format("nucleate.export")) == _fresh(code.format("scipy")) == "[]"


def test_import_is_fast() -> None:
    # Processor time of the import alone: the clock on the wall measures who else uses the machine.
    code = "import time; t = time.process_time(); import nucleate; print(time.process_time() - t)"
    assert min(float(_fresh(code)) for _ in range(5)) < 0.3


BLOCKED = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision"}:
            raise ModuleNotFoundError(f"No module named {name!r}: blocked")

sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Give a small picture with bright spots on a dark ground."""
    import numpy as np
    from PIL import Image

    rows, cols = np.mgrid[:128, :128]
    spots = sum(np.exp(-((rows - r) ** 2 + (cols - c) ** 2) / 60.0) for r in (30, 90) for c in (30, 90))
    path = tmp_path / "cells.png"
    Image.fromarray((spots * 200).astype(np.uint8)).save(path)
    return path


def test_blocker_blocks() -> None:
    code = BLOCKED + "try:\n    import torch\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert _fresh(code).endswith("blocked")


def test_command_line_segments_without_torch(picture: Path, shipped_model: Path) -> None:
    words = ["nucleate", "segment", str(picture), "-o", "out", "--quiet"]
    code = (
        BLOCKED
        + f"""
from nucleate.apps.cli.main import main
sys.argv = {words!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules
"""
    )
    _fresh(code, cwd=picture.parent)
    assert shipped_model.is_file()
    assert (picture.parent / "out" / "cells.labels.tif").stat().st_size > 0


def test_python_segments_without_torch(picture: Path, shipped_model: Path) -> None:
    code = BLOCKED + f"import nucleate; found = nucleate.segment({str(picture)!r}); print(found.labels.shape)"
    assert _fresh(code) == "(128, 128)"
    assert shipped_model.is_file()
