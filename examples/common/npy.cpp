#include <common/file.h>
#include <common/npy.h>
#include <fmt/format.h>
#include <gradus/nn/foreign_dtype.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>
#include <utility>

namespace gradus::examples {
namespace {

static_assert(std::endian::native == std::endian::little, "the arrays of .npy files are little-endian here");

constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr size_t kPrefix = 10;

constexpr std::pair<std::string_view, Dtype> kDescriptions[] = {
    {"<f8", kFloat64}, {"<f4", kFloat32}, {"<i8", kInt64}, {"|u1", kUInt8}, {"|b1", kBool}};

/// Reads the header, a Python dict of literals: {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }
class Header {
 public:
  Header(const std::string& path, std::string_view text, bool convert)
      : path_(path), rest_(text), convert_(convert) {
    bool seen[3] = {};
    expect("{");
    while (!accept("}")) {
      const std::string_view key = quoted();
      expect(":");
      const int entry = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (entry < 0 || seen[entry]) refuse(fmt::format("unknown or repeated entry '{}'", key));
      seen[entry] = true;
      if (entry == 0) read_dtype();
      if (entry == 1) read_order();
      if (entry == 2) read_shape();
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    if (!accept("\n") || !rest_.empty()) refuse("it does not end after the dict with a line feed");
    if (!seen[0] || !seen[1] || !seen[2]) refuse("'descr', 'fortran_order' or 'shape' is missing");
  }

  Dtype dtype;
  const detail::ForeignDtype* stored = nullptr;  // null where it is dtype
  Shape shape;

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    fail<FileError>("read_npy: {}: bad header: {}", path_, reason);
  }
  bool accept(std::string_view token) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size()));
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) refuse(fmt::format("expected '{}' before '{}'", token, rest_.substr(0, 20)));
  }
  std::string_view quoted() {
    expect("'");
    const std::string_view word = rest_.substr(0, rest_.find('\''));
    rest_.remove_prefix(word.size());
    expect("'");
    return word;
  }
  void read_dtype() {
    const std::string_view word = quoted();
    for (const auto& [description, type] : kDescriptions)
      if (word == description) {
        dtype = type;
        return;
      }
    for (const detail::ForeignDtype& d : detail::foreign_dtypes())
      if (convert_ && d.npy && word == d.npy) {
        dtype = d.dtype;
        stored = &d;
        return;
      }
    refuse(fmt::format("dtype '{}' is none of <f8 <f4 <i8 |u1 |b1: save array.astype('<f8'), say", word));
  }
  void read_order() {
    if (accept("True"))
      refuse("Fortran order is not supported: save a C-ordered array (numpy.ascontiguousarray)");
    expect("False");
  }
  void read_shape() {
    expect("(");
    bool comma = true;
    while (!accept(")")) {
      if (!comma) refuse("expected ',' between sizes");
      if (shape.rank() == kMaxRank) refuse(fmt::format("more than {} dims", kMaxRank));
      accept("");
      int64_t size;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0) refuse(fmt::format("bad size '{}'", rest_.substr(0, 20)));
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      shape.push_back(size);
      comma = accept(",");
    }
    if (shape.rank() == 1 && !comma) refuse("the shape is a number, not a tuple");
  }

  const std::string& path_;
  std::string_view rest_;
  const bool convert_;
};

/// Shape::numel, but with the file's name in the error.
int64_t elements_of(const std::string& path, const Shape& shape) {
  try {
    return shape.numel();
  } catch (const ShapeError& error) {
    fail<FileError>("read_npy: {}: {}", path, error.what());
  }
}

}  // namespace

Array read_npy(const std::string& path, bool convert) {
  const std::vector<std::byte> file = read_file("read_npy", path);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.size() < kPrefix || !text.starts_with(kMagic))
    fail<FileError>("read_npy: {}: not a .npy file of version 1.0", path);
  const size_t length = std::to_integer<size_t>(file[8]) | std::to_integer<size_t>(file[9]) << 8;
  if (length > text.size() - kPrefix)
    fail<FileError>("read_npy: {}: the header of {} bytes is cut: the file has {}", path, length,
                    text.size());

  const Header header(path, text.substr(kPrefix, length), convert);
  const auto elements = static_cast<uint64_t>(elements_of(path, header.shape));
  const auto item = static_cast<uint64_t>(header.stored ? header.stored->size : item_size(header.dtype));
  const std::span data = std::span(file).subspan(kPrefix + length);
  if (data.size() % item != 0 || data.size() / item != elements)
    fail<FileError>("read_npy: {}: {} bytes of data for {} {}, which need {} x {}", path, data.size(),
                    name_of(header.dtype), header.shape.str(), elements, item);
  if (header.dtype == kBool && std::ranges::any_of(data, [](std::byte b) { return b > std::byte(1); }))
    fail<FileError>("read_npy: {}: a bool is neither 0 nor 1", path);
  if (!header.stored) return {header.dtype, header.shape, {data.begin(), data.end()}};
  std::vector<std::byte> converted(elements * static_cast<uint64_t>(item_size(header.dtype)));
  header.stored->convert(data.data(), static_cast<int64_t>(elements), converted.data());
  return {header.dtype, header.shape, std::move(converted)};
}

void write_npy(const std::string& path, const Array& array) {
  const auto elements = static_cast<uint64_t>(array.shape.numel());
  const auto item = static_cast<uint64_t>(item_size(array.dtype));
  if (array.data.size() % item != 0 || array.data.size() / item != elements)
    fail<ShapeError>("write_npy: {} bytes of data for {} {}", array.data.size(), name_of(array.dtype),
                     array.shape.str());
  const auto* description =
      std::ranges::find(kDescriptions, array.dtype, [](const auto& d) { return d.second; });
  std::string shape = fmt::format("{}", fmt::join(array.shape, ", "));
  if (array.shape.rank() == 1) shape += ",";
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", description->first, shape);
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';

  std::string file(kMagic);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file.append(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  write_file(path, file);
}

}  // namespace gradus::examples
