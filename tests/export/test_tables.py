"""Parquet and AnnData, read back by pyarrow and anndata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.errors import MissingExtraError
from nucleate.export import tables
from nucleate.export.measurements import measure

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

Parts = tuple[list["Path"], list[dict[str, "NDArray[Any]"]]]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Two images with nuclei and one without; one of them a stack, with another channel."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (12, 15)).astype(np.int32)
    empty = np.zeros((3, 3), np.int32)
    found = [
        measure(labels, {"DAPI/raw": rng.normal(size=labels.shape)}, pixel_size_um=(0.5, 0.5)),
        measure(empty, {"DAPI/raw": empty}),
        {"plane": np.array([2, 2, 2]), **measure(labels[::-1], {})},
    ]
    paths = [tmp_path / f"{number}.npz" for number in range(3)]
    for name, path, table in zip(("a/é", "none", "b"), paths, found, strict=True):
        tables.write_part(path, name, table=table)
    return paths, found


def test_parquet_has_every_digit(tmp_path: Path, parts: Parts) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    tables.write_parquet(tmp_path / "m.parquet", parts[0])
    table = parquet.read_table(tmp_path / "m.parquet")
    assert table.column_names[:4] == ["image", "plane", "label", "area_px"]
    assert table["image"].to_pylist() == ["a/é"] * 3 + ["b"] * 3
    assert table["plane"].to_pylist() == [None] * 3 + [2] * 3
    assert str(table.schema.field("label").type) == "int64"
    first, _, third = parts[1]
    for column in first:
        got = table[column].to_numpy()
        expected = np.concatenate([first[column], third.get(column, np.full(3, np.nan))])
        np.testing.assert_array_equal(got.astype(np.float64), expected.astype(np.float64), err_msg=column)
    assert table["confidence"].null_count == 6


@pytest.mark.filterwarnings("ignore")  # of the libraries, about each other
def test_anndata_has_the_same(tmp_path: Path, parts: Parts) -> None:
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    tables.write_anndata(tmp_path / "m.h5ad", parts[0])
    data = anndata.read_h5ad(tmp_path / "m.h5ad")
    first, _, third = parts[1]
    assert data.obs_names.tolist() == ["a/é:1", "a/é:2", "a/é:3", "b:1", "b:2", "b:3"]
    assert list(data.obs) == ["image", "label", "plane"]
    assert data.obs["plane"].tolist() == [-1, -1, -1, 2, 2, 2]
    assert data.obs["label"].tolist() == [1, 2, 3, 1, 2, 3]
    assert not {"label", "plane"} & set(data.var_names)
    for column in data.var_names:
        expected = np.concatenate([first[column], third.get(column, np.full(3, np.nan))])
        np.testing.assert_array_equal(data[:, column].X[:, 0], expected, err_msg=column)
    np.testing.assert_array_equal(data.obsm["spatial"][:3].T, [first["centroid_col"], first["centroid_row"]])


def test_a_part_comes_back_as_it_was(parts: Parts) -> None:
    for path, table in zip(*parts, strict=True):
        with np.load(path, allow_pickle=False) as stored:
            assert stored["names"].tolist() == list(table)
            for number, values in enumerate(table.values()):
                np.testing.assert_array_equal(stored[f"c{number}"], values)


@pytest.mark.parametrize(("writer", "library"), [("write_parquet", "pyarrow"), ("write_anndata", "anndata")])
def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, library: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"{library} is not installed; run: pip install 'nucleate\[tables\]'"):
        getattr(tables, writer)(tmp_path / "m", [])
