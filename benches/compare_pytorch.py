"""Times the work of `toonify bench` in PyTorch and prints both side by side.

    python3 benches/compare_pytorch.py [--toonify target/release/toonify] [--threads 4] [--works generate,start,project,train]

The first run makes a virtual environment beside the build (`target/pytorch`) and installs PyTorch for the CPU into it. Both
sides run in this one call, in turns of equal length, each in a process of its own, with random weights and f32; the fastest
call counts, and the median over the turns of each turn's median call is printed beside it.
PyTorch gets an allocator that keeps its memory, and the first ratio is to the faster of fused and unfused modulation; the
last ratio is to the fastest way of all, which is often unfused modulation with channels last. The networks below have the
shapes of the published ones and were written for this comparison.

`start` is a whole process that renders one image from a checkpoint of 100 MB, which PyTorch writes on the spot and both
sides read; their images differ by one level of 255 at most.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "target" / "pytorch"
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "200000000",
}
# What the issue of the project asks for, by work, batch and threads ("all" for the number given).
WORKS = [
    # name, batch, threads, ratio to reach
    ("generate", 1, "all", 4.0),
    ("generate", 8, "all", 3.5),
    ("generate", 1, 1, 3.3),
    ("start", 1, "all", 10.0),
    ("project", 1, "all", 3.0),
    ("train", 8, "all", 2.5),
]
# Ways of computing the same; training in channels last was slower than either of the others.
KINDS = {"train": ("fused", "unfused"), "start": ("fused",)}
PLAIN_KINDS = ("fused", "unfused")
ALL_KINDS = (*PLAIN_KINDS, "channels last")
# The training steps that are timed, and how many of 16 are of their kind: with both lazy regularisers, with one, without.
TRAINING_STEPS = ((0, 1), (4, 3), (1, 12))
# More calls than a turn has time for.
MANY_CALLS = 10000
# How many times as long a turn of training lasts: each of its calls is a mean over steps of three kinds.
LONGER = {"train": 6}
LIMITED = {
    "widest": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "portable": {},
}


def networks():
    """The networks, in a function so that the side that only starts processes needs no PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    taps = taps / taps.sum()

    def resample(x, up=1, down=1, pad=(0, 0, 0, 0), gain=1.0):
        """Zeros between the pixels, the filter along both axes, every `down`-th pixel."""
        n, c, h, w = x.shape
        if up > 1:
            x = x.reshape(n, c, h, 1, w, 1)
            x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
        x = F.pad(x, pad)
        column = (taps * math.sqrt(gain)).to(x).reshape(1, 1, 4, 1).expand(c, 1, 4, 1)
        x = F.conv2d(x, column, groups=c)
        x = F.conv2d(x, column.transpose(2, 3), groups=c)
        return x[:, :, ::down, ::down] if down > 1 else x

    def leaky(x, bias, gain=math.sqrt(2), clamp=256.0):
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return (F.leaky_relu(x + bias.reshape(shape), 0.2) * gain).clamp(-clamp * gain, clamp * gain)

    class Linear(nn.Module):
        def __init__(self, inputs, outputs, bias=0.0, rate=1.0):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
            self.bias = nn.Parameter(torch.full((outputs,), bias))
            self.gain, self.rate = rate / math.sqrt(inputs), rate

        def forward(self, x):
            return F.linear(x, self.weight * self.gain, self.bias * self.rate)

    class Styled(nn.Module):
        def __init__(self, inputs, outputs, resolution, up, fused):
            super().__init__()
            self.affine = Linear(512, inputs, bias=1.0)
            self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
            self.bias = nn.Parameter(torch.zeros(outputs))
            self.register_buffer("noise", torch.randn(resolution, resolution))
            self.strength = nn.Parameter(torch.zeros([]))
            self.up, self.fused = up, fused

        def forward(self, x, w, noise=None):
            n, inputs, h, width = x.shape
            style = self.affine(w)
            modulated = self.weight[None] * style[:, None, :, None, None]
            demodulation = (modulated.square().sum((2, 3, 4)) + 1e-8).rsqrt()
            if self.fused:
                weight = modulated * demodulation[:, :, None, None, None]
                x = self.convolve(x.reshape(1, n * inputs, h, width), weight.flatten(0, 1), n, inputs)
                x = x.reshape(n, -1, *x.shape[2:])
            else:
                x = self.convolve(x * style[:, :, None, None], self.weight, 1, inputs)
                x = x * demodulation[:, :, None, None]
            noise = self.noise if noise is None else noise
            return leaky(x + noise * self.strength, self.bias)

        def convolve(self, x, weight, groups, inputs):
            if not self.up:
                return F.conv2d(x, weight, padding=1, groups=groups)
            outputs = weight.shape[0] // groups
            weight = weight.reshape(groups, outputs, inputs, 3, 3).transpose(1, 2).flatten(0, 1)
            x = F.conv_transpose2d(x, weight, stride=2, groups=groups)
            return resample(x, pad=(1, 1, 1, 1), gain=4.0)

    class ToRgb(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.affine = Linear(512, inputs, bias=1.0)
            self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x, w):
            style = self.affine(w) / math.sqrt(x.shape[1])
            x = F.conv2d(x * style[:, :, None, None], self.weight)
            return (x + self.bias.reshape(1, 3, 1, 1)).clamp(-256, 256)

    class Generator(nn.Module):
        def __init__(self, resolution, mapping_layers, fused):
            super().__init__()
            self.mapping = nn.ModuleList(Linear(512, 512, rate=0.01) for _ in range(mapping_layers))
            self.constant = nn.Parameter(torch.randn(512, 4, 4))
            self.layers, self.colours, inputs, side = nn.ModuleList(), nn.ModuleList(), 512, 4
            while side <= resolution:
                width = min(16384 // side, 512)
                if side > 4:
                    self.layers.append(Styled(inputs, width, side, True, fused))
                self.layers.append(Styled(width, width, side, False, fused))
                self.colours.append(ToRgb(width))
                inputs, side = width, side * 2
            self.num_ws = len(self.layers) + 1

        def map(self, z):
            x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
            for layer in self.mapping:
                x = F.leaky_relu(layer(x), 0.2) * math.sqrt(2)
            return x

        def forward(self, ws, noise=None):
            x, image, index = self.constant.expand(ws.shape[0], -1, -1, -1), None, 0
            for block, colour in enumerate(self.colours):
                for _ in range(1 if block == 0 else 2):
                    x = self.layers[index](x, ws[:, index], None if noise is None else noise[index])
                    index += 1
                rgb = colour(x, ws[:, index])
                image = rgb if image is None else resample(image, up=2, pad=(2, 1, 2, 1), gain=4.0) + rgb
            return image

    class Conv(nn.Module):
        def __init__(self, inputs, outputs, side, down=False, gain=1.0, bias=True):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
            self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
            self.scale, self.side, self.down, self.gain = 1 / math.sqrt(inputs * side * side), side, down, gain

        def forward(self, x):
            weight = self.weight * self.scale
            if not self.down:
                x = F.conv2d(x, weight, padding=self.side // 2)
            elif self.side == 1:
                x = F.conv2d(resample(x, down=2, pad=(1, 1, 1, 1)), weight)
            else:
                x = F.conv2d(resample(x, pad=(2, 2, 2, 2)), weight, stride=2)
            if self.bias is None:
                return x * self.gain
            return leaky(x, self.bias, math.sqrt(2) * self.gain)

    class Discriminator(nn.Module):
        def __init__(self, resolution):
            super().__init__()
            width = min(16384 // resolution, 512)
            self.read, self.blocks, side = Conv(3, width, 1), nn.ModuleList(), resolution
            while side > 4:
                below = min(16384 // (side // 2), 512)
                half = math.sqrt(0.5)
                self.blocks.append(nn.ModuleList([
                    Conv(width, width, 3), Conv(width, below, 3, True, half), Conv(width, below, 1, True, half, False)
                ]))
                width, side = below, side // 2
            self.conv, self.fc, self.out = Conv(width + 1, width, 3), Linear(width * 16, width), Linear(width, 1)

        def forward(self, image):
            x = self.read(image)
            for first, second, skip in self.blocks:
                x = second(first(x)) + skip(x)
            n, c, h, w = x.shape
            y = x.reshape(min(4, n), -1, c, h, w)
            y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
            y = y.reshape(-1, 1, 1, 1).repeat(min(4, n), 1, h, w)
            x = self.conv(torch.cat([x, y], 1)).flatten(1)
            return self.out(F.leaky_relu(self.fc(x), 0.2) * math.sqrt(2))

    class Vgg16(nn.Module):
        GROUPS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]

        def __init__(self):
            super().__init__()
            self.groups, inputs = nn.ModuleList(), 3
            for outputs, count in self.GROUPS:
                self.groups.append(nn.ModuleList())
                for _ in range(count):
                    self.groups[-1].append(nn.Conv2d(inputs, outputs, 3, padding=1))
                    inputs = outputs

        def forward(self, x):
            features = []
            for index, group in enumerate(self.groups):
                x = F.max_pool2d(x, 2) if index else x
                for conv in group:
                    x = F.relu(conv(x))
                length = (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                features.append((x / length / math.sqrt(x.shape[2] * x.shape[3])).flatten(1))
            return torch.cat(features, 1)

    return torch, F, Generator, Discriminator, Vgg16


def call_for(work, batch, kind):
    """A function that takes the step of a number."""
    torch, F, Generator, Discriminator, Vgg16 = networks()
    torch.manual_seed(0)
    fused = kind == "fused"
    layout = torch.channels_last if kind == "channels last" else torch.contiguous_format
    if work == "generate":
        generator = Generator(256, 8, fused).eval().requires_grad_(False).to(memory_format=layout)
        ws = generator.map(torch.randn(batch, 512))[:, None].expand(-1, generator.num_ws, -1)

        def generate(_number):
            with torch.inference_mode():
                generator(ws)

        return generate
    if work == "project":
        return projection(torch, Generator, Vgg16, fused, layout)
    return training(torch, F, Generator, Discriminator, batch, fused)


def projection(torch, Generator, Vgg16, fused, layout):
    generator, eyes = (net.eval().requires_grad_(False).to(memory_format=layout) for net in (Generator(256, 8, fused), Vgg16()))
    w = torch.zeros(1, 1, 512, requires_grad=True)
    noise = [torch.randn(1, 1, *layer.noise.shape, requires_grad=True) for layer in generator.layers]
    optimiser = torch.optim.Adam([w] + noise, lr=0.1)
    with torch.no_grad():
        target = eyes(torch.randn(1, 3, 256, 256))

    def structure(image):
        total = 0.0
        while True:
            for axis in (2, 3):
                total = total + (image * torch.roll(image, 1, axis)).mean().square()
            if image.shape[2] <= 8:
                return total
            image = torch.nn.functional.avg_pool2d(image, 2)

    def step(_number):
        ws = (w + torch.randn_like(w) * 0.1).expand(-1, generator.num_ws, -1)
        loss = (eyes(generator(ws, noise)) - target).square().sum()
        loss = loss + 1e5 * sum(structure(image) for image in noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for image in noise:
                image -= image.mean()
                image *= image.square().mean().rsqrt()

    return step


def training(torch, F, Generator, Discriminator, batch, fused):
    """A step: generator each time, path length each 4th, discriminator each time, R1 each 16th, moving average."""
    generator, judge, average = Generator(64, 2, fused), Discriminator(64), Generator(64, 2, fused)
    options = dict(lr=0.0025, betas=(0.0, 0.99), eps=1e-8)
    players = [(net, torch.optim.Adam(net.parameters(), **options)) for net in (generator, judge)]
    reals, mean_length = torch.randn(batch, 3, 64, 64), torch.zeros([])

    def fakes(count):
        w, other = (generator.map(torch.randn(count, 512)) for _ in range(2))
        ws = w[:, None].repeat(1, generator.num_ws, 1)
        cut = int(torch.randint(1, generator.num_ws, ()))
        if torch.rand(()) < 0.9:
            ws = torch.cat([ws[:, :cut], other[:, None].expand(-1, generator.num_ws - cut, -1)], 1)
        return generator(ws), ws

    def learn(player, loss):
        net, optimiser = players[player]
        for other, _ in players:
            other.requires_grad_(other is net)
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        for parameter in net.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        optimiser.step()

    def path_length():
        image, ws = fakes(batch // 2)
        noise = torch.randn_like(image) / math.sqrt(image.shape[2] * image.shape[3])
        (gradient,) = torch.autograd.grad((image * noise).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        mean_length.lerp_(lengths.detach().mean(), 0.01)
        return (lengths - mean_length).square().mean() * 2 * 4

    def judged():
        with torch.no_grad():
            fake = fakes(batch)[0]
        return F.softplus(judge(fake)).mean() + F.softplus(-judge(reals)).mean()

    def r1():
        image = reals.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(judge(image).sum(), image, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean() * 0.5 * 16

    def take(step):
        learn(0, lambda: F.softplus(-judge(fakes(batch)[0])).mean())
        if step % 4 == 0:
            learn(0, path_length)
        learn(1, judged)
        if step % 16 == 0:
            learn(1, r1)
        with torch.no_grad():
            for to, now in zip(average.parameters(), generator.parameters()):
                to.lerp_(now, 0.01)

    return take


def measure(work, batch, threads, kind, seconds):
    """Seconds of the fastest call and of the median one; in training, of the mean step."""
    import torch

    torch.set_num_threads(threads)
    take = call_for(work, batch, kind)
    steps = TRAINING_STEPS if work == "train" else ((0, 1),)
    for number, _ in steps:
        take(number)
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        total = 0.0
        for number, count in steps:
            start = time.perf_counter()
            take(number)
            total += count * (time.perf_counter() - start)
        times.append(total / sum(count for _, count in steps))
    return min(times), sorted(times)[len(times) // 2]


def names_of_tensors(generator):
    """The generator's tensors by the names of rosinality's stylegan2-pytorch, which both sides read."""
    tensors = {"input.input": generator.constant[None]}
    for index, layer in enumerate(generator.mapping):
        tensors[f"style.{index + 1}.weight"], tensors[f"style.{index + 1}.bias"] = layer.weight, layer.bias

    def styled(name, layer, bias):
        tensors[f"{name}.conv.weight"] = layer.weight[None]
        tensors[f"{name}.conv.modulation.weight"] = layer.affine.weight
        tensors[f"{name}.conv.modulation.bias"] = layer.affine.bias
        tensors[f"{name}.{bias}"] = layer.bias

    for index, layer in enumerate(generator.layers):
        name = f"convs.{index - 1}" if index else "conv1"
        styled(name, layer, "activate.bias")
        tensors[f"{name}.noise.weight"] = layer.strength[None]
        tensors[f"noises.noise_{index}"] = layer.noise[None, None]
    for index, layer in enumerate(generator.colours):
        name = f"to_rgbs.{index - 1}" if index else "to_rgb1"
        styled(name, layer, "bias")
        tensors[f"{name}.bias"] = layer.bias.reshape(1, 3, 1, 1)
    return tensors


def write_checkpoint(path):
    torch, _, Generator, *_ = networks()
    torch.manual_seed(0)
    tensors = {name: tensor.detach().contiguous() for name, tensor in names_of_tensors(Generator(256, 8, True)).items()}
    torch.save({"g_ema": tensors, "latent_avg": torch.zeros(512)}, path)


def start(checkpoint, image):
    """What `toonify generate --seeds 0` does, as a whole program."""
    torch, _, Generator, *_ = networks()
    import numpy

    torch.nn.init.normal_ = torch.randn = lambda *shape: torch.empty(*shape)  # no time for weights that are read anyway
    generator = Generator(256, 8, True).eval().requires_grad_(False)
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["g_ema"]
    with torch.inference_mode():
        for name, tensor in names_of_tensors(generator).items():
            tensor.copy_(stored[name])
        z = torch.from_numpy(numpy.random.RandomState(0).randn(1, 512)).float()
        ws = generator.map(z)[:, None].expand(-1, generator.num_ws, -1)
        pixels = (generator(ws)[0].permute(1, 2, 0) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    write_png(image, pixels.numpy().tobytes(), 256)


def write_png(path, pixels, side):
    """RGB pixels, row by row, as a PNG."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[row * side * 3:(row + 1) * side * 3] for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def python_with_torch():
    """The interpreter of an environment that has PyTorch; makes it when it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode if python.exists() else True:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def run(command, environment):
    done = subprocess.run([str(part) for part in command], env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout)


def environment_of_pytorch(options, threads):
    limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return {**limits, **LIMITED[options.instructions], **({} if options.default_allocator else KEPT_MEMORY)}


def length_of_turn(options, work):
    return options.seconds * LONGER.get(work, 1)


def seconds_of_toonify(options, work, batch, threads):
    command = [options.toonify, "bench", work, "--json", "--quiet", "--repetitions", MANY_CALLS]
    command += ["--seconds", length_of_turn(options, work), "--instructions", options.instructions]
    command += [] if work == "project" else ["--batch", batch]
    found = run(command, {"RAYON_NUM_THREADS": str(threads)})["results"][0]
    return found["best_seconds"], found["median_seconds"]


def seconds_of_pytorch(options, python, work, batch, threads):
    """By each way of computing the same."""
    times = {}
    for kind in KINDS.get(work, ALL_KINDS):
        command = [python, __file__, "--measure", work, batch, threads, kind, length_of_turn(options, work)]
        times[kind] = run(command, environment_of_pytorch(options, threads))
    return times


def whole_process(command, environment):
    """Seconds and peak memory of a process."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {process.returncode}")
    return seconds, usage.ru_maxrss * 1024


def compare_start(options, python, threads):
    """Seconds of both sides from nothing to an image and the memory they held, of each turn, and the checkpoint's size."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, theirs, ours = (pathlib.Path(folder) / name for name in ("random.pt", "theirs.png", "ours"))
        subprocess.run([str(python), __file__, "--write-checkpoint", checkpoint], check=True)
        environment = environment_of_pytorch(options, threads)
        environment["MALLOC_TOP_PAD_"] = "0"  # one image: nothing to keep memory for
        theirs_taken, ours_taken = [], []
        for _ in range(max(options.rounds, 3)):
            command = [python, __file__, "--start", checkpoint, theirs]
            theirs_taken.append(whole_process(command, environment))
            command = [options.toonify, "generate", "--network", checkpoint, "--seeds", "0", "--outdir", ours, "--quiet"]
            ours_taken.append(whole_process(command, {"RAYON_NUM_THREADS": str(threads)}))
        size = checkpoint.stat().st_size
    return theirs_taken, ours_taken, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toonify", default=ROOT / "target" / "release" / "toonify", help="the program to compare")
    parser.add_argument("--python", help="an interpreter that has PyTorch already")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--works", default="generate,start,project,train")
    parser.add_argument("--instructions", default="widest", choices=["widest", "avx2", "portable"])
    parser.add_argument("--seconds", type=int, default=5, help="length of a turn of one way of computing")
    parser.add_argument("--rounds", type=int, default=2, help="turns of both sides; the fastest counts")
    parser.add_argument("--default-allocator", action="store_true", help="PyTorch without the allocator's settings")
    options = parser.parse_args()
    if not pathlib.Path(options.toonify).is_file():
        parser.error(f"{options.toonify} is no program; `cargo build --release` makes target/release/toonify")
    works = {work for work, *_ in WORKS}
    if unknown := set(options.works.split(",")) - works:
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(sorted(works))}")
    python = options.python or python_with_torch()
    notes = []
    head = ["work", "batch", "threads", *(f"PyTorch {kind}, ms" for kind in ALL_KINDS), "toonify, ms"]
    head += ["ratio", "to reach", "ratio to the fastest way"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for work, batch, threads, wanted in WORKS:
        if work not in options.works.split(","):
            continue
        threads = options.threads if threads == "all" else threads
        if work == "start":
            *sides, size = compare_start(options, python, threads)
            theirs, ours = ([(seconds, seconds) for seconds, _ in turns] for turns in sides)
            print_row(work, batch, threads, {"fused": theirs}, ours, wanted)
            most = [max(held for _, held in turns) for turns in sides]
            held = [f"{held / size:.2f} times the checkpoint ({held / 1e6:.0f} MB)" for held in most]
            notes.append(f"Memory of that process at most: PyTorch {held[0]}, toonify {held[1]}; to reach: under 2.")
            continue
        theirs, ours = {}, []
        for _ in range(options.rounds):
            for kind, times in seconds_of_pytorch(options, python, work, batch, threads).items():
                theirs.setdefault(kind, []).append(times)
            ours.append(seconds_of_toonify(options, work, batch, threads))
        print_row(work, batch, threads, theirs, ours, wanted)
    print("", *notes, sep="\n")


def best_and_median(turns):
    """Of the fastest and the median seconds of each turn."""
    best, median = zip(*turns)
    return min(best), statistics.median(median)


def print_row(work, batch, threads, theirs, ours, wanted):
    """Milliseconds and ratios of the fastest calls, and of the median ones in brackets."""
    theirs, ours = {kind: best_and_median(turns) for kind, turns in theirs.items()}, best_and_median(ours)

    def in_milliseconds(times):
        return f"{times[0] * 1e3:.0f} ({times[1] * 1e3:.0f})" if times else ""

    def ratio(kinds):
        return "{:.2f} ({:.2f})".format(*(min(theirs[kind][at] for kind in kinds) / ours[at] for at in range(2)))

    plain = [kind for kind in theirs if kind in PLAIN_KINDS]
    times = [in_milliseconds(theirs.get(kind)) for kind in ALL_KINDS] + [in_milliseconds(ours)]
    cells = [work, batch, threads, *times, ratio(plain), wanted, ratio(theirs)]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        name, images, count, modulation, length = sys.argv[2:]
        print(json.dumps(measure(name, int(images), int(count), modulation, int(length))))
    elif sys.argv[1:2] == ["--write-checkpoint"]:
        write_checkpoint(sys.argv[2])
    elif sys.argv[1:2] == ["--start"]:
        start(*sys.argv[2:])
    else:
        main()
