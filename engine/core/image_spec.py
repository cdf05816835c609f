"""What is done to images between the data set and the model, as the experiment file says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from engine.core.strict import STRICT, NonNegative, Positive, PositiveFloat, Ratio

__all__ = ["Augmentation", "AugmentationName", "Interpolation", "Normalise", "Resize"]

Interpolation = Literal["bilinear", "bicubic"]
AugmentationName = Literal["flip", "crop", "random_resized_crop", "rand_augment", "random_erasing"]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "flip": {"probability": 0.5},
    "crop": {"padding": 4},
    "random_resized_crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3], "interpolation": None},
    "rand_augment": {
        "magnitude": 9.0,
        "magnitude_std": 0.5,
        "increasing": True,
        "num_ops": 2,
        "probability": 0.5,
        "interpolation": None,
    },
    "random_erasing": {"probability": 0.25, "mode": "pixel", "scale": [0.02, 1 / 3], "ratio": [0.3, 1 / 0.3]},
}
"""What each takes, and what it is where not given: torchvision's, for the last two timm's."""


class Resize(BaseModel):
    """``resize = { size = 224 }``: what every image is brought to, in evaluation too."""

    model_config = STRICT

    size: Positive
    """Sides of the square that the model sees, in pixels."""
    crop_ratio: Annotated[float, Field(gt=0, le=1)] = 0.875
    """The shorter side becomes ``size / crop_ratio``, of which the centre is cut out; 1 keeps all of a square."""
    interpolation: Interpolation = "bilinear"


class Normalise(BaseModel):
    """``normalise = { mean = [0.5], std = [0.25] }``: per channel, of images scaled to 0..1; one value for all."""

    model_config = STRICT

    mean: Annotated[list[float], Field(min_length=1)]
    std: Annotated[list[PositiveFloat], Field(min_length=1)]


class Augmentation(BaseModel):
    """``augment = ["flip", { name = "crop", padding = 4 }]``: a name with its arguments."""

    model_config = STRICT

    name: AugmentationName
    probability: Ratio | None = None
    """``flip``, ``random_erasing``: of a sample; ``rand_augment``: of each operation."""
    padding: NonNegative | None = None
    """``crop``: black pixels added on each side."""
    scale: Annotated[list[Ratio], Field(min_length=2, max_length=2)] | None = None
    """``random_resized_crop``, ``random_erasing``: least and most share of the area."""
    ratio: Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)] | None = None
    """``random_resized_crop``, ``random_erasing``: least and most aspect ratio."""
    interpolation: Interpolation | None = None
    """``random_resized_crop``, ``rand_augment``; that of ``resize`` where not given, else bilinear."""
    magnitude: Annotated[float, Field(ge=0, le=10)] | None = None
    magnitude_std: Annotated[float, Field(ge=0)] | None = None
    """``rand_augment``: deviation of the magnitude from sample to sample."""
    increasing: bool | None = None
    """``rand_augment``: every operation grows with the magnitude."""
    num_ops: Positive | None = None
    """``rand_augment``: operations drawn for a sample."""
    mode: Literal["pixel", "constant"] | None = None
    """``random_erasing``: normal noise for each pixel, or the mean."""

    @model_validator(mode="after")
    def _only_own_arguments(self) -> Self:
        allowed = _DEFAULTS[self.name]
        wrong = sorted(set(self.model_dump(exclude={"name"}, exclude_none=True)) - set(allowed))
        if wrong:
            raise ValueError(f"{self.name} does not take {', '.join(wrong)}; it takes {', '.join(allowed)}")
        for key, values in (("scale", self.scale), ("ratio", self.ratio)):
            if values is not None and not 0 < values[0] <= values[1]:
                raise ValueError(f"{self.name}: {key} is [least, most] above 0, not {values}")
        return self

    def arguments(self) -> dict[str, Any]:
        """All that the augmentation takes, defaults included."""
        given = self.model_dump(exclude={"name"}, exclude_none=True)
        return {**_DEFAULTS[self.name], **given}
