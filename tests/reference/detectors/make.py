"""Writes features.json, tensors.tsv and module.pt: what PyTorch makes of detectors with weights that anybody can make again.

Inception V3 and VGG16 are built from their papers and from the tensor names of the published files; every weight is a
hash of its name and place, so that no file of weights is needed. module.pt is a small TorchScript program whose code is
taken out: its tensors are all that may be read. Run from this folder: python make.py [FOLDER], where FOLDER is for
whole TorchScript files of both detectors (650 MB).
"""

import io
import json
import sys
import zipfile
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def hashed(name, count):
    """Numbers in [-0.5, 0.5)."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x / 2.0**32 - 0.5


def weight(name, shape):
    numbers = hashed(name, int(np.prod(shape)))
    if len(shape) > 1:
        numbers *= 2 * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("var"):
        numbers = 1 + numbers
    else:
        numbers *= 0.2
    return torch.from_numpy(numbers.astype(np.float32).reshape(shape))


def fill(module, rename=lambda name: name):
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(weight(rename(name), tuple(tensor.shape)))
    return module.eval().requires_grad_(False)


class Conv(nn.Module):
    def __init__(self, inputs: int, out: int, kernel, stride: int = 1, padding=(0, 0)):
        super().__init__()
        self.stride, self.padding = stride, list(padding)
        self.weight = nn.Parameter(torch.empty(out, inputs, *kernel))
        for name in ("beta", "mean", "var"):
            self.register_buffer(name, torch.empty(out))

    def forward(self, x):
        x = F.conv2d(x, self.weight, None, self.stride, self.padding)
        return F.relu(F.batch_norm(x, self.mean, self.var, None, self.beta, False, 0.0, 0.001))


def k(height, width=None):
    kernel = (height, width or height)
    return kernel, 1, (kernel[0] // 2, kernel[1] // 2)


def chain(**parts):
    chain = nn.Sequential()
    for name, part in parts.items():
        chain.add_module(name, part)
    return chain


class Average(nn.Module):
    def __init__(self, zeros: bool):
        super().__init__()
        self.inner = not zeros

    def forward(self, x):
        return F.avg_pool2d(x, 3, 1, 1, False, not self.inner)


class Joined(nn.Module):
    """conv, tower, tower_1 and tower_2, as far as they are there."""

    def __init__(self, conv, tower, last, tower_1=None):
        super().__init__()
        self.conv = conv if conv is not None else nn.Identity()
        self.tower = tower
        self.tower_1 = tower_1 if tower_1 is not None else nn.Identity()
        self.tower_2 = last
        self.has_conv, self.has_second = conv is not None, tower_1 is not None

    def forward(self, x):
        parts = [self.tower(x)]
        if self.has_conv:
            parts.insert(0, self.conv(x))
        if self.has_second:
            parts.append(self.tower_1(x))
        parts.append(self.tower_2(x))
        return torch.cat(parts, 1)


def block_a(n, pooled, zeros):
    return Joined(
        Conv(n, 64, (1, 1)),
        chain(conv=Conv(n, 48, (1, 1)), conv_1=Conv(48, 64, *k(5))),
        chain(pool=Average(zeros), conv=Conv(n, pooled, (1, 1))),
        chain(conv=Conv(n, 64, (1, 1)), conv_1=Conv(64, 96, *k(3)), conv_2=Conv(96, 96, *k(3))),
    )


def block_b(n):
    tower = chain(conv=Conv(n, 64, (1, 1)), conv_1=Conv(64, 96, *k(3)), conv_2=Conv(96, 96, (3, 3), 2))
    return Joined(Conv(n, 384, (3, 3), 2), tower, nn.MaxPool2d(3, 2))


def block_c(n, m, zeros):
    return Joined(
        Conv(n, 192, (1, 1)),
        chain(conv=Conv(n, m, (1, 1)), conv_1=Conv(m, m, *k(1, 7)), conv_2=Conv(m, 192, *k(7, 1))),
        chain(pool=Average(zeros), conv=Conv(n, 192, (1, 1))),
        chain(
            conv=Conv(n, m, (1, 1)),
            conv_1=Conv(m, m, *k(7, 1)),
            conv_2=Conv(m, m, *k(1, 7)),
            conv_3=Conv(m, m, *k(7, 1)),
            conv_4=Conv(m, 192, *k(1, 7)),
        ),
    )


def block_d(n):
    tower = chain(conv=Conv(n, 192, (1, 1)), conv_1=Conv(192, 320, (3, 3), 2))
    tower_1 = chain(
        conv=Conv(n, 192, (1, 1)),
        conv_1=Conv(192, 192, *k(1, 7)),
        conv_2=Conv(192, 192, *k(7, 1)),
        conv_3=Conv(192, 192, (3, 3), 2),
    )
    return Joined(None, tower, nn.MaxPool2d(3, 2), tower_1)


class BlockE(nn.Module):
    def __init__(self, n: int, pool):
        super().__init__()
        self.conv = Conv(n, 320, (1, 1))
        self.tower_conv = Conv(n, 384, (1, 1))
        self.tower_mixed_conv = Conv(384, 384, *k(1, 3))
        self.tower_mixed_conv_1 = Conv(384, 384, *k(3, 1))
        self.tower_1_conv = Conv(n, 448, (1, 1))
        self.tower_1_conv_1 = Conv(448, 384, *k(3))
        self.tower_1_mixed_conv = Conv(384, 384, *k(1, 3))
        self.tower_1_mixed_conv_1 = Conv(384, 384, *k(3, 1))
        self.tower_2_pool = pool
        self.tower_2_conv = Conv(n, 192, (1, 1))

    def forward(self, x):
        a = self.tower_conv(x)
        b = self.tower_1_conv_1(self.tower_1_conv(x))
        parts = [self.conv(x), self.tower_mixed_conv(a), self.tower_mixed_conv_1(a)]
        parts += [self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b)]
        return torch.cat(parts + [self.tower_2_conv(self.tower_2_pool(x))], 1)


def shrunk(images, px: int):
    """TensorFlow 1's bilinear resize, by a sampling grid."""
    n, c, height, width = images.shape
    theta = torch.eye(2, 3)
    theta[0, 2] = 1 / width - 1 / px
    theta[1, 2] = 1 / height - 1 / px
    grid = F.affine_grid(theta.unsqueeze(0).repeat([n, 1, 1]), [n, c, px, px], False)
    return F.grid_sample(images, grid, "bilinear", "border", False)


class Inception(nn.Module):
    def __init__(self, classes: int, zeros: bool, gray: float, last):
        super().__init__()
        self.gray = gray
        self.layers = chain(
            conv=Conv(3, 32, (3, 3), 2),
            conv_1=Conv(32, 32, (3, 3)),
            conv_2=Conv(32, 64, *k(3)),
            pool0=nn.MaxPool2d(3, 2),
            conv_3=Conv(64, 80, (1, 1)),
            conv_4=Conv(80, 192, (3, 3)),
            pool1=nn.MaxPool2d(3, 2),
            mixed=block_a(192, 32, zeros),
            mixed_1=block_a(256, 64, zeros),
            mixed_2=block_a(288, 64, zeros),
            mixed_3=block_b(288),
            mixed_4=block_c(768, 128, zeros),
            mixed_5=block_c(768, 160, zeros),
            mixed_6=block_c(768, 160, zeros),
            mixed_7=block_c(768, 192, zeros),
            mixed_8=block_d(768),
            mixed_9=BlockE(1280, Average(zeros)),
            mixed_10=BlockE(2048, last),
            pool2=nn.AvgPool2d(8),
        )
        self.output = nn.Linear(2048, classes)

    def forward(self, images):
        return self.layers((shrunk(images, 299) - self.gray) / self.gray).reshape(-1, 2048)

    @torch.jit.ignore
    def probabilities(self, images):
        return F.softmax(F.linear(self.forward(images), self.output.weight), 1)


TOWERS = {
    "a": {"conv": "branch1x1", "tower": "branch5x5", "tower_1": "branch3x3dbl", "tower_2": "branch_pool"},
    "b": {"conv": "branch3x3", "tower": "branch3x3dbl"},
    "c": {"conv": "branch1x1", "tower": "branch7x7", "tower_1": "branch7x7dbl", "tower_2": "branch_pool"},
    "d": {"tower": "branch3x3", "tower_1": "branch7x7x3"},
}
LAST = {
    "conv": "branch1x1",
    "tower_conv": "branch3x3_1",
    "tower_mixed_conv": "branch3x3_2a",
    "tower_mixed_conv_1": "branch3x3_2b",
    "tower_1_conv": "branch3x3dbl_1",
    "tower_1_conv_1": "branch3x3dbl_2",
    "tower_1_mixed_conv": "branch3x3dbl_3a",
    "tower_1_mixed_conv_1": "branch3x3dbl_3b",
    "tower_2_conv": "branch_pool",
}
STEM = dict(zip("conv conv_1 conv_2 conv_3 conv_4".split(), "1a_3x3 2a_3x3 2b_3x3 3b_1x1 4a_3x3".split()))
MIXED = dict(zip(["mixed"] + [f"mixed_{i}" for i in range(1, 11)], "5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split()))
KINDS = dict(zip(MIXED, "a a a b c c c c d e e".split()))
PARTS = {"weight": "conv.weight", "beta": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}


def in_torchvision(name):
    """torchvision's name of a published tensor."""
    if name.startswith("output."):
        return name.replace("output", "fc")
    _, block, *path, part = name.split(".")
    if block in STEM:
        return f"Conv2d_{STEM[block]}.{PARTS[part]}"
    if KINDS[block] == "e":
        branch = LAST[path[0]]
    else:
        branch = TOWERS[KINDS[block]][path[0]]
        if len(path) == 2 and path[0] != "tower_2":
            branch += "_" + str(int(path[1].partition("_")[2] or 0) + 1)
    return f"Mixed_{MIXED[block]}.{branch}.{PARTS[part]}"


class Vgg(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]
        self.layers = nn.Module()
        self.order, inputs = [], 3
        for width in widths:
            if width:
                self.order.append(f"conv{sum('conv' in name for name in self.order) + 1}")
                self.layers.add_module(self.order[-1], nn.Conv2d(inputs, width, 3, padding=1))
                inputs = width
            else:
                self.order.append("pool")
        self.layers.fc1, self.layers.fc2 = nn.Linear(25088, 4096), nn.Linear(4096, 4096)
        for index, width in enumerate([64, 128, 256, 512, 512]):
            self.register_buffer(f"lpips{index}", torch.empty(width, 1, 1))

    def forward(self, images):
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        x = (shrunk(images, 224) / 255 - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
        for name in self.order:
            x = F.max_pool2d(x, 2) if name == "pool" else F.relu(getattr(self.layers, name)(x))
        return F.relu(self.layers.fc2(F.relu(self.layers.fc1(x.flatten(1)))))


def images():
    numbers = 96 * hashed("images", 2 * 3 * 70 * 70).reshape(2, 3, 70, 70)
    y, x = np.mgrid[:70, :70]
    return torch.from_numpy((numbers + 48 + (3 * x + 2 * y) % 160).astype(np.float32))


def some(features):
    """A few of the features of each image, evenly spread."""
    return [[float(number) for number in row[:: features.shape[1] // 32]] for row in features]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = chain(conv=Conv(3, 4, *k(1, 7)), pool=nn.MaxPool2d(3, 2))
        self.output = nn.Linear(4, 5).half()

    def forward(self, x):
        return self.layers(x)


def without_code(script):
    """The bytes of a TorchScript file with its program text replaced."""
    file = io.BytesIO()
    torch.jit.save(script, file)
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith("debug_pkl"):
                text = old.read(entry.filename)
                new.writestr(entry.filename, b"# taken out\n" if entry.filename.endswith(".py") else text)
    return out.getvalue()


with torch.no_grad():
    published = fill(Inception(1008, False, 128.0, nn.MaxPool2d(3, 1, 1)))
    torchvision = fill(Inception(1000, True, 127.5, Average(True)), in_torchvision)
    vgg = fill(Vgg())
    found = {
        "made_by": "make.py",
        "inception": some(published(images())),
        "inception_probabilities": some(published.probabilities(images())),
        "inception_torchvision": some(torchvision(images())),
        "vgg16": some(vgg(images())),
    }
json.dump(found, open("features.json", "w"), indent=1)
with open("tensors.tsv", "w") as table:
    for name, tensor in published.state_dict().items():
        print(name, in_torchvision(name), ",".join(map(str, tensor.shape)), sep="\t", file=table)
open("module.pt", "wb").write(without_code(torch.jit.script(fill(Small()))))
if len(sys.argv) > 1:
    torch.jit.script(published).save(f"{sys.argv[1]}/inception-2015-12-05.pt")
    torch.jit.trace(vgg, images()).save(f"{sys.argv[1]}/vgg16.pt")
