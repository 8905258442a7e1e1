"""Makes small files that have to be refused, each for one reason.

    python tests/make/bad.py    needs only numpy; writes to tests/bad, with the help of checkpoints.py beside it
"""

import collections
import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import checkpoints as good  # noqa: E402

NUMBERS = np.ones(4, np.float32)
HUGE = 1 << 60


def generator(inner):
    """A generator whose synthesis network has the given children."""
    state = lambda modules=None: dict(_parameters={}, _buffers={}, _modules=modules or {}, _init_kwargs={})
    children = {name: good.persistent(kind, state()) for name, kind in inner.items()}
    synthesis = good.persistent("SynthesisNetwork", state(children))
    mapping = good.persistent("MappingNetwork", state())
    return good.persistent("Generator", state(dict(synthesis=synthesis, mapping=mapping)))


def tf_triple(variables, version=4):
    networks = [good.tf_network(name, variables, {}) for name in ("G", "D", "Gs")]
    for network in networks:
        network.version = version
    return pickle.dumps(tuple(networks), 4)


def state_dict(**arrays):
    return collections.OrderedDict((name, good.tensor(value, False)) for name, value in arrays.items())


def archive(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            made.writestr(info, data)
    return file.getvalue()


def entries_of(bytes_):
    with zipfile.ZipFile(io.BytesIO(bytes_)) as made:
        return [(name, made.read(name)) for name in made.namelist()]


def safetensors(metadata):
    header = json.dumps({"__metadata__": metadata, "a": dict(dtype="F32", shape=[4], data_offsets=[0, 16])}).encode()
    return struct.pack("<Q", len(header)) + header + NUMBERS.tobytes()


def lying_storage():
    """A reference to 2^60 numbers, of which four are there."""
    entries = entries_of(good.torch_zip(dict(g_ema=state_dict(x=NUMBERS))))
    small = b"X\x03\x00\x00\x00cpu"
    def lie(data):
        place = data.index(small)
        count = data.index(b"K\x04N", place)
        return data[:count] + b"\x8a\x08" + struct.pack("<q", HUGE) + data[count + 2:]
    return archive([(name, lie(data) if name.endswith("data.pkl") else data) for name, data in entries])


def lying_stream():
    """A storage of four numbers in front of which 2^60 are announced."""
    made = good.torch_legacy(dict(g_ema=state_dict(x=NUMBERS)))
    return made[:-24] + struct.pack("<q", HUGE) + NUMBERS.tobytes()


def big_endian(array):
    """A numpy array as numpy 1 writes it, with another type or shape than its bytes have."""
    dtype = np.dtype(array.get("dtype", "<f4"))
    reconstruct = good.stand_in("numpy.core.multiarray", "_reconstruct")
    class Made:
        def __reduce__(self):
            state = (1, array["shape"], dtype, False, NUMBERS.tobytes())
            return reconstruct, (np.ndarray, (0,), b"b"), state
    return Made()


def shared_storage():
    """A generator whose tensors all lie in the same few numbers: far larger than the file."""
    storage = good.Storage(np.zeros(48 * 48, np.float32))
    class Shared(good.TorchPickler):
        def persistent_id(self, obj):
            if obj is not storage:
                return None
            self.storages = [storage]
            return ("storage", good.FLOATS, "0", "cpu", storage.numbers.size, None)
    def view(*shape):
        strides = tuple(int(np.prod(shape[axis + 1:])) for axis in range(len(shape)))
        return good.Call(good.TENSOR, storage, 0, shape, strides, False, collections.OrderedDict())
    w, c = 32, 16
    tensors = {"input.input": view(1, c, 4, 4)}
    for i in range(1, 65):
        tensors |= {f"style.{i}.weight": view(w, w), f"style.{i}.bias": view(w)}
    def styled(path, out, k):
        tensors[f"{path}.conv.weight"] = view(1, out, c, k, k)
        tensors[f"{path}.conv.modulation.weight"] = view(c, w)
        tensors[f"{path}.conv.modulation.bias"] = view(c)
        if k == 3:
            tensors[f"{path}.noise.weight"] = view(1)
            tensors[f"{path}.activate.bias"] = view(out)
        else:
            tensors[f"{path}.bias"] = view(1, 3, 1, 1)
    styled("conv1", c, 3)
    styled("to_rgb1", 3, 1)
    tensors["noises.noise_0"] = view(1, 1, 4, 4)
    for k in range(2):
        for j in range(2):
            styled(f"convs.{2 * k + j}", c, 3)
            tensors[f"noises.noise_{2 * k + j + 1}"] = view(1, 1, 8 << k, 8 << k)
        styled(f"to_rgbs.{k}", 3, 1)
    file = io.BytesIO()
    pickler = Shared(file)
    pickler.dump(dict(g_ema=tensors, latent_avg=view(w)))
    return archive([("x/data.pkl", file.getvalue()), ("x/data/0", storage.numbers.tobytes())])


FILES = {
    "stylegan3.pkl": lambda: pickle.dumps(dict(G_ema=generator(dict(input="SynthesisInput", L0_36_512="SynthesisLayer"))), 4),
    "lone_module.pkl": lambda: pickle.dumps(good.persistent("Inception", dict(_modules={})), 4),
    "lone_tensorflow_network.pkl": lambda: pickle.dumps(good.tf_network("vgg16", {}, {}), 4),
    "progressive.pkl": lambda: tf_triple({"synthesis/ToRGB_lod0/weight": NUMBERS}),
    "label_concat.pkl": lambda: tf_triple({"mapping/LabelConcat/weight": NUMBERS}),
    "old_tensorflow.pkl": lambda: tf_triple({"lod": np.float32(0)}, version=3),
    "state_dict.pt": lambda: good.torch_zip(state_dict(weight=NUMBERS, bias=NUMBERS)),
    "state_dict_legacy.pt": lambda: good.torch_legacy(state_dict(weight=NUMBERS, bias=NUMBERS)),
    "other_g_ema.pt": lambda: good.torch_zip(dict(g_ema=state_dict(weight=NUMBERS))),
    "torchscript.pt": lambda: archive([("net/data.pkl", pickle.dumps({}, 2)), ("net/code/net.py", b""), ("net/constants.pkl", b"")]),
    "pictures.zip": lambda: archive([("00000/img00000000.png", b""), ("dataset.json", b"{}")]),
    "compressed.pt": lambda: archive(entries_of(good.torch_zip(dict(g_ema=state_dict(x=NUMBERS)))), zipfile.ZIP_DEFLATED),
    "duplicate_entry.pt": lambda: archive([("x/data.pkl", pickle.dumps({}, 2)), ("x/data.pkl", pickle.dumps([], 2))]),
    "big_endian.pkl": lambda: tf_triple_of(big_endian(dict(shape=(4,), dtype=">f4"))),
    "lying_array.pkl": lambda: tf_triple_of(big_endian(dict(shape=(1 << 30, 1 << 30)))),
    "lying_storage.pt": lying_storage,
    "lying_stream.pt": lying_stream,
    "foreign.safetensors": lambda: safetensors({"format": "pt"}),
    "newer.safetensors": lambda: safetensors({"toonify": "2"}),
    "shared_storage.pt": shared_storage,
}


def tf_triple_of(value):
    networks = [good.tf_network(name, {}, {}) for name in ("G", "D", "Gs")]
    for network in networks:
        network.variables = [("synthesis/noise0", value)]
    return pickle.dumps(tuple(networks), 4)


if __name__ == "__main__":
    for file_name, made in FILES.items():
        (HERE.parent / "bad" / file_name).write_bytes(made())
