"""The operations of timm's RandAugment table on one Pillow image: slow, and written from the table alone."""

from PIL import Image, ImageEnhance, ImageOps

FILL = (124, 116, 104)
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
ENHANCERS = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}


def strength(name, magnitude, sign, increasing):
    """From 0..10 to the argument of the operation, for ``-inc1`` and without."""
    share = magnitude / 10
    if name in ENHANCERS:
        return max(0.1, 1 + sign * share * 0.9) if increasing else share * 1.8 + 0.1
    return {
        "rotate": sign * share * 30,
        "posterize": 4 - int(share * 4) if increasing else int(share * 4),
        "solarize": 256 - int(share * 256) if increasing else int(share * 256),
        "solarize_add": int(share * 110),
        "shear_x": sign * share * 0.3,
        "shear_y": sign * share * 0.3,
        "translate_x": sign * share * 0.45,
        "translate_y": sign * share * 0.45,
    }.get(name, 0)


def apply(name, image, value, interpolation):
    if name in ENHANCERS:
        return ENHANCERS[name](image).enhance(value)
    if name == "auto_contrast":
        return ImageOps.autocontrast(image)
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "invert":
        return ImageOps.invert(image)
    if name == "posterize":
        return Image.eval(image, lambda level: level & ~(2 ** (8 - int(value)) - 1) & 255)
    if name == "solarize":
        return ImageOps.solarize(image, value)
    if name == "solarize_add":
        return image.point([min(255, level + int(value)) if level < 128 else level for level in range(256)] * 3)
    resample = RESAMPLE[interpolation]
    if name == "rotate":
        return image.rotate(value, resample=resample, fillcolor=FILL)
    width, height = image.size
    matrix = {
        "shear_x": (1, value, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, value, 1, 0),
        "translate_x": (1, 0, value * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, value * height),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL)
