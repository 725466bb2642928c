"""Drawn nuclei: the truth is exact, the chance is the generator's alone, the faults are there when asked for."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.data.files import read_samples

from nucleate.core.labels import areas, overlap_table
from nucleate.data import synth
from nucleate.data.sample import Sample
from nucleate.data.synth import STYLES, Scene, draw, place
from nucleate.data.write import write_sample
from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

scenes = st.builds(
    Scene,
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    nuclei=st.integers(0, 20),
    style=st.sampled_from(STYLES),
    bits=st.sampled_from([8, 16]),
    diameter=st.floats(1, 40),
    touching=st.floats(0, 1),
    noise=st.sampled_from([0.0, 1.0]),
    blur=st.sampled_from([0.0, 1.5]),
)


def touching(labels: NDArray[np.int32]) -> set[int]:
    """Ids of the nuclei that another one meets, by an edge or a corner."""
    found: set[int] = set()
    padded = np.pad(labels, 1)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        pairs, _ = overlap_table(padded, np.roll(padded, (down, right), (0, 1)))
        found |= {int(i) for a, b in pairs if a != b and a and b for i in (a, b)}
    return found


@settings(max_examples=60)
@given(scenes, st.integers(0, 2**32))
def test_the_truth_is_a_label_image_of_whole_nuclei(scene: Scene, seed: int) -> None:
    image, labels = draw(scene, np.random.default_rng(seed))
    assert image.dtype == (np.uint8 if scene.bits == 8 else np.uint16)
    assert image.shape == (*scene.size, 3)[: 3 if scene.style == "histology" else 2]
    assert labels.shape == scene.size
    assert labels.dtype == np.int32
    found = areas(labels)
    assert len(found) <= scene.nuclei
    assert (found > 0).all()
    for number in range(1, len(found) + 1):
        assert ndimage.label(labels == number)[1] == 1


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_draws_the_same(style: str) -> None:
    scene = Scene(size=(60, 50), nuclei=9, style=style)
    first, again, other = (draw(scene, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_touching_is_a_choice() -> None:
    scene = Scene(size=(600, 600), nuclei=200)
    apart = place(replace(scene, touching=0.0), np.random.default_rng(0)).labels
    assert apart.max() == 200
    assert touching(apart) == set()
    half = place(replace(scene, touching=0.5), np.random.default_rng(0)).labels
    assert len(touching(half)) >= 0.5 * half.max()
    every = place(replace(scene, touching=1.0), np.random.default_rng(0)).labels
    assert len(touching(every)) >= 0.98 * every.max()


def test_diameters_are_as_asked() -> None:
    labels = place(Scene(size=(1000, 1000), nuclei=200, diameter=30, touching=0), np.random.default_rng(0)).labels
    assert np.median(np.sqrt(areas(labels) * 4 / np.pi)) == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize("bits", [8, 16])
def test_nuclei_are_bright_or_dark_as_the_style_says(bits: int) -> None:
    for style, sign in (("fluorescence", 1), ("brightfield", -1), ("histology", -1)):
        image, labels = draw(Scene(style=style, bits=bits, dim=0), np.random.default_rng(5))
        grey = image.astype(float).mean(axis=-1) if image.ndim == 3 else image.astype(float)
        inside, outside = np.median(grey[labels > 0]), np.median(grey[labels == 0])
        assert sign * (inside - outside) > 0.08 * max(inside, outside)


def test_faults_come_when_asked_for() -> None:
    plain = Scene(noise=0, blur=0, uneven=0, texture=0, debris=0, dim=0, nuclei=0)
    image, _ = draw(plain, np.random.default_rng(0))
    assert np.ptp(image) == 0
    for scene in (replace(plain, bits=16, noise=1.0), replace(plain, bits=16, uneven=1.0)):
        changed, _ = draw(scene, np.random.default_rng(0))
        assert np.ptp(changed) > 0
    littered = replace(plain, nuclei=20, debris=3.0)
    assert draw(littered, np.random.default_rng(0))[1].max() == 20


def test_two_thousand_nuclei_take_seconds() -> None:
    start = time.process_time()
    _, labels = draw(Scene(size=(2048, 2048), nuclei=2000), np.random.default_rng(0))
    assert time.process_time() - start < 15
    assert labels.max() == 2000


def test_no_more_nuclei_are_tried_once_the_picture_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    whole = synth._Shape.random

    def counted(diameter: float, rng: np.random.Generator, *, spread: float) -> synth._Shape:
        tried.append(diameter)
        return whole(diameter, rng, spread=spread)

    monkeypatch.setattr(synth._Shape, "random", counted)
    _, labels = draw(Scene(size=(8, 8), diameter=200.0), np.random.default_rng(0))
    assert labels.min() == 1
    assert len(tried) == labels.max() < 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": (0, 5)}, "at least one pixel"),
        ({"nuclei": -1}, "no negative count"),
        ({"style": "x"}, "no style 'x'; choose fluorescence, "),
        ({"bits": 12}, "no pictures of 12 bits can be drawn; choose 8 or 16"),
        ({"diameter": 0.0}, "at least one pixel"),
        ({"touching": 1.1}, "give 0..1"),
        ({"noise": -1.0}, "give 0 or more"),
        ({"uneven": float("nan")}, "give 0..1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        replace(Scene(), **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["kaggle", "labels"])
@pytest.mark.parametrize("style", ["fluorescence", "histology"])
@pytest.mark.parametrize("bits", [8, 16])
def test_written_and_read_back(tmp_path: Path, layout: str, style: str, bits: int) -> None:
    scene = Scene(size=(40, 50), nuclei=5, style=style, bits=bits)
    drawn = [Sample(f"d{n}", *draw(replace(scene, nuclei=n), np.random.default_rng(n)), group="") for n in (0, 5)]
    for sample in drawn:
        write_sample(tmp_path, sample, layout=layout)
    for sample, found in zip(drawn, read_samples(tmp_path), strict=True):
        assert found.image_id == sample.image_id
        assert found.image.dtype == sample.image.dtype
        np.testing.assert_array_equal(found.image, sample.image)
        np.testing.assert_array_equal(found.labels, sample.labels)
    with pytest.raises(OutputError, match="is there already"):
        write_sample(tmp_path, drawn[0], layout=layout)


def test_labels_that_a_stop_left_without_their_picture_are_written_anew(tmp_path: Path) -> None:
    image, labels = draw(Scene(size=(40, 50), nuclei=5), np.random.default_rng(0))
    write_sample(tmp_path, Sample("d", image, labels * 0, group=""), layout="labels")
    (tmp_path / "images" / "d.png").unlink()
    write_sample(tmp_path, Sample("d", image, labels, group=""), layout="labels")
    (found,) = read_samples(tmp_path)
    np.testing.assert_array_equal(found.labels, labels)
