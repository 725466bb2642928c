"""Label images by id: what is missing, ignored or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.errors import DataError, UsageError
from nucleate.score.sources import evaluate_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

ONE = np.array([[0, 1, 1, 0, 2, 2]], np.int32)
NONE = np.zeros_like(ONE)


def test_equal_images_are_all_right() -> None:
    scores = evaluate_sources({"a": ONE}, {"a": ONE})
    assert scores.kaggle == 1.0
    assert (scores.missing, scores.ignored, dict(scores.failed)) == ((), (), {})


def test_missing_predictions_count_as_empty() -> None:
    scores = evaluate_sources({"a": ONE}, {"a": ONE, "b": ONE, "c": NONE})
    assert scores.missing == ("b", "c")
    assert [image.kaggle for image in scores.per_image] == [1.0, 0.0, 1.0]


def test_predictions_without_truth_do_not_count() -> None:
    scores = evaluate_sources({"a": ONE, "z": ONE}, {"a": ONE})
    assert scores.ignored == ("z",)
    assert scores.images == 1


def test_broken_predictions_count_as_empty_and_broken_truth_is_left_out() -> None:
    class Damaged(dict[str, "NDArray[Any]"]):
        def __getitem__(self, key: str) -> NDArray[Any]:
            if key == "b":
                raise DataError("b.tif is damaged")
            return super().__getitem__(key)

    scores = evaluate_sources(Damaged(a=ONE, b=ONE, c=ONE), {"a": ONE, "b": ONE, "c": ONE.T})
    assert scores.failed["b"] == "b.tif is damaged"
    assert scores.failed["c"].startswith("shapes differ: truth 6 x 1, prediction 1 x 6")
    assert [(image.image_id, image.kaggle) for image in scores.per_image] == [("a", 1.0), ("b", 0.0), ("c", 0.0)]
    assert scores.kaggle == pytest.approx(1 / 3)
    found = dict.fromkeys("abc", ONE)
    scores = evaluate_sources(found, Damaged(a=ONE, b=ONE, c=ONE + 0.5))
    assert (sorted(scores.failed), [image.image_id for image in scores.per_image]) == (["b", "c"], ["a"])


def test_classes_are_named_where_the_whole_side_is_so() -> None:
    classes, numbered = np.array([[1, 0, 1, 0, 2, 0, 2]]), np.array([[1, 0, 2, 0, 3, 0, 4]])
    for count, binary in ((7, ()), (8, tuple("abcdefgh"))):
        sides = dict.fromkeys("abcdefgh"[:count], numbered), dict.fromkeys("abcdefgh"[:count], classes)
        assert evaluate_sources(*sides).binary == binary
        assert evaluate_sources(*reversed(sides)).binary == binary


def test_binary_masks_are_named() -> None:
    numbered = np.array([[1, 0, 2], [1, 0, 2]])
    sources = {"a": numbered, "b": 255 * (numbered > 0), "c": numbered > 1}
    assert evaluate_sources(sources, dict.fromkeys(sources, numbered)).binary == ("b",)
    assert evaluate_sources(dict.fromkeys(sources, numbered), sources).binary == ("b",)


def test_no_common_image_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match=r"no image is in both: predictions p, q; truth a, b, c ... \(4\)"):
        evaluate_sources({"p": ONE, "q": ONE}, {"a": ONE, "b": ONE, "c": ONE, "d": ONE})
    numbers: Any = {1: ONE, 2: ONE}
    with pytest.raises(UsageError, match=r"predictions 1, 2; truth '1', '2'; give"):
        evaluate_sources(numbers, {"1": ONE, "2": ONE})
    mixed: Any = {"x": ONE, 1: ONE}
    assert evaluate_sources(mixed, mixed).kaggle == 1.0
    with pytest.raises(UsageError, match="predictions none; truth none"):
        evaluate_sources({}, {})


def test_all_broken_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 1 images could be compared; the first, a: shapes differ"):
        evaluate_sources({"a": ONE}, {"a": ONE.T})


def test_each_sees_the_ids_in_order() -> None:
    seen: list[str] = []

    def watch(ids: Iterable[str]) -> Iterator[str]:
        for image_id in ids:
            seen.append(image_id)
            yield image_id

    evaluate_sources({"b": ONE, "a": ONE}, {"b": ONE, "a": ONE}, each=watch)
    assert seen == ["a", "b"]
