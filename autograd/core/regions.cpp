#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/core/regions.h>
#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/index.h>

namespace gradus {
namespace {

struct OnRegion {
  Layout region;
  void describe(Describe& d) const {
    d("size", region.shape), d("stride", Shape(region.strides, static_cast<size_t>(region.rank())));
    d("storage_offset", region.offset);
  }
};

struct AsStrided : OnRegion {
  static constexpr auto name = "as_strided";
  Layout of(const Layout& x) const {
    Layout y = region;
    y.offset += x.offset;
    return y;
  }
  Part vjp(In<0>, const Back& b) const { return {b.g(), region}; }
};

struct Embed : OnRegion {
  static constexpr auto name = "embed";
  Shape shape;
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(shape, x.dtype());
    launch(kernels::Fill{writes(y), 0});
    launch(kernels::AddTo{writes(y, region), reads(x)});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return as_strided(b.g(), region); }
};

struct EmbedInto : OnRegion {
  static constexpr auto name = "embed_";
  static constexpr auto formula = "y = x, g added in a region        dx = dy        dg = dy in the region";
  void write(const Tensor& x, const Tensor&, const Tensor& g) const {
    Layout part = region;
    part.offset += x.layout().offset;
    launch(kernels::AddTo{writes(x, part), reads(g)});
  }
  // A chain of them hands on what each can take its part of without a copy.
  Tensor vjp(In<0>, const Back& b) const { return b.g().contiguous(); }
  Tensor vjp(In<1>, const Back& b) const { return as_strided(b.g(), region); }
};

struct Blank : OnRegion {
  static constexpr auto name = "blank";
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(x.shape(), x.dtype());
    launch(kernels::Copy{writes(y), reads(x)});
    launch(kernels::Fill{writes(y, region), 0});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return blank(b.g(), region); }
};

/// A root after a write through a view: inputs are the root before and what was written.
struct ViewWrite : OnRegion {
  static constexpr auto name = "view_write";
  Tensor vjp(In<0>, const Back& b) const { return blank(b.g(), region); }
  Tensor vjp(In<1>, const Back& b) const { return as_strided(b.g(), region); }
};

/// The layout of a view, relative to its root.
Layout region_of(const TensorImpl& view) {
  const TensorImpl& root = *view.base;
  if (!root.layout.contiguous())
    fail<GradError>(
        "in place: a tensor of shape {} whose elements are not row-major was written to through a view; "
        "make it contiguous() first",
        root.layout.shape);
  Layout region = view.layout;
  region.offset -= root.layout.offset;
  return region;
}

/// Throws where an element of `region` lies outside of the n elements of a tensor.
void check_region(const char* op, const Layout& region, int64_t n) {
  if (region.shape.numel() == 0) return;
  int64_t last = region.offset, reach;
  bool fits = last >= 0;
  for (int i = 0; i < region.rank(); i++)
    fits = fits && region.strides[i] >= 0 &&
           !__builtin_mul_overflow(region.shape[i] - 1, region.strides[i], &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  if (!fits || last >= n)
    fail<ShapeError>("{}: the region of shape {} at {} with strides {} is not inside of {} elements", op,
                     region.shape, region.offset, Shape(region.strides, static_cast<size_t>(region.rank())),
                     n);
}

/// Before e becomes x's edge: what may fail.
void prepare(TensorImpl& x, const Edge& e) {
  if (x.retains_grad && e) e.node->retain({e.slot, &x});
}
/// After prepare(); gives the edge that x had.
Edge set_edge(TensorImpl& x, Edge e) noexcept {
  if (x.retains_grad && x.edge) x.edge.node->forget_retained(&x);
  std::swap(x.edge, e);
  return e;
}

}  // namespace

Tensor as_strided(const Tensor& x, const Layout& region) {
  check_region("as_strided", region, x.numel());
  return apply_view(AsStrided{{region}}, x.contiguous());
}
static void check_region_of(const char* op, const Tensor& x, const Layout& region, const Shape& whole) {
  check_region(op, region, whole.numel());
  if (x.shape() != region.shape)
    fail<ShapeError>("{}: x of shape {} for a region of shape {}", op, x.shape(), region.shape);
}
Tensor embed(const Tensor& x, const Layout& region, const Shape& shape) {
  check_region_of("embed", x, region, shape);
  return apply(Embed{{region}, shape}, x);
}
Tensor& embed_(Tensor& x, const Layout& region, const Tensor& g) {
  check_region_of("embed_", g, region, x.shape());
  apply_inplace(EmbedInto{{region}}, x, g);
  return x;
}
Tensor blank(const Tensor& x, const Layout& region) {
  check_region("blank", region, x.numel());
  return apply(Blank{{region}}, x);
}

const Edge& Tensor::refresh_edge() const {
  TensorImpl& v = *impl_;
  Edge before;  // ends when nothing is locked any more
  const std::lock_guard held(detail::locks.views);
  // Another thread may have done it meanwhile.
  if (v.epoch.load(std::memory_order_relaxed) == v.base->writes) return v.edge;
  Edge fresh;
  if (v.base->edge) {
    const Edge* edges[] = {&v.base->edge};
    const Tensor* outs[] = {this};
    fresh = Edge(detail::record(AsStrided{{region_of(v)}}, edges, {}, outs), 0);
  }
  prepare(v, fresh);
  before = set_edge(v, std::move(fresh));
  v.epoch.store(v.base->writes, std::memory_order_release);
  return v.edge;
}

void check_inplace(const char* op, const Tensor& x, bool records) {
  if (x.layout().overlaps())
    fail<GradError>(
        "{}: in place: several elements of the {} tensor share one place in memory (expanded?); clone() it "
        "first",
        op, x.shape());
  if (!records) return;
  const TensorImpl& v = *x.impl();
  const TensorImpl& root = v.base ? *v.base : v;
  if (root.edge && root.edge.node->is_leaf())
    fail<GradError>(
        "{}: in place: {} that requires grad cannot be changed while recording; do it under NoGrad", op,
        v.base ? "a view of a leaf" : "a leaf");
  if (v.made_under_no_grad || root.made_under_no_grad)
    fail<GradError>(
        "{}: in place: this view was made under NoGrad: its base could not follow; make the view while "
        "recording",
        op);
  if (v.base) region_of(v);
}

History history_after(const Tensor& x, Ref<Node> node) {
  TensorImpl& v = *x.impl();
  History after{Edge(std::move(node), 0), {}};
  if (v.base) {
    TensorImpl& root = *v.base;
    const Edge* edges[] = {&root.edge, &after.own};
    const Tensor written{v.base};
    const Tensor* outs[] = {&written};
    after.root = Edge(detail::record(ViewWrite{{region_of(v)}}, edges, {}, outs), 0);
    prepare(root, after.root);
  }
  prepare(v, after.own);
  return after;
}

void set_history(const Tensor& x, History after) noexcept {
  TensorImpl& v = *x.impl();
  after.own.node->save_written();
  if (v.base) {
    set_edge(*v.base, std::move(after.root));
    v.epoch.store(++v.base->writes, std::memory_order_relaxed);
  } else {
    v.writes++;
  }
  set_edge(v, std::move(after.own));
}

}  // namespace gradus
