"""Optuna studies on disk, one journal file each: the trials of a search, and the draws of the paper's study."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nucleate.core.files import atomic_path, cannot_write
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["open_study", "record_draw"]


def open_study(path: Path, name: str) -> optuna.Study:
    """Open a study kept in one journal file, which is made if it is not there yet; larger values are better.

    Parameters
    ----------
    path : Path
        The journal. A line that was being written when the program was killed is taken out.
    name : str
        Of the study in it.

    Raises
    ------
    DataError
        If it is damaged in another way.
    OutputError
        If it cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _mend(path)
    try:
        storage = JournalStorage(_Journal(str(path)))
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    except ValueError as error:
        raise DataError(f"{path}: no journal of a study: {error}; use another folder") from error


class _Journal(JournalFileBackend):
    """A journal that says in one line why it cannot be written."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines at its end."""
        try:
            super().append_logs(logs)
        except OSError as error:
            raise cannot_write(self._path, error) from error


def _mend(path: Path) -> None:
    """Remove incomplete lines from a journal: Optuna would append to the last one, and read no line after it."""
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines if _is_whole(line)]
    if len(whole) < len(lines) and (whole or len(lines) == 1):
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"".join(whole))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")


def record_draw(
    study: optuna.Study, draw: int, *, lr: float, bounds: tuple[float, float], scores: Mapping[str, float]
) -> None:
    """Add a finished draw once; its value is the score of the best network, and its attributes have all scores.

    Parameters
    ----------
    study : optuna.Study
        Open study.
    draw : int
        Its number; a draw that is there already is left as it is.
    lr : float
        Learning rate, within `bounds`.
    bounds : (float, float)
        Range it was drawn from.
    scores : mapping
        Network to score.
    """
    if any(trial.user_attrs.get("draw") == draw for trial in study.trials):
        return
    study.add_trial(
        optuna.trial.create_trial(
            params={"lr": lr},
            distributions={"lr": optuna.distributions.FloatDistribution(*bounds, log=True)},
            value=max(scores.values()),
            user_attrs={"draw": draw, **scores},
        )
    )
