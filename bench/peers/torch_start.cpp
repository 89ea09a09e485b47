// The same for libtorch.
#include <torch/torch.h>

int main() { return torch::ones({1}).defined() ? 0 : 1; }
