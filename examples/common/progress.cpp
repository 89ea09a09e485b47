#include <common/progress.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace gradus::examples {
namespace {

int64_t columns_of(std::FILE* terminal) {
  winsize size{};
  return ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string clock_text(double seconds) {
  const auto s = static_cast<int64_t>(std::min(seconds, 359999.0) + 0.5);
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string progress_line(const std::string& title, int64_t done, int64_t total, double seconds,
                          const std::string& message, int64_t width) {
  const double share =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1;
  const bool finished = done >= total;
  std::string time;
  if (finished)
    time = "  took " + clock_text(seconds);
  else if (done > 0)
    time = "  ETA " + clock_text(seconds / share * (1 - share));
  const std::string left = fmt::format("{} {:3}% |", title, static_cast<int>(100 * share));
  std::string right = fmt::format("| {}/{}", done, total);
  if (!message.empty()) right += "  " + message;
  right += time;
  const int64_t room = width - static_cast<int64_t>(left.size() + right.size());
  const auto bar = static_cast<size_t>(std::clamp<int64_t>(room, 0, 40));
  const auto full = static_cast<size_t>(share * static_cast<double>(bar));
  const std::string line = left + std::string(full, '#') + std::string(bar - full, ' ') + right;
  return line.substr(0, static_cast<size_t>(std::max<int64_t>(width, 0)));
}

Progress::Progress(std::string title, int64_t total, std::FILE* to)
    : title_(std::move(title)),
      total_(total),
      to_(to),
      terminal_(isatty(fileno(to)) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (!drawn_) return;
  draw();
  std::fputc('\n', to_);
  std::fflush(to_);
}

void Progress::update(int64_t done, const std::string& message) {
  if (!terminal_) return;
  done_ = done;
  message_ = message;
  if (drawn_ && done < total_ && seconds_since(last_) < 0.1) return;
  draw();
}

void Progress::print(const std::string& line) {
  if (drawn_) erase();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  if (drawn_) draw();
}

void Progress::draw() {
  // One column stays free: a full line would wrap on some terminals.
  const std::string line =
      progress_line(title_, done_, total_, seconds_since(start_), message_, columns_of(to_) - 1);
  std::fprintf(to_, "\r\x1b[2K%s", line.c_str());
  std::fflush(to_);
  drawn_ = true;
  last_ = std::chrono::steady_clock::now();
}

void Progress::erase() {
  std::fputs("\r\x1b[2K", to_);
  std::fflush(to_);
}

}  // namespace gradus::examples
