"""The command line, called in the process of a test or in one of its own."""

from __future__ import annotations

import pytest

from nucleate.apps.cli.main import main

CALLS = """
import json, sys
from nucleate.apps.cli.main import main

for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        sys.stderr.write(f"{end.code}\\n")
"""
"""A program that makes the calls of its argument, a JSON list of lists of words, and writes the exit code of each."""


def call(*words: object) -> int:
    """Run it, and give the exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)
