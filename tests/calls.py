"""The command line, called in the process of a test."""

from __future__ import annotations

import pytest

from nucleate.apps.cli.main import main


def call(*words: object) -> int:
    """Run it, and give the exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)
