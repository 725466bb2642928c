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
    signal = _Painter(scene, field=field, rng=rng).signal()
    full = 2**scene.bits - 1
    image: NDArray[Any] = np.clip(np.rint(signal * full), 0, full).astype(f"uint{scene.bits}")
    return image


class _Painter:
    """One picture being painted; all methods draw from the same generator, so their order matters."""

    def __init__(self, scene: Scene, *, field: Field, rng: np.random.Generator) -> None:
        self.scene = scene
        self.field = field
        self.rng = rng

    def signal(self) -> NDArray[Any]:
        """Brightness, 1 where the picture is brightest."""
        painters = {"fluorescence": self._fluorescence, "brightfield": self._brightfield}
        return painters.get(self.scene.style, self._histology)()

    def _fluorescence(self) -> NDArray[Any]:
        dome = 0.5 + 0.5 * np.sqrt(np.clip(1 - (1 - self.field.depth) ** 2, 0, 1))
        stain = self._strengths()[self.field.labels] * dome * self._grain()
        stain += self._debris()
        # Light from out of focus surrounds bright nuclei with a haze.
        haze = np.float32(0.1) * _smooth(stain, 0.8 * self.scene.diameter)
        signal = ndimage.gaussian_filter(stain, self.scene.blur) + haze
        signal = (signal + np.float32(self.rng.uniform(0.02, 0.1))) * self._lighting()
        photons = 150.0 * np.exp(self.rng.uniform(-1, 1))
        signal = self._camera(signal, (photons, 0.012))
        if self.scene.bits == 16:
            # Scientific cameras add an offset of about a hundred counts and seldom fill their range.
            return signal * np.float32(np.exp(self.rng.uniform(np.log(0.03), np.log(0.4)))) + np.float32(100 / 65535)
        return signal * np.float32(self.rng.uniform(0.3, 0.75))

    def _brightfield(self) -> NDArray[Any]:
        rim = 0.75 + 0.5 * np.exp(-(((self.field.depth - 0.1) / 0.12) ** 2))
        nuclei = self._strengths()[self.field.labels] * rim * self._grain()
        inside = (self.field.labels > 0).astype(np.float32)
        # A cell reaches about one diameter beyond its nucleus and ends at a rather sharp, wavy edge.
        reach = _smooth(inside, 0.9 * self.scene.diameter) * (1 + 0.35 * self._clouds(0.9))
        cells = 1 / (1 + np.exp(-(reach - 0.1) / 0.012))
        plasma = 0.13 + 0.02 * self._clouds(0.1)
        plasma += 0.02 * self._clouds(0.5)
        density = 0.4 * nuclei + cells * plasma + 0.3 * self._debris()
        density += 0.004 * self._clouds(0.15)
        sharp = ndimage.gaussian_filter(density, self.scene.blur)
        # Refraction: a bright line just outside a dark edge.
        sharp += 0.5 * (sharp - ndimage.gaussian_filter(sharp, 1.5 + self.scene.blur))
        light = np.float32(self.rng.uniform(0.72, 0.92)) * self._lighting(depth=0.4)
        return self._camera(light * 10 ** (-sharp), (3000.0, 0.004))

    def _histology(self) -> NDArray[Any]:
        rim = 0.7 + 0.6 * np.exp(-(((self.field.depth - 0.08) / 0.12) ** 2))
        # Chromatin is coarser in fixed and stained tissue.
        nuclei = self._strengths()[self.field.labels] * rim * self._grain() ** 1.7
        inside = self.field.labels > 0
        near = 2 * _smooth(inside.astype(np.float32), self.scene.diameter)
        tissue = np.clip(0.75 + near + 0.6 * self._clouds(3), 0.04, 1.2)
        stroma = 1 + 0.25 * self._fibres() + 0.2 * self._clouds(0.3)
        eosin = self.rng.uniform(0.15, 0.4) * tissue * np.clip(stroma, 0.2, None) * (1 - 0.5 * inside)
        haematoxylin = 0.8 * nuclei + 0.06 * tissue * stroma + 0.5 * self._debris()
        strength = self.rng.uniform(0.75, 1.25, size=2)
        hues = [np.abs(hue + self.rng.normal(0, 0.04, 3)).astype(np.float32) for hue in (_HAEMATOXYLIN, _EOSIN)]
        light = np.float32(self.rng.uniform(0.88, 0.97)) * self._lighting(depth=0.15)
        channels = []
        for sample in range(3):
            density = strength[0] * hues[0][sample] * haematoxylin + strength[1] * hues[1][sample] * eosin
            density = ndimage.gaussian_filter(density.astype(np.float32), self.scene.blur)
            channels.append(self._camera(light * 10 ** (-density), (4000.0, 0.004)))
        return np.stack(channels, axis=-1)

    def _clouds(self, diameters: float) -> NDArray[Any]:
        """Smooth noise with features of that many diameters, mean 0, deviation about 1."""
        scale = max(0.7, diameters * self.scene.diameter)
        step = max(1, int(scale / 2))
        # Smooth noise needs few samples: it is made small and enlarged.
        size = (self.scene.size[0] // step + 4, self.scene.size[1] // step + 4)
        coarse = self.rng.standard_normal(size, dtype=np.float32)
        sigma = scale / step
        coarse = ndimage.gaussian_filter(coarse, sigma, mode="wrap") * np.float32(2 * np.sqrt(np.pi) * sigma)
        return _enlarge(coarse, step, size=self.scene.size)

    def _strengths(self) -> NDArray[Any]:
        """Stain of background and of each nucleus, 1 on average for the ordinary ones."""
        count = len(self.field.radii)
        strength = np.exp(self.rng.normal(0, 0.22, count))
        faint = self.rng.random(count) < self.scene.dim
        strength[faint] *= self.rng.uniform(0.2, 0.45, int(faint.sum()))
        return np.concatenate([[0], strength]).astype(np.float32)

    def _grain(self) -> NDArray[Any]:
        """Chromatin: a factor around 1, fine and coarse grain with a few spots in each nucleus."""
        fine = self._clouds(0.06)
        coarse = self._clouds(0.16)
        grain = 1 + np.float32(self.scene.texture) * (np.float32(0.35) * fine + np.float32(0.45) * coarse)
        spots = np.zeros(self.scene.size, dtype=np.float32)
        for centre, radius in zip(self.field.centres, self.field.radii, strict=True):
            for _ in range(int(self.rng.poisson(2.5))):
                away = self.rng.uniform(0, 0.65 * radius) * np.array(_heading(self.rng))
                sigma, height = radius * self.rng.uniform(0.1, 0.22), self.rng.choice([-1.2, 1.4])
                _dab(spots, centre + away, sigma=sigma, height=height)
        grain += np.float32(self.scene.texture) * spots
        return np.clip(grain, 0.15, None)

    def _debris(self) -> NDArray[Any]:
        """Specks, and faint smudges out of focus; none of them is in the truth."""
        found = np.zeros(self.scene.size, dtype=np.float32)
        for _ in range(int(self.rng.poisson(self.scene.debris * len(self.field.radii)))):
            place = self.rng.uniform(0, 1, 2) * self.scene.size
            if self.rng.random() < 0.7:
                sigma, height = self.rng.uniform([0.5, 0.2], [0.07 * self.scene.diameter + 0.6, 0.9])
            else:
                sigma, height = self.rng.uniform([0.3 * self.scene.diameter, 0.04], [0.6 * self.scene.diameter, 0.12])
            _dab(found, place, sigma=sigma, height=height)
        return found

    def _lighting(self, depth: float = 1.0) -> NDArray[Any]:
        """Brightness over the field, 1 at best: a lamp off the middle."""
        row, col = (np.linspace(-1, 1, n, dtype=np.float32) for n in self.scene.size)
        lamp = self.rng.uniform(-0.5, 0.5, 2)
        distance = (row[:, None] - np.float32(lamp[0])) ** 2 + (col - np.float32(lamp[1])) ** 2
        return 1 - np.float32(self.scene.uneven * depth) * distance / np.float32(max(1e-6, distance.max()))

    def _camera(self, signal: NDArray[Any], noise: tuple[float, float]) -> NDArray[Any]:
        """Shot noise of `noise[0]` photons at signal 1 and read noise of standard deviation `noise[1]`."""
        signal = np.clip(signal, 0, None).astype(np.float32)
        if self.scene.noise == 0:
            return signal
        photons = noise[0] / self.scene.noise**2
        counted = self.rng.poisson(signal * photons).astype(np.float32) / np.float32(photons)
        counted += np.float32(noise[1] * self.scene.noise) * self.rng.standard_normal(signal.shape, dtype=np.float32)
        return np.asarray(counted)

    def _fibres(self) -> NDArray[Any]:
        """Wavy strands of tissue, -1..1."""
        row, col = _heading(self.rng)
        height, width = self.scene.size
        phase = np.add.outer(np.arange(height) * row, np.arange(width) * col) / (0.35 * self.scene.diameter)
        phase += 4 * self._clouds(1.5) + self._clouds(0.4)
        return np.asarray(np.sin(phase), dtype=np.float32)


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


def _dab(canvas: NDArray[Any], centre: NDArray[Any], *, sigma: float, height: float) -> None:
    """Add a Gaussian blot."""
    half = int(np.ceil(3 * sigma))
    middle = [round(float(c)) for c in centre]
    window = tuple(
        slice(max(0, m - half), max(0, min(n, m + half + 1))) for m, n in zip(middle, canvas.shape, strict=True)
    )
    row, col = (np.arange(part.start, part.stop) - float(c) for part, c in zip(window, centre, strict=True))
    blot = np.exp(-(row**2) / (2 * sigma**2))[:, None] * np.exp(-(col**2) / (2 * sigma**2))
    canvas[window] += (height * blot).astype(np.float32)
