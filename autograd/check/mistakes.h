#pragma once
#include <gradus/autograd/check/comparison.h>
#include <gradus/autograd/check/diagnose.h>

#include <optional>

#pragma GCC visibility push(default)

namespace gradus::detail {

/// Explains wrong gradients by the graph of f: the backward pass runs again and again, each time with one
/// thing done as students do it (a derivative forgotten, another's, at another place; one sample only; a
/// layer skipped; the last step's values …). What comes out is compared with the gradients that were claimed.
///
/// Without claims it is autograd that is wrong: then the rules in the graph are compared with those of the
/// library's formulas that compute the same values, and a correction must give the numeric gradients.
///
/// `open` are the wrong inputs that wait for an explanation. One that explains many of them, and would spoil
/// none of the right ones, is preferred.
std::vector<std::optional<Diagnosis>> find_mistakes(const Subject& subject, const Evidence& evidence,
                                                    const std::vector<bool>& open);

}  // namespace gradus::detail

#pragma GCC visibility pop
