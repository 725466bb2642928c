"""Libraries that are not there, or cannot be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nucleate.core.extras import library, require
from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_what_is_there_is_loaded() -> None:
    require("formats", "json", "csv")
    assert library("json.decoder", "formats").JSONDecoder is not None


@pytest.mark.parametrize(("package", "named"), [("", "broken_library"), ("broken-python", "broken-python")])
def test_what_cannot_be_loaded_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, named: str
) -> None:
    (tmp_path / "broken_library.py").write_text("raise ImportError('a part of it is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=rf"^{named} is not installed; run: pip install 'nucleate\[web\]'$"):
        library("broken_library", "web", package=package)
