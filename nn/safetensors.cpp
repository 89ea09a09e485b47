#include <fcntl.h>
#include <gradus/nn/foreign_dtype.h>
#include <gradus/nn/new_file.h>
#include <gradus/nn/safetensors.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

// A safetensors file: 8 bytes n, a header of n bytes of JSON, then the elements, little-endian and row-major.
// The header maps each name to {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, offsets
// counted from its end.
namespace gradus::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie in memory");

constexpr uint64_t kMaxHeader = 100'000'000;
// Tensors cost some 400 bytes of memory, empty ones 50 in the file: without a limit, loading could take 8
// times its size.
constexpr size_t kMaxTensors = 65'536;
constexpr const char* kMetadata = "__metadata__";

struct DtypeName {
  Dtype dtype;
  const char* name;
};
constexpr DtypeName kDtypeNames[] = {
    {kFloat32, "F32"}, {kFloat64, "F64"}, {kInt64, "I64"}, {kUInt8, "U8"}, {kBool, "BOOL"}};
constexpr const char* kNames = "F32, F64, I64, U8, BOOL";

std::string shortened(const std::string& name) {
  return name.size() <= 100 ? name : name.substr(0, 100) + "…";
}

/// A file that is read, and closed when it goes out of scope.
class File {
 public:
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  explicit File(const std::string& path)
      : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (fd_ < 0) fail_with_errno();
  }
  File(const File&) = delete;
  ~File() { ::close(fd_); }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> reason, Args&&... args) const {
    fail<FileError>("load: {}: {}", path_, fmt::vformat(reason, fmt::make_format_args(args...)));
  }
  [[noreturn]] void fail_with_errno() const { refuse("{}", std::strerror(errno)); }

  uint64_t size() const {
    struct stat s;
    if (::fstat(fd_, &s) != 0) fail_with_errno();
    if (!S_ISREG(s.st_mode)) refuse("not a regular file");
    return static_cast<uint64_t>(s.st_size);
  }
  void read(void* bytes, uint64_t n, uint64_t at) const {
    for (char* p = static_cast<char*>(bytes); n > 0;) {
      const ssize_t got = ::pread(fd_, p, n, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_with_errno();
      if (got == 0) refuse("cut while it was read");
      p += got, at += static_cast<uint64_t>(got), n -= static_cast<uint64_t>(got);
    }
  }

 private:
  const std::string& path_;
  const int fd_;
};

using gradus::detail::ForeignDtype;

struct Entry {
  std::string name;
  Dtype dtype;
  const ForeignDtype* stored;  // null where it is dtype
  Shape shape;
  uint64_t begin, end;
};

/// Reads the header as nlohmann's parser reports it, token by token: no tree is built, and depth costs
/// nothing.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const File& file, uint64_t data_bytes, bool convert)
      : file_(file), data_bytes_(data_bytes), convert_(convert) {}
  std::vector<Entry> entries;

  bool start_object(size_t) override {
    if (place_ == Place::Outside) return go(Place::Names);
    if (place_ == Place::Entry && in_metadata_) return go(Place::Metadata);
    if (place_ != Place::Entry) unexpected("an object");
    return go(Place::Fields);
  }
  bool end_object() override {
    if (place_ == Place::Names) return go(Place::Outside);
    if (place_ == Place::Fields) finish_entry();
    return go(Place::Names);
  }
  bool key(string_t& key) override {
    if (place_ == Place::Names) {
      if (!names_.insert(key).second) file_.refuse("duplicate key '{}'", shortened(key));
      in_metadata_ = key == kMetadata;
      metadata_keys_.clear();
      if (!in_metadata_ && entries.size() == kMaxTensors) file_.refuse("more than {} tensors", kMaxTensors);
      if (!in_metadata_) entries.push_back({std::move(key), {}, nullptr, {}, 0, 0});
      has_dtype_ = has_shape_ = has_offsets_ = false;
      return go(Place::Entry);
    }
    if (place_ == Place::Metadata) {
      if (!metadata_keys_.insert(key).second)
        file_.refuse("duplicate key '{}' in {}", shortened(key), kMetadata);
      if (metadata_keys_.size() > kMaxTensors)
        file_.refuse("more than {} entries in {}", kMaxTensors, kMetadata);
      return true;
    }
    bool& seen = key == "dtype" ? has_dtype_ : key == "shape" ? has_shape_ : has_offsets_;
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      file_.refuse("'{}': unknown key '{}'", name(), shortened(key));
    if (seen) file_.refuse("'{}': duplicate key '{}'", name(), key);
    seen = true;
    return go(key == "dtype" ? Place::Dtype : key == "shape" ? Place::BeforeShape : Place::BeforeOffsets);
  }
  bool string(string_t& value) override {
    if (place_ == Place::Metadata) return true;
    if (place_ != Place::Dtype) unexpected("a string");
    for (const DtypeName& d : kDtypeNames)
      if (value == d.name) {
        entries.back().dtype = d.dtype;
        return go(Place::Fields);
      }
    for (const ForeignDtype& d : gradus::detail::foreign_dtypes())
      if (value == d.safetensors) {
        if (!convert_)
          file_.refuse("'{}': dtype '{}' is not one of {}; load(path, {{.convert = true}}) makes it {}",
                       name(), value, kNames, d.dtype);
        entries.back().dtype = d.dtype;
        entries.back().stored = &d;
        return go(Place::Fields);
      }
    file_.refuse("'{}': dtype '{}' is not one of {}; save it as one of them", name(), shortened(value),
                 kNames);
  }
  bool start_array(size_t) override {
    if (place_ == Place::BeforeShape) return go(Place::Shape);
    if (place_ != Place::BeforeOffsets) unexpected("an array");
    num_offsets_ = 0;
    return go(Place::Offsets);
  }
  bool end_array() override {
    if (place_ == Place::Offsets && num_offsets_ != 2)
      file_.refuse("'{}': {} data_offsets, not 2", name(), num_offsets_);
    return go(Place::Fields);
  }
  bool number_unsigned(uint64_t value) override {
    if (place_ == Place::Shape) {
      if (entries.back().shape.rank() == kMaxRank) file_.refuse("'{}': more than {} dims", name(), kMaxRank);
      if (value > INT64_MAX) file_.refuse("'{}': size {} is too large", name(), value);
      entries.back().shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::Offsets) {
      if (num_offsets_ == 2) file_.refuse("'{}': more than 2 data_offsets", name());
      (num_offsets_++ == 0 ? entries.back().begin : entries.back().end) = value;
    } else {
      unexpected("a number");
    }
    return true;
  }
  bool number_integer(int64_t) override { unexpected("a negative number"); }
  bool number_float(double, const string_t&) override { unexpected("a number that is no integer"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool null() override { unexpected("null"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(size_t at, const std::string&, const nlohmann::detail::exception&) override {
    file_.refuse("the header is not JSON at its byte {}", at);
  }

 private:
  enum class Place {
    Outside,
    Names,
    Entry,
    Metadata,
    Fields,
    Dtype,
    BeforeShape,
    Shape,
    BeforeOffsets,
    Offsets
  };

  bool go(Place place) {
    place_ = place;
    return true;
  }
  std::string name() const {
    return in_metadata_ ? kMetadata : entries.empty() ? "" : shortened(entries.back().name);
  }
  [[noreturn]] void unexpected(const char* what) const {
    if (place_ == Place::Outside) file_.refuse("the header is {}, not an object", what);
    if (place_ == Place::Metadata) file_.refuse("{}: {}, where only strings may be", kMetadata, what);
    file_.refuse("'{}': {} where none may be", name(), what);
  }
  void finish_entry() const {
    const Entry& e = entries.back();
    for (const auto& [has, key] :
         {std::pair{has_dtype_, "dtype"}, {has_shape_, "shape"}, {has_offsets_, "data_offsets"}})
      if (!has) file_.refuse("'{}': no {}", name(), key);
    if (e.begin > e.end || e.end > data_bytes_)
      file_.refuse("'{}': data_offsets [{}, {}] do not lie in [0, {}]", name(), e.begin, e.end, data_bytes_);
    // As Shape::numel(), but sizes of 0 do not excuse a product of the others that overflows.
    int64_t bytes = item_size(e.dtype);
    if (e.stored) bytes = e.stored->size;
    for (const int64_t size : e.shape)
      if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes))
        file_.refuse("'{}': shape {} is too large", name(), e.shape);
    if (std::count(e.shape.begin(), e.shape.end(), 0)) bytes = 0;
    if (e.end - e.begin != static_cast<uint64_t>(bytes))
      file_.refuse("'{}': {} of shape {} takes {} bytes, data_offsets [{}, {}] give {}", name(),
                   e.stored ? e.stored->safetensors : name_of(e.dtype), e.shape, bytes, e.begin, e.end,
                   e.end - e.begin);
  }

  const File& file_;
  const uint64_t data_bytes_;
  const bool convert_;
  Place place_ = Place::Outside;
  bool in_metadata_ = false, has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int num_offsets_ = 0;
  std::unordered_set<std::string> names_, metadata_keys_;
};

/// Every byte of the data belongs to exactly one tensor.
void check_cover(const File& file, const std::vector<Entry>& entries, uint64_t data_bytes) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& e : entries) order.push_back(&e);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  uint64_t at = 0;
  for (const Entry* e : order) {
    if (e->begin != at)
      file.refuse("'{}': begins at byte {} of the data, the tensor before ends at {}", shortened(e->name),
                  e->begin, at);
    at = e->end;
  }
  if (at != data_bytes) file.refuse("{} bytes follow the last tensor", data_bytes - at);
}

/// The header, padded with spaces so that the elements begin at a multiple of 8 bytes.
std::string header_of(const NamedTensors& state, const std::vector<uint64_t>& begin) {
  std::string header = "{";
  for (size_t i = 0; i < state.size(); i++) {
    const auto& [name, x] = state[i];
    const auto dtype = std::find_if(std::begin(kDtypeNames), std::end(kDtypeNames),
                                    [&x = x](const auto& d) { return d.dtype == x.dtype(); });
    std::string quoted;
    try {
      quoted = nlohmann::json(name).dump();
    } catch (const nlohmann::json::type_error&) {
      fail("save: the name of tensor {} is not UTF-8", i);
    }
    const uint64_t bytes = static_cast<uint64_t>(x.numel() * item_size(x.dtype()));
    header += fmt::format(R"({}{}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", i ? "," : "", quoted,
                          dtype->name, x.shape(), begin[i], begin[i] + bytes);
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMaxHeader)
    fail("save: the header takes {} bytes, more than {}", header.size(), kMaxHeader);
  return header;
}

void check_savable(const NamedTensors& state) {
  if (state.size() > kMaxTensors) fail("save: {} tensors, more than {}", state.size(), kMaxTensors);
  std::unordered_set<std::string_view> names;
  for (const auto& [name, x] : state) {
    if (name == kMetadata) fail("save: no tensor can be named '{}'", name);
    if (!names.insert(name).second) fail("save: two tensors are named '{}'", name);
    if (!x.defined()) fail("save: '{}' is undefined", name);
  }
}

}  // namespace

NamedTensors load(const std::string& path, LoadOptions options) {
  check_not_recording("load");
  const File file(path);
  const uint64_t file_bytes = file.size();
  uint64_t header_bytes;
  if (file_bytes < 8) file.refuse("{} bytes are too few", file_bytes);
  file.read(&header_bytes, 8, 0);
  if (header_bytes > kMaxHeader) file.refuse("a header of {} bytes, more than {}", header_bytes, kMaxHeader);
  if (header_bytes > file_bytes - 8)
    file.refuse("a header of {} bytes is announced, {} follow", header_bytes, file_bytes - 8);
  const uint64_t data_begin = 8 + header_bytes, data_bytes = file_bytes - data_begin;

  std::vector<Entry> entries;
  {
    std::string header(header_bytes, '\0');
    file.read(header.data(), header_bytes, 8);
    if (!header.starts_with('{')) file.refuse("the header does not begin with {{");
    HeaderReader reader(file, data_bytes, options.convert);
    nlohmann::json::sax_parse(header, &reader);
    entries = std::move(reader.entries);
  }
  check_cover(file, entries, data_bytes);

  NamedTensors state;
  state.reserve(entries.size());
  for (Entry& e : entries) {
    const Tensor x = make_empty(e.shape, e.dtype);
    // Smaller elements than the tensor's are read to its end, from where they spread.
    std::byte* const stored = x.raw() + x.numel() * item_size(e.dtype) - (e.end - e.begin);
    file.read(stored, e.end - e.begin, data_begin + e.begin);
    if (e.stored) e.stored->convert(stored, x.numel(), x.raw());
    if (e.dtype == kBool &&
        std::any_of(x.raw(), x.raw() + x.numel(), [](std::byte b) { return b > std::byte(1); }))
      file.refuse("'{}': a bool that is neither 0 nor 1", shortened(e.name));
    state.emplace_back(std::move(e.name), x);
  }
  return state;
}

void save(const std::string& path, const NamedTensors& state) {
  check_not_recording("save");
  check_savable(state);
  // Wide elements first, so that each lies at a multiple of its size.
  std::vector<size_t> order(state.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return item_size(state[a].second.dtype()) > item_size(state[b].second.dtype());
  });
  std::vector<uint64_t> begin(state.size());
  uint64_t at = 0;
  for (const size_t i : order) {
    begin[i] = at;
    at += static_cast<uint64_t>(state[i].second.numel() * item_size(state[i].second.dtype()));
  }
  const std::string header = header_of(state, begin);
  const uint64_t header_bytes = header.size();

  NoGrad no_grad;
  gradus::detail::NewFile out("save", path);
  out.write(&header_bytes, 8);
  out.write(header.data(), header.size());
  for (const size_t i : order) {
    const Tensor x = state[i].second.contiguous();
    out.write(x.raw(), static_cast<uint64_t>(x.numel() * item_size(x.dtype())));
  }
  out.commit(true);
}

}  // namespace gradus::nn
