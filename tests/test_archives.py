"""Archives, XML and stored objects from strangers: nothing is written outside, fetched, or run."""

from __future__ import annotations

import ast
import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow
from roifile import ROI_TYPE, ImagejRoi

import nucleate
from nucleate.data.annotations import roi_regions
from nucleate.errors import DataError, InputError
from nucleate.io.images import read_image
from nucleate.run.batch import run_batch
from nucleate.run.inputs import expand
from nucleate.run.settings import BatchSettings
from tests.data.files import read_samples
from tests.fakes import FakeSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.base

LEADING_OUT = ("../up{}.png", "../../../far{}.png", "in/../../side{}.png", "in\\..\\back{}.png", "{top}/absolute{}.png")
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load"}
FORBIDDEN_METHODS = {"extract", "extractall", "unpack_archive"}


def _png() -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(np.pad(np.full((6, 6), 200, np.uint8), 10)).save(buffer, "png")
    return buffer.getvalue()


def _everything(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work deep in a folder, so that names which lead out of it would show."""
    deep = tmp_path / "a" / "b" / "c"
    (deep / "tmp").mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("TMPDIR", str(deep / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return deep


def _hostile(path: Path, names: Iterator[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, _png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    return path


def test_members_of_a_zip_stay_where_results_go(home: Path, tmp_path: Path) -> None:
    names = (name.format(n, top=tmp_path) for n, name in enumerate(LEADING_OUT))
    sources = expand([str(_hostile(home / "x.zip", names))])
    before = _everything(tmp_path)
    summary = run_batch(sources, home / "out", segmenter=FakeSegmenter(), settings=BatchSettings())
    # All are pictures like any other, but for the link, whose content is no picture: it is not followed.
    assert [o.name for o in summary.outcomes if o.status == "failed"] == ["link"]
    assert summary.count("ok") == len(LEADING_OUT)
    new = {Path(name) for name in _everything(tmp_path) - before}
    assert {path.relative_to("a/b/c").parts[0] for path in new} == {"out"}
    assert all(len(path.relative_to("a/b/c").parts) <= 3 for path in new)


def test_training_data_in_a_zip_writes_nothing(home: Path, tmp_path: Path) -> None:
    names = ["../t1/images/t1.png", "../t1/masks/m.png", f"{tmp_path}/t2/images/t2.png", "t2/masks/../../m.png"]
    path = _hostile(home / "x.zip", iter(names))
    before = _everything(tmp_path)
    with pytest.raises(DataError) as caught:
        read_samples(path)
    assert "\n" not in str(caught.value)
    assert _everything(tmp_path) == before


def test_regions_in_a_zip_write_nothing(home: Path, tmp_path: Path) -> None:
    roi = ImagejRoi.frompoints(np.array([[1, 1], [4, 1], [4, 5], [1, 5]]))
    roi.roitype = ROI_TYPE.POLYGON
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("../1.roi", f"{tmp_path}/2.roi", "a/../../3.roi"):
            archive.writestr(name, roi.tobytes())
    before = _everything(tmp_path)
    assert len(roi_regions(buffer.getvalue(), "x.zip", shape=(8, 9))) == 3
    assert _everything(tmp_path) == before
    assert home.is_dir()


@pytest.mark.parametrize("name", ["x.ozx", "x.ome.zarr.zip", "x.zip"])
def test_an_ome_zarr_in_a_zip_is_told(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("zarr.json", "{}")
        archive.writestr("0/c/0/0", b"")
    (source,) = expand([str(tmp_path / name)])
    assert source.problem == f"{tmp_path / name}: an OME-Zarr in an archive; unpack it and name its folder"


def test_metadata_of_czi_do_not_reach_out(tmp_path: Path) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed (extra formats)")
    path, secret = tmp_path / "a.czi", tmp_path / "secret"
    secret.write_text("not for you")
    with czi.create_czi(str(path)) as file:
        file.write(np.arange(600, dtype=np.uint8).reshape(20, 30, 1))
        file.write_metadata("test", channel_names={0: "DAPI"}, scale_x=1e-6, scale_y=1e-6, scale_z=1e-6)
    content = path.read_bytes()
    begin, end = content.index(b"<ImageDocument"), content.index(b"</ImageDocument>") + len(b"</ImageDocument>")
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 9))
    for entities in (f'<!ENTITY e0 "aaaaaaaaaa">{bomb}', f'<!ENTITY e8 SYSTEM "{secret.as_uri()}">'):
        channel = '<Channel Id="Channel:0" Name="&e8;"/>'
        for wrapped in ("Channels", "Dimensions", "Image", "Information", "Metadata", "ImageDocument"):
            channel = f"<{wrapped}>{channel}</{wrapped}>"
        hostile = f"<!DOCTYPE x [{entities}]>{channel}".encode()
        assert len(hostile) <= end - begin, "the drawn metadata are too short to be replaced"
        path.write_bytes(content[:begin] + hostile.ljust(end - begin) + content[end:])
        try:
            said = repr(read_image(path).channel_names)
        except InputError as error:
            said = str(error)
        assert len(said) < 500
        assert "not for you" not in said


def _offences(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS or name.rsplit(".", 1)[-1] in FORBIDDEN_METHODS:
                found.append(name)
            found += [f"{name}({word.arg})" for word in node.keywords if _unpickles(word)]
    return found


def _unpickles(word: ast.keyword) -> bool:
    return word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)


def test_nothing_stored_is_run() -> None:
    package = Path(nucleate.__file__).parent
    found = {
        os.fspath(path.relative_to(package)): offences
        for path in sorted(package.rglob("*.py"))
        if (offences := _offences(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from joblib import load",
        "archive.extractall(folder)",
        "numpy.load(p, allow_pickle=True)",
        "numpy.load(p, allow_pickle=trusted)",
        "torch.load(p)",
        "eval(text)",
    ],
)
def test_what_would_run_it_is_caught(planted: str) -> None:
    assert len(_offences(planted)) == 1


@pytest.mark.parametrize("innocent", ["network.eval()", "numpy.load(p, allow_pickle=False)", "archive.read(name)"])
def test_what_would_not_passes(innocent: str) -> None:
    assert _offences(innocent) == []
