"""What the training verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.apps.cli.training import repeated, table_beside

if TYPE_CHECKING:
    import pytest


def test_a_call_can_be_repeated_and_tells_no_folders_of_the_machine() -> None:
    told = repeated(
        "crossval", Path("/home/me/my set.zip"), output="cross", config=Path("/home/me/tiny.toml"),
        then=Path("/home/me/nucleate/configs/long.toml"), table=Path("/home/me/fields.csv"), folds="", init=None,
        lr=3e-4, seed=0, set=["crop=64", "epochs=1"],
    )  # fmt: skip
    assert told == (
        "nucleate crossval 'my set.zip' -o cross --config tiny.toml --then configs/long.toml --table fields.csv "
        "--lr 0.0003 --seed 0 --set crop=64 --set epochs=1"
    )


def test_the_folder_one_is_in_has_a_name_and_a_table_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "set")
    for here in (Path(), Path("images/..")):
        told = repeated("train", here, output=here, lr=0.000123456789, val=here, table=Path("../fields.csv"))
        assert told == "nucleate train set -o set --lr 0.000123456789 --val set --table fields.csv"
        assert table_beside(here) == tmp_path / "images.csv"
    assert table_beside(Path("../set")) == Path("../images.csv")
