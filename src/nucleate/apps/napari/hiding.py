"""Colormaps of a Labels layer that leave some nuclei unseen, whose pixels stay as they are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["can_hide", "hidden_by", "hiding"]

_DRAWN_BY = "_data_to_texture"
"""Private to napari, which has no public way to change the look of single ids and leave the others as they are."""


def can_hide(colormap: Any) -> bool:  # noqa: ANN401 - napari's colormaps
    """Tell whether this napari draws ids in the way that `hiding` changes."""
    return callable(getattr(colormap, _DRAWN_BY, None))


def hiding(colormap: Any, hidden: NDArray[Any]) -> Any:  # noqa: ANN401 - as above
    """Give a colormap of the same colours in which some ids look like the background.

    Parameters
    ----------
    colormap : napari.utils.colormaps.CyclicLabelColormap or DirectLabelColormap
        That of a Labels layer; also one that this function gave.
    hidden : (k,) int ndarray
        The ids to hide. Those that an earlier call hid are shown again.

    Returns
    -------
    colormap
        Of the same kind.
    """
    kind: Any = type(colormap)
    names = kind.model_fields if hasattr(kind, "model_fields") else kind.__fields__  # older napari: pydantic 1
    fields = {name: getattr(colormap, name) for name in names if name != "hidden"}
    return _kind(getattr(kind, "plain", kind))(**fields, hidden=hidden)


def hidden_by(colormap: Any) -> NDArray[Any]:  # noqa: ANN401 - as above
    """List the ids that a colormap hides; none unless `hiding` gave it."""
    return np.asarray(getattr(colormap, "hidden", ()), np.int64)


@cache
def _kind(base: Any) -> Any:  # noqa: ANN401 - as above
    """Derive a colormap that hides ids from one of napari's, which this module does not import."""

    class Hiding(base):  # type: ignore[misc]  # known when it is called
        hidden: Any = ()

        def map(self, values: Any) -> Any:  # noqa: ANN401 - as napari has it
            colours = super().map(values)
            if isinstance(values, np.ndarray):
                colours[np.isin(values, self.hidden)] = 0
            return colours

        def _data_to_texture(self, values: Any) -> Any:  # noqa: ANN401 - as above
            if not isinstance(values, np.ndarray):  # a single id: the swatch of the brush
                return super()._data_to_texture(values)
            top = int(values.max(initial=0))
            if top < values.size and values.min(initial=0) >= 0:  # each id once, then a look-up: quicker
                return self._of_ids(np.arange(top + 1, dtype=values.dtype))[values]
            return self._of_ids(values)

        def _of_ids(self, ids: NDArray[Any]) -> Any:  # noqa: ANN401 - as above
            background = np.array([self.background_value], ids.dtype)
            return super()._data_to_texture(np.where(np.isin(ids, self.hidden), background, ids))

    Hiding.plain = base
    return Hiding
