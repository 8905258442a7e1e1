//! The only classes and functions that a pickle may name.

use crate::checkpoint::array::Dtype;

/// A class or function that checkpoints name. Naming one has no effect; calls are only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// NVIDIA's persistent classes: the argument describes the object.
    PersistentObject,
    /// A parameter made of a tensor.
    RebuildParameter,
    /// A tensor made of storage, offset, size and strides.
    RebuildTensor,
    /// A storage made of a whole `torch.save` stream.
    LoadFromBytes,
    /// A tensor storage of this type, named in persistent ids.
    Storage(Dtype),
    /// `collections.OrderedDict`.
    OrderedDict,
    /// NVIDIA's dict with attribute access.
    EasyDict,
    /// `set`.
    Set,
    /// `bytes`, for the empty byte string of protocol 2.
    Bytes,
    /// `_codecs.encode`: the byte strings of protocol 2.
    Encode,
    /// `argparse.Namespace`.
    Namespace,
    /// A number made of type and bytes.
    NumpyScalar,
    /// A numpy type.
    NumpyDtype,
    /// The numpy array class.
    NumpyArray,
    /// An empty numpy array that gets its state afterwards.
    NumpyReconstruct,
    /// A numpy array of protocol 5.
    NumpyFromBuffer,
    /// The TensorFlow code's network.
    TflibNetwork,
    /// A class of a TorchScript program, whatever its name.
    ScriptModule,
    /// A list or dict that TorchScript marks with its type.
    ScriptList,
}

const GLOBALS: [(&str, &str, Global); 39] = [
    ("torch_utils.persistence", "_reconstruct_persistent_obj", Global::PersistentObject),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch.storage", "_load_from_bytes", Global::LoadFromBytes),
    ("torch", "FloatStorage", Global::Storage(Dtype::F32)),
    ("torch", "HalfStorage", Global::Storage(Dtype::F16)),
    ("torch", "BFloat16Storage", Global::Storage(Dtype::Bf16)),
    ("torch", "DoubleStorage", Global::Storage(Dtype::F64)),
    ("torch", "ByteStorage", Global::Storage(Dtype::U8)),
    ("torch", "CharStorage", Global::Storage(Dtype::I8)),
    ("torch", "ShortStorage", Global::Storage(Dtype::I16)),
    ("torch", "IntStorage", Global::Storage(Dtype::I32)),
    ("torch", "LongStorage", Global::Storage(Dtype::I64)),
    ("torch", "BoolStorage", Global::Storage(Dtype::Bool)),
    ("collections", "OrderedDict", Global::OrderedDict),
    ("dnnlib.util", "EasyDict", Global::EasyDict),
    ("dnnlib", "EasyDict", Global::EasyDict),
    ("builtins", "set", Global::Set),
    ("__builtin__", "set", Global::Set),
    ("builtins", "bytes", Global::Bytes),
    ("__builtin__", "bytes", Global::Bytes),
    ("_codecs", "encode", Global::Encode),
    ("argparse", "Namespace", Global::Namespace),
    ("numpy.core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy._core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy", "dtype", Global::NumpyDtype),
    ("numpy", "ndarray", Global::NumpyArray),
    ("numpy.core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy._core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy.core.numeric", "_frombuffer", Global::NumpyFromBuffer),
    ("numpy._core.numeric", "_frombuffer", Global::NumpyFromBuffer),
    ("dnnlib.tflib.network", "Network", Global::TflibNetwork),
    ("dnnlib.tflib", "Network", Global::TflibNetwork),
    ("torch.jit._pickle", "build_intlist", Global::ScriptList),
    ("torch.jit._pickle", "build_doublelist", Global::ScriptList),
    ("torch.jit._pickle", "build_boollist", Global::ScriptList),
    ("torch.jit._pickle", "build_tensorlist", Global::ScriptList),
    ("torch.jit._pickle", "restore_type_tag", Global::ScriptList),
];

impl Global {
    /// Looks a class or function up; `None` for everything that is neither on the list nor TorchScript's own.
    pub fn find(module: &str, name: &str) -> Option<Global> {
        if module == "__torch__" || module.starts_with("__torch__.") {
            return Some(Global::ScriptModule);
        }
        GLOBALS.iter().find(|(m, n, _)| (*m, *n) == (module, name)).map(|(_, _, global)| *global)
    }
}
