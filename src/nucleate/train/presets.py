"""Ready-made settings inside the package, and how the settings of a run are put together."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate.errors import UsageError
from nucleate.train.config import parse_config, read_values
from nucleate.train.start import with_start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nucleate.train.config import TrainConfig

__all__ = ["changed", "for_machine", "preset_names", "read_preset", "settings_from"]

_FOLDER = Path(__file__).with_name("presets")


def preset_names() -> list[str]:
    """Give the names of the presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def read_preset(name: str) -> dict[str, Any]:
    """Read the plain values of a preset.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in preset_names():
        raise UsageError(f"no preset {name!r}; there are {', '.join(preset_names())}")
    return read_values(_FOLDER / f"{name}.toml")


def changed(values: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Give plain settings with some of them changed.

    Parameters
    ----------
    values : dict
        Left as it is.
    changes : iterable of str
        ``key=value``, with dots for keys in tables: ``network.width=24``. A value that is no TOML is text.

    Raises
    ------
    UsageError
        If a change has no key or no equals sign.
    """
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {change!r}; use key=value, such as epochs=5 or network.width=24")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text  # a bare word is a string
        *parents, last = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {change!r}; {parent} is no table of settings")
        place[last] = value
    return values


def settings_from(
    config: Path | None,
    changes: Iterable[str] = (),
    *,
    preset: str | None = None,
    init: str | None = None,
) -> TrainConfig:
    """Put the settings of a run together; torch is not loaded for it.

    Parameters
    ----------
    config : Path, optional
        TOML file.
    changes : iterable of str
        See `changed`.
    preset : str, optional
        In place of a file. Without either: ``finetune`` if there is a model to start from, else ``fast``.
    init : str, optional
        Model to start from, by name or file.

    Raises
    ------
    UsageError
        If a setting is wrong.
    ModelError
        If there is no such model.
    """
    if config is not None and preset is not None:
        raise UsageError("--config and --preset exclude each other; give one, and --set for what differs")
    own: set[str] = set()
    if config is not None:
        values = read_values(config)
    else:
        values = read_preset(preset or ("finetune" if init is not None else "fast"))
        own = values.keys() - {"card"}  # a preset decides its tables itself, but not the tiles of the network
    if init is not None:
        values["init"] = init
    return parse_config(with_start(changed(values, changes), own=own), str(config or "settings"))


def for_machine(
    settings: TrainConfig, device: str, *, config: Path | None = None, begun: Path | None = None
) -> TrainConfig:
    """Give the settings of a preset with a precision: the one asked for, else the one that the machine is made for.

    Parameters
    ----------
    settings : TrainConfig
        From `settings_from`.
    device : str
        ``cpu`` or ``cuda``.
    config : Path, optional
        The file that the settings are from, which decides for itself, so nothing is changed.
    begun : Path, optional
        Folder of a run that goes on with these: if no precision is asked for, it keeps its own, on any machine.
    """
    from nucleate.train.device import best_precision

    if config is not None or "precision" in settings.model_fields_set:
        return settings
    path = None if begun is None else begun / "config.json"
    known = read_values(path).get("precision") if path is not None and path.is_file() else None
    return parse_config({**settings.model_dump(), "precision": known or best_precision(device)})
