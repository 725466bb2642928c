"""What the training verbs share."""

from __future__ import annotations

from pathlib import Path

from nucleate.apps.cli.training import repeated


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
