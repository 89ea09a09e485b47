#include <gradus/autograd/engine/replay.h>

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <unordered_map>
#include <vector>

namespace gradus {

/// The kernels of a step and all memory that they touch: the step's own, and what was there before.
class Replay::Recording final : public Recorder {
 public:
  void run(const std::function<void()>& step);
  /// run_all runs all launches in order.
  template <class F>
  void replay(F run_all);
  const std::vector<std::unique_ptr<Launch>>& launches() const { return launches_; }

  Ref<Storage> allocate(int64_t bytes) override;
  void keep(std::unique_ptr<Launch> launch) override;
  void committed(TensorImpl& leaf, bool fresh) override;

 private:
  void finish();

  struct Known {
    Ref<Storage> storage;
    uint32_t version;  // when the step first met it
    bool own;
  };
  struct Gradient {
    Tensor leaf, grad;
    bool fresh;  // else it was added to
    bool is_left() const { return leaf.impl()->grad.impl() == grad.impl(); }
  };
  struct Trained {
    Tensor leaf;
    bool in_model;
    Ref<Storage> elements;
  };
  std::vector<std::unique_ptr<Launch>> launches_;
  std::unordered_map<Storage*, Known> known_;
  std::unordered_map<int64_t, std::vector<Storage*>> own_;  // by size
  std::vector<Storage*> written_;
  std::vector<Gradient> gradients_;
  std::vector<Trained> trained_;
};

Ref<Storage> Replay::Recording::allocate(int64_t bytes) {
  // What the step has dropped is taken again: its kernels will run in the same order.
  std::vector<Storage*>& own = own_[bytes];
  for (Storage* s : own)
    if (s->ref_count() == 1) return Ref<Storage>(s);
  Ref<Storage> s = Storage::allocate(bytes);
  s->set_recorded(true);
  own.push_back(s.get());
  known_.emplace(s.get(), Known{s, s->version(), true});
  return s;
}

void Replay::Recording::keep(std::unique_ptr<Launch> launch) {
  for (const Launch::Used& o : launch->operands)
    known_.try_emplace(o.storage, Known{Ref<Storage>(o.storage), o.storage->version(), false});
  launches_.push_back(std::move(launch));
}

void Replay::Recording::committed(TensorImpl& leaf, bool fresh) {
  const Tensor x{Ref<TensorImpl>(&leaf)};
  gradients_.push_back({x, leaf.grad, fresh});
  trained_.push_back({x, leaf.in_model, leaf.storage});
}

void Replay::Recording::run(const std::function<void()>& step) {
  struct Recording {
    explicit Recording(Recorder* r) { detail::recorder = r; }
    ~Recording() { detail::recorder = nullptr; }
  };
  try {
    const Recording now(this);
    step();
  } catch (...) {
    for (const auto& [s, known] : known_) s->set_recorded(false);
    throw;
  }
  finish();
}

void Replay::Recording::finish() {
  // A gradient that the step has dropped again is dropped after every call.
  std::erase_if(gradients_, [](const Gradient& g) { return g.fresh && !g.is_left(); });
  for (const auto& [s, known] : known_) {
    s->set_recorded(false);
    const bool dropped = s->ref_count() == 1;
    if (known.own ? !dropped : s->version() != known.version) written_.push_back(s);
    if (!known.own && dropped)
      fail(
          "record: the step read a tensor that it then dropped or replaced: it would read the new one next, "
          "a "
          "replay the old one; write into it with copy_()");
  }
}

template <class F>
void Replay::Recording::replay(F run_all) {
  for (const Trained& t : trained_)
    if (t.leaf.impl()->in_model != t.in_model || t.leaf.impl()->storage != t.elements)
      fail(
          "replay: a parameter of shape {} has left its model or was converted since the step was recorded: "
          "record() it anew",
          t.leaf.shape());
  for (const Gradient& g : gradients_)
    if (!g.fresh && !g.is_left())
      fail(
          "replay: the gradient of a leaf of shape {} that the step adds to was dropped or replaced since; "
          "drop "
          "it in the step",
          g.leaf.shape());
  for (Storage* s : written_) s->bump();
  run_all();
  for (const Trained& t : trained_)
    if (const Edge& e = t.leaf.impl()->edge; e && e.node->is_leaf())
      static_cast<Leaf&>(*e.node).count_arrival();
  for (const Gradient& g : gradients_)
    if (g.fresh && !g.is_left()) g.leaf.impl()->grad = g.grad;
}

void Replay::operator()() {
  check_not_recording("replay");
  recording_->replay([this] {
    for (const auto& launch : recording_->launches()) launch->run();
  });
}

int64_t Replay::kernels() const { return static_cast<int64_t>(recording_->launches().size()); }

namespace {

/// The elements of a layout that lie apart.
int64_t distinct(const Layout& l) {
  int64_t n = 1;
  for (int i = 0; i < l.rank(); i++)
    if (l.strides[i] != 0 || l.shape[i] == 0) n *= l.shape[i];
  return n;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Profile Replay::list() const {
  Profile p;
  for (const auto& launch : recording_->launches()) {
    Profile::Kernel k{launch->name(), {}, 0, 0};
    for (const Launch::Used& o : launch->operands) {
      k.operands.push_back({o.layout.shape, o.dtype, o.written});
      k.bytes += distinct(o.layout) * item_size(o.dtype);
    }
    p.kernels.push_back(std::move(k));
  }
  return p;
}

Profile Replay::profile(int runs) {
  if (runs < 1) fail("profile: at least 1 run is needed: {}", runs);
  check_not_recording("profile");
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
  };
  Profile p = list();
  std::vector<std::vector<double>> ns(p.kernels.size());
  std::vector<double> clock;
  for (int i = 0; i < runs; i++)
    recording_->replay([&] {
      for (size_t k = 0; k < ns.size(); k++) {
        const auto empty = Clock::now();
        clock.push_back(since(empty));
        const auto start = Clock::now();
        recording_->launches()[k]->run();
        ns[k].push_back(since(start));
      }
    });
  p.runs = runs;
  if (ns.empty()) return p;
  const double reading = median(clock);
  for (size_t k = 0; k < ns.size(); k++) p.kernels[k].ns = std::max(0.0, median(ns[k]) - reading);
  return p;
}

double Profile::ns() const {
  double sum = 0;
  for (const Kernel& k : kernels) sum += k.ns;
  return sum;
}

std::string Profile::str() const {
  std::vector<std::array<std::string, 4>> rows{{"kernel", "result", "operands", "bytes"}};
  for (const Kernel& k : kernels) {
    std::string results, operands;
    for (const Operand& o : k.operands) {
      std::string& list = o.written ? results : operands;
      list += (list.empty() ? "" : " ") + o.shape.str();
    }
    rows.push_back({k.name, results, operands, std::to_string(k.bytes)});
  }
  size_t width[4] = {};
  // Many tensors, of an optimizer, are not to push the numbers away.
  constexpr size_t kWidest = 40;
  for (auto& row : rows)
    for (size_t i = 0; i < 4; i++) {
      if (row[i].size() > kWidest) row[i] = row[i].substr(0, kWidest - 4) + " ...";
      width[i] = std::max(width[i], row[i].size());
    }
  const double total = ns();
  std::string text;
  for (size_t r = 0; r < rows.size(); r++) {
    const auto& row = rows[r];
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}", row[0], width[0], row[1], width[1], row[2],
                        width[2], row[3], width[3]);
    if (runs > 0 && r == 0) text += "           ns   share";
    if (runs > 0 && r > 0)
      text += fmt::format("  {:>11.0f}  {:>5.1f}%", kernels[r - 1].ns,
                          total > 0 ? 100 * kernels[r - 1].ns / total : 0);
    text += "\n";
  }
  if (runs > 0)
    text += fmt::format("{} kernels, {:.0f} ns: medians of {} runs", kernels.size(), total, runs);
  else
    text += fmt::format("{} kernels", kernels.size());
  return text;
}

Replay record(const std::function<void()>& step, int warmup) {
  check_not_recording("record");
  check_function("record", step);
  if (warmup < 1)
    fail("record: at least 1 warm-up step is needed, for gradients and states to exist: {}", warmup);
  for (int i = 0; i < warmup; i++) step();
  auto recording = std::make_shared<Replay::Recording>();
  recording->run(step);
  return Replay(std::move(recording));
}

}  // namespace gradus
