#pragma once
#include <common/drawing.h>

namespace gradus::examples {

/// Whether Graphviz' program `dot` is there, and writes SVG.
bool has_graphviz();

/// A graph of to_dot(), laid out by Graphviz, in the colours of drawing_css(), below its title. An Error
/// where `dot` is not installed, says how to get it; one where it does not understand the graph, quotes it.
Drawing draw_dot(const std::string& dot, const std::string& title);

}  // namespace gradus::examples
