"""nucleate.evaluate: paths, arrays and mappings, in any mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

import nucleate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

LABELS = np.zeros((24, 24), np.int32)
LABELS[2:10, 2:10] = 1
LABELS[12:20, 3:20] = 2


def test_paths_arrays_and_mappings(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.uint16))
    assert nucleate.evaluate(tmp_path, str(tmp_path)).kaggle == 1.0
    assert nucleate.evaluate({"a": LABELS}, tmp_path).nuclei_true == 2
    assert nucleate.evaluate(LABELS, LABELS).aji == 1.0


@pytest.mark.data
def test_the_real_truth_against_itself_and_against_nothing(dsb_zip: Path) -> None:
    from nucleate.data.truth import read_labels_source

    source = read_labels_source(dsb_zip)
    truth = {image_id: source[image_id] for image_id in list(source)[:6]}
    itself = nucleate.evaluate(truth, truth)
    assert {itself.kaggle, itself.pq, itself.aji, *itself.ap.values()} == {1.0}
    empty = nucleate.evaluate({next(iter(truth)): np.zeros_like(next(iter(truth.values())))}, truth)
    assert (empty.kaggle, empty.nuclei_pred, len(empty.missing)) == (0.0, 0, 5)
