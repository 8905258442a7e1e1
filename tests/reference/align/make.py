"""Makes crops.json and faces.json beside this file.

crops.json: what Pillow, NumPy and SciPy give for the steps of the FFHQ alignment recipe on a drawn photo. The steps are
those of Karras, Laine and Aila (2019), appendix A: shrink by a whole number, cut, pad (mirrored, blurred, faded to the
median), stretch to a larger square, shrink that. Run: python make.py

faces.json: boxes, scores, landmarks and frames of 31 faces as dlib and the published script gave them; numbers only.
Run: python make.py FOLDER, where FOLDER holds the goldens' index.json and *.landmarks.json.
"""
import hashlib
import json
import pathlib
import sys

import numpy as np
import PIL
import scipy
from PIL import Image
from scipy import ndimage

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 240, 180


def drawn_photo():
    """Slopes, waves and noise, from whole numbers only, so that any language draws the same."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    red = x * 255 // (WIDTH - 1)
    green = (x * y // 32) % 256
    blue = (x * 13) ^ (y * 29)
    return Image.fromarray(np.stack([red, green, blue % 256], axis=2).astype(np.uint8), "RGB")


def corners(center, right):
    c, x = np.array(center), np.array(right)
    y = np.array([-x[1], x[0]])
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def padded(image, quad, side, border):
    """The image with room for the quad, and the quad in it."""
    low, high = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    size = np.array(image.size)
    missing = np.maximum(np.concatenate([border - low, high - size + border]), 0)
    if missing.max() <= border - 4:
        return image, quad
    left, top, right, bottom = (int(n) for n in np.maximum(missing, int(np.rint(side * 0.3))))
    pixels = np.pad(np.float32(image), ((top, bottom), (left, right), (0, 0)), "reflect")
    rows, columns = pixels.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    inward = np.minimum(np.minimum(x / left, (columns - 1 - x) / right), np.minimum(y / top, (rows - 1 - y) / bottom))
    fade = (1.0 - inward)[:, :, np.newaxis]
    soft = ndimage.gaussian_filter(pixels, [side * 0.02, side * 0.02, 0])
    pixels += (soft - pixels) * np.clip(fade * 3.0 + 1.0, 0.0, 1.0)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(fade, 0.0, 1.0)
    image = Image.fromarray(np.uint8(np.clip(np.rint(pixels), 0, 255)), "RGB")
    return image, quad + [left, top]


def aligned(image, center, right, size, transform):
    quad = corners(center, right)
    side = np.hypot(*right) * 2
    shrink = int(np.floor(side / size * 0.5))
    if shrink > 1:
        small = [int(np.rint(length / shrink)) for length in image.size]
        image = image.resize(small, Image.LANCZOS)
        quad, side = quad / shrink, side / shrink
    border = max(int(np.rint(side * 0.1)), 3)
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + border, image.size)
    image, quad = image.crop((*(int(n) for n in low), *(int(n) for n in high))), quad - low
    image, quad = padded(image, quad, side, border)
    image = image.transform((transform, transform), Image.QUAD, (quad + 0.5).flatten(), Image.BILINEAR)
    return image.resize((size, size), Image.LANCZOS) if size < transform else image


def crop_case(image, center, right, size, transform):
    pixels = np.asarray(aligned(image, center, right, size, transform))
    step = size // 4
    return {
        "center": center, "right": right, "size_px": size, "transform_px": transform,
        "some_pixels": pixels[step // 2::step, step // 2::step].reshape(-1, 3).tolist(),
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
    }


def crops():
    image = drawn_photo()
    cases = [
        ([120.0, 90.0], [40.0, 0.0], 64, 256),      # well inside, upright
        ([118.5, 88.25], [35.0, 18.5], 48, 192),    # turned
        ([121.0, 91.5], [-12.0, 40.5], 40, 160),    # on its side
        ([120.5, 90.0], [-40.0, -7.0], 32, 128),    # upside down
        ([20.0, 25.5], [44.0, 5.0], 64, 256),       # beyond a corner
        ([225.0, 150.0], [50.0, -9.5], 64, 256),    # beyond the other
        ([120.0, 90.0], [130.0, 20.0], 64, 256),    # larger than the photo, shrunk by 2
        ([100.0, 80.0], [85.0, 3.0], 16, 64),       # shrunk by 5
        ([60.0, 50.0], [9.0, 1.0], 64, 256),        # a tiny face
        ([7.0, 6.0], [40.0, 30.0], 33, 100),        # more padding than photo, odd sizes
        ([120.0, 90.0], [30.0, 4.0], 64, 64),       # no larger square
    ]
    made_by = f"make.py: Pillow {PIL.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    write("crops.json", {"made_by": made_by, "crops": [crop_case(image, *case) for case in cases]})


def faces(folder):
    listed = json.loads((folder / "index.json").read_text())
    kept = ["name", "w", "h", "rect", "score", "quad", "qsize"]
    out = [
        {key: face[key] for key in kept} | {"landmarks": json.loads((folder / f"{face['name']}.landmarks.json").read_text())}
        for face in listed
    ]
    write("faces.json", {"made_by": "make.py: dlib 19.24.6, landmark model of libdlib-data 19.24", "faces": out})


def write(name, value):
    lists = [key for key in value if key != "made_by"]
    lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value[lists[0]])
    (HERE / name).write_text(f'{{"made_by": {json.dumps(value["made_by"])}, "{lists[0]}": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    faces(pathlib.Path(sys.argv[1])) if len(sys.argv) > 1 else crops()
