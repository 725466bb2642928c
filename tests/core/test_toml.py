"""The TOML writer: the standard library reads back what was written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.core.toml import toml_text

pytestmark = pytest.mark.base

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(
    text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.just(float("-inf"))
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(text, values, max_size=5))
def test_what_is_written_is_read_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table


def test_layout_by_hand() -> None:
    table = {"name": "a b", "none": None, "maps": ("mask", "border"), "recipe": {"level": 0.5, "on": True, "deep": {}}}
    expected = 'name = "a b"\nmaps = ["mask", "border"]\n\n[recipe]\nlevel = 0.5\non = true\n\n[recipe.deep]\n'
    assert toml_text(table) == expected


def test_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="no value for set"):
        toml_text({"a": {1, 2}})
