"""Take from this process what lets the administrator read and write everything, so that permissions mean something."""

from __future__ import annotations

import ctypes
import os

_VERSION = 0x20080522
_OVERRIDE = 0b110
"""Bits of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, see capabilities(7)."""


def give_up_powers() -> None:
    """Keep to the permissions of files from here on, in this thread and all that it starts."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) == 0:
        sets[0] &= ~_OVERRIDE  # the effective ones of the first 32
        if libc.capset(header, sets) == 0:
            return
    raise OSError(ctypes.get_errno(), "the capabilities of this process cannot be changed")
