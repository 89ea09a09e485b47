#include <dirent.h>
#include <fcntl.h>
#include <gradus/autograd/base/error.h>
#include <gradus/nn/new_file.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

namespace gradus::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".gradus-save-";

/// Takes a number without leading zeros off the front of `text`; -1 where there is none.
int64_t take_number(std::string_view& text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || (text[0] == '0' && end - text.data() > 1)) return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

/// The process of `.gradus-save-PID-N`; 0 for other names.
pid_t process_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return 0;
  name.remove_prefix(kPrefix.size());
  const int64_t pid = take_number(name);
  if (pid < 1 || pid > INT32_MAX || !name.starts_with('-')) return 0;
  name.remove_prefix(1);
  return take_number(name) >= 0 && name.empty() ? static_cast<pid_t>(pid) : 0;
}

// Not by std::filesystem::directory_iterator: that of libstdc++ 12 ends the process where memory runs out.
void remove_leftovers(int folder) {
  const int own = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const entries = own < 0 ? nullptr : ::fdopendir(own);
  if (!entries) {
    if (own >= 0) ::close(own);
    return;
  }
  while (const dirent* entry = ::readdir(entries)) {
    const char* name = entry->d_name;
    const pid_t pid = process_of(name);
    if (pid == 0 || ::kill(pid, 0) == 0 || errno != ESRCH) continue;
    struct stat s;
    if (::fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode)) continue;
    // A process of another container may live without being seen here: it holds a lock.
    const int fd = ::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlinkat(folder, name, 0);
    ::close(fd);
  }
  ::closedir(entries);
}

/// While it lives, a write beyond the limit of a file's size is an error and no signal to this thread.
class NoSizeSignal {
 public:
  NoSizeSignal() {
    sigset_t pending;
    ::sigemptyset(&signal_);
    ::sigaddset(&signal_, SIGXFSZ);
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGXFSZ) == 1;
    ::pthread_sigmask(SIG_BLOCK, &signal_, &mask_);
  }
  NoSizeSignal(const NoSizeSignal&) = delete;
  ~NoSizeSignal() {
    const int error = errno;
    const timespec at_once{};
    if (!was_pending_)
      while (::sigtimedwait(&signal_, nullptr, &at_once) < 0 && errno == EINTR) continue;
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    errno = error;
  }

 private:
  sigset_t signal_, mask_;
  bool was_pending_;
};

}  // namespace

NewFile::Descriptor::~Descriptor() {
  if (fd >= 0) ::close(fd);
}

void NewFile::fail_with_errno() const { fail<FileError>("{}: {}: {}", op_, path_, std::strerror(errno)); }

NewFile::NewFile(const char* op, const std::string& path) : op_(op), path_(path) {
  struct stat s;
  replaces_ = ::stat(path.c_str(), &s) == 0;
  if (replaces_ && S_ISDIR(s.st_mode)) errno = EISDIR, fail_with_errno();
  if (replaces_ && !S_ISREG(s.st_mode))
    fail<FileError>("{}: {}: not a regular file, which is all that is replaced", op, path);
  if (!replaces_ && errno != ENOENT) fail_with_errno();
  fs::path target = path;
  std::error_code error;
  // stat() has followed the links before: they lead in no circle.
  while (fs::is_symlink(fs::symlink_status(target, error))) {
    target = target.parent_path() / fs::read_symlink(target, error);
    if (error) fail<FileError>("{}: {}: {}", op, path, error.message());
  }
  name_ = target.filename().string();
  const fs::path folder = target.has_parent_path() ? target.parent_path() : ".";
  folder_.fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_.fd < 0) fail_with_errno();
  remove_leftovers(folder_.fd);
  create();
}

void NewFile::create() {
  static std::atomic<uint64_t> count{0};
  do {
    temporary_ = fmt::format("{}{}-{}", kPrefix, ::getpid(), count++);
    // What replaces a private file is private from the beginning.
    file_.fd = ::openat(folder_.fd, temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                        replaces_ ? 0600 : 0666);
  } while (file_.fd < 0 && errno == EEXIST);
  if (file_.fd < 0) fail_with_errno();
  ::flock(file_.fd, LOCK_EX | LOCK_NB);
}

NewFile::~NewFile() {
  if (!renamed_) ::unlinkat(folder_.fd, temporary_.c_str(), 0);
}

void NewFile::write(const void* bytes, uint64_t n) {
  const NoSizeSignal no_signal;
  for (const char* p = static_cast<const char*>(bytes); n > 0;) {
    const ssize_t put = ::write(file_.fd, p, n);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_with_errno();
    p += put, n -= static_cast<uint64_t>(put);
  }
}

void NewFile::keep_mode() {
  struct stat old, own;
  if (::fstatat(folder_.fd, name_.c_str(), &old, 0) != 0) {
    if (errno == ENOENT) return;
    fail_with_errno();
  }
  if (::fstat(file_.fd, &own) != 0) fail_with_errno();
  mode_t mode = old.st_mode & 07777;
  if (own.st_uid != old.st_uid || own.st_gid != old.st_gid)
    if (::fchown(file_.fd, old.st_uid, old.st_gid) != 0 &&
        ::fchown(file_.fd, static_cast<uid_t>(-1), old.st_gid) != 0)
      mode &= ~static_cast<mode_t>(070);  // they were the rights of another group
  if (::fchmod(file_.fd, mode) != 0) fail_with_errno();
}

void NewFile::commit(bool flush) {
  if (replaces_) keep_mode();
  if (flush && ::fsync(file_.fd) != 0) fail_with_errno();
  if (::close(std::exchange(file_.fd, -1)) != 0) fail_with_errno();
  if (::renameat(folder_.fd, temporary_.c_str(), folder_.fd, name_.c_str()) != 0) fail_with_errno();
  renamed_ = true;
  // No error any more: the file is replaced, and that the disk does not know its name yet takes nothing away.
  if (flush) static_cast<void>(::fsync(folder_.fd));
}

}  // namespace gradus::detail
