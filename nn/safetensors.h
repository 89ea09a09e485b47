#pragma once
#include <gradus/nn/module.h>

#pragma GCC visibility push(default)

namespace gradus::nn {

/// Writes tensors as a safetensors file, the format that PyTorch, NumPy, JAX and others read:
/// `nn::save("model.safetensors", nn::state_dict(model))`.
///
/// The file appears as a whole or not at all: it is written under a temporary name in the same folder,
/// flushed to the disk and renamed; after an error or a crash, what was at `path` before is still there.
/// Only a regular file is replaced; a symbolic link stays and its target is replaced; the mode stays.
/// FileError names the path and the system's reason. Throws for undefined tensors, a name given twice, and
/// what load would refuse.
void save(const std::string& path, const NamedTensors& state);

/// What load does with a file.
struct LoadOptions {
  /// Whether elements of a dtype that tensors don't have become the next that holds them: F16 and BF16
  /// float32, and I8 I16 I32 U16 U32 int64, which takes up to 8 times the file's size.
  bool convert = false;
};
/// The tensors of a safetensors file, in the order of its header; metadata is checked and left out.
///
/// FileError names the path and what is wrong, for anything but: JSON without duplicate keys, of at most
/// 100,000,000 bytes; dtypes F32 F64 I64 U8 BOOL (and those to convert), at most 8 dims; data that the
/// tensors fill without overlaps, holes or rest; at most 65,536 tensors and as many metadata entries. Nothing
/// is allocated that the file does not hold, but for conversion.
NamedTensors load(const std::string& path, LoadOptions options = {});

}  // namespace gradus::nn

#pragma GCC visibility pop
