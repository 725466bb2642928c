"""Libraries that are not there, or cannot be loaded."""

from __future__ import annotations

import pickle
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


@pytest.mark.parametrize(("package", "named"), [("", "broken-library"), ("broken-python", "broken-python")])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('its ABI is\\nanother')", r"its ABI is\nanother"),
        ("import no_such_part", "No module named 'no_such_part'"),
        ("raise ImportError", "ImportError"),
        ("raise ValueError('numpy.dtype size changed')", "numpy.dtype size changed"),
    ],
)
def test_what_is_there_but_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str, package: str, named: str
) -> None:
    (tmp_path / "broken_library.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError) as caught:
        library("broken_library", "web", package=package)
    assert str(caught.value) == f"{named} cannot be loaded: {reason}; run: pip install --force-reinstall {named}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(("package", "named"), [("", "no-such-library"), ("such-python", "such-python")])
def test_what_is_not_there_is_named_as_pip_calls_it(package: str, named: str) -> None:
    with pytest.raises(MissingExtraError, match=rf"^{named} is not installed; run: pip install 'nucleate\[web\]'$"):
        library("no_such_library.part", "web", package=package)
