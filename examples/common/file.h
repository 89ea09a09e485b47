#pragma once
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

/// A file of the C library, closed where its owner ends.
struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// The whole of a regular file. FileError `op: path: reason` where it is missing or can't be read.
std::vector<std::byte> read_file(std::string_view op, const std::string& path);

/// Writes a file as a whole or not at all: under a temporary name beside it, then renamed. Folders on the way
/// are made. FileError with the path and the system's reason; what was at `path` before then stays. Only
/// regular files are replaced; links are followed, and the mode stays.
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, std::string_view text);

}  // namespace gradus::examples
