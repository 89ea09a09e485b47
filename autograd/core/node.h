#pragma once
#include <gradus/autograd/core/tensor.h>
#include <gradus/autograd/kernels/probe.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <new>
#include <span>

#pragma GCC visibility push(default)

namespace gradus {

class Back;
class Describe;

namespace detail {
/// This thread's clock: see Node::seq.
extern constinit thread_local uint64_t clock;
}  // namespace detail

/// One recorded op. Edges point to the nodes that made the inputs and never change, so the order of
/// creation (`seq`) is a topological order.
///
/// A node is one block of memory: the object (with the op in it), its edges, the pending gradients of its
/// outputs, the outputs' dtypes and shapes, and what was saved for the rules. The last two are tables of
/// equal rows, as wide as their largest rank asks for.
class Node : public Counted {
 public:
  virtual const char* name() const = 0;
  /// "y = a b        da = g bᵀ        db = aᵀ g": the op and its gradients in symbols; empty where the op
  /// does not say.
  virtual std::string formula() const { return {}; }
  /// Calls the rule of every input whose gradient is wanted.
  virtual void run(Back& b) const = 0;

  /// What an op says of its rules.
  struct Declared {
    std::span<const Needs> needs = {};  // needs[i]: what the gradient of input i reads
    bool on_list = false;               // its inputs are a list, of which all or none are saved
    bool described = true;              // it has no attributes, or tells them
  };
  virtual Declared declared() const { return {}; }
  /// Tells the op's attributes.
  virtual void describe(Describe&) const {}

  uint64_t seq() const noexcept { return seq_; }
  uint32_t num_inputs() const noexcept { return n_in_; }
  uint32_t num_outputs() const noexcept { return n_out_; }
  std::span<const Edge> edges() const noexcept { return {edges_begin(), n_in_}; }
  bool is_leaf() const noexcept { return leaf_; }
  Shape shape(uint32_t slot) const noexcept;
  bool has_shape(uint32_t slot, const Shape& s) const noexcept;
  Dtype dtype(uint32_t slot) const noexcept;

  /// One value kept for the rules: `rank` sizes and strides follow it.
  struct Saved {
    Ref<Storage> storage;
    int64_t offset;
    uint32_t version;
    Dtype dtype;
    uint8_t rank;
    bool is_output;
    uint32_t index;  // of the input or output
    int64_t* dims() noexcept { return reinterpret_cast<int64_t*>(this + 1); }
  };
  /// The saved value, rebuilt as a tensor with its history. Throws where the op did not declare it, it is
  /// undefined, was freed or was changed in place since.
  Tensor read_saved(bool is_output, uint32_t index) const;
  /// Drops what was saved: the node cannot run again.
  void free_saved() noexcept;
  /// What it saved of its outputs is about to be as it is now: they were written in place.
  void save_written() noexcept;
  bool has_saved() const noexcept { return n_saved_ > 0; }
  bool freed() const noexcept { return freed_; }

  // ---- hooks, and tensors that asked for their gradient: threads may change them while others run passes
  struct Hook {
    int64_t id;
    uint32_t slot;
    Ref<HookFunction> f;
  };
  struct Retained {
    uint32_t slot;
    TensorImpl* owner;  // taken off the list when the tensor dies
  };
  /// False for almost every node: then there are neither.
  bool has_extras() const noexcept { return extras_.load(std::memory_order_acquire) != nullptr; }
  std::vector<Hook> hooks() const;
  std::vector<Retained> retained() const;
  void add_hook(Hook hook);
  /// What was registered under `id` for output `slot`; null where nothing was.
  Ref<HookFunction> remove_hook(int64_t id, uint32_t slot);
  void retain(Retained r);
  bool retains(TensorImpl* owner) const noexcept;
  void forget_retained(TensorImpl* owner) noexcept;

  // ---- the engine's: pending gradients, and the pass they belong to
  Ref<TensorImpl>& pending(uint32_t slot) const noexcept { return pending_begin()[slot]; }
  std::atomic<uint32_t>& pass() const noexcept { return pass_; }
  bool& queued() const noexcept { return queued_; }

  /// Called when the last reference goes: deep graphs are freed in a loop, not by recursion.
  void dispose() noexcept;

  struct Output {
    const Layout* layout;
    Dtype dtype;
  };

 protected:
  Node() noexcept {}
  ~Node() = default;

  /// Everything of a node but its op.
  struct Plan {
    std::span<const Edge* const> edges;
    std::span<const Tensor* const> ins;  // to save from; may be empty where nothing is saved
    std::span<const Tensor* const> outs;
    Needs keep;            // what to save
    bool on_list = false;  // all inputs, or none
  };
  static size_t bytes_of(size_t object, const Plan& plan) noexcept;
  static void* allocate(size_t bytes) {
    return bytes <= pool::kLargest ? pool::allocate(bytes) : allocate_large(bytes);
  }
  void init(size_t object, size_t bytes, const Plan& plan) noexcept;
  void set_output_dtype(Dtype dtype) noexcept {
    *outputs_begin() = (*outputs_begin() & ~int64_t{0xff}) | static_cast<int64_t>(dtype);
  }
  /// Ends what the op owns.
  virtual void destroy_op() noexcept {}
  bool leaf_ = false, owns_ = false;  // owns_: destroy_op() does something

 private:
  Edge* edges_begin() const noexcept { return reinterpret_cast<Edge*>(const_cast<char*>(self()) + object_); }
  Ref<TensorImpl>* pending_begin() const noexcept {
    return reinterpret_cast<Ref<TensorImpl>*>(edges_begin() + n_in_);
  }
  const int64_t* output(uint32_t slot) const noexcept {
    return outputs_begin() + size_t{slot} * output_words_;
  }
  int64_t* outputs_begin() const noexcept { return reinterpret_cast<int64_t*>(pending_begin() + n_out_); }
  Saved* saved(uint32_t k) const noexcept {
    return reinterpret_cast<Saved*>(const_cast<char*>(self()) + saved_offset_ + size_t{8} * k * saved_words_);
  }
  /// Null where it was not saved.
  Saved* find_saved(bool is_output, uint32_t index) const noexcept;
  const char* self() const noexcept { return reinterpret_cast<const char*>(this); }
  static void* allocate_large(size_t bytes);
  void destroy() noexcept;
  [[noreturn]] void fail_not_saved(bool is_output, uint32_t index) const;
  /// Calls f(x, is_output, index) for what `plan` keeps.
  template <class F>
  static void for_each_kept(const Plan& plan, F f) {
    const auto each = [&](unsigned bits, std::span<const Tensor* const> list, bool is_output) {
      for (; bits; bits &= bits - 1) {
        const auto i = static_cast<uint32_t>(std::countr_zero(bits));
        if (i < list.size() && list[i]->defined()) f(*list[i], is_output, i);
      }
    };
    if (plan.on_list && plan.keep.ins) {
      for (uint32_t i = 0; i < plan.ins.size(); i++)
        if (plan.ins[i]->defined()) f(*plan.ins[i], false, i);
    } else {
      each(plan.keep.ins, plan.ins, false);
    }
    each(plan.keep.outs, plan.outs, true);
  }
  /// How many values `plan` keeps, and the words of each.
  [[gnu::always_inline]] static std::pair<uint32_t, uint32_t> saved_table(const Plan& plan) noexcept {
    uint32_t count = 0;
    int rank = 0;
    for_each_kept(plan, [&](const Tensor& x, bool, uint32_t) {
      count++;
      rank = std::max(rank, x.layout().rank());
    });
    return {count, sizeof(Saved) / 8 + 2 * static_cast<uint32_t>(rank)};
  }
  /// The words of an output: dtype and rank, and sizes.
  [[gnu::always_inline]] static uint32_t output_words(const Plan& plan) noexcept {
    int rank = 0;
    for (const Tensor* y : plan.outs) rank = std::max(rank, y->layout().rank());
    return 1 + static_cast<uint32_t>(rank);
  }
  static constexpr size_t aligned8(size_t n) { return (n + 7) / 8 * 8; }

  mutable std::atomic<uint32_t> pass_{0};
  uint32_t object_;  // the size of the object
  union {
    uint64_t seq_;
    Node* next_dying_;  // while it waits to be destroyed
  };
  struct Extras {
    std::vector<Hook> hooks;
    std::vector<Retained> retained;
  };
  Extras& ensure_extras();
  std::atomic<Extras*> extras_;
  uint32_t n_in_, n_out_, bytes_, saved_offset_, n_saved_;
  bool freed_ = false;
  mutable bool queued_ = false;  // it waits in the pass that holds it
  uint8_t output_words_, saved_words_;
};

/// The node of a leaf: gradients end here. It knows its tensor by a raw pointer that the tensor's destructor
/// clears, so a gradient's own graph never keeps the leaf alive.
class Leaf final : public Node {
 public:
  static Ref<Node> make(TensorImpl* owner);
  const char* name() const override { return "leaf"; }
  void run(Back&) const override {}
  /// Null when the tensor has died. While locks.gradients are held it does not die.
  TensorImpl* owner() const noexcept { return owner_.load(std::memory_order_relaxed); }
  void orphan() noexcept { owner_.store(nullptr, std::memory_order_relaxed); }
  void set_dtype(Dtype dtype) noexcept { set_output_dtype(dtype); }

  /// How many gradients have been left in leaves so far, in the whole process.
  static uint64_t arrivals() noexcept { return arrivals_.load(std::memory_order_relaxed); }
  /// One more has, in this one.
  void count_arrival() noexcept { last_arrival_ = arrivals_.fetch_add(1, std::memory_order_relaxed) + 1; }
  /// What arrivals() was then; 0 before the first.
  uint64_t last_arrival() const noexcept { return last_arrival_; }

  /// The tensor is a copy of a nn::Param.
  bool is_copy = false;

 private:
  explicit Leaf(TensorImpl* owner) noexcept : owner_(owner) { leaf_ = true; }
  static constinit std::atomic<uint64_t> arrivals_;
  uint64_t last_arrival_ = 0;
  std::atomic<TensorImpl*> owner_;
};

// ---- inline: Node
inline Shape Node::shape(uint32_t slot) const noexcept {
  const int64_t* word = output(slot);
  return Shape(word + 1, static_cast<size_t>(*word >> 8));
}

inline bool Node::has_shape(uint32_t slot, const Shape& s) const noexcept {
  const int64_t* word = output(slot);
  if (*word++ >> 8 != s.rank()) return false;
  for (int64_t d : s)
    if (d != *word++) return false;
  return true;
}

inline Dtype Node::dtype(uint32_t slot) const noexcept { return static_cast<Dtype>(*output(slot) & 0xff); }

// What is known of an op when it is compiled makes recording it short.
[[gnu::always_inline]] inline size_t Node::bytes_of(size_t object, const Plan& plan) noexcept {
  const size_t n = aligned8(object) + plan.edges.size() * sizeof(Edge) +
                   plan.outs.size() * (sizeof(Ref<TensorImpl>) + 8 * output_words(plan));
  if (plan.keep == nothing) return n;
  const auto [count, words] = saved_table(plan);
  return n + size_t{8} * count * words;
}

[[gnu::always_inline]] inline void Node::init(size_t object, size_t bytes, const Plan& plan) noexcept {
  object_ = static_cast<uint32_t>(aligned8(object));
  bytes_ = static_cast<uint32_t>(bytes);
  n_in_ = static_cast<uint32_t>(plan.edges.size());
  n_out_ = static_cast<uint32_t>(plan.outs.size());
  output_words_ = static_cast<uint8_t>(output_words(plan));
  n_saved_ = 0;
  extras_.store(nullptr, std::memory_order_relaxed);
  uint64_t seq = detail::clock;
  for (size_t i = 0; i < plan.edges.size(); i++) {
    const Edge* e = new (edges_begin() + i) Edge(*plan.edges[i]);
    if (*e) seq = std::max(seq, e->node->seq());
  }
  detail::clock = seq_ = seq + 1;
  for (size_t k = 0; k < plan.outs.size(); k++) new (pending_begin() + k) Ref<TensorImpl>();
  int64_t* word = outputs_begin();
  for (const Tensor* y : plan.outs) {
    const Shape& s = y->shape();
    *word = static_cast<int64_t>(y->dtype()) | s.rank() << 8;
    std::copy(s.begin(), s.end(), word + 1);
    word += output_words_;
  }
  saved_offset_ = static_cast<uint32_t>(reinterpret_cast<char*>(word) - self());
  if (plan.keep == nothing) return;
  saved_words_ = static_cast<uint8_t>(saved_table(plan).second);
  for_each_kept(plan, [&](const Tensor& x, bool is_output, uint32_t index) {
    const TensorImpl& impl = *x.impl();
    const int rank = impl.layout.rank();
    Saved* const s =
        new (saved(n_saved_++)) Saved{impl.storage, impl.layout.offset,         impl.storage->version(),
                                      impl.dtype,   static_cast<uint8_t>(rank), is_output,
                                      index};
    int64_t* dims = s->dims();
    for (int64_t d : impl.layout.shape) *dims++ = d;
    for (int i = 0; i < rank; i++) *dims++ = impl.layout.strides[i];
  });
}

// ---- inline: Edge
inline Edge::Edge() noexcept = default;
inline Edge::Edge(Ref<Node> n, uint32_t s) noexcept : node(std::move(n)), slot(s) {}
inline Edge::Edge(const Edge&) noexcept = default;
inline Edge::Edge(Edge&& e) noexcept = default;
inline Edge& Edge::operator=(Edge e) noexcept {
  node = std::move(e.node);
  slot = e.slot;
  return *this;
}
inline Edge::~Edge() = default;

// ---- inline: Tensor
inline Tensor::Tensor(Ref<TensorImpl> impl) noexcept : impl_(std::move(impl)) {}
inline Tensor::Tensor(const Tensor&) noexcept = default;
inline Tensor::Tensor(Tensor&&) noexcept = default;
inline Tensor& Tensor::operator=(const Tensor&) & noexcept = default;
inline Tensor& Tensor::operator=(Tensor&&) & noexcept = default;
inline Tensor::~Tensor() = default;

}  // namespace gradus

#pragma GCC visibility pop
