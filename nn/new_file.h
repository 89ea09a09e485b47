#pragma once
#include <cstdint>
#include <string>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// A file that appears as a whole or not at all: it is written under a temporary name in the folder of
/// `path`, and commit() renames it. Whatever fails leaves what was at `path` before, and no temporary file;
/// what killed processes have left in the folder is removed.
///
/// Only regular files are replaced. A symbolic link stays and its target is replaced; the mode stays, and as
/// far as the system allows the owner. FileError `op: path: reason`.
class NewFile {
 public:
  NewFile(const char* op, const std::string& path);
  NewFile(const NewFile&) = delete;
  ~NewFile();

  void write(const void* bytes, uint64_t n);
  /// Gives the file its name. To `flush` is to wait until the disk holds it.
  void commit(bool flush);

 private:
  /// An open file or folder.
  struct Descriptor {
    int fd;
    ~Descriptor();
  };

  void create();
  void keep_mode();
  [[noreturn]] void fail_with_errno() const;

  const char* op_;
  const std::string path_;  // as it was given, for errors
  std::string name_;        // in the folder, links followed
  std::string temporary_;
  Descriptor folder_{-1}, file_{-1};
  bool replaces_ = false, renamed_ = false;
};

}  // namespace gradus::detail

#pragma GCC visibility pop
