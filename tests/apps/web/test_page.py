"""The page as a browser asks for it, with the shipped model: open, find, look, download."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import time
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from tests.calls import call
from tests.fakes import FakeSegmenter, dressed

from nucleate.apps.web.choices import Machine
from nucleate.apps.web.guard import Guard
from nucleate.core.labels import areas
from nucleate.data.synth import Scene, draw
from nucleate.io.images import read_image
from nucleate.run.segmentation import Segmentation

pytestmark = pytest.mark.base
pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from nucleate.apps.web import app  # noqa: E402
from nucleate.apps.web.app import make_app  # noqa: E402
from nucleate.apps.web.downloads import Download  # noqa: E402
from nucleate.apps.web.session import Session  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer ones want a successor of httpx
    from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = (200, 260)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of two pictures, one of them a stack of two channels and three planes."""
    top = tmp_path_factory.mktemp("page")
    picture, _ = draw(Scene(size=SIZE, nuclei=12), np.random.default_rng(3))
    images = top / "in"
    images.mkdir()
    PIL.Image.fromarray(picture).save(images / "cells.png")
    grey = picture if picture.ndim == 2 else picture[..., 0]
    stack = np.stack([np.stack([grey // 8, grey]), np.stack([grey // 4, grey // 2]), np.stack([grey, grey // 8])])
    tifffile.imwrite(
        images / "stack.ome.tif",
        stack.astype(np.uint16),
        metadata={"axes": "ZCYX", "Channel": {"Name": ["actin", "DAPI"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    return top


@pytest.fixture(scope="module")
def session(folder: Path, shipped_model: Path) -> Iterator[Session]:
    assert shipped_model.is_file()
    made = Session(Machine(folder / "out", threads=1))
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(session: Session) -> TestClient:
    client = _client(session)
    assert client.get("/?secret=right").status_code == 200
    return client


def _client(session: Session) -> TestClient:
    return TestClient(make_app(session, Guard(80, "right")), base_url="http://localhost", raise_server_exceptions=False)


def _finish(page: TestClient) -> dict[str, Any]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        state: dict[str, Any] = page.get("/api/state").json()
        if state["job"] and state["job"]["state"] in {"done", "failed", "stopped"} and not state["waiting"]:
            return state
        time.sleep(0.05)
    pytest.fail("the run did not end")


@pytest.fixture(scope="module")
def done(page: TestClient, folder: Path) -> dict[str, dict[str, Any]]:
    """Open the folder, find nuclei, and give the images by name."""
    assert len(page.post("/api/open", json={"path": f'"{folder / "in"}"'}).json()["images"]) == 2
    page.post("/api/run", json={})
    state = _finish(page)
    assert state["job"]["state"] == "done", state
    return {image["name"]: image for image in state["images"]}


def _picture(page: TestClient, path: str) -> np.ndarray[Any, Any]:
    answer = page.get(path)
    assert answer.status_code == 200, answer.text
    return np.asarray(PIL.Image.open(io.BytesIO(answer.content)))


def test_labels_are_those_of_the_command_line(done: dict[str, Any], folder: Path) -> None:
    assert call("segment", folder / "in", "-o", folder / "cli", "--threads", "1", "--quiet") == 0
    names = {path.name for path in (folder / "cli").iterdir()}
    assert names == {path.name for path in (folder / "out").iterdir()}
    assert {"cells.labels.tif", "stack.ome.overlay.png", "measurements.csv", "summary.csv", "run.json"} <= names
    for name in ("cells.labels.tif", "stack.ome.labels.tif", "stack.ome.overlay.png", "measurements.csv"):
        assert (folder / "out" / name).read_bytes() == (folder / "cli" / name).read_bytes()
    settings = [json.loads((folder / one / "run.json").read_text())["settings"] for one in ("out", "cli")]
    assert settings[0] == settings[1]
    assert all(image["nuclei"] > 5 for image in done.values())


def test_nothing_is_told_without_the_secret(session: Session, done: dict[str, Any]) -> None:
    stranger = _client(session)
    number = done["cells"]["id"]
    for path in ("/", "/api/state", "/static/main.js", f"/api/images/{number}/tile/9/0/0", "/?secret=wrong"):
        answer = stranger.get(path)
        assert answer.status_code == 403
        told = answer.json()["error"] if path.startswith("/api/") else answer.text
        assert "open the whole address that nucleate serve has printed" in told
    assert stranger.post("/api/run", json={}, params={"secret": "right"}).status_code == 403


def test_other_names_and_other_pages_are_refused(page: TestClient) -> None:
    assert page.get("/api/state", headers={"host": "evil.example"}).status_code == 421
    assert page.post("/api/close", headers={"origin": "http://evil.example"}).status_code == 403
    answer = page.get("/")
    assert page.head("/").status_code == 200
    assert "SameSite=Strict" in answer.headers["set-cookie"]
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "http://" not in answer.text
    assert "https://" not in answer.text


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/in/cells.png"])
def test_files_beside_the_page_are_not_served(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


def test_only_opened_images_are_shown(page: TestClient, done: dict[str, Any]) -> None:
    assert page.get("/api/images/999/tile/8/0/0").status_code == 404
    assert page.get("/api/images/1/tile/8/9/9").status_code == 404
    assert page.get("/api/images/1/tile/8/0/0", params={"at": "../1"}).status_code == 422
    number = done["stack.ome"]["id"]
    wrong = page.get(f"/api/images/{number}/tile/8/0/0", params={"channel": "GFP", "at": "0"})
    assert (wrong.status_code, "no channel 'GFP'" in wrong.json()["error"]) == (400, True)


def test_tiles_are_the_picture(page: TestClient, done: dict[str, Any], folder: Path) -> None:
    from nucleate.export.overlay import stretch_of

    original = np.asarray(PIL.Image.open(folder / "in" / "cells.png"))
    shown = _picture(page, f"/api/images/{done['cells']['id']}/tile/9/0/0")
    assert np.array_equal(shown, stretch_of(original).shown(original))
    assert _picture(page, f"/api/images/{done['cells']['id']}/tile/8/0/0").shape[:2] == (100, 130)


def test_a_stack_is_shown_plane_by_plane(page: TestClient, done: dict[str, Any]) -> None:
    number = done["stack.ome"]["id"]
    told = page.get(f"/api/images/{number}").json()
    assert told["stack"] == [{"axis": "Z", "length": 3}]
    assert [one["name"] for one in told["channels"]] == ["actin", "DAPI"]
    assert (told["channel"], told["pixel_size_um"]) == ("1", [0.5, 0.5])
    planes = [_picture(page, f"/api/images/{number}/tile/9/0/0?channel=1&at={z}") for z in range(3)]
    assert not np.array_equal(planes[0], planes[2])
    assert page.get(f"/api/images/{number}/tile/9/0/0?channel=1&at=7").status_code == 400


def test_outlines_and_nuclei_agree_with_the_labels(page: TestClient, done: dict[str, Any], folder: Path) -> None:
    labels = tifffile.imread(folder / "out" / "stack.ome.labels.tif")
    number = done["stack.ome"]["id"]
    for z in range(3):
        drawn = _picture(page, f"/api/images/{number}/outlines/9/0/0?channel=1&at={z}")
        assert set(np.unique(labels[z][drawn > 2])) == set(np.unique(labels[z])) - {0}
        row, col = np.argwhere(labels[z] > 0)[len(np.argwhere(labels[z] > 0)) // 2]
        given = {"row": int(row), "col": int(col), "at": z, "shape": True}
        found = page.get(f"/api/images/{number}/nucleus", params=given).json()
        assert (found["label"], found["at"]) == (labels[z][row, col], [z])
        assert found["measured"]["area_px"] == areas(labels[z])[found["label"] - 1]
        assert len(found["outlines"]) >= 1
    assert page.get(f"/api/images/{number}/nucleus", params={"row": -1, "at": "0"}).json() == {"label": 0}
    for wrong in ("9,9", "3", ""):
        answer = page.get(f"/api/images/{number}/nucleus", params={"at": wrong})
        assert (answer.status_code, "no plane" in answer.json()["error"]) == (400, True), answer.text


def test_a_hidden_nucleus_is_not_found_at_its_place(page: TestClient, done: dict[str, Any], folder: Path) -> None:
    number, labels = done["cells"]["id"], tifffile.imread(folder / "out" / "cells.labels.tif")
    row, col = map(int, np.argwhere(labels == 1)[0])
    place = f"/api/images/{number}/nucleus?row={row}&col={col}"
    sure = page.get(place).json()["measured"]["confidence"]
    found = {
        how: page.get(f"{place}&{how}").json()["label"]
        for how in ("hide=false&least=0.999", "hide=true&least=0.999", f"hide=true&least={sure - 0.01}")
    }
    assert list(found.values()) == [1, 0, 1]
    assert page.get(f"/api/images/{number}/nucleus?label=1&hide=true&least=0.999").json()["label"] == 1


def test_the_table_is_sorted_in_pages_and_cut_by_confidence(page: TestClient, done: dict[str, Any]) -> None:
    number, nuclei = done["cells"]["id"], done["cells"]["nuclei"]
    whole = page.get(f"/api/images/{number}/table", params={"sort": "area_px", "down": True}).json()
    column = whole["columns"].index("area_px")
    sizes = [row[column] for row in whole["rows"]]
    assert (len(sizes), whole["total"], sizes) == (nuclei, nuclei, sorted(sizes, reverse=True))
    some = page.get(f"/api/images/{number}/table", params={"first": 2, "count": 3}).json()
    assert [row[0] for row in some["rows"]] == [3, 4, 5]
    sure = sorted(row[whole["columns"].index("confidence")] for row in whole["rows"])[nuclei // 2]
    charts = page.get(f"/api/images/{number}/histograms", params={"least": sure}).json()
    assert (charts["count"], charts["total"]) == (nuclei - nuclei // 2, nuclei)
    assert all(svg.startswith("<svg") for svg in charts["svg"])


def test_downloads_are_what_the_writers_write(page: TestClient, done: dict[str, Any], folder: Path) -> None:
    one = page.post("/api/downloads", json={"images": [done["cells"]["id"]], "exports": ["labels"]}).json()
    assert one["name"] == "cells.labels.tif"
    assert page.get(f"/api/downloads/{one['id']}").content == (folder / "out" / "cells.labels.tif").read_bytes()
    wanted = ["labels", "measurements", "imagej", "geojson", "rle", "coco", "ome-tiff"]
    every = page.post("/api/downloads", json={"exports": wanted}).json()
    with zipfile.ZipFile(io.BytesIO(page.get(f"/api/downloads/{every['id']}").content)) as archive:
        held = set(archive.namelist())
        table = archive.read("measurements.csv")
        coco = json.loads(archive.read("coco.json"))
    single = {"measurements.csv", "submission.csv", "coco.json", "summary.csv", "run.json"}
    per_image = {
        f"{name}{ending}" for name in done for ending in (".labels.tif", ".rois.zip", ".geojson", ".labels.ome.tif")
    }
    assert held == single | per_image
    assert table == (folder / "out" / "measurements.csv").read_bytes()
    assert len(coco["annotations"]) == sum(image["nuclei"] for image in done.values())
    assert page.post("/api/downloads", json={"exports": ["pdf"]}).status_code == 400
    assert page.get("/api/downloads/999").status_code == 404


def test_results_that_were_removed_meanwhile_are_no_longer_there(
    page: TestClient, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = Download("a.tif", {"a.tif": tmp_path / "a.tif"})
    monkeypatch.setattr("nucleate.apps.web.downloads.prepare", lambda *_, **__: gone)
    answer = page.post("/api/downloads", json={"images": [done["cells"]["id"]], "exports": ["labels"]})
    assert (answer.status_code, "prepare it again" in answer.json()["error"]) == (404, True)


def test_an_image_that_was_changed_has_no_nuclei_any_more(page: TestClient, folder: Path) -> None:
    path = folder / "changing.png"
    pixels = np.asarray(PIL.Image.open(folder / "in" / "cells.png"))
    PIL.Image.fromarray(pixels).save(path)
    (number,) = page.post("/api/open", json={"path": str(path)}).json()["images"]
    page.post("/api/run", json={"images": [number]})
    _finish(page)
    top = f"/api/images/{number}"
    os.utime(path, (1, 1))  # the same pixels
    assert page.get(top).json()["made_with"] is not None
    assert page.get(f"{top}/outlines/9/0/0").status_code == 200
    PIL.Image.fromarray(pixels[::-1]).save(path)
    told = page.get(top).json()
    assert (told["made_with"], "find nuclei again" in told["fault"]) == (None, True)
    for asked in ("outlines/9/0/0", "table", "histograms", "nucleus?row=3"):
        answer = page.get(f"{top}/{asked}")
        assert (answer.status_code, answer.json()["error"]) == (409, told["fault"])
    for export, status in (("labels", 200), ("geojson", 409)):
        answer = page.post("/api/downloads", json={"images": [number], "exports": [export]})
        assert answer.status_code == status, "what was written then still fits together"
    page.post("/api/run", json={"images": [number]})
    _finish(page)
    assert page.get(top).json()["fault"] == ""
    assert page.get(f"{top}/outlines/9/0/0").status_code == 200
    labels = np.zeros(SIZE, np.int32)
    labels[:5, :6] = 1
    Segmentation(labels, np.ones(1, np.float32), read_image(path)).save(folder / "out", ["labels", "measurements"])
    assert page.get(f"{top}/table").json()["total"] == 1
    shown = next(one for one in page.get("/api/state").json()["images"] if one["id"] == number)
    assert (shown["nuclei"], shown["median_area_px"]) == (1, 30), "corrected by hand"


_FILES = """
class Element extends EventTarget {
  classList = { toggle() {} };
  querySelector() { return new Element(); }
}
const made = {};
globalThis.document = Object.assign(new Element(), { getElementById: (id) => made[id] ??= new Element() });
globalThis.XMLHttpRequest = class extends EventTarget {
  upload = new EventTarget();
  open() {}
  send(file) {
    Object.assign(this, { status: 200, responseText: JSON.stringify({ images: [file.id] }) });
    setTimeout(() => this.dispatchEvent(new Event("load")), 1);
  }
};
const { listen, named } = await import("./files.js");
const shown = await new Promise((end) => {
  const shown = [];
  listen((first) => { if (shown.push(first || 0) === 3) end(shown); });
  made.files.files = [7, 8, 9].map((id) => ({ id, name: `${id}.png` }));
  made.files.dispatchEvent(new Event("change"));
});
const paths = ["p/A1/i.png", "p/A10/i.png", "p/b.png", "c.zip!d/e.tif", "c.zip!f/e.tif", "/x/k.tif", "y/k.tif"];
const images = paths.map((path, id) => ({ id, path, name: path.split("/").pop().split(".")[0] }));
console.log(JSON.stringify({ shown, named: [...named(images).values()] }));
"""


def test_files_that_are_sent_are_shown_once_and_told_apart(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no node, which runs the script of the page")
    shutil.copytree(Path(app.__file__).parent / "static", tmp_path, dirs_exist_ok=True)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "test.js").write_text(_FILES, encoding="utf-8")
    done = subprocess.run([node, tmp_path / "test.js"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "shown": [7, 0, 0],
        "named": ["A1/i.png", "A10/i.png", "b", "d/e.tif", "f/e.tif", "/x/k.tif", "y/k.tif"],
    }


def test_a_projection_is_segmented_and_shown(page: TestClient, done: dict[str, Any], folder: Path) -> None:
    number = done["stack.ome"]["id"]
    page.post("/api/run", json={"images": [number], "choices": {"project": "max", "channel": "DAPI"}})
    state = _finish(page)
    assert state["job"]["folder"] == str(folder / "out-2")
    assert "--project max" in state["job"]["command"]
    told = page.get(f"/api/images/{number}").json()
    assert (told["stack"], told["project"]) == ([], "max")
    drawn = _picture(page, f"/api/images/{number}/outlines/9/0/0?channel=1&project=max")
    assert (drawn > 2).any()
    found = page.post("/api/downloads", json={"images": [number], "exports": ["geojson"]}).json()
    features = page.get(f"/api/downloads/{found['id']}").json()["features"]
    assert len(features) == next(one for one in state["images"] if one["id"] == number)["nuclei"]


def test_what_is_sent_is_opened(page: TestClient, session: Session, folder: Path) -> None:
    content = (folder / "in" / "cells.png").read_bytes()
    sent = page.put("/api/upload", params={"name": "sent.png"}, content=content).json()["images"]
    assert page.get(f"/api/images/{sent[0]}").json()["cols"] == SIZE[1]
    assert (session.images / "sent.png").read_bytes() == content
    assert page.put("/api/upload", params={"name": "../sent.png"}, content=content).status_code == 400
    rubbish = page.put("/api/upload", params={"name": "bad.png"}, content=b"\x89PNG\r\n\x1a\nno").json()["images"]
    answer = page.get(f"/api/images/{rubbish[0]}")
    assert (answer.status_code, "damaged PNG" in answer.json()["error"]) == (400, True)
    state = page.get("/api/state").json()
    assert next(one for one in state["images"] if one["id"] == rubbish[0])["status"] == "failed"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/api/open", {"path": "nowhere/*.tif"}, "no file matches"),
        ("/api/open", {"path": "  "}, "no path given"),
        ("/api/run", {"images": [999]}, "no image is open"),
        ("/api/run", {"choices": {"scale": "big"}}, "scale"),
        ("/api/downloads", {"images": [999], "exports": ["labels"]}, "find nuclei first"),
        ("/api/downloads", {"images": [999], "exports": []}, "tick at least one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(page: TestClient, path: str, body: dict[str, Any], told: str) -> None:
    answer = page.post(path, json=body)
    assert answer.status_code in {400, 422}
    assert told in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_how_far_a_first_look_is_can_be_asked(page: TestClient, done: dict[str, Any]) -> None:
    path = f"/api/images/{done['cells']['id']}/first-look"
    assert page.get(path).json() == {"share": None}
    assert page.post(f"{path}/stop").status_code == 200
    assert page.get(f"/api/images/{done['cells']['id']}/tile/9/0/0").status_code == 200, (
        "it ended none, and forbids none"
    )


def test_a_name_that_is_no_text_is_shown_and_downloaded_with_escapes(tmp_path: Path) -> None:
    session = Session(Machine(tmp_path / "out\udcff"), load=lambda *_: dressed(FakeSegmenter()))
    with contextlib.closing(session):
        page = _client(session)
        page.get("/?secret=right")
        PIL.Image.fromarray(np.eye(30, dtype=np.uint8)).save(tmp_path / "Z\udce4.png")
        assert session.open(str(tmp_path)) == [1]
        assert "out\\udcff'" in page.post("/api/run", json={"images": [1]}).json()["command"]
        assert _finish(page)["images"][0]["name"] == "Z\\udce4"
        for exports in (["labels"], ["labels", "coco"]):
            told = page.post("/api/downloads", json={"images": [1], "exports": exports}).json()
            answer = page.get(f"/api/downloads/{told['id']}")
            assert (told["name"][:7], answer.status_code) == ("Z\\udce4", 200)
        assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["Z\\udce4.labels.tif", "coco.json"]
