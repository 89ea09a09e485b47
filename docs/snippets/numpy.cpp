// The code of docs/numpy.md: one step of the first tutorial, in Gradus' layout.
#include <common/datasets.h>
#include <gradus/gradus.h>

using namespace gradus;

int main() {
  const examples::Dataset flower = examples::load_planar_dataset();
  const Tensor x = tensor(flower.x, {400, 2}, kFloat64), y = tensor(flower.y, {400, 1}, kFloat64);

  NumpyRandom random = numpy_random(2);  // np.random.seed(2)
  Tensor w1 =
      (tensor(random.randn(8), {4, 2}, kFloat64) * 0.01).requires_grad_();  // np.random.randn(4, 2) * 0.01
  Tensor b1 = zeros({4}, kFloat64).requires_grad_();                        // np.zeros((4, 1))
  Tensor w2 = (tensor(random.randn(4), {1, 4}, kFloat64) * 0.01).requires_grad_();
  Tensor b2 = zeros({1}, kFloat64).requires_grad_();

  const Tensor a1 = tanh(linear(x, w1, b1));      // np.tanh(np.dot(W1, X) + b1)
  const Tensor a2 = sigmoid(linear(a1, w2, b2));  // linear(x, w, b) is x.matmul(w.t()) + b
  const Tensor cost = -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
  cost.backward();  // all of backward_propagation: w1.grad(), b1.grad() …

  fmt::print("cost {:.9f}\ndW2 {}\n", cost.item(), w2.grad());
}
