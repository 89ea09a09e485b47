#include "conformance.h"
#include "table_support.h"

#include <gradus/autograd/base/pool.h>

#include <set>

namespace gradus::table {
namespace {

using conformance::difference;

TEST(Table, EveryMixOfRequiresGrad) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    const unsigned mixes = 1u << std::min<size_t>(sample.inputs.size(), 5);
    const Tensors all = leaves(sample.inputs);
    const Tensors y_all = recorded_of(run(row, all, sample.attrs)), g = random_gradients(y_all, 3);
    const Tensors dx = gradients(y_all, floating_of(all), g);
    for (unsigned wanted = 0; wanted < mixes; wanted++) {
      const Tensors x = leaves(sample.inputs, wanted);
      const Tensors y = recorded_of(run(row, x, sample.attrs));
      bool any = false;
      for (const Tensor& t : x) any = any || t.requires_grad();
      const std::string where = place(row, k, "mix " + std::to_string(wanted));
      EXPECT_EQ(!y.empty(), any && !y_all.empty()) << where;
      if (y.empty()) continue;
      backward(y, g);
      for (size_t i = 0, at = 0; i < x.size(); i++) {
        ASSERT_EQ(x[i].grad().defined(), x[i].requires_grad()) << where << ", input " << i;
        if (!is_floating(x[i].dtype())) continue;
        const Tensor& want = dx[at++];
        if (!x[i].requires_grad()) continue;
        EXPECT_EQ(difference(x[i].grad(), want, 0, 0), "") << where << ", gradient of input " << i;
      }
    }
  });
}

TEST(Table, RowsWithoutAGradientRecordNothing) {
  for_each_sample([](const OpRow& row) { return row.orders == 0; },
                  [](const OpRow& row, const OpSample& sample, size_t k) {
                    for (const Tensor& y : run(row, leaves(sample.inputs), sample.attrs))
                      EXPECT_FALSE(y.requires_grad()) << place(row, k);
                  });
  for_each_sample(differentiable, [](const OpRow& row, const OpSample& sample, size_t k) {
    if (std::string(row.name) == "to" && sample.attrs.word("dtype", "") == "int64") return;
    EXPECT_FALSE(recorded_of(run(row, leaves(sample.inputs), sample.attrs)).empty()) << place(row, k);
  });
}

// ---- dtypes

bool not_a_cast(const OpRow& row) { return std::string(row.name) != "to"; }

TEST(Table, Float32IsCloseToFloat64) {
  for_each_sample(not_a_cast, [](const OpRow& row, const OpSample& sample, size_t k) {
    Tensors narrow = sample.inputs, wide = sample.inputs;
    for (size_t i = 0; i < narrow.size(); i++)
      if (is_floating(narrow[i].dtype())) {
        narrow[i] = narrow[i].to(kFloat32);
        wide[i] = narrow[i].to(kFloat64);
      }
    const Tensors x = leaves(narrow), x64 = leaves(wide);
    const Tensors y = run(row, x, sample.attrs), y64 = run(row, x64, sample.attrs);
    ASSERT_EQ(y.size(), y64.size());
    const auto compare = [&](const Tensor& a, const Tensor& b, const std::string& what) {
      ASSERT_EQ(a.dtype(), is_floating(b.dtype()) ? kFloat32 : b.dtype()) << place(row, k, what);
      EXPECT_EQ(difference(a.to(b.dtype()), b, 4e-6, 4e-6), "") << place(row, k, what);
    };
    for (size_t i = 0; i < y.size(); i++)
      compare(y[i].detach(), y64[i].detach(), "result " + std::to_string(i));
    const Tensors g = random_gradients(recorded_of(y), 3), g64 = random_gradients(recorded_of(y64), 3);
    const Tensors dx = gradients(recorded_of(y), floating_of(x), g);
    const Tensors dx64 = gradients(recorded_of(y64), floating_of(x64), g64);
    for (size_t i = 0; i < dx.size(); i++) compare(dx[i], dx64[i], "gradient of input " + std::to_string(i));
  });
}

/// The pointwise rows whose header says that they keep integer dtypes; comparisons give bool, all others
/// float32.
const std::set<std::string> kKeepsIntegers = {"abs",    "add",  "add_", "copy_", "maximum", "minimum",
                                              "mul",    "mul_", "neg",  "relu",  "relu_",   "sign",
                                              "square", "sub",  "sub_", "where", "zero_"};
/// Rows whose number is no integer: the result is floating, which an integer tensor cannot take in place.
const std::set<std::string> kRefusesIntegers = {"add_scalar_", "div_", "div_scalar_", "mul_scalar_",
                                                "sub_scalar_"};
/// With the samples' bounds, which are no integers, PyTorch would promote; Gradus keeps the dtype and cuts
/// the bounds.
const std::set<std::string> kCutsNumbers = {"clamp", "fill_"};

TEST(Table, IntegersAreComputedAsDocumentedOrRefused) {
  std::set<std::string> kept, refused;
  for_each_sample(
      [](const OpRow& row) { return row.pointwise; },
      [&](const OpRow& row, const OpSample& sample, size_t k) {
        const std::string name = row.name;
        if (kCutsNumbers.contains(name)) return;
        for (const Dtype dtype : {kInt64, kUInt8, kBool}) {
          Tensors integers = sample.inputs, reals = sample.inputs;
          for (size_t i = 0; i < integers.size(); i++)
            if (is_floating(integers[i].dtype())) {
              integers[i] = integers[i].to(kInt64).to(dtype);
              if (dtype != kBool) integers[i] = where(integers[i] == 0, 1, integers[i]).to(dtype);
              reals[i] = integers[i].to(kFloat64);
            }
          const std::string where = place(row, k, name_of(dtype));
          Tensor y;
          try {
            y = run(row, integers, sample.attrs)[0];
          } catch (const DtypeError&) {
            refused.insert(name);
            EXPECT_TRUE(kRefusesIntegers.contains(name) || dtype == kBool) << where << " was refused";
            continue;
          }
          EXPECT_FALSE(kRefusesIntegers.contains(name)) << where << " was not refused";
          const Tensor want = run(row, reals, sample.attrs)[0];
          if (want.dtype() == kBool) {
            EXPECT_EQ(difference(y, want, 0, 0), "") << where;
          } else if (kKeepsIntegers.contains(name)) {
            kept.insert(name);
            ASSERT_EQ(y.dtype(), dtype) << where;
            // uint8 counts modulo 256, bool is whether it is not 0.
            EXPECT_EQ(difference(y, dtype == kBool ? want != 0 : want.to(kInt64).to(dtype), 0, 0), "")
                << where;
          } else {
            ASSERT_EQ(y.dtype(), kFloat32) << where;
            EXPECT_EQ(difference(y, want.to(kFloat32), 1e-6, 1e-6), "") << where;
          }
        }
      });
  for (const std::string& name : kKeepsIntegers) EXPECT_TRUE(kept.contains(name)) << name;
  for (const std::string& name : kRefusesIntegers) EXPECT_TRUE(refused.contains(name)) << name;
}

// ---- in place

TEST(Table, InPlaceFormsAreTheOutOfPlaceOnes) {
  int64_t pairs = 0;
  for_each_sample(in_place, [&](const OpRow& row, const OpSample& sample, size_t k) {
    const Tensors x = leaves(sample.inputs);
    Tensors written = x;
    written[0] = x[0].clone();
    const std::byte* before = written[0].raw();
    const uint32_t version = written[0].storage().version();
    const Tensor y = row.call(written, sample.attrs).at(0);
    EXPECT_EQ(y.impl(), written[0].impl()) << place(row, k);
    EXPECT_EQ(y.raw(), before) << place(row, k);
    EXPECT_EQ(y.storage().version(), version + 1) << place(row, k);

    const std::string name = row.name;
    const OpRow* plain = find_op(name.substr(0, name.size() - 1));
    if (!plain) return;
    pairs++;
    const Tensors x2 = leaves(sample.inputs);
    const Tensor y2 = plain->call(x2, sample.attrs).at(0);
    EXPECT_TRUE(same_bits(y, y2)) << place(row, k);
    const Tensors g = random_gradients({y}, 3);
    const Tensors dx = gradients({y}, floating_of(x), g), dx2 = gradients({y2}, floating_of(x2), g);
    for (size_t i = 0; i < dx.size(); i++)
      EXPECT_TRUE(same_bits(dx[i], dx2[i])) << place(row, k, "gradient of input " + std::to_string(i));
  });
  EXPECT_GE(pairs, 13);
}

TEST(Table, WhatIsWrittenInPlace) {
  const Tensor x = scattered({2, 3});
  EXPECT_TRUE(same_bits(x.clone().zero_(), zeros({2, 3}, kFloat64)));
  EXPECT_TRUE(same_bits(x.clone().fill_(1.5), full({2, 3}, 1.5, kFloat64)));
  const Tensor row = scattered({3}, -2, 2, 1);
  EXPECT_TRUE(same_bits(x.clone().copy_(row), row.expand({2, 3})));
  EXPECT_TRUE(same_bits(x.clone().copy_(tensor({1, 2, 3})), tensor({{1., 2., 3.}, {1., 2., 3.}}, kFloat64)));
}

// ---- what holds of every call

TEST(Table, TwiceGivesTheSameBits) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    const auto all = [&] {
      const Tensors x = leaves(sample.inputs);
      Tensors y = run(row, x, sample.attrs);
      const Tensors recorded = recorded_of(y);
      for (const Tensor& dx : gradients(recorded, floating_of(x), random_gradients(recorded, 3), true))
        y.push_back(dx);
      return y;
    };
    const Tensors first = all(), second = all();
    for (size_t i = 0; i < first.size(); i++) EXPECT_TRUE(same_bits(first[i], second[i])) << place(row, k);
  });
}

TEST(Table, InputsAreNotChanged) {
  for_each_sample([](const OpRow& row) { return !in_place(row); },
                  [](const OpRow& row, const OpSample& sample, size_t k) {
                    const Tensors x = leaves(sample.inputs);
                    const Tensors y = recorded_of(run(row, x, sample.attrs));
                    if (!y.empty()) backward(y, random_gradients(y, 3));
                    for (size_t i = 0; i < x.size(); i++) {
                      EXPECT_TRUE(same_bits(x[i], sample.inputs[i])) << place(row, k);
                      EXPECT_EQ(x[i].storage().version(), 0u) << place(row, k);
                    }
                  });
}

TEST(Table, EveryBlockIsGivenBack) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    const auto both_orders = [&] {
      const Tensors x = leaves(sample.inputs);
      const Tensors y = recorded_of(run(row, x, sample.attrs));
      if (y.empty()) return;
      const Tensors g = random_gradients(y, 3);
      backward(y, g, true);
      const Tensors dx = recorded_of(gradients(y, floating_of(x), g, true));
      if (!dx.empty()) backward(dx, random_gradients(dx, 4), false, true);
    };
    both_orders();
    const int64_t before = pool::live_blocks();
    both_orders();
    EXPECT_EQ(pool::live_blocks(), before) << place(row, k);
  });
}

// ---- refusals

/// Runs a call that must be refused; says what went wrong.
void expect_refused(const OpRow& row, const OpSample& bad, const std::string& where) {
  std::vector<std::vector<std::byte>> before;
  std::vector<uint32_t> versions;
  for (const Tensor& x : bad.inputs) {
    before.push_back(x.defined() ? bytes_of(x) : std::vector<std::byte>());
    versions.push_back(x.defined() ? x.storage().version() : 0);
  }
  std::string what;
  try {
    row.call(bad.inputs, bad.attrs);
    ADD_FAILURE() << where << " was not refused";
    return;
  } catch (const Error& e) {
    what = e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << where << " threw what is no gradus::Error: " << e.what();
    return;
  }
  EXPECT_NE(what.find(": "), std::string::npos) << where << ": the text is no `op: what is wrong`: " << what;
  for (size_t i = 0; i < bad.inputs.size(); i++) {
    if (!bad.inputs[i].defined()) continue;
    EXPECT_EQ(bytes_of(bad.inputs[i]), before[i]) << where << ", input " << i << " was changed";
    EXPECT_EQ(bad.inputs[i].storage().version(), versions[i])
        << where << ", input " << i << " was written to";
  }
}

TEST(Table, BadCallsAreRefused) {
  for (const OpRow& row : op_table()) {
    ASSERT_NE(row.bad, nullptr) << row.name << " names no call that must be refused";
    const auto samples = row.bad();
    EXPECT_FALSE(samples.empty()) << row.name;
    for (size_t k = 0; k < samples.size(); k++) expect_refused(row, samples[k], place(row, k, "a bad one"));
  }
}

/// The inputs that may be missing.
const std::set<std::pair<std::string, size_t>> kOptional = {{"linear", 2},          {"bce_loss", 2},
                                                            {"bce_with_logits", 2}, {"bce_with_logits", 3},
                                                            {"nll_loss", 2},        {"cross_entropy", 2}};

TEST(Table, UndefinedInputsAreRefused) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t k) {
    for (size_t i = 0; i < sample.inputs.size(); i++) {
      if (kOptional.contains({row.name, i})) continue;
      OpSample bad = sample;
      bad.inputs[i] = Tensor();
      expect_refused(row, bad, place(row, k, "input " + std::to_string(i) + " undefined"));
    }
  });
}

TEST(Table, ARefusalThatIsNoneIsFound) {
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    const OpRow good = {"good", "good", [](const Tensors& x, const Attrs&) { return x; }, nullptr};
    expect_refused(good, {{ones({2})}, {}}, "a good call");
    const OpRow late = {"late_", "late_",
                        [](const Tensors& x, const Attrs&) -> Tensors {
                          Tensor y = x[0];
                          y.zero_();
                          fail("late: refused after the write: {}", y.shape());
                        },
                        nullptr};
    expect_refused(late, {{ones({2})}, {}}, "a late refusal");
  }
  ASSERT_EQ(results.size(), 3);
  EXPECT_NE(std::string(results.GetTestPartResult(0).message()).find("was not refused"), std::string::npos);
  EXPECT_NE(std::string(results.GetTestPartResult(1).message()).find("was changed"), std::string::npos);
  EXPECT_NE(std::string(results.GetTestPartResult(2).message()).find("was written to"), std::string::npos);
}

}  // namespace
}  // namespace gradus::table
