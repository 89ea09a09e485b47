#include <common/file.h>
#include <gradus/autograd/base/error.h>
#include <gradus/nn/new_file.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace gradus::examples {
namespace {

namespace fs = std::filesystem;

std::string reason_of(int error) { return std::generic_category().message(error); }

}  // namespace

std::vector<std::byte> read_file(std::string_view op, const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail<FileError>("{}: {}: {}", op, path, error.message());
  if (!fs::is_regular_file(status)) fail<FileError>("{}: {}: not a regular file", op, path);
  const File file(std::fopen(path.c_str(), "rb"));
  if (!file) fail<FileError>("{}: {}: {}", op, path, reason_of(errno));
  std::vector<std::byte> bytes(fs::file_size(path));
  const size_t got = std::fread(bytes.data(), 1, bytes.size(), file.get());
  if (got != bytes.size()) fail<FileError>("{}: {}: read only {} of {} bytes", op, path, got, bytes.size());
  return bytes;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) fail<FileError>("write_file: {}: cannot make the folder: {}", path, error.message());

  detail::NewFile file("write_file", path);
  file.write(bytes.data(), bytes.size());
  file.commit(false);
}

void write_file(const std::string& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace gradus::examples
