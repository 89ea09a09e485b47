#pragma once
// All of Gradus that a program uses.
#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/core/tensor.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/engine/custom.h>
#include <gradus/autograd/engine/functional.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/join.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/pointwise.h>
#include <gradus/autograd/ops/reduce.h>
