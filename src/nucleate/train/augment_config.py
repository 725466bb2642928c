"""How crops are changed in a training run: frozen settings that check themselves."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AugmentConfig", "CalmConfig", "FrozenConfig", "Range"]

Range = tuple[float, float]


class FrozenConfig(BaseModel):
    """Settings that cannot be changed, and refuse what they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AugmentConfig(FrozenConfig):
    """How crops are changed; every range is drawn from uniformly, once a crop, unless said otherwise.

    Parameters
    ----------
    flips, rotate : bool
        Horizontal and vertical flips, each with p = 0.5; any angle.
    zoom : (float, float)
        Size of nuclei in the crop relative to the source, drawn log-uniformly.
    displace : (float, float)
        Range of z, the standard deviation of the piecewise affine shift of a `displace_grid` of points, as a share of
        the crop's side.
    displace_grid : int
        Points a side.
    gamma : (float, float)
        Exponent on 0..1, drawn log-uniformly.
    gain : (float, float)
        Contrast: the picture is multiplied by this, then clipped.
    offset : (float, float)
        Brightness: this is added, then the picture is clipped.
    noise : float
        Largest standard deviation of Gaussian noise, 0..1 of the range.
    blur : float
        Largest standard deviation of a Gaussian blur, pixels.
    invert : float
        Chance that the picture is inverted.
    mix_channels : float
        Chance that colours are shuffled and shifted, or turned to grey (one half each).
    hue : float
        Largest turn of the colours around the grey axis, radians.
    saturation : (float, float)
        Distance of the colours from grey: 0 is grey, 1 as it was.
    dye : float
        Largest change of each colour channel, as a logarithm of its factor.
    tint : float
        Chance that a grey picture is shown in one colour, as fluorescence often is.
    unequal : float
        Largest share, 0..1, of its contrast with the ground that a nucleus loses; each nucleus loses another share.
    hollow : float
        Largest share, 0..1, of their dye that the middles of nuclei on light ground lose, but for a rim and clumps.
    tissue : float
        Largest density, 0..1, of rough tissue with gaps in which the nuclei are laid.
    shade : float
        Largest unevenness of the ground across a crop, 0..1 of the range.
    lamp : float
        Largest share of the light that a lamp takes away across a crop, and as much again from single colours.
    coarse : float
        Chance that few grey levels (4 to 64) are left, as in pictures that use little of their range.
    jpeg, jpeg_quality : float and (float, float)
        Chance of the block noise of a JPEG compression, and its quality, 1 (worst) to 100: dim pictures suffer like
        bright ones of a lower quality. Pixels beyond the last whole block of 8 stay as they are.
    plain : float
        Chance that a crop's intensities are left as they are, while the crop is still moved.
    """

    flips: bool = True
    rotate: bool = False
    zoom: Range = (1.0, 1.0)
    displace: Range = (0.0, 0.0)
    displace_grid: int = Field(4, ge=2)
    gamma: Range = (1.0, 1.0)
    gain: Range = (1.0, 1.0)
    offset: Range = (0.0, 0.0)
    noise: float = Field(0.0, ge=0)
    blur: float = Field(0.0, ge=0)
    invert: float = Field(0.0, ge=0, le=1)
    mix_channels: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0)
    saturation: Range = (1.0, 1.0)
    dye: float = Field(0.0, ge=0)
    tint: float = Field(0.0, ge=0, le=1)
    unequal: float = Field(0.0, ge=0, le=1)
    hollow: float = Field(0.0, ge=0, le=1)
    tissue: float = Field(0.0, ge=0, le=1)
    shade: float = Field(0.0, ge=0)
    lamp: float = Field(0.0, ge=0, le=1)
    coarse: float = Field(0.0, ge=0, le=1)
    jpeg: float = Field(0.0, ge=0, le=1)
    jpeg_quality: Range = (20.0, 90.0)
    plain: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("zoom", "displace", "gamma", "gain", "offset", "saturation", "jpeg_quality"):
            low, high = getattr(self, name)
            least = "0 < " if name in {"zoom", "gamma", "jpeg_quality"} else ""
            if low > high or (least and low <= 0):
                raise ValueError(f"{name}: need {least}low <= high; got {low}, {high}")
        return self


class CalmConfig(FrozenConfig):
    """Settings of the last epochs, in which a network learns outlines from crops that are changed less.

    Further fields replace those of `AugmentConfig` with the same name.

    Parameters
    ----------
    epochs : int
        How many epochs; all epochs in a run of fewer.
    lr : float or None
        Learning rate of the run from there on, with which ``cosine`` begins anew; None leaves it.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    epochs: int = Field(ge=1)
    lr: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        AugmentConfig.model_validate(self.model_extra)
        return self
