#include <gradus/autograd/ops/create.h>
#include <gradus/nn/module.h>
#include <gtest/gtest.h>

// What still works for one version, with a warning: this file is compiled without that.
namespace gradus {
namespace {

struct WithTensor {
  Tensor w = ones({2});
  void visit(nn::Visitor& v) { v("w", w); }
};

TEST(Deprecated, ATensorIsABufferThatCopiesShare) {
  WithTensor model, copy = model;
  EXPECT_EQ(nn::buffers(model).size(), 1u);
  nn::load_state_dict(model, {{"w", zeros({2})}});
  EXPECT_EQ(model.w.to_vector(), (std::vector<double>{0, 0}));
  EXPECT_EQ(copy.w.to_vector(), (std::vector<double>{1, 1}));
  nn::to(model, kFloat64);
  EXPECT_EQ(model.w.dtype(), kFloat64);
}

TEST(Deprecated, ForgottenFindsATrainableTensorThatIsNoParam) {
  WithTensor model;
  model.w.requires_grad_();
  EXPECT_EQ(nn::forgotten(model.w.sum(), model).size(), 1u);
}

}  // namespace
}  // namespace gradus
