#include <common/hdf5.h>
#include <fmt/format.h>

#ifdef GRADUS_HAVE_HDF5
#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace gradus::examples {
namespace {

/// One of libhdf5's identifiers, closed at the end of its scope.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// Keeps libhdf5 from printing its errors for as long as it lives.
class Silence {
 public:
  Silence() {
    H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Silence() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  H5E_auto2_t print_;
  void* data_;
};

/// What libhdf5 says of its last failure: the innermost message.
std::string reason() {
  std::string text = "unknown error";
  const auto keep = [](unsigned, const H5E_error2_t* error, void* to) -> herr_t {
    if (error->desc) *static_cast<std::string*>(to) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep, &text);
  return text;
}

/// An open dataset with its type and its shape, and the errors that name it.
class OpenDataset {
 public:
  OpenDataset(const std::string& path, const std::string& name)
      : name_(path + ": dataset '" + name + "'"),
        file_(open(path), H5Fclose),
        id_(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose),
        type_(id_ < 0 ? -1 : H5Dget_type(id_), H5Tclose) {
    if (id_ < 0) fail<FileError>("read_hdf5: {}: not found: {}", name_, reason());
    const Handle space(H5Dget_space(id_), H5Sclose);
    const int rank = H5Sget_simple_extent_ndims(space);
    if (type_ < 0 || rank < 0) refuse(reason());
    if (rank > kMaxRank) refuse(fmt::format("{} dims, at most {} are supported", rank, kMaxRank));
    hsize_t sizes[kMaxRank];
    H5Sget_simple_extent_dims(space, sizes, nullptr);
    for (int i = 0; i < rank; i++) shape_.push_back(static_cast<int64_t>(sizes[i]));
  }

  const Shape& shape() const { return shape_; }
  hid_t type() const { return type_; }
  [[noreturn]] void refuse(const std::string& what) const {
    fail<FileError>("read_hdf5: {}: {}", name_, what);
  }

  /// The type in the words of an error message.
  std::string type_name() const {
    const H5T_class_t kind = H5Tget_class(type_);
    const size_t size = H5Tget_size(type_);
    if (kind == H5T_INTEGER)
      return fmt::format("{}int{}", H5Tget_sign(type_) == H5T_SGN_NONE ? "u" : "", 8 * size);
    if (kind == H5T_FLOAT) return fmt::format("float{}", 8 * size);
    if (kind == H5T_STRING)
      return H5Tis_variable_str(type_) > 0 ? "strings" : fmt::format("strings of {}", size);
    return fmt::format("HDF5 type class {}", static_cast<int>(kind));
  }

  /// All elements, converted to `memory_type` of `item` bytes.
  std::vector<std::byte> read(hid_t memory_type, size_t item) const {
    uint64_t bytes = item;
    for (const int64_t size : shape_)
      if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
        refuse(fmt::format("the shape {} is absurd", shape_.str()));
    // Deflate shrinks at most 1032:1, so a file that holds less than that announces what it does not have.
    const uint64_t stored = H5Dget_storage_size(id_);
    if (bytes / 1032 > stored) refuse(fmt::format("{} bytes are announced, {} are stored", bytes, stored));
    std::vector<std::byte> data(bytes);
    if (H5Dread(id_, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()) < 0)
      refuse("cannot be read: " + reason());
    return data;
  }

 private:
  static hid_t open(const std::string& path) {
    std::error_code error;
    if (!std::filesystem::exists(path, error))
      fail<FileError>("read_hdf5: {}: {}", path, error ? error.message() : "no such file");
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file >= 0) return file;
    const std::string why = reason();
    if (H5Fis_hdf5(path.c_str()) == 0) fail<FileError>("read_hdf5: {}: not an HDF5 file", path);
    fail<FileError>("read_hdf5: {}: cannot be opened: {}", path, why);
  }

  std::string name_;
  Handle file_, id_, type_;
  Shape shape_;
};

bool matches(const Shape& found, const Shape& expected) {
  if (found.rank() != expected.rank()) return false;
  for (int i = 0; i < found.rank(); i++)
    if (expected[i] != -1 && expected[i] != found[i]) return false;
  return true;
}

}  // namespace

bool reads_hdf5() { return true; }

Array read_hdf5(const std::string& path, const std::string& dataset, Dtype dtype,
                std::initializer_list<Shape> shapes) {
  if (dtype != kUInt8 && dtype != kInt64)
    fail<DtypeError>("read_hdf5: dtype must be uint8 or int64: {}", name_of(dtype));
  const Silence silence;
  const OpenDataset found(path, dataset);
  const hid_t type = dtype == kUInt8 ? H5T_NATIVE_UINT8 : H5T_NATIVE_INT64;
  const bool same_type = H5Tget_class(found.type()) == H5T_INTEGER &&
                         H5Tget_size(found.type()) == H5Tget_size(type) &&
                         H5Tget_sign(found.type()) == H5Tget_sign(type);
  const bool same_shape =
      std::ranges::any_of(shapes, [&](const Shape& shape) { return matches(found.shape(), shape); });
  if (!same_type || !same_shape) {
    std::string expected;
    for (const Shape& shape : shapes) expected += (expected.empty() ? "" : " or ") + shape.str();
    found.refuse(fmt::format("found {} {}, expected {} {} (-1: any size)", found.type_name(),
                             found.shape().str(), name_of(dtype), expected));
  }
  return {dtype, found.shape(), found.read(type, static_cast<size_t>(item_size(dtype)))};
}

std::vector<std::string> read_hdf5_strings(const std::string& path, const std::string& dataset) {
  const Silence silence;
  const OpenDataset found(path, dataset);
  const bool fixed = H5Tget_class(found.type()) == H5T_STRING && H5Tis_variable_str(found.type()) == 0;
  if (!fixed || found.shape().rank() != 1)
    found.refuse(fmt::format("found {} {}, expected fixed-length strings [-1] (-1: any size)",
                             found.type_name(), found.shape().str()));
  const size_t length = H5Tget_size(found.type());
  const std::vector<std::byte> bytes = found.read(found.type(), length);
  std::vector<std::string> strings;
  for (size_t at = 0; at < bytes.size(); at += length) {
    const char* text = reinterpret_cast<const char*>(bytes.data()) + at;
    strings.emplace_back(text, strnlen(text, length));
  }
  return strings;
}

}  // namespace gradus::examples

#else

namespace gradus::examples {
namespace {

[[noreturn]] void refuse(const std::string& path) {
  fail(
      "read_hdf5: {}: Gradus was built without libhdf5: install it (Debian, Ubuntu: apt install "
      "libhdf5-dev), "
      "then configure and build again",
      path);
}

}  // namespace

bool reads_hdf5() { return false; }

Array read_hdf5(const std::string& path, const std::string&, Dtype, std::initializer_list<Shape>) {
  refuse(path);
}
std::vector<std::string> read_hdf5_strings(const std::string& path, const std::string&) { refuse(path); }

}  // namespace gradus::examples
#endif
