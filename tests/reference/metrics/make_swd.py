"""Writes swd.json: sliced Wasserstein distances of two small sets of pictures, by the formulas of Karras et al. 2018.

Straightforward NumPy in double precision, without the fixed-point numbers of the tool. Run from this folder.
"""

import json

import numpy as np

PX, COUNT, PER_IMAGE, DIRECTIONS, SEED = 64, 10, 128, 512, 5


def pictures(kind):
    """Waves with noise; the two kinds differ in their waves. Values depend on RandomState alone."""
    noise = np.random.RandomState(kind).randint(0, 40, size=(COUNT, PX, PX, 3))
    y, x = np.mgrid[:PX, :PX]
    waves = [(7 * x * (1 + kind) + 5 * y + 11 * image) % 200 for image in range(COUNT)]
    return (np.stack(waves)[..., None] + noise).astype(np.uint8)


def smooth(planes):
    taps = np.array([1, 4, 6, 4, 1]) / 16
    for axis in (1, 2):
        padding = [(0, 0), (0, 0), (0, 0)]
        padding[axis] = (2, 2)
        padded = np.pad(planes, padding, mode="reflect")
        size = planes.shape[axis]
        planes = sum(tap * np.take(padded, np.arange(size) + i, axis) for i, tap in enumerate(taps))
    return planes


def pyramid(planes):
    levels = [planes]
    while levels[-1].shape[1] > 16:
        fine = levels[-1]
        coarse = smooth(fine)[:, ::2, ::2]
        stretched = np.zeros_like(fine)
        stretched[:, ::2, ::2] = coarse
        levels[-1] = fine - 4 * smooth(stretched)
        levels.append(coarse)
    return levels


def patches(images, seed):
    levels = None
    for index, image in enumerate(images):
        rng = np.random.RandomState(seed + index)
        scales = pyramid(image.transpose(2, 0, 1).astype(np.float64))
        levels = levels or [[] for _ in scales]
        for level, scale in zip(levels, scales):
            for _ in range(PER_IMAGE):
                left, top = (rng.randint(scale.shape[1] - 6) for _ in range(2))
                level.append(scale[:, top : top + 7, left : left + 7])
    normalised = []
    for level in map(np.stack, levels):
        level = (level - level.mean((0, 2, 3), keepdims=True)) / level.std((0, 2, 3), keepdims=True)
        normalised.append(level.reshape(len(level), -1))
    return normalised


def distance(a, b):
    directions = np.random.RandomState(SEED).randn(a.shape[1], DIRECTIONS)
    directions /= np.sqrt(np.square(directions).sum(0))
    return 1e3 * np.abs(np.sort(a @ directions, 0) - np.sort(b @ directions, 0)).mean()


real, fake = patches(pictures(0), 100), patches(pictures(1), 200)
found = [distance(a, b) for a, b in zip(real, fake)]
json.dump({"made_by": "make_swd.py", "levels": found, "mean": np.mean(found)}, open("swd.json", "w"), indent=1)
print(found)
