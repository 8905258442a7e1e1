"""Makes tiny checkpoints of every kind (8 px, 4 channels) with the structure of the published files.

    python tests/make/checkpoints.py    needs only numpy; writes to tests/reference/checkpoints

No published program is involved: classes are stand-ins that exist for their names. Each number follows from the
network, the canonical name of its tensor and its index (`values`), so that a reader can compute what it has to find;
the layouts of the other formats are made here by transposing, reversing and shifting. `resample_filter` and blur
buffers hold the filter [1, 3, 3, 1].
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
import zlib
from pathlib import Path

import numpy as np

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
C, Z, W = 4, 4, 4


def values(network, name, shape):
    """Numbers that single precision holds exactly, between -4 and 4."""
    start = zlib.crc32(f"{network}.{name}".encode())
    count = int(np.prod(shape, dtype=np.int64))
    numbers = (start + np.arange(count, dtype=np.int64) * 7919) % 2049 - 1024
    return (numbers / 256).astype(np.float32).reshape(shape)


def generator_shapes(architecture="skip", c_dim=0, layers=2, channels=3):
    shapes = {}
    if c_dim:
        shapes |= {"mapping.embed.weight": (W, c_dim), "mapping.embed.bias": (W,)}
    for i in range(layers):
        inputs = (Z + (W if c_dim else 0)) if i == 0 else W
        shapes |= {f"mapping.fc{i}.weight": (W, inputs), f"mapping.fc{i}.bias": (W,)}
    shapes |= {"mapping.w_avg": (W,), "synthesis.b4.const": (C, 4, 4)}
    for r in (4, 8):
        styled = [("conv1", C, 3)] if r == 4 else [("conv0", C, 3), ("conv1", C, 3)]
        if architecture == "skip" or r == 8:
            styled.append(("torgb", channels, 1))
        for slot, out, k in styled:
            p = f"synthesis.b{r}.{slot}"
            shapes |= {f"{p}.weight": (out, C, k, k), f"{p}.bias": (out,)}
            shapes |= {f"{p}.affine.weight": (C, W), f"{p}.affine.bias": (C,)}
            if slot != "torgb":
                shapes |= {f"{p}.noise_const": (r, r), f"{p}.noise_strength": ()}
    if architecture == "resnet":
        shapes["synthesis.b8.skip.weight"] = (C, C, 1, 1)
    return shapes


def discriminator_shapes(architecture="resnet", c_dim=0, layers=2, channels=3):
    shapes = {}
    if c_dim:
        shapes |= {"mapping.embed.weight": (C, c_dim), "mapping.embed.bias": (C,)}
        for i in range(layers):
            shapes |= {f"mapping.fc{i}.weight": (C, C), f"mapping.fc{i}.bias": (C,)}
    for block in ("b8", "b4") if architecture == "skip" else ("b8",):
        shapes |= {f"{block}.fromrgb.weight": (C, channels, 1, 1), f"{block}.fromrgb.bias": (C,)}
    for slot in ("conv0", "conv1"):
        shapes |= {f"b8.{slot}.weight": (C, C, 3, 3), f"b8.{slot}.bias": (C,)}
    if architecture == "resnet":
        shapes["b8.skip.weight"] = (C, C, 1, 1)
    shapes |= {"b4.conv.weight": (C, C + 1, 3, 3), "b4.conv.bias": (C,)}
    shapes |= {"b4.fc.weight": (C, C * 16), "b4.fc.bias": (C,)}
    shapes |= {"b4.out.weight": (C if c_dim else 1, C), "b4.out.bias": (C if c_dim else 1,)}
    return shapes


# --- stand-ins that pickle under the published names -------------------------------------------------------------


def stand_in(module, name, kind="function"):
    """A class or function that pickles as `module.name`."""
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        path = ".".join(parts[:i])
        if path not in sys.modules:
            sys.modules[path] = types.ModuleType(path)
    made = type(name, (), {}) if kind == "class" else (lambda *args: None)
    made.__module__, made.__name__, made.__qualname__ = module, name, name
    setattr(sys.modules[module], name, made)
    return made


RECONSTRUCT = stand_in("torch_utils.persistence", "_reconstruct_persistent_obj")
PARAMETER = stand_in("torch._utils", "_rebuild_parameter")
TENSOR = stand_in("torch._utils", "_rebuild_tensor_v2")
FROM_BYTES = stand_in("torch.storage", "_load_from_bytes")
FLOATS = stand_in("torch", "FloatStorage", "class")
NETWORK = stand_in("dnnlib.tflib.network", "Network", "class")
NAMESPACE = stand_in("argparse", "Namespace", "class")
EASY = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
stand_in("dnnlib.util", "EasyDict")
sys.modules["dnnlib.util"].EasyDict = EASY


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


class Storage:
    """Numbers that `torch_pickle` writes as a persistent reference."""

    def __init__(self, numbers):
        self.numbers = np.ascontiguousarray(numbers, dtype=np.float32)


class TorchPickler(pickle.Pickler):
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages.append(obj)
        return ("storage", FLOATS, str(len(self.storages) - 1), "cpu", obj.numbers.size, None)


def torch_pickle(obj):
    file = io.BytesIO()
    pickler = TorchPickler(file)
    pickler.dump(obj)
    return file.getvalue(), [storage.numbers for storage in pickler.storages]


def torch_legacy(obj):
    described, storages = torch_pickle(obj)
    info = dict(protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4))
    head = [0x1950A86A20F9469CFC6C, 1001, info]
    stream = b"".join(pickle.dumps(part, 2) for part in head) + described
    stream += pickle.dumps([str(i) for i in range(len(storages))], 2)
    return stream + b"".join(struct.pack("<q", s.size) + s.tobytes() for s in storages)


def torch_zip(obj):
    described, storages = torch_pickle(obj)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        def put(name, data):
            archive.writestr(zipfile.ZipInfo(f"tiny/{name}"), data)
        put("data.pkl", described)
        put("byteorder", b"little")
        for i, storage in enumerate(storages):
            put(f"data/{i}", storage.tobytes())
        put("version", b"3\n")
    return file.getvalue()


def tensor(numbers, embed, channels_last=False):
    """A tensor; `embed` puts the storage into the pickle as NVIDIA's files do."""
    shape = numbers.shape
    strides = tuple(int(np.prod(shape[axis + 1:])) for axis in range(len(shape)))
    if channels_last and numbers.ndim == 4:
        numbers = numbers.transpose(0, 2, 3, 1)
        o, h, w, i = (s // 4 for s in np.ascontiguousarray(numbers).strides)
        strides = (o, i, h, w)
    storage = Storage(numbers)
    storage = Call(FROM_BYTES, torch_legacy(storage)) if embed else storage
    return Call(TENSOR, storage, 0, shape, strides, False, collections.OrderedDict())


# --- NVIDIA's PyTorch snapshots ----------------------------------------------------------------------------------

CLASSES = {"conv": "Conv2dLayer", "skip": "Conv2dLayer", "fromrgb": "Conv2dLayer", "torgb": "ToRGBLayer"}


def persistent(class_name, state):
    meta = dict(type="class", version=6, module_src="# none\n", class_name=class_name, state=state)
    return Call(RECONSTRUCT, meta)


def module(class_name, tensors, options, kwargs=None, extra=None):
    """Builds the tree of modules from dotted names; `options`: frozen prefixes and channels-last."""
    own, children = {}, {}
    for name, numbers in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            children.setdefault(first, {})[rest] = numbers
        else:
            own[first] = numbers
    buffers = {"w_avg", "noise_const", "resample_filter"} | ({"weight", "bias"} if options.get("frozen") else set())
    parameters = collections.OrderedDict(bias=None)
    held = collections.OrderedDict()
    for name, numbers in own.items():
        made = tensor(numbers, True, options.get("channels_last"))
        if name in buffers:
            held[name] = made
        else:
            parameters[name] = Call(PARAMETER, made, False, collections.OrderedDict())
    modules = collections.OrderedDict()
    for name, inner in children.items():
        inner_options = dict(options, frozen=name in options.get("freeze", ()))
        modules[name] = module(CLASSES.get(name, name.title()), inner, inner_options, extra=extra and extra.get(name))
    state = dict(training=False, _parameters=parameters, _buffers=held, _non_persistent_buffers_set=set(),
                 _modules=modules, weight_gain=np.float64(0.5), _init_args=(), _init_kwargs=EASY(kwargs or {}))
    state.update((extra or {}).get("attributes", {}))
    return persistent(class_name, state)


def with_filters(tensors):
    """Adds the filter buffers where the published modules have them."""
    names = {name.rpartition(".")[0] for name in tensors if name.endswith("noise_const") or ".skip." in name}
    names |= {name.rpartition(".")[0] for name in tensors if name.startswith("b") and name.endswith("conv1.weight")}
    names |= {"synthesis.b4", "synthesis.b8"} if "synthesis.b4.const" in tensors else {"b8"}
    return tensors | {f"{name}.resample_filter": FILTER for name in names}


def network(name, shapes):
    return {key: values(name, key, shape) for key, shape in shapes.items()}


def snapshot(protocol, g_arch="skip", d_arch="resnet", c_dim=0, newer=False, options=None):
    options = options or {}
    common = dict(c_dim=c_dim, img_resolution=8, img_channels=3)
    synthesis = dict(channel_base=32, channel_max=np.int64(C), architecture=g_arch)
    g_kwargs = dict(common, z_dim=Z, w_dim=W, mapping_kwargs=EASY(num_layers=2))
    g_kwargs |= synthesis if newer else dict(synthesis_kwargs=EASY(synthesis, conv_clamp=np.float64(256)))
    d_kwargs = dict(common, channel_base=32, channel_max=C, architecture=d_arch, mapping_kwargs=dict(num_layers=2))
    d_kwargs["block_kwargs"] = dict(freeze_layers=len(options.get("freeze", ())))
    extra = {"synthesis": {"attributes": {"num_fp16_res": 4}}} if newer else None
    g_shapes, d_shapes = generator_shapes(g_arch, c_dim), discriminator_shapes(d_arch, c_dim)
    g_options = {key: value for key, value in options.items() if key != "freeze"}
    make_g = lambda name: module("Generator", with_filters(network(name, g_shapes)), g_options, g_kwargs, extra)
    d = module("Discriminator", with_filters(network("D", d_shapes)), options, d_kwargs)
    pipe = persistent("AugmentPipe", dict(_buffers=dict(p=tensor(np.float32(0.25), True)), _modules={}))
    data = dict(training_set_kwargs=dict(class_name="Tiny", xflip=True), G=make_g("G"), D=d, G_ema=make_g("G_ema"),
                augment_pipe=pipe)
    return pickle.dumps(data, protocol)


# --- TensorFlow pickles ------------------------------------------------------------------------------------------


def tf_generator(name, c_dim):
    out = {}
    for key, numbers in network(name, generator_shapes("skip", c_dim)).items():
        part, _, rest = key.partition(".")
        if key == "mapping.w_avg":
            out["dlatent_avg"] = numbers
        elif part == "mapping":
            layer, _, term = rest.partition(".")
            layer = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Dense")
            out[f"mapping/{layer}/{term}"] = numbers.T if term == "weight" else numbers
        elif rest == "b4.const":
            out["synthesis/4x4/Const/const"] = numbers[None]
        else:
            block, slot, term = rest.split(".", 2)
            r = int(block[1:])
            if term == "noise_const":
                number = {"b4.conv1": 0, "b8.conv0": 1, "b8.conv1": 2}[f"{block}.{slot}"]
                out[f"synthesis/noise{number}"] = numbers[None, None]
                continue
            layer = {"conv0": "Conv0_up", "conv1": "Conv" if r == 4 else "Conv1", "torgb": "ToRGB"}[slot]
            out |= tf_layer(f"synthesis/{r}x{r}/{layer}", term, numbers, reverse=slot == "conv0")
    return out | {"lod": np.float32(0)}


def tf_layer(path, term, numbers, reverse=False):
    if term == "weight":
        numbers = numbers.transpose(2, 3, 1, 0)
        return {f"{path}/weight": numbers[::-1, ::-1] if reverse else numbers}
    if term == "affine.weight":
        return {f"{path}/mod_weight": numbers.T}
    return {f"{path}/mod_bias": numbers - np.float32(1)} if term == "affine.bias" else {f"{path}/{term}": numbers}


def tf_discriminator(c_dim):
    out = {}
    for key, numbers in network("D", discriminator_shapes("resnet", c_dim)).items():
        block, slot, term = key.split(".")
        numbers = numbers.T if term == "weight" and numbers.ndim == 2 else numbers
        if block == "mapping":
            slot = "LabelEmbed" if slot == "embed" else slot.replace("fc", "Mapping")
            out[f"{slot}/{term}"] = numbers
        elif slot in ("fc", "out"):
            out[f"{dict(fc='4x4/Dense0', out='Output')[slot]}/{term}"] = numbers
        else:
            layer = dict(fromrgb="FromRGB", conv0="Conv0", conv1="Conv1_down", skip="Skip", conv="Conv")[slot]
            out |= tf_layer(f"{block[1:]}x{block[1:]}/{layer}", term, numbers)
    return out


def tf_network(name, variables, kwargs):
    def made(name, variables, components):
        network = NETWORK.__new__(NETWORK)
        entries = [(key, value if np.ndim(value) else np.float32(value)) for key, value in variables.items()]
        network.__dict__.update(version=4, name=name, static_kwargs=dict(kwargs), components=components,
                                build_module_src="# none\n", build_func_name=name, variables=entries)
        return network
    inner = {}
    for part in ("synthesis", "mapping"):
        own = {key[len(part) + 1:]: value for key, value in variables.items() if key.startswith(part + "/")}
        if own:
            inner[part] = made(f"{name}_{part}", own, {})
    return made(name, {k: v for k, v in variables.items() if k.split("/")[0] not in inner}, inner)


def tensorflow(protocol, c_dim=0, order="C"):
    ordered = lambda arrays: {key: np.array(value, order=order) for key, value in arrays.items()}
    common = dict(label_size=c_dim, resolution=8, num_channels=3, fmap_base=16, fmap_max=C, mapping_layers=2)
    g_kwargs = dict(common, latent_size=Z, dlatent_size=W, truncation_psi=0.5)
    g = tf_network("G", ordered(tf_generator("G", c_dim)), g_kwargs)
    gs = tf_network("Gs", ordered(tf_generator("G_ema", c_dim)), g_kwargs)
    d = tf_network("D", ordered(tf_discriminator(c_dim)), common)
    return pickle.dumps((g, d, gs), protocol)


# --- rosinality's state dicts ------------------------------------------------------------------------------------


def rosinality_generator(name):
    out = collections.OrderedDict()
    slots = {"b4.conv1": "conv1", "b4.torgb": "to_rgb1", "b8.conv0": "convs.0", "b8.conv1": "convs.1", "b8.torgb": "to_rgbs.0"}
    noises = {"b4.conv1": 0, "b8.conv0": 1, "b8.conv1": 2}
    for key, numbers in network(name, generator_shapes()).items():
        _, *rest = key.split(".")
        if rest[0].startswith("fc"):
            out[f"style.{int(rest[0][2:]) + 1}.{rest[1]}"] = numbers
        elif rest[-1] == "const":
            out["input.input"] = numbers[None]
        elif rest[0].startswith("b"):
            slot, term = ".".join(rest[:2]), ".".join(rest[2:])
            path = slots[slot]
            if term == "weight":
                out[f"{path}.conv.weight"] = numbers[None]
            elif term.startswith("affine"):
                out[f"{path}.conv.modulation.{rest[3]}"] = numbers
            elif term == "bias":
                rgb = rest[1] == "torgb"
                out[f"{path}.bias" if rgb else f"{path}.activate.bias"] = numbers[None, :, None, None] if rgb else numbers
            elif term == "noise_strength":
                out[f"{path}.noise.weight"] = numbers[None]
            else:
                out[f"noises.noise_{noises[slot]}"] = numbers[None, None]
    return out | {"convs.0.conv.blur.kernel": FILTER * 4, "to_rgbs.0.upsample.kernel": FILTER * 4}


def rosinality_discriminator():
    names = {"b8.fromrgb.weight": "convs.0.0.weight", "b8.fromrgb.bias": "convs.0.1.bias",
             "b8.conv0.weight": "convs.1.conv1.0.weight", "b8.conv0.bias": "convs.1.conv1.1.bias",
             "b8.conv1.weight": "convs.1.conv2.1.weight", "b8.conv1.bias": "convs.1.conv2.2.bias",
             "b8.skip.weight": "convs.1.skip.1.weight", "b4.conv.weight": "final_conv.0.weight",
             "b4.conv.bias": "final_conv.1.bias", "b4.fc.weight": "final_linear.0.weight",
             "b4.fc.bias": "final_linear.0.bias", "b4.out.weight": "final_linear.1.weight",
             "b4.out.bias": "final_linear.1.bias"}
    out = {names[key]: numbers for key, numbers in network("D", discriminator_shapes()).items()}
    return out | {"convs.1.conv2.0.kernel": FILTER, "convs.1.skip.0.kernel": FILTER}


def rosinality(training):
    state_dict = lambda arrays: collections.OrderedDict((k, tensor(v, False)) for k, v in arrays.items())
    data = dict(g_ema=state_dict(rosinality_generator("G_ema")))
    if training:
        args = NAMESPACE()
        args.__dict__.update(iter=800000, batch=16, ckpt=None)
        moments = {0: dict(step=3, exp_avg=tensor(np.ones(4, np.float32), False))}
        data |= dict(g=state_dict(rosinality_generator("G")), d=state_dict(rosinality_discriminator()),
                     g_optim=dict(state=moments, param_groups=[dict(lr=0.002, betas=(0.0, 0.99))]), args=args,
                     ada_aug_p=0.25)
    else:
        data["latent_avg"] = tensor(values("G_ema", "mapping.w_avg", (W,)), False)
    return data


FILES = {
    "ada_labels_protocol3.pkl": lambda: snapshot(3, "resnet", "skip", c_dim=3),
    "ada_frozen_channels_last_protocol4.pkl":
        lambda: snapshot(4, options=dict(channels_last=True, freeze=("fromrgb", "conv0"))),
    "ada_orig_protocol5.pkl": lambda: snapshot(5, "orig", "orig"),
    "stylegan3_repository_protocol4.pkl": lambda: snapshot(4, newer=True),
    "tensorflow_protocol2.pkl": lambda: tensorflow(2),
    "tensorflow_labels_protocol4.pkl": lambda: tensorflow(4, c_dim=3),
    "tensorflow_columns_protocol5.pkl": lambda: tensorflow(5, order="F"),
    "rosinality.pt": lambda: torch_zip(rosinality(False)),
    "rosinality_legacy.pt": lambda: torch_legacy(rosinality(False)),
    "rosinality_training.pt": lambda: torch_zip(rosinality(True)),
}

if __name__ == "__main__":
    for file_name, make in FILES.items():
        (Path(__file__).parent.parent / "reference" / "checkpoints" / file_name).write_bytes(make())
