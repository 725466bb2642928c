"""Find every cell nucleus in a microscope image."""

from __future__ import annotations

__version__ = "0.1.0"
