"""What channels are called anew."""

from __future__ import annotations

import pytest

from nucleate.errors import UsageError
from nucleate.screen.channels import call_anew

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("names", "new", "called"),
    [
        (["01", "02", "bf"], {"1": "DAPI"}, ["DAPI", "02", "bf"]),
        (["405", "488"], {"0405": "DAPI"}, ["DAPI", "488"]),
        (["0", "1"], {"1": "0", "0": "1"}, ["1", "0"]),
        (["DAPI-1", "GFP"], {"dapi-1": "DNA"}, ["DNA", "GFP"]),
    ],
)
def test_channels_are_named_by_their_names(names: list[str], new: dict[str, str], called: list[str]) -> None:
    assert call_anew(names, new) == dict(zip(names, called, strict=True))


@pytest.mark.parametrize("new", [{"1": "DAPI", "2": "p53"}, {"1": "p53", "GFP": "actin"}, {"": "DAPI"}])
@pytest.mark.parametrize("names", [["c1", "c2", "GFP"], ["DAPI", "GFP"], ["bf", "GFP", "02"]])
def test_an_index_is_no_name(names: list[str], new: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"no channel '{min(new)}'; the files have {', '.join(names)}; give"):
        call_anew(names, new)


def test_a_channel_gets_one_name() -> None:
    with pytest.raises(UsageError, match="--channels: 01 would be called DAPI and p53; give it one name"):
        call_anew(["01", "02"], {"1": "DAPI", "01": "p53"})
