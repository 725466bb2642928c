"""Turns a field of drawn nuclei into a picture: light, stain, optics, camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.data.synth import Field, Scene

__all__ = ["paint"]

# Optical density of haematoxylin and eosin in red, green, blue: the usual reference of stain normalisation
# (method of Macenko et al. 2009, ISBI, DOI 10.1109/ISBI.2009.5193250).
_HAEMATOXYLIN = np.array([0.5626, 0.7201, 0.4062], dtype=np.float32)
_EOSIN = np.array([0.2159, 0.8012, 0.5581], dtype=np.float32)


def paint(scene: Scene, field: Field, *, rng: np.random.Generator) -> NDArray[Any]:
    """Paint a field of nuclei in the style of its scene.

    Parameters
    ----------
    scene : Scene
        Style, bits and faults of the picture.
    field : Field
        The nuclei.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    (H, W) or (H, W, 3) uint8 or uint16 ndarray
    """
    painters = {"fluorescence": _fluorescence, "brightfield": _brightfield, "histology": _histology}
    signal = painters[scene.style](scene, field, rng)
    full = 2**scene.bits - 1
    image: NDArray[Any] = np.clip(np.rint(signal * full), 0, full).astype(f"uint{scene.bits}")
    return image


def _fluorescence(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    dome = 0.5 + 0.5 * np.sqrt(np.clip(1 - (1 - field.depth) ** 2, 0, 1))
    stain = _strengths(scene, field, rng)[field.labels] * dome * _grain(scene, field, rng)
    stain += _debris(scene, field, rng)
    # Light from out of focus surrounds bright nuclei with a haze.
    signal = ndimage.gaussian_filter(stain, scene.blur) + np.float32(0.1) * _smooth(stain, 0.8 * scene.diameter)
    signal = (signal + np.float32(rng.uniform(0.02, 0.1))) * _lighting(scene, rng)
    photons = 150.0 * np.exp(rng.uniform(-1, 1))
    signal = _camera(signal, (photons, 0.012), scene=scene, rng=rng)
    if scene.bits == 16:
        # Scientific cameras add an offset of about a hundred counts and seldom fill their range.
        return signal * np.float32(np.exp(rng.uniform(np.log(0.03), np.log(0.4)))) + np.float32(100 / 65535)
    return signal * np.float32(rng.uniform(0.3, 0.75))


def _brightfield(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    rim = 0.75 + 0.5 * np.exp(-(((field.depth - 0.1) / 0.12) ** 2))
    nuclei = _strengths(scene, field, rng)[field.labels] * rim * _grain(scene, field, rng)
    inside = (field.labels > 0).astype(np.float32)
    # A cell reaches about one diameter beyond its nucleus and ends at a rather sharp, wavy edge.
    reach = _smooth(inside, 0.9 * scene.diameter) * (1 + 0.35 * _clouds(scene.size, 0.9 * scene.diameter, rng=rng))
    cells = 1 / (1 + np.exp(-(reach - 0.1) / 0.012))
    plasma = 0.13 + 0.02 * _clouds(scene.size, max(1.0, 0.1 * scene.diameter), rng=rng)
    plasma += 0.02 * _clouds(scene.size, max(1.0, 0.5 * scene.diameter), rng=rng)
    density = 0.4 * nuclei + cells * plasma + 0.3 * _debris(scene, field, rng)
    density += 0.004 * _clouds(scene.size, max(1.0, 0.15 * scene.diameter), rng=rng)
    sharp = ndimage.gaussian_filter(density, scene.blur)
    # Refraction: a bright line just outside a dark edge.
    sharp += 0.5 * (sharp - ndimage.gaussian_filter(sharp, 1.5 + scene.blur))
    light = np.float32(rng.uniform(0.72, 0.92)) * _lighting(scene, rng, depth=0.4)
    return _camera(light * 10 ** (-sharp), (3000.0, 0.004), scene=scene, rng=rng)


def _histology(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    rim = 0.7 + 0.6 * np.exp(-(((field.depth - 0.08) / 0.12) ** 2))
    # Chromatin is coarser in fixed and stained tissue.
    nuclei = _strengths(scene, field, rng)[field.labels] * rim * _grain(scene, field, rng) ** 1.7
    inside = field.labels > 0
    tissue = _smooth(inside.astype(np.float32), scene.diameter) * 2 + 0.6 * _clouds(
        scene.size, 3 * scene.diameter, rng=rng
    )
    tissue = np.clip(0.75 + tissue, 0.04, 1.2)
    stroma = 1 + 0.25 * _fibres(scene, rng) + 0.2 * _clouds(scene.size, 0.3 * scene.diameter, rng=rng)
    eosin = (
        rng.uniform(0.15, 0.4) * tissue * np.clip(stroma, 0.2, None) * np.where(inside, np.float32(0.5), np.float32(1))
    )
    haematoxylin = 0.8 * nuclei + 0.06 * tissue * stroma + 0.5 * _debris(scene, field, rng)
    strength = rng.uniform(0.75, 1.25, size=2)
    hues = [np.abs(hue + rng.normal(0, 0.04, 3)).astype(np.float32) for hue in (_HAEMATOXYLIN, _EOSIN)]
    light = np.float32(rng.uniform(0.88, 0.97)) * _lighting(scene, rng, depth=0.15)
    channels = []
    for sample in range(3):
        density = strength[0] * hues[0][sample] * haematoxylin + strength[1] * hues[1][sample] * eosin
        density = ndimage.gaussian_filter(density.astype(np.float32), scene.blur)
        channels.append(_camera(light * 10 ** (-density), (4000.0, 0.004), scene=scene, rng=rng))
    return np.stack(channels, axis=-1)


def _strengths(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    """Stain of background and of each nucleus, 1 on average for the ordinary ones."""
    count = len(field.radii)
    strength = np.exp(rng.normal(0, 0.22, count))
    faint = rng.random(count) < scene.dim
    strength[faint] *= rng.uniform(0.2, 0.45, int(faint.sum()))
    return np.concatenate([[0], strength]).astype(np.float32)


def _grain(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    """Chromatin: a factor around 1, fine and coarse grain with a few spots in each nucleus."""
    fine = _clouds(scene.size, max(0.7, 0.06 * scene.diameter), rng=rng)
    coarse = _clouds(scene.size, max(1.0, 0.16 * scene.diameter), rng=rng)
    grain = 1 + np.float32(scene.texture) * (np.float32(0.35) * fine + np.float32(0.45) * coarse)
    spots = np.zeros(scene.size, dtype=np.float32)
    for centre, radius in zip(field.centres, field.radii, strict=True):
        for _ in range(int(rng.poisson(2.5))):
            away = rng.uniform(0, 0.65 * radius) * np.array(_heading(rng))
            _dab(spots, centre + away, (radius * rng.uniform(0.1, 0.22), rng.choice([-1.2, 1.4])))
    grain += np.float32(scene.texture) * spots
    return np.clip(grain, 0.15, None)


def _debris(scene: Scene, field: Field, rng: np.random.Generator) -> NDArray[Any]:
    """Specks, and faint smudges out of focus; none of them is in the truth."""
    found = np.zeros(scene.size, dtype=np.float32)
    for _ in range(int(rng.poisson(scene.debris * len(field.radii)))):
        place = rng.uniform(0, 1, 2) * scene.size
        if rng.random() < 0.7:
            _dab(found, place, (rng.uniform(0.5, 0.07 * scene.diameter + 0.6), rng.uniform(0.2, 0.9)))
        else:
            _dab(found, place, (scene.diameter * rng.uniform(0.3, 0.6), rng.uniform(0.04, 0.12)))
    return found


def _lighting(scene: Scene, rng: np.random.Generator, depth: float = 1.0) -> NDArray[Any]:
    """Brightness over the field, 1 at best: a lamp off the middle."""
    row, col = (np.linspace(-1, 1, n, dtype=np.float32) for n in scene.size)
    lamp = rng.uniform(-0.5, 0.5, 2)
    distance = (row[:, None] - np.float32(lamp[0])) ** 2 + (col - np.float32(lamp[1])) ** 2
    return 1 - np.float32(scene.uneven * depth) * distance / np.float32(max(1e-6, distance.max()))


def _camera(
    signal: NDArray[Any], noise: tuple[float, float], *, scene: Scene, rng: np.random.Generator
) -> NDArray[Any]:
    """Shot noise of `noise[0]` photons at signal 1 and read noise of standard deviation `noise[1]`."""
    signal = np.clip(signal, 0, None).astype(np.float32)
    if scene.noise == 0:
        return signal
    photons = noise[0] / scene.noise**2
    counted = rng.poisson(signal * photons).astype(np.float32) / np.float32(photons)
    counted += np.float32(noise[1] * scene.noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(counted)


def _fibres(scene: Scene, rng: np.random.Generator) -> NDArray[Any]:
    """Wavy strands of tissue, -1..1."""
    row, col = _heading(rng)
    phase = np.add.outer(np.arange(scene.size[0]) * row, np.arange(scene.size[1]) * col) / (0.35 * scene.diameter)
    phase += 4 * _clouds(scene.size, 1.5 * scene.diameter, rng=rng) + _clouds(scene.size, 0.4 * scene.diameter, rng=rng)
    return np.asarray(np.sin(phase), dtype=np.float32)


def _clouds(size: tuple[int, int], scale: float, *, rng: np.random.Generator) -> NDArray[Any]:
    """Smooth noise with features of about `scale` pixels, mean 0, deviation about 1."""
    step = max(1, int(scale / 2))
    # Smooth noise needs few samples: it is made small and enlarged.
    coarse = rng.standard_normal((size[0] // step + 4, size[1] // step + 4), dtype=np.float32)
    sigma = scale / step
    coarse = ndimage.gaussian_filter(coarse, sigma, mode="wrap") * np.float32(2 * np.sqrt(np.pi) * sigma)
    return _enlarge(coarse, step, size=size)


def _smooth(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    step = max(1, int(sigma / 3))
    padding = [(0, -n % step) for n in image.shape]
    padded = np.pad(image, padding, mode="edge")
    coarse = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).mean(axis=(1, 3))
    blurred = ndimage.gaussian_filter(coarse, sigma / step, mode="nearest")
    return _enlarge(np.pad(blurred, 2, mode="edge"), step, size=(image.shape[0], image.shape[1]), margin=2)


def _enlarge(coarse: NDArray[Any], step: int, *, size: tuple[int, int], margin: int = 1) -> NDArray[Any]:
    """Interpolate linearly, one axis after the other; sample `margin` is the middle of the first `step` pixels."""
    if step == 1:
        return coarse[margin : margin + size[0], margin : margin + size[1]]
    for axis, length in enumerate(size):
        place = margin + (np.arange(length, dtype=np.float32) + 0.5) / step - 0.5
        first = np.minimum(place.astype(np.intp), coarse.shape[axis] - 2)
        rest = (place - first).astype(np.float32)
        rest = rest[:, None] if axis == 0 else rest
        low, high = coarse.take(first, axis), coarse.take(first + 1, axis)
        coarse = low + rest * (high - low)
    return coarse


def _heading(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.sin(angle)), float(np.cos(angle))


def _dab(canvas: NDArray[Any], centre: NDArray[Any], form: tuple[float, Any]) -> None:
    """Add a Gaussian blot of `form` = (standard deviation, height)."""
    sigma, height = form
    half = int(np.ceil(3 * sigma))
    middle = [round(float(c)) for c in centre]
    window = tuple(
        slice(max(0, m - half), max(0, min(n, m + half + 1))) for m, n in zip(middle, canvas.shape, strict=True)
    )
    row, col = (np.arange(part.start, part.stop) - float(c) for part, c in zip(window, centre, strict=True))
    blot = np.exp(-(row**2) / (2 * sigma**2))[:, None] * np.exp(-(col**2) / (2 * sigma**2))
    canvas[window] += (height * blot).astype(np.float32)
