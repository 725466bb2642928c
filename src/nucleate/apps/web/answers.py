"""Answers to the page. What leaves the server as JSON leaves it through `Answer`."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi.responses import JSONResponse

__all__ = ["Answer"]


class Answer(JSONResponse):
    r"""JSON in which bytes of a file's name that are no UTF-8 are escapes, ``\udcff``, as on the command line."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - whatever JSON can hold
        """Give the bytes that are sent."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return re.sub("[\ud800-\udfff]", lambda found: rf"\\u{ord(found[0]):04x}", text).encode()
