#include <gradus/autograd/engine/replay.h>

#include <unordered_map>
#include <vector>

namespace gradus {

/// The kernels of a step and all memory that they touch: the step's own, and what was there before.
class Replay::Recording final : public Recorder {
 public:
  void run(const std::function<void()>& step);
  void replay();
  int64_t size() const { return static_cast<int64_t>(launches_.size()); }

  Ref<Storage> allocate(int64_t bytes) override;
  void keep(std::span<Storage* const> operands, std::unique_ptr<Launch> launch) override;
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

void Replay::Recording::keep(std::span<Storage* const> operands, std::unique_ptr<Launch> launch) {
  for (Storage* s : operands) known_.try_emplace(s, Known{Ref<Storage>(s), s->version(), false});
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

void Replay::Recording::replay() {
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
  for (const auto& launch : launches_) launch->run();
  for (const Trained& t : trained_)
    if (const Edge& e = t.leaf.impl()->edge; e && e.node->is_leaf())
      static_cast<Leaf&>(*e.node).count_arrival();
  for (const Gradient& g : gradients_)
    if (g.fresh && !g.is_left()) g.leaf.impl()->grad = g.grad;
}

void Replay::operator()() {
  check_not_recording("replay");
  recording_->replay();
}

int64_t Replay::kernels() const { return recording_->size(); }

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
