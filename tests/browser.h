#pragma once
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <vector>

#include "needs.h"

namespace gradus {

/// A headless Chromium with one page, driven by the DevTools protocol over a pipe.
class Browser {
 public:
  using json = nlohmann::json;

  Browser() {
    signal(SIGPIPE, SIG_IGN);  // a browser that has ended is an exception, not the end of the tests
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    // Chromium reads from 3 and writes to 4; ours must not be in the way.
    for (int* end : {&to[0], &to[1], &from[0], &from[1]}) {
      const int high = fcntl(*end, F_DUPFD_CLOEXEC, 10);
      close(*end);
      *end = high;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 3);
    posix_spawn_file_actions_adddup2(&actions, from[1], 4);
    for (const int fd : {0, 1, 2})
      posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY, 0);
    std::vector<std::string> words = {path_of_chromium(),
                                      "--headless",
                                      "--disable-gpu",
                                      "--disable-quic",
                                      "--no-first-run",
                                      "--disable-background-networking",
                                      "--disable-component-update",
                                      "--disable-sync",
                                      "--disable-dev-shm-usage",
                                      "--remote-debugging-pipe",
                                      "--user-data-dir=" + profile_.path()};
    if (geteuid() == 0) words.emplace_back("--no-sandbox");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int failed = posix_spawn(&child_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    to_ = to[1];
    from_ = from[0];
    if (failed) throw std::runtime_error("posix_spawn: " + words[0]);

    const std::string target =
        call("Target.createTarget", {{"url", "about:blank"}}).at("targetId").get<std::string>();
    session_ = call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}}).at("sessionId");
    for (const char* domain : {"Page", "Network", "Runtime", "Log"}) call(std::string(domain) + ".enable");
  }
  ~Browser() {
    try {
      session_.clear();
      call("Browser.close");
    } catch (const std::exception&) {
    }
    close(to_);
    close(from_);
    // A broken one is not waited for.
    for (int i = 0; i < 100 && waitpid(child_, nullptr, WNOHANG) == 0; i++) {
      if (i == 99) {
        kill(child_, SIGKILL);
        waitpid(child_, nullptr, 0);
      }
      usleep(100'000);
    }
  }
  Browser(const Browser&) = delete;

  /// Calls a method; events that come in between are kept.
  json call(const std::string& method, const json& parameters = json::object()) {
    json message = {{"id", ++last_id_}, {"method", method}, {"params", parameters}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump() + '\0';
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t n = write(to_, text.data() + sent, text.size() - sent);
      if (n <= 0) throw std::runtime_error(method + ": Chromium has ended");
      sent += static_cast<size_t>(n);
    }
    for (;;) {
      json answer = receive();
      if (!answer.contains("id"))
        events.push_back(std::move(answer));
      else if (answer["id"] == last_id_) {
        if (answer.contains("error")) throw std::runtime_error(method + ": " + answer["error"].dump());
        return answer["result"];
      }
    }
  }
  /// Opens a file and waits until it is loaded.
  void open(const std::string& path) {
    const size_t before = events.size();
    call("Page.navigate", {{"url", "file://" + path}});
    const auto loaded = [&] {
      return std::any_of(events.begin() + static_cast<ptrdiff_t>(before), events.end(),
                         [](const json& e) { return e["method"] == "Page.loadEventFired"; });
    };
    while (!loaded()) events.push_back(receive());
  }
  /// The value of a JavaScript expression.
  json evaluate(const std::string& expression) {
    const json result = call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}});
    if (result.contains("exceptionDetails")) throw std::runtime_error(result["exceptionDetails"].dump());
    return result["result"].value("value", json());
  }
  void press(const std::string& key, int code) {
    for (const char* type : {"rawKeyDown", "keyUp"})
      call("Input.dispatchKeyEvent",
           {{"type", type}, {"key", key}, {"code", key}, {"windowsVirtualKeyCode", code}});
  }
  void click(double x, double y) {
    for (const char* type : {"mousePressed", "mouseReleased"})
      call("Input.dispatchMouseEvent",
           {{"type", type}, {"x", x}, {"y", y}, {"button", "left"}, {"clickCount", 1}});
  }
  void set_theme(const std::string& theme) {
    call("Emulation.setEmulatedMedia",
         {{"features", {{{"name", "prefers-color-scheme"}, {"value", theme}}}}});
  }
  void set_width(int width) {
    call("Emulation.setDeviceMetricsOverride",
         {{"width", width}, {"height", 800}, {"deviceScaleFactor", 1}, {"mobile", false}});
  }

  std::vector<json> events;

 private:
  json receive() {
    for (;;) {
      if (const size_t end = received_.find('\0'); end != std::string::npos) {
        json message = json::parse(received_.substr(0, end));
        received_.erase(0, end + 1);
        return message;
      }
      pollfd ready{from_, POLLIN, 0};
      if (poll(&ready, 1, 120'000) <= 0) throw std::runtime_error("Chromium does not answer");
      char part[65536];
      const ssize_t n = read(from_, part, sizeof part);
      if (n <= 0) throw std::runtime_error("Chromium has ended");
      received_.append(part, static_cast<size_t>(n));
    }
  }

  const TemporaryFolder profile_;
  pid_t child_ = 0;
  int to_ = -1, from_ = -1, last_id_ = 0;
  std::string session_, received_;
};

}  // namespace gradus
