#include <gradus/gradus.h>

#include "../board.h"

namespace gradus::examples {
namespace {

Tensor operand(double value) { return tensor(value, kFloat64).requires_grad_(); }

void chain_rule(Board& board) {
  board.step("Forward: one node after the other");
  board.say(
      "A computation is a graph. Each node takes the values of the nodes before it and makes one of its own. "
      "Here are three nodes, fed with a, b and c:");
  board.show(
      "a ──┐\n"
      "    ├── u = a b ──┐\n"
      "b ──┘             ├── v = u + c ──── L = v²\n"
      "c ────────────────┘");
  const double a = 2, b = -3, c = 10;
  const double u = a * b, v = u + c, l = v * v;
  board.table({{"node", "formula", "value"},
               {"u", "a b", number(u)},
               {"v", "u + c", number(v)},
               {"L", "v²", number(l)}});
  board.say(
      "The question of all training: how does L change when a, b or c change a little? That number is the "
      "derivative dL/da, and we want it for every input.");

  board.step("Local: each node knows its own derivative");
  board.say(
      "A node does not know what comes before it or after it. But it knows how its own value follows its "
      "inputs, and school derivatives are enough for that:");
  const double du_da = b, du_db = a, dv_du = 1, dv_dc = 1, dl_dv = 2 * v;
  board.table({{"node", "derivative", "is", "here"},
               {"u = a b", "du/da", "b", number(du_da)},
               {"", "du/db", "a", number(du_db)},
               {"v = u + c", "dv/du", "1", number(dv_du)},
               {"", "dv/dc", "1", number(dv_dc)},
               {"L = v²", "dL/dv", "2 v", number(dl_dv)}});
  board.say(
      "Note that du/da needs the value of b, and dL/dv that of v. The backward pass needs values of the "
      "forward pass, so they are kept.");

  board.step("Backward: multiply along the way");
  board.say(
      "The chain rule: if L follows v, and v follows u, then dL/du = dL/dv · dv/du. So start at the end, "
      "where dL/dL = 1, and walk against the arrows. At every node multiply what arrives by the local "
      "derivative.");
  const double dl_du = dl_dv * dv_du, dl_dc = dl_dv * dv_dc, dl_da = dl_du * du_da, dl_db = dl_du * du_db;
  board.table({{"gradient", "what arrives · local", "", "value"},
               {"dL/dv", "dL/dL · dL/dv", fmt::format("1 · {}", dl_dv), number(dl_dv)},
               {"dL/du", "dL/dv · dv/du", fmt::format("{} · {}", dl_dv, dv_du), number(dl_du)},
               {"dL/dc", "dL/dv · dv/dc", fmt::format("{} · {}", dl_dv, dv_dc), number(dl_dc)},
               {"dL/da", "dL/du · du/da", fmt::format("{} · ({})", dl_du, du_da), number(dl_da)},
               {"dL/db", "dL/du · du/db", fmt::format("{} · {}", dl_du, du_db), number(dl_db)}});
  board.say(
      "dL/du was computed once and used twice, for a and for b. That is why walking backward is cheap: one "
      "walk gives the gradient of every input, however many there are.");

  board.step("Gradus walks the same way");
  const Tensor ta = operand(a), tb = operand(b), tc = operand(c);
  Tensor tu = ta * tb;
  Tensor tv = tu + tc;
  const Tensor tl = square(tv);
  tu.retain_grad();
  tv.retain_grad();
  const std::string explained =
      explain(tl, {{"a", ta}, {"b", tb}, {"c", tc}, {"u", tu}, {"v", tv}, {"L", tl}}).str();
  tl.backward();
  board.say("The same in Gradus: the three lines record the graph, and backward() walks it.");
  board.show(
      "Tensor u = a * b;\n"
      "Tensor v = u + c;\n"
      "Tensor L = square(v);\n"
      "L.backward();");
  board.compare({{"dL/dv", tensor(dl_dv, kFloat64), tv.grad()},
                 {"dL/du", tensor(dl_du, kFloat64), tu.grad()},
                 {"dL/da", tensor(dl_da, kFloat64), ta.grad()},
                 {"dL/db", tensor(dl_db, kFloat64), tb.grad()},
                 {"dL/dc", tensor(dl_dc, kFloat64), tc.grad()}});

  board.say(
      "And it can tell what it did. explain(L) lists the backward pass, the last node first: the node and "
      "its formula, the gradient that arrives, the local derivative times that gradient g, and what goes on "
      "to each input:");
  board.show(explained);

  board.step("Is it true? Nudge a and look");
  const double nudge = 0.001;
  const double after = square((ta + nudge) * tb + tc).item();
  board.say(
      "dL/da = {} promises: if a grows by {}, L changes by about {} · {} = {}. Compute L again with a = {}:",
      dl_da, nudge, dl_da, nudge, number(dl_da * nudge), a + nudge);
  board.table({{"", "L"},
               {"before", number(l)},
               {"after", fmt::format("{:.9g}", after)},
               {"change", fmt::format("{:.6f}", after - l)},
               {"promised", fmt::format("{:.6f}", dl_da * nudge)}});
  board.claim(std::abs((after - l) / (dl_da * nudge) - 1) < 0.001, "the nudge changes L as promised");
  board.say(
      "Nearly. What is missing is the curvature of L, which a derivative does not see. The smaller the "
      "nudge, the better the promise. Checking gradients by nudging is what `gradus lesson numeric` is "
      "about.");

  board.step("When ways meet, gradients add");
  board.say(
      "In L = a b + a, the value a goes two ways. A change of a changes L along both of them, so the two "
      "gradients that come back to a are added: dL/da = b + 1.");
  const Tensor a2 = operand(a), b2 = operand(b);
  (a2 * b2 + a2).backward();
  board.compare({{"dL/da", tensor(b + 1, kFloat64), a2.grad()}, {"dL/db", tensor(a, kFloat64), b2.grad()}});
  board.say(
      "Multiply along a way, add where ways meet: that is all of backpropagation. A network with a million "
      "weights is a longer graph, and nothing else.");

  board.step("To try");
  board.say(
      "Derive dL/da and dL/db of L = (a b + c)² a at the same point, by hand. Here a goes two ways. Then "
      "write a text file, and let `gradus check` judge it:");
  board.show(
      "input a = 2\n"
      "input b = -3\n"
      "input c = 10\n"
      "function (a * b + c)^2 * a\n"
      "gradient a = …\n"
      "gradient b = …");
}

const Lesson chain_rule_lesson(1, "chain-rule", "The chain rule on a graph of three nodes", chain_rule);

}  // namespace
}  // namespace gradus::examples
