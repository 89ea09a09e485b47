#include "core_support.h"

namespace gradus {
namespace {

// ---- single writes: exact, or refused

TEST(InPlace, LeafThatRequiresGradIsRefused) {
  Tensor x = leaf({1, 2, 3});
  EXPECT_EQ(error_of<GradError>([&] { x.add_(1); }),
            "add: in place: a leaf that requires grad cannot be changed while recording; do it under NoGrad");
  EXPECT_TRUE(equals(x, {1, 2, 3}));
  Tensor row = x.slice(0, 0, 2);
  EXPECT_EQ(error_of<GradError>([&] { row.mul_(0); }),
            "mul: in place: a view of a leaf that requires grad cannot be changed while recording; do it "
            "under NoGrad");
  EXPECT_TRUE(equals(x, {1, 2, 3}));
  {
    NoGrad no_grad;
    x.add_(1);
    row.mul_(2);
  }
  EXPECT_TRUE(equals(x, {4, 6, 4}));
  EXPECT_TRUE(x.is_leaf() && x.requires_grad());
}

TEST(InPlace, SavedOutputThatChangedIsRefused) {
  Tensor x = leaf({1, 2, 3}), y = exp(x);
  y.add_(1);
  EXPECT_EQ(error_of<GradError>([&] { y.sum().backward(); }),
            "backward: 'exp' saved a value that was changed in place afterwards (version 1, saved at 0); "
            "clone() it first");
  EXPECT_FALSE(x.grad().defined());
}

TEST(InPlace, ValueThatNobodySavedMayChange) {
  Tensor x = leaf({1, 2, 3}), a = x * 2;
  a.add_(1);
  (a * a).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {12, 20, 28}));
}

TEST(InPlace, SavedLeafChangedUnderNoGradIsRefused) {
  Tensor x = leaf({1, 2, 3}), s = (x * x).sum();
  {
    NoGrad no_grad;
    x.mul_(2);
  }
  EXPECT_NE(error_of<GradError>([&] { s.backward(); }).find("'mul' saved a value"), std::string::npos);
}

TEST(InPlace, MutableDataCountsAsAWrite) {
  Tensor x = leaf({1, 2, 3}), a = x * 1, s = (a * a).sum();
  a.mutable_data<double>()[0] = 5;
  EXPECT_NE(error_of<GradError>([&] { s.backward(); }).find("'mul' saved a value"), std::string::npos);
}

TEST(InPlace, DetachedTensorSharesTheVersion) {
  Tensor x = leaf({1, 2, 3}), a = x * 1, s = (a * a).sum();
  a.detach().mul_(0);
  EXPECT_TRUE(equals(a, {0, 0, 0}));
  EXPECT_NE(error_of<GradError>([&] { s.backward(); }).find("'mul' saved a value"), std::string::npos);
}

TEST(InPlace, ReluSavesItsOwnResult) {
  Tensor x = leaf({-1, 2, 3}), a = x * 3;
  relu_(a);
  a.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {0, 3, 3}));
}

TEST(InPlace, BroadcastIntoTheWrittenTensorIsRefused) {
  Tensor x = leaf({1, 2, 3}), a = x * 1;
  EXPECT_EQ(error_of<ShapeError>([&] {
              a.add_(ones({2, 3}, kFloat64));
            }),
            "add: in place: an operand of shape [2, 3] does not broadcast to [3]");
  a.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1, 1}));
}

TEST(InPlace, OperandThatIsTheWrittenTensor) {
  // Both gradients read the value before the write.
  Tensor x = leaf({1, 2, 3}), a = x * 1;
  a.mul_(a);
  EXPECT_TRUE(equals(a, {1, 4, 9}));
  a.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 4, 6}));

  Tensor y = leaf({1, 2, 3}), b = y * 1;
  b.mul_(b.detach());
  b.sum().backward();
  EXPECT_TRUE(equals(y.grad(), {1, 2, 3}));

  Tensor z = leaf({1, 2, 4}), c = z * 1;
  c.div_(c);
  EXPECT_TRUE(equals(c, {1, 1, 1}));
  c.sum().backward();
  EXPECT_TRUE(equals(z.grad(), {0, 0, 0}));
}

TEST(InPlace, OverlappingOperandsAreReadBeforeTheyAreWritten) {
  Tensor x = leaf({1, 2, 3, 4, 5}), a = x * 1;
  a.slice(0, 1).add_(a.slice(0, 0, -1));
  EXPECT_TRUE(equals(a, {1, 3, 5, 7, 9}));
  (a * values({1, 10, 100, 1000, 10000}, {5})).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {11, 110, 1100, 11000, 10000}));

  Tensor m = values({1, 2, 3, 4}, {2, 2});
  m.add_(m.t());
  EXPECT_TRUE(equals(m, {2, 5, 5, 8}));
  m.copy_(m.t() * 1);
  Tensor n = values({1, 2, 3, 4}, {2, 2});
  n.copy_(n.t());
  EXPECT_TRUE(equals(n, {1, 3, 2, 4}));
}

TEST(InPlace, ExpandedTensorIsRefused) {
  Tensor x = ones({1, 3}).expand({2, 3});
  EXPECT_EQ(error_of<GradError>([&] { x.add_(1); }),
            "add: in place: several elements of the [2, 3] tensor share one place in memory (expanded?); "
            "clone() it first");
  EXPECT_TRUE(equals(x, {1, 1, 1, 1, 1, 1}));
  NoGrad no_grad;
  EXPECT_THROW(x.zero_(), GradError);
  // One row of it is a plain vector again.
  x.select(0, 1).add_(1);
  EXPECT_TRUE(equals(x, {2, 2, 2, 2, 2, 2}));
}

TEST(InPlace, DtypesThatDoNotFitAreRefused) {
  Tensor i = tensor({1, 2, 3});
  EXPECT_EQ(error_of<DtypeError>([&] { i.add_(0.5); }),
            "add: in place: the float32 result does not fit into a int64 tensor");
  EXPECT_TRUE(equals(i, {1, 2, 3}));
  i.add_(true);
  EXPECT_TRUE(equals(i, {2, 3, 4}));
  i.copy_(tensor({1.9, -1.9, 0.}));
  EXPECT_TRUE(equals(i, {1, -1, 0}));
  Tensor x = leaf({1, 2}), f = zeros({2}, kFloat32);
  f.add_(x);
  EXPECT_EQ(f.dtype(), kFloat32);
  (f * 3).sum().backward();
  EXPECT_EQ(x.grad().dtype(), kFloat64);
  EXPECT_TRUE(equals(x.grad(), {3, 3}));
}

TEST(InPlace, EveryArithmeticFormFollowsItsFormula) {
  const Tensors at = {noise({2, 3}, 1) + 2, noise({3}, 2) + 3};
  const auto check = [&](const char* name, void (*write)(Tensor&, const Tensor&)) {
    const auto f = [&](const Tensors& x) {
      Tensor a = x[0] * x[0];
      write(a, x[1]);
      return tanh(a);
    };
    EXPECT_LT(gradient_error(f, at, 2), 1e-7) << name;
  };
  check("add_", [](Tensor& a, const Tensor& b) { a.add_(b); });
  check("sub_", [](Tensor& a, const Tensor& b) { a.sub_(b); });
  check("mul_", [](Tensor& a, const Tensor& b) { a.mul_(b); });
  check("div_", [](Tensor& a, const Tensor& b) { a.div_(b); });
  check("copy_", [](Tensor& a, const Tensor& b) { a.copy_(b); });
  check("fill_", [](Tensor& a, const Tensor&) { a.fill_(2); });
  check("relu_", [](Tensor& a, const Tensor& b) { relu_(a.sub_(b)); });
  check("scalars", [](Tensor& a, const Tensor&) { ((a += 1) *= 0.5) /= 3, a -= 2; });
}

// ---- views and their bases follow each other

TEST(Views, WriteIntoAViewReachesTheBase) {
  Tensor x = leaf({1, 2, 3, 4, 5, 6}, {2, 3}), w = leaf({7, 8, 9});
  Tensor b = x * 1;
  b[1].copy_(w);
  EXPECT_TRUE(equals(b, {1, 2, 3, 7, 8, 9}));
  (b * b).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 4, 6, 0, 0, 0}));
  EXPECT_TRUE(equals(w.grad(), {14, 16, 18}));
}

TEST(Views, WriteIntoTheBaseReachesTheView) {
  Tensor x = leaf({1, 2, 3, 4, 5, 6}, {2, 3});
  Tensor b = x * 1, row = b[0];
  b.mul_(3);
  EXPECT_TRUE(equals(row, {3, 6, 9}));
  EXPECT_EQ(row.op_name(), "as_strided");
  row.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {3, 3, 3, 0, 0, 0}));
}

TEST(Views, WriteIntoAViewReachesItsSiblings) {
  Tensor x = leaf({1, 2, 3, 4}, {2, 2});
  Tensor b = x * 1, row = b[0], column = b.t()[0];
  row.mul_(10);
  EXPECT_TRUE(equals(column, {10, 3}));
  column.add_(1);
  EXPECT_TRUE(equals(row, {11, 20}));
  (row * values({1, 100}, {2})).sum().backward({}, true);
  EXPECT_TRUE(equals(x.grad(), {10, 1000, 0, 0}));
  x.set_grad({});
  column.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {10, 0, 1, 0}));
}

TEST(Views, BaseWithoutHistoryGainsOneThroughAViewOfAView) {
  Tensor w = leaf({1, 2, 3});
  Tensor b = zeros({2, 3}, kFloat64);
  Tensor row = b[1], middle = row.slice(0, 1, 2);
  EXPECT_FALSE(b.requires_grad());
  middle.add_(w.slice(0, 1, 2));
  EXPECT_TRUE(b.requires_grad() && row.requires_grad() && !b.is_leaf() && !row.is_leaf());
  (b * b).sum().backward();
  EXPECT_TRUE(equals(w.grad(), {0, 4, 0}));
}

TEST(Views, TransposedAndSteppedViewsOfViews) {
  Tensor x = leaf({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4}), w = leaf({5, 6}, {2});
  Tensor b = x * 1;
  Tensor odd = b.t().slice(0, 1, {}, 2);  // columns 1 and 3, as rows
  Tensor corner = odd.slice(1, 1).permute({1, 0}).reshape({2, 1, 2}).squeeze(1).unsqueeze(0)[0];
  corner.mul_(w);
  EXPECT_TRUE(equals(b, {0, 1, 2, 3, 4, 25, 6, 42, 8, 45, 10, 66}));
  b.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1, 1, 1, 1, 5, 1, 6, 1, 5, 1, 6}));
  EXPECT_TRUE(equals(w.grad(), {14, 18}));
}

TEST(Views, ReshapeThatCopiesIsNoView) {
  Tensor x = leaf({1, 2, 3, 4}, {2, 2}), b = x * 1;
  Tensor copied = b.t().reshape({4});
  copied.mul_(2);
  EXPECT_TRUE(equals(b, {1, 2, 3, 4}));
  (copied.sum() + b.sum()).backward();
  EXPECT_TRUE(equals(x.grad(), {3, 3, 3, 3}));
}

TEST(Views, ViewMadeUnderNoGradIsRefused) {
  Tensor x = leaf({1, 2, 3}), b = x * 1, w = leaf({2});
  Tensor v;
  {
    NoGrad no_grad;
    v = b.slice(0, 0, 1);
  }
  EXPECT_FALSE(v.requires_grad());
  EXPECT_EQ(error_of<GradError>([&] { v.mul_(w); }),
            "mul: in place: this view was made under NoGrad: its base could not follow; make the view while "
            "recording");
  EXPECT_TRUE(equals(b, {1, 2, 3}));
  {
    NoGrad no_grad;
    v.mul_(w);
  }
  EXPECT_TRUE(equals(b, {2, 2, 3}));
  // A view of such a view is one, too.
  Tensor vv = v.slice(0, 0, 1);
  EXPECT_THROW(vv.mul_(w), GradError);
}

TEST(Views, LeafMadeOfAViewWritesNoLonger) {
  Tensor b = zeros({4}, kFloat64), v = b.slice(0, 0, 2), w = leaf({3, 3});
  v.requires_grad_();
  EXPECT_TRUE(v.is_leaf());
  EXPECT_THROW(v.mul_(w), GradError);
  v.requires_grad_(false);
  // It has left its base, which could not follow: a recorded write must be refused or followed.
  try {
    v.add_(w);
  } catch (const GradError&) {
    EXPECT_TRUE(equals(b, {0, 0, 0, 0}));
    return;
  }
  EXPECT_TRUE(b.requires_grad());
}

TEST(Views, NonDenseRootIsRefused) {
  Tensor w = leaf({2, 2});
  Tensor root = values({1, 2, 3, 4}, {2, 2}).t().detach();
  EXPECT_FALSE(root.is_contiguous());
  Tensor row = root[0];
  EXPECT_EQ(
      error_of<GradError>([&] { row.mul_(w); }),
      "in place: a tensor of shape [2, 2] whose elements are not row-major was written to through a view; "
      "make it contiguous() first");
  EXPECT_TRUE(equals(root, {1, 3, 2, 4}));
  root.mul_(w);
  EXPECT_TRUE(equals(root, {2, 6, 4, 8}));
  root.sum().backward();
  EXPECT_TRUE(equals(w.grad(), {3, 7}));
}

TEST(Views, DetachCutsTheHistoryButSharesTheElements) {
  Tensor x = leaf({1, 2, 3}), a = x * 1, d = a.detach();
  EXPECT_FALSE(d.requires_grad());
  EXPECT_TRUE(d.is_leaf());
  Tensor w = leaf({5, 5, 5});
  d.mul_(w);
  EXPECT_TRUE(equals(a, {5, 10, 15}));
  d.sum().backward();
  EXPECT_TRUE(equals(w.grad(), {1, 2, 3}));
  EXPECT_FALSE(x.grad().defined());
}

TEST(Views, HistoryOfAViewIsAsked) {
  // requires_grad, is_leaf, op_name and hooks all see the write into the base.
  Tensor w = leaf({2, 2}), b = zeros({2, 2}, kFloat64), row = b[0];
  EXPECT_TRUE(!row.requires_grad() && row.is_leaf() && row.op_name().empty());
  b.add_(w);
  EXPECT_TRUE(row.requires_grad() && !row.is_leaf());
  EXPECT_EQ(row.op_name(), "as_strided");
  int called = 0;
  row.register_hook([&](const Tensor&) { called++; });
  (row * 2).sum().backward();
  EXPECT_EQ(called, 1);
  EXPECT_TRUE(equals(w.grad(), {2, 2}));
}

TEST(Views, RetainGradStaysWithTheTensorThroughWrites) {
  Tensor x = leaf({1, 2, 3}), a = x * 2;
  a.retain_grad();
  a.mul_(3);
  Tensor v = a.slice(0, 0, 2);
  v.retain_grad();
  v.mul_(5);
  (a * values({1, 10, 100}, {3})).sum().backward();
  EXPECT_TRUE(equals(a.grad(), {1, 10, 100}));
  EXPECT_TRUE(equals(x.grad(), {30, 300, 600}));
  EXPECT_TRUE(equals(v.grad(), {1, 10}));
}

TEST(Views, HookStaysWithTheValueItWasSetOn) {
  Tensor x = leaf({1, 2}), a = x * 2;
  std::vector<double> seen;
  a.register_hook([&](const Tensor& g) { seen = g.to_vector(); });
  a.mul_(3);
  a.sum().backward();
  EXPECT_EQ(seen, (std::vector<double>{3, 3}));  // of the value before the write
}

TEST(Views, WriteThroughADyingViewStays) {
  Tensor x = leaf({1, 2, 3, 4}, {2, 2}), b = x * 1;
  for (int64_t i = 0; i < 2; i++) b[i].mul_(static_cast<double>(i + 2));
  b.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 2, 3, 3}));
}

TEST(Views, SecondOrderThroughWritesIntoViews) {
  const auto f = [](const Tensors& x) {
    Tensor b = x[0] * x[0];
    Tensor row = b[1];
    row.mul_(x[1]);
    Tensor even = b.slice(1, 0, {}, 2);
    const Tensor c = b.t();
    even.add_(tanh(x[0].slice(1, 0, 2)));
    return (c * c).sum() + row.sum() * (even * even).sum();
  };
  EXPECT_LT(gradient_error(f, {noise({2, 3}, 1), noise({3}, 2)}, 2), 1e-7);
}

TEST(Views, ThirdOrderThroughAWriteIntoAView) {
  const auto f = [](const Tensors& x) {
    Tensor b = x[0] * x[0];
    b.slice(0, 1).mul_(b.slice(0, 0, -1) + x[0].slice(0, 1));
    return b * b;
  };
  EXPECT_LT(gradient_error(f, {noise({3}, 3)}, 3), 1e-6);
}

// ---- random programs of views, writes and ops, run twice: with Gradus' views and in-place ops, and as a
// purely functional program that knows neither

/// A tensor of a program. `places` are its elements' positions in the flat buffer that it lives in.
struct Handle {
  Tensor real, places;
  size_t buffer;
};

class Program {
 public:
  Program(uint32_t seed, Tensors x) : random_(seed), x_(std::move(x)) {
    add(x_[0] * 1, x_[0].reshape({-1}));
    add(zeros({2, 3}, kFloat64), zeros({6}, kFloat64));
    add(x_[1] * x_[1], x_[1] * x_[1]);
  }

  void step() {
    switch (pick(4)) {
      case 0:
      case 1: return view();
      case 2: return write();
      default: return compute();
    }
  }

  /// Σ c · h² over all tensors h, as the views see it and as the buffers hold it.
  std::pair<Tensor, Tensor> losses() const {
    Tensor real = zeros({}, kFloat64), pure = zeros({}, kFloat64);
    for (size_t k = 0; k < handles_.size(); k++) {
      const Handle& h = handles_[k];
      const Tensor c = noise(h.real.shape(), static_cast<uint32_t>(k) + 100);
      real = real + (c * h.real * h.real).sum();
      const Tensor v = read(h);
      pure = pure + (c * v * v).sum();
    }
    return {real, pure};
  }
  bool values_agree() const {
    return std::all_of(handles_.begin(), handles_.end(),
                       [&](const Handle& h) { return h.real.to_vector() == read(h).to_vector(); });
  }

 private:
  int64_t pick(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random_); }

  void add(const Tensor& real, const Tensor& flat) {
    handles_.push_back({real, arange(real.numel()).reshape(real.shape()), buffers_.size()});
    buffers_.push_back(flat);
  }
  Tensor read(const Handle& h) const {
    return gather(buffers_[h.buffer], 0, h.places.contiguous().reshape({-1})).reshape(h.real.shape());
  }
  const Handle& any() { return handles_[static_cast<size_t>(pick(static_cast<int64_t>(handles_.size())))]; }

  void view() {
    const Handle h = any();
    const int64_t rank = h.real.dim();
    const int64_t kind = pick(5), dim = rank ? pick(rank) : 0, n = rank ? h.real.size(dim) : 0;
    const int64_t at = n ? pick(n) : 0, end = at + 1 + (n ? pick(n) : 0), step = 1 + pick(2);
    const auto see = [&](const Tensor& t) {
      switch (kind) {
        case 0: return rank > 1 && n > 0 ? t.select(dim, at) : t.unsqueeze(0);
        case 1: return n > 0 ? t.slice(dim, at, end, step) : t.unsqueeze(-1);
        case 2: return rank > 1 ? t.transpose(0, -1) : t;
        case 3: return rank < 3 ? t.unsqueeze(dim) : t.squeeze();
        default: return t.reshape({-1});
      }
    };
    const Tensor real = see(h.real);
    if (&real.storage() == &h.real.storage())
      handles_.push_back({real, see(h.places), h.buffer});
    else
      add(real, read(h).reshape({-1}));  // a reshape that copied
  }

  /// An operand of h's shape: another tensor, a leaf or a number.
  void write() {
    const Handle h = any();
    const Handle other = any();
    const bool fits = other.real.dim() <= h.real.dim() && [&] {
      const int64_t shift = h.real.dim() - other.real.dim();
      for (int64_t i = 0; i < other.real.dim(); i++)
        if (other.real.size(i) != 1 && other.real.size(i) != h.real.size(shift + i)) return false;
      return true;
    }();
    Tensor x = h.real;
    const Tensor before = read(h);
    const Tensor operand = fits ? read(other) : values({0.5}, {});
    const Tensor real = fits ? other.real : values({0.5}, {});
    Tensor after;
    switch (pick(7)) {
      case 0: x.add_(real), after = before + operand; break;
      case 1: x.sub_(real), after = before - operand; break;
      case 2: x.mul_(real), after = before * operand; break;
      case 3: x.copy_(real), after = operand.expand(before.shape()) * 1; break;
      case 4: relu_(x), after = relu(before); break;
      case 5: x.fill_(0.25), after = before * 0 + 0.25; break;
      default: x.mul_(-0.5), after = before * -0.5; break;
    }
    const Tensor places = h.places.contiguous().reshape({-1});
    Tensor& flat = buffers_[h.buffer];
    const Tensor none = zeros(flat.shape(), kFloat64);
    const Tensor written = scatter_add(none, 0, places, ones(places.shape(), kFloat64)) > 0;
    flat = where(written, scatter_add(none, 0, places, after.contiguous().reshape({-1})), flat);
  }

  void compute() {
    const Handle a = any();
    switch (pick(3)) {
      case 0: return add(tanh(a.real), tanh(read(a)).reshape({-1}));
      case 1: return add(a.real + 0.5, (read(a) + 0.5).reshape({-1}));
      default: return add(a.real * a.real, (read(a) * read(a)).reshape({-1}));
    }
  }

  std::mt19937 random_;
  Tensors x_;
  std::vector<Handle> handles_;
  Tensors buffers_;
};

struct Tally {
  int exact = 0, refused = 0;
};

/// Runs programs begin … end - 1 to first and second order.
Tally run_programs(uint32_t begin, uint32_t end) {
  Tally tally;
  for (uint32_t seed = begin; seed < end; seed++) {
    const Tensors x = {noise({2, 3}, seed).requires_grad_(), noise({3}, seed + 1).requires_grad_()};
    Program program(seed, x);
    for (int i = 0; i < 12; i++) program.step();
    EXPECT_TRUE(program.values_agree()) << "program " << seed;
    const auto [real, pure] = program.losses();
    const auto both = [&](const Tensor& y) {
      Tensors g = grad({y}, x, {}, {.create_graph = true, .allow_unused = true});
      Tensor s = (x[0] * x[0]).sum() + (x[1] * x[1]).sum();
      for (size_t i = 0; i < 2; i++)
        if (g[i].defined()) s = s + (g[i] * noise(g[i].shape(), 5)).sum();
      for (const Tensor& second : grad({s}, x)) g.push_back(second);
      return g;
    };
    const Tensors wanted = both(pure);
    Tensors got;
    try {
      got = both(real);
    } catch (const GradError& e) {
      EXPECT_NE(std::string(e.what()).find("changed in place"), std::string::npos) << e.what();
      tally.refused++;
      continue;
    }
    tally.exact++;
    for (size_t i = 0; i < wanted.size(); i++) {
      EXPECT_EQ(got[i].defined(), wanted[i].defined()) << "program " << seed;
      if (!wanted[i].defined() || !got[i].defined()) continue;
      const double size = 1 + max(abs(wanted[i])).item();
      EXPECT_LE(max(abs(got[i] - wanted[i])).item(), 1e-11 * size)
          << "program " << seed << ", gradient " << i;
    }
    if (testing::Test::HasFailure()) break;
  }
  return tally;
}

TEST(Views, RandomProgramsAreExactOrRefused) {
  const Tally o = run_programs(0, 2000);
  EXPECT_EQ(o.exact + o.refused, 2000);
  EXPECT_GT(o.exact, 1000);
  EXPECT_GT(o.refused, 20);
}

TEST(Views, RandomProgramsAgreeWithNumericDifferences) {
  int checked = 0;
  for (uint32_t seed = 5000; seed < 5200; seed++) {
    const auto f = [&](const Tensors& x) {
      Program program(seed, x);
      for (int i = 0; i < 10; i++) program.step();
      return program.losses().first;
    };
    const Tensors at = {noise({2, 3}, seed), noise({3}, seed + 1)};
    try {
      const double size = 1 + std::abs(f(at).item());
      EXPECT_LT(gradient_error(f, at, 1), 1e-6 * size) << "program " << seed;
      checked++;
    } catch (const GradError& e) {
      EXPECT_NE(std::string(e.what()).find("changed in place"), std::string::npos) << e.what();
    }
  }
  EXPECT_GT(checked, 100);
}

}  // namespace
}  // namespace gradus
