"""``python -m nucleate``: the command line, for launchers such as torchrun that start a module."""

from __future__ import annotations

from nucleate.apps.cli.entry import start

__all__: list[str] = []

if __name__ == "__main__":
    start()
