#include <common/progress.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace gradus::examples {
namespace {

int64_t columns_of(std::FILE* terminal) {
  winsize size{};
  return ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string clock_text(double seconds) {
  const auto s = std::lround(std::min(seconds, 359999.0));
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

std::vector<std::string> text_curve(std::span<const double> values, int64_t width, int64_t height) {
  double low = INFINITY, high = -INFINITY;
  for (const double v : values)
    if (std::isfinite(v)) {
      low = std::min(low, v);
      high = std::max(high, v);
    }
  constexpr int64_t kLabel = 9;
  const int64_t columns = width - kLabel - 1;
  if (!(low < high) || !std::isfinite(high - low) || columns < 2 || height < 1) return {};

  // A character has 2 x 4 dots, and a bit for each.
  constexpr unsigned kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
  std::vector<unsigned> dots(static_cast<size_t>(columns * height));
  const auto last = static_cast<double>(values.size() - 1);
  int64_t before = -1;
  for (int64_t x = 0; x < 2 * columns; x++) {
    const auto at = std::lround(static_cast<double>(x) / static_cast<double>(2 * columns - 1) * last);
    const double v = values[static_cast<size_t>(at)];
    if (!std::isfinite(v)) {
      before = -1;
      continue;
    }
    const int64_t y = std::lround((high - v) / (high - low) * static_cast<double>(4 * height - 1));
    // A steep piece is drawn as a column, down from where the last one ended.
    const int64_t from = before < 0 ? y : before + (y > before) - (y < before);
    for (int64_t row = std::min(from, y); row <= std::max(from, y); row++)
      dots[static_cast<size_t>(row / 4 * columns + x / 2)] |= kBits[row % 4][x % 2];
    before = y;
  }
  std::vector<std::string> lines;
  for (int64_t row = 0; row < height; row++) {
    const std::string label = row == 0            ? fmt::format("{:.4g}", high)
                              : row == height - 1 ? fmt::format("{:.4g}", low)
                                                  : "";
    std::string line = fmt::format("{:>{}}|", label, kLabel);
    for (int64_t c = 0; c < columns; c++) {
      const unsigned bits = dots[static_cast<size_t>(row * columns + c)];
      // U+2800 and the bits, as UTF-8.
      line += {static_cast<char>(0xe2), static_cast<char>(0xa0 | bits >> 6),
               static_cast<char>(0x80 | (bits & 0x3f))};
    }
    lines.push_back(std::move(line));
  }
  return lines;
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

void Progress::update(int64_t done, const std::string& message, std::span<const double> curve) {
  if (!terminal_) return;
  done_ = done;
  message_ = message;
  if (drawn_ && done < total_ && seconds_since(last_) < 0.1) return;
  plot_ = text_curve(curve, std::min<int64_t>(columns_of(to_) - 1, 72), 8);
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
  erase();
  for (const std::string& row : plot_) std::fprintf(to_, "%s\n", row.c_str());
  std::fprintf(to_, "%s", line.c_str());
  std::fflush(to_);
  lines_above_ = plot_.size();
  drawn_ = true;
  last_ = std::chrono::steady_clock::now();
}

void Progress::erase() {
  std::fputs("\r\x1b[2K", to_);
  for (; lines_above_ > 0; lines_above_--) std::fputs("\x1b[1A\x1b[2K", to_);
  std::fflush(to_);
}

}  // namespace gradus::examples
