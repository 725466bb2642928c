"""Crops: geometry that keeps image and labels together, intensities that stay in range, the same on every run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.train.drawn import disks

from nucleate.core.normalize import Normalizer
from nucleate.data.sample import Sample
from nucleate.train.augment import change_intensity, crop_grid, seeded
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.batches import Atlas, make_batch, prepare
from nucleate.train.config import TrainConfig
from nucleate.train.targets import normalised_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = AugmentConfig(flips=False)
WILD = AugmentConfig(
    rotate=True, zoom=(0.5, 2.0), displace=(0.01, 0.04), gamma=(0.5, 2.0), gain=(0.5, 1.5), offset=(-0.3, 0.3),
    noise=0.3, blur=2.0, invert=0.5, mix_channels=1.0, unequal=1.0, hollow=1.0, tissue=1.0,
)  # fmt: skip


def _atlas(side: int = 32) -> Atlas:
    return prepare(disks(side=side), TrainConfig().normalizer)


def test_an_unchanged_crop_is_the_picture() -> None:
    samples = disks(3)
    atlas = prepare(samples, TrainConfig().normalizer)
    which = torch.arange(3)
    grid = crop_grid(atlas.sizes_N2, 32, config=PLAIN, generator=seeded(0))
    batch, labels, _ = atlas.sample(which, grid)
    for index, sample in enumerate(samples):
        assert np.array_equal(labels[index].numpy(), sample.labels)
        expected = TrainConfig().normalizer(sample.image)
        np.testing.assert_allclose(batch[index].numpy(), expected, atol=0.51 / 255)


def test_pictures_are_mirrored_beyond_their_edges() -> None:
    atlas = _atlas()
    rows, cols = torch.meshgrid(torch.arange(-40.0, 80.0), torch.arange(-40.0, 80.0), indexing="ij")
    _, labels, _ = atlas.sample(torch.tensor([2]), torch.stack([rows, cols], -1)[None])
    expected = np.pad(disks()[2].labels, ((40, 48), (40, 48)), mode="reflect")
    assert np.array_equal(labels[0].numpy(), expected)


def test_bilinear_reading_agrees_with_scipy() -> None:
    atlas = _atlas()
    grid = torch.rand(1, 9, 9, 2, generator=seeded(1)) * 31
    batch, _, _ = atlas.sample(torch.tensor([1]), grid)
    picture = atlas.texels_PK[1024:2048, 0].reshape(32, 32).numpy() / 255
    expected = ndimage.map_coordinates(picture, grid[0].permute(2, 0, 1).numpy(), order=1)
    np.testing.assert_allclose(batch[0, 0].numpy(), expected, atol=1e-5)


def test_zoom_changes_the_size_of_nuclei() -> None:
    atlas = _atlas(64)
    half = AugmentConfig(flips=False, zoom=(0.5, 0.5))
    _, labels, _ = atlas.sample(torch.tensor([0]), crop_grid(atlas.sizes_N2[:1], 32, config=half, generator=seeded(0)))
    assert (labels > 0).sum().item() == pytest.approx((disks(side=64)[0].labels > 0).sum() / 4, rel=0.1)


def test_flips_happen_to_about_half_the_crops() -> None:
    sizes = torch.full((400, 2), 8)
    grid = crop_grid(sizes, 8, config=AugmentConfig(flips=True), generator=seeded(3))
    down = (grid[:, 0, 0, 0] > grid[:, -1, 0, 0]).float().mean().item()
    across = (grid[:, 0, 0, 1] > grid[:, 0, -1, 1]).float().mean().item()
    assert 0.4 < down < 0.6
    assert 0.4 < across < 0.6


def test_the_papers_displacement_has_the_standard_deviation_asked_for() -> None:
    sizes = torch.full((500, 2), 64)
    config = AugmentConfig(flips=False, displace=(0.03, 0.03))
    still = crop_grid(sizes, 64, config=PLAIN, generator=seeded(0))
    moved = crop_grid(sizes, 64, config=config, generator=seeded(0))
    corner = (moved - still)[:, 0, 0]
    assert corner.std().item() == pytest.approx(0.03 * 64, rel=0.1)


def test_crops_stay_inside_large_pictures() -> None:
    sizes = torch.tensor([[100, 200]]).expand(200, 2)
    grid = crop_grid(sizes, 32, config=AugmentConfig(), generator=seeded(0))
    assert grid[..., 0].min() >= 0
    assert grid[..., 0].max() <= 99
    assert grid[..., 1].max() <= 199
    assert grid[..., 1].max() > 150


@pytest.mark.parametrize("channels", [1, 3])
def test_wild_intensities_stay_in_range_and_finite(channels: int) -> None:
    batch = torch.rand(16, channels, 20, 20, generator=seeded(5))
    changed = change_intensity(batch, WILD, generator=seeded(6))
    assert changed.shape == batch.shape
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1
    assert not torch.equal(changed, batch)


def test_no_change_asked_for_changes_nothing() -> None:
    batch = torch.rand(4, 3, 8, 8)
    assert torch.equal(change_intensity(batch, AugmentConfig(), generator=seeded(0)), batch)


def test_grey_pictures_stay_grey_when_colours_are_mixed() -> None:
    grey = torch.rand(8, 1, 6, 6).expand(-1, 3, -1, -1)
    mixed = change_intensity(grey, AugmentConfig(mix_channels=1.0), generator=seeded(2))
    torch.testing.assert_close(mixed, grey)


def test_clear_nuclei_keep_their_rims_and_the_ground() -> None:
    nucleus = np.zeros((64, 64), np.int32)
    nucleus[12:52, 12:52] = 1
    distance_NHW = torch.from_numpy(normalised_distance(nucleus)).expand(100, -1, -1)
    nuclei_NCHW = 0.2 + 0.6 * (distance_NHW > 0).float()[:, None]
    config = AugmentConfig(hollow=0.6)
    cleared_NCHW = change_intensity(nuclei_NCHW, config, generator=seeded(4), distance_NHW=distance_NHW)
    kept = (distance_NHW < 0.1)[:, None]
    torch.testing.assert_close(cleared_NCHW[kept], nuclei_NCHW[kept])
    middle_N = cleared_NCHW[:, 0, 28:36, 28:36].mean((1, 2))
    assert cleared_NCHW[:, 0, 28:36, 28:36].min() >= (1 - 0.6) * 0.8
    assert middle_N.min() < 0.5 < 0.75 < middle_N.max()
    torch.testing.assert_close(change_intensity(nuclei_NCHW, config, generator=seeded(4)), nuclei_NCHW)


def test_nuclei_stand_out_less_each_by_its_own_share_and_the_ground_stays() -> None:
    labels_NHW = torch.zeros(100, 96, 96)
    labels_NHW[:, 16:36, 16:36], labels_NHW[:, 16:36, 36:56], labels_NHW[:, 64:84, 40:60] = 1, 2, 3
    nuclei_NCHW = 0.2 + 0.6 * (labels_NHW > 0).float()[:, None]
    config = AugmentConfig(unequal=0.8)
    made_NCHW = change_intensity(nuclei_NCHW, config, generator=seeded(4), labels_NHW=labels_NHW)
    torch.testing.assert_close(made_NCHW[labels_NHW[:, None] == 0], nuclei_NCHW[labels_NHW[:, None] == 0])
    left_N3 = torch.stack([made_NCHW[:, 0, *at] for at in ((26, 26), (26, 46), (74, 50))], 1)
    for number, left_N in enumerate(left_N3.unbind(1), 1):
        inside = made_NCHW[labels_NHW[:, None] == number].view(100, -1)
        torch.testing.assert_close(inside, left_N[:, None].expand_as(inside))
    assert 0.2 + 0.2 * 0.6 - 1e-6 <= left_N3.min() < 0.4 < 0.75 < left_N3.max() <= 0.8
    assert ((left_N3[:, 0] - left_N3[:, 1]).abs() > 0.05).float().mean() > 0.5
    torch.testing.assert_close(change_intensity(nuclei_NCHW, config, generator=seeded(4)), nuclei_NCHW)


def test_what_shines_beyond_an_outline_dims_with_its_nucleus() -> None:
    labels_NHW = torch.zeros(20, 64, 64)
    labels_NHW[:, 24:40, 24:40] = 1
    soft_NCHW = (labels_NHW > 0).float()[:, None].clone()
    soft_NCHW[:, :, 22:42, 22:42] += 0.4 * (labels_NHW == 0).float()[:, None, 22:42, 22:42]
    made_NCHW = change_intensity(soft_NCHW, AugmentConfig(unequal=1.0), generator=seeded(1), labels_NHW=labels_NHW)
    inside_N, rim_N = made_NCHW[:, 0, 32, 32], made_NCHW[:, 0, 23, 32]
    assert inside_N.min() < 0.3
    assert (rim_N <= 0.5 * inside_N + 0.05).all()


@pytest.mark.parametrize("light", [False, True])
def test_only_nuclei_on_light_ground_are_cleared(light: bool) -> None:
    samples = [replace(one, image=255 - one.image) if light else one for one in disks(side=64)]
    atlas = prepare(samples, TrainConfig().normalizer)
    assert set(atlas.light_N.tolist()) == {light}
    config = TrainConfig(crop=64, batch=4, augment=AugmentConfig(hollow=0.8))
    plain = config.replace(augment=AugmentConfig())
    made, unchanged = (make_batch(atlas, one, step=0).batch_NCHW for one in (config, plain))
    assert torch.equal(made, unchanged) is not light
    assert (made <= unchanged).all()


def test_tissue_lightens_the_ground_and_leaves_gaps() -> None:
    nuclei_NCHW = torch.zeros(100, 1, 64, 64)
    nuclei_NCHW[:, :, 20:30, 20:30] = 1
    laid_NCHW = change_intensity(nuclei_NCHW, AugmentConfig(tissue=0.5), generator=seeded(3))
    assert (laid_NCHW[nuclei_NCHW == 1] == 1).all()
    ground_NCHW = laid_NCHW[:, :, 32:]
    assert 0 <= ground_NCHW.min() <= ground_NCHW.max() <= 0.5
    assert ground_NCHW.amax((1, 2, 3)).mean() > 0.2
    assert (ground_NCHW < 0.01).float().mean() > 0.02


def test_stained_pictures_are_laid_out_twice() -> None:
    def sample(image: NDArray[np.uint8]) -> Sample:
        return Sample("", image, np.ones(image.shape[:2], np.int32), group="")

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 50, (16, 16), np.uint8)
    stained = np.stack([grey + np.uint8(100), grey + np.uint8(150), grey + np.uint8(200)], axis=-1)
    stained[:8] = 255
    rule = Normalizer(polarity="transmitted")
    assert len(prepare([sample(grey), sample(stained)], rule)) == 2
    twice = prepare([sample(grey), sample(stained)], rule, stains=True)
    assert len(twice) == 3
    seen = twice.texels_PK[:, 0].view(3, 16, 16).numpy()
    np.testing.assert_array_equal(seen[1], np.rint(255 * rule(stained)[0]))
    np.testing.assert_array_equal(seen[2], np.rint(255 * replace(rule, stain="haematoxylin")(stained)[0]))


def test_training_sees_dyes_that_shine_as_the_program_does() -> None:
    rng = np.random.default_rng(0)
    shown = np.stack([rng.integers(0, 60, (16, 16)), rng.integers(0, 90, (16, 16)), rng.integers(0, 200, (16, 16))], -1)
    shown[:9] = 0
    image = shown.astype(np.uint8)
    rule = Normalizer(polarity="transmitted", stain="nuclear")
    assert rule.measure(image).only == 2
    atlas = prepare([Sample("", image, np.ones((16, 16), np.int32), group="")], rule, stains=True)
    np.testing.assert_array_equal(atlas.texels_PK[:, 0].view(16, 16).numpy(), np.rint(255 * rule(image)[0]))


def test_inversion_turns_about_the_asked_share() -> None:
    batch = torch.zeros(400, 1, 2, 2)
    turned = change_intensity(batch, AugmentConfig(invert=0.25), generator=seeded(2)).amax((1, 2, 3))
    assert 0.18 < turned.mean().item() < 0.32


def test_all_crops_may_be_left_plain() -> None:
    batch = torch.rand(2, 1, 8, 8)
    assert torch.equal(change_intensity(batch, AugmentConfig(gamma=(2.0, 2.0), plain=1.0), generator=seeded(2)), batch)


def test_about_the_asked_share_of_crops_is_left_plain() -> None:
    batch = torch.rand(400, 1, 8, 8)
    changed = change_intensity(batch, AugmentConfig(gamma=(2.0, 2.0), plain=0.25), generator=seeded(2))
    left = (changed == batch).all(3).all(2)[:, 0]
    assert 0.18 < left.float().mean().item() < 0.32
    torch.testing.assert_close(changed[~left], batch[~left] ** 2)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    config = TrainConfig(augment=WILD.model_copy(update={"mix_channels": 0.0}), crop=16, batch=4)
    atlas = _atlas()
    first, again, other = (make_batch(atlas, config, step=step) for step in (5, 5, 6))
    assert torch.equal(first.batch_NCHW, again.batch_NCHW)
    assert torch.equal(first.targets_NCHW, again.targets_NCHW)
    assert first.batch_NCHW.shape != other.batch_NCHW.shape or not torch.equal(first.batch_NCHW, other.batch_NCHW)


def test_an_epoch_sees_each_picture_once() -> None:
    config = TrainConfig(augment=PLAIN, crop=32, batch=4)
    atlas = _atlas()
    batches = [make_batch(atlas, config, step=step).batch_NCHW for step in (0, 1)]
    seen = torch.cat(batches)
    assert [len(batch) for batch in batches] == [4, 2]
    assert len({picture.numpy().tobytes() for picture in seen}) == 6


def test_resizing_keeps_ids_and_gives_squares() -> None:
    atlas = prepare(disks(2, side=40), TrainConfig().normalizer, resize=16)
    assert atlas.sizes_N2.tolist() == [[16, 16], [16, 16]]
    assert set(atlas.labels_P.tolist()) == {0, 1, 2}


def test_seeds_that_differ_in_one_place_give_other_numbers() -> None:
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0, 0)]
    drawn = {tuple(torch.rand(2, generator=seeded(*key)).tolist()) for key in keys}
    assert len(drawn) == len(keys)


def test_a_lamp_dims_what_shines_or_what_lets_light_through() -> None:
    nuclei_NCHW = torch.zeros(200, 3, 8, 8)
    nuclei_NCHW[:, :, 2:5, 2:5] = 1
    lit_NCHW = change_intensity(nuclei_NCHW, AugmentConfig(lamp=0.6), generator=seeded(1))
    ground_N, bright_N = lit_NCHW[:, :, 7, 7].amax(1), lit_NCHW[:, :, 3, 3].amin(1)
    shining, passed = ground_N == 0, bright_N > 1 - 1e-6
    assert bool((shining | passed).all())
    assert 60 < int(passed.sum()) < 140
    assert float(bright_N.min()) >= 0.4**2 - 1e-6
    assert float(ground_N.max()) > 0.2
    colours_N = lit_NCHW[:, :, 3, 3].amax(1) - bright_N
    assert float(colours_N.max()) > 0.1
