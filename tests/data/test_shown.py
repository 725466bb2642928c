"""The sample pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nucleate.data.shown import write_pictures
from nucleate.data.synth import STYLES
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_pictures_are_the_same_each_time_and_have_their_truth(tmp_path: Path) -> None:
    paths, truth = write_pictures(tmp_path / "in")
    assert [path.name for path in paths] == ["tissue.png", *(f"drawn-{style}.png" for style in STYLES)]
    assert set(truth) == {path.stem for path in paths} - {"tissue"}
    first = [path.read_bytes() for path in paths]
    for path in paths[1:]:
        assert np.asarray(Image.open(path)).shape[:2] == truth[path.stem].shape
    paths[2].unlink()
    write_pictures(tmp_path / "in")
    assert [path.read_bytes() for path in paths] == first


def test_another_picture_of_that_name_is_left_alone(tmp_path: Path) -> None:
    for number, content in enumerate((b"mine", b"")):
        path = tmp_path / str(number) / "drawn-histology.png"
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is another picture than the sample"):
            write_pictures(path.parent)
        assert [(there, there.read_bytes()) for there in path.parent.iterdir()] == [(path, content)]
