#include <gradus/autograd/check/report.h>
#include <gradus/autograd/ops/create.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus {
namespace {

using Verdict = GradcheckElement::Verdict;

/// ‖a - n‖ / (‖a‖ + ‖n‖) and ‖doubt‖ / ‖n‖, gathered over the elements that can be trusted.
struct Norms {
  double difference = 0, analytic = 0, numeric = 0, doubted = 0;
  void add(const GradcheckInput& in) {
    for (const GradcheckElement& e : in.elements) {
      if (e.verdict == Verdict::Untrusted) continue;
      difference += (e.analytic - e.numeric) * (e.analytic - e.numeric);
      analytic += e.analytic * e.analytic;
      numeric += e.numeric * e.numeric;
      doubted += e.doubt * e.doubt;
    }
  }
  double doubt() const { return numeric == 0 ? 0 : std::sqrt(doubted / numeric); }
  double error() const {
    const double sum = std::sqrt(analytic) + std::sqrt(numeric);
    return sum == 0 ? 0 : std::sqrt(difference) / sum;
  }
};

Tensor dense(const GradcheckInput& in, double (*of)(const GradcheckElement&)) {
  Shape shape = in.outputs.numel() == 1 ? Shape() : in.outputs;
  for (int64_t d : in.shape) shape.push_back(d);
  Tensor y = full(shape, std::numeric_limits<double>::quiet_NaN(), kFloat64);
  double* values = y.mutable_data<double>();
  for (const GradcheckElement& e : in.elements)
    if (e.input >= 0) values[e.output * in.shape.numel() + e.input] = of(e);
  return y;
}

/// The column's texts padded to one width; counted in characters, not bytes.
void pad(std::vector<std::string>& column) {
  const auto width = [](const std::string& s) {
    return std::count_if(s.begin(), s.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  };
  std::ptrdiff_t widest = 0;
  for (const auto& s : column) widest = std::max(widest, width(s));
  for (auto& s : column) s.append(static_cast<size_t>(widest - width(s)), ' ');
}

}  // namespace

Shape detail::unravel(int64_t k, const Shape& shape) {
  Shape index = shape;
  for (int d = shape.rank(); d-- > 0; k /= shape[d]) index[d] = k % shape[d];
  return index;
}

const char* name_of(Finding f) {
  switch (f) {
    case Finding::None: return "None";
    case Finding::Zero: return "Zero";
    case Finding::Kink: return "Kink";
    case Finding::Noise: return "Noise";
    case Finding::Sign: return "Sign";
    case Finding::Factor: return "Factor";
    case Finding::Size: return "Size";
    case Finding::ElementwiseFactor: return "ElementwiseFactor";
    case Finding::Transposed: return "Transposed";
    case Finding::MissingSum: return "MissingSum";
    case Finding::OneSample: return "OneSample";
    case Finding::Shape: return "Shape";
    case Finding::MissingDerivative: return "MissingDerivative";
    case Finding::OtherDerivative: return "OtherDerivative";
    case Finding::WrongPlace: return "WrongPlace";
    case Finding::WrongRule: return "WrongRule";
    case Finding::SkippedLayer: return "SkippedLayer";
    case Finding::WrongLayer: return "WrongLayer";
    case Finding::WrongOperand: return "WrongOperand";
    case Finding::MissingPath: return "MissingPath";
    case Finding::Stale: return "Stale";
    case Finding::WeightDecay: return "WeightDecay";
    case Finding::Swapped: return "Swapped";
    case Finding::NotConnected: return "NotConnected";
    case Finding::NotUsed: return "NotUsed";
    case Finding::NotLinear: return "NotLinear";
    case Finding::HigherOrder: return "HigherOrder";
    case Finding::OneElement: return "OneElement";
    case Finding::OneRow: return "OneRow";
    case Finding::BackwardFailed: return "BackwardFailed";
    case Finding::Unknown: return "Unknown";
  }
  return "?";
}

double GradcheckElement::absolute_error() const { return std::abs(analytic - numeric); }

double GradcheckElement::relative_error() const {
  const double size = std::max(std::abs(analytic), std::abs(numeric));
  return size == 0 ? 0 : absolute_error() / size;
}

int64_t GradcheckInput::count(Verdict v) const {
  return std::count_if(elements.begin(), elements.end(),
                       [&](const GradcheckElement& e) { return e.verdict == v; });
}

double GradcheckInput::error() const {
  Norms norms;
  norms.add(*this);
  return norms.error();
}

double GradcheckInput::doubt() const {
  Norms norms;
  norms.add(*this);
  return norms.doubt();
}

const GradcheckElement* GradcheckInput::worst() const {
  const GradcheckElement* worst = nullptr;
  const auto rank = [](const GradcheckElement& e) {
    return std::pair(e.verdict == Verdict::Wrong ? 1 + (e.input >= 0) : 0, e.absolute_error());
  };
  for (const GradcheckElement& e : elements)
    if (e.verdict != Verdict::Untrusted && (!worst || rank(e) > rank(*worst))) worst = &e;
  return worst;
}

Shape GradcheckInput::index(const GradcheckElement& e) const {
  return e.input < 0 ? Shape() : detail::unravel(e.input, shape);
}
Shape GradcheckInput::output_index(const GradcheckElement& e) const {
  return detail::unravel(e.output, outputs);
}

Tensor GradcheckInput::analytic() const {
  return dense(*this, [](const GradcheckElement& e) { return e.analytic; });
}
Tensor GradcheckInput::numeric() const {
  return dense(*this, [](const GradcheckElement& e) { return e.numeric; });
}
Tensor GradcheckInput::ratio() const {
  return dense(*this, [](const GradcheckElement& e) { return e.numeric / e.analytic; });
}

bool GradcheckReport::ok() const {
  return reason.empty() && !inputs.empty() &&
         std::all_of(inputs.begin(), inputs.end(), [](const auto& in) { return in.ok(); });
}

double GradcheckReport::error() const {
  Norms norms;
  for (const GradcheckInput& in : inputs) norms.add(in);
  return norms.error();
}

double GradcheckReport::doubt() const {
  Norms norms;
  for (const GradcheckInput& in : inputs) norms.add(in);
  return norms.doubt();
}

const GradcheckInput& GradcheckReport::input(const std::string& name, int order) const {
  for (const GradcheckInput& in : inputs)
    if (in.name == name && in.order == order) return in;
  fail("gradcheck: no input '{}' was checked at order {}", name, order);
}

const Diagnosis& GradcheckReport::diagnosis() const {
  static const Diagnosis none;
  const GradcheckInput* worst = nullptr;
  for (const GradcheckInput& in : inputs)
    if (!in.ok() && (!worst || in.error() > worst->error())) worst = &in;
  return worst ? worst->diagnosis : none;
}

std::string GradcheckReport::str() const {
  std::string text;
  if (!reason.empty()) text = fmt::format("gradcheck: not passed: {}\n", reason);
  const auto wrong = std::count_if(inputs.begin(), inputs.end(), [](const auto& in) { return !in.ok(); });
  if (wrong > 0)
    text += fmt::format("gradcheck: WRONG: the gradients of {} of {} inputs\n", wrong, inputs.size());
  else if (reason.empty())
    text += fmt::format("gradcheck: right: |a - n| / (|a| + |n|) = {:.1e}\n", error());

  std::vector<std::vector<std::string>> columns = {{"input"}, {"shape"},    {"elements"}, {"wrong"},
                                                   {"error"}, {"worst at"}, {"gradient"}, {"numeric"}};
  for (const GradcheckInput& in : inputs) {
    if (in.elements.empty()) continue;
    const GradcheckElement* worst = in.worst();
    std::string at = "-";
    if (worst && worst->input < 0)
      at = "random direction";
    else if (worst)
      at = in.outputs.numel() == 1
               ? in.index(*worst).str()
               : fmt::format("d {}/d {}", in.output_index(*worst).str(), in.index(*worst).str());
    const std::string row[] = {in.order == 1 ? in.name : fmt::format("{} (order {})", in.name, in.order),
                               in.shape.str(),
                               fmt::format("{}{}", in.elements.size(), in.complete ? "" : " sampled"),
                               fmt::format("{}", in.count(Verdict::Wrong)),
                               fmt::format("{:.1e}", in.error()),
                               at,
                               worst ? fmt::format("{:.8g}", worst->analytic) : "-",
                               worst ? fmt::format("{:.8g}", worst->numeric) : "-"};
    for (size_t k = 0; k < columns.size(); k++) columns[k].push_back(row[k]);
  }
  for (auto& column : columns) pad(column);
  if (columns[0].size() > 1)
    for (size_t r = 0; r < columns[0].size(); r++) {
      std::string line = " ";
      for (const auto& column : columns) line += " " + column[r] + " ";
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  int64_t kinks = 0;
  for (const GradcheckInput& in : inputs)
    kinks += std::count_if(in.elements.begin(), in.elements.end(), [](const auto& e) { return e.kink; });
  if (columns[0].size() > 1)
    text +=
        fmt::format("  n itself is off by at most {:.1e} of its length, by two step sizes and rounding{}\n",
                    doubt(), kinks > 0 ? fmt::format("; there is a kink at {} of the elements", kinks) : "");
  for (size_t i = 0; i < inputs.size(); i++) {
    // What is the same for several inputs is said once.
    const Diagnosis& d = inputs[i].diagnosis;
    const auto same = [&](const GradcheckInput& in) { return in.diagnosis.text == d.text; };
    if (d.kind == Finding::None ||
        std::any_of(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(i), same))
      continue;
    std::string names;
    for (const GradcheckInput& in : inputs)
      if (same(in)) names += (names.empty() ? "" : ", ") + in.name;
    text += fmt::format("  {}: {}\n", names, d.text);
  }
  return text;
}

}  // namespace gradus
