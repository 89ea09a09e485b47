#include <common/report.h>

namespace gradus::examples {
namespace {

constexpr std::string_view kCss = R"(
:root{color-scheme:light dark}
body{margin:0 auto;max-width:62rem;padding:1rem;font:16px/1.5 system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;
background:#ffffff;color:#1f2328}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.2rem;margin:1.5rem 0 0}p{margin:0;max-width:44rem}
section{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
section>*{min-width:0}section>:not(figure),.wide{grid-column:1/-1}
figure{margin:0}figure svg{display:block;max-width:100%;height:auto;margin:0 auto}
.wide svg{max-width:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.25rem 0;font-weight:600}
th,td{text-align:left;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #d5dae0;white-space:nowrap;font-weight:400}
thead th{color:#57606a}
.slider{display:grid;grid-template-columns:auto 1fr;gap:.25rem .75rem;align-items:center;max-width:30rem;margin:.5rem auto}
.slider input{width:100%;min-height:1.75rem;accent-color:#0a6aab}.slider output{grid-column:1/-1;min-height:3rem;
font-variant-numeric:tabular-nums}
pre{overflow-x:auto;font-size:.8rem;line-height:1.4}summary{cursor:pointer}
:focus-visible{outline:3px solid #0a6aab;outline-offset:2px}
@media (prefers-color-scheme:dark){body{background:#14171c;color:#e6e9ee}th,td{border-color:#343c46}thead th{color:#a8b1bd}
.slider input{accent-color:#5ab4f0}:focus-visible{outline-color:#5ab4f0}}
)";

constexpr std::string_view kScript = R"(
for (const box of document.querySelectorAll('figure .scroll')) box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2;
for (const figure of document.querySelectorAll('.frames')) {
  const slider = figure.querySelector('input');
  const show = () => {
    for (const element of figure.querySelectorAll('[data-frame]'))
      element.style.display = element.dataset.frame === slider.value ? '' : 'none';
    slider.setAttribute('aria-valuetext', figure.querySelector('output [data-frame="' + slider.value + '"]').textContent);
  };
  slider.addEventListener('input', show);
  show();
}
)";

constexpr std::string_view kHidden = R"( style="display:none")";

}  // namespace

void Report::section(const std::string& heading) {
  if (open_) body_ += "</section>\n";
  body_ += fmt::format("<section>\n<h2>{}</h2>\n", escape(heading));
  open_ = true;
}

void Report::paragraph(const std::string& words) { body_ += fmt::format("<p>{}</p>\n", escape(words)); }

void Report::table(const std::string& caption, const std::vector<std::string>& head,
                   const std::vector<std::vector<std::string>>& rows) {
  body_ += fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table>\n"
      "<caption>{0}</caption>\n<thead><tr>",
      escape(caption));
  for (const std::string& cell : head) body_ += fmt::format("<th scope=\"col\">{}</th>", escape(cell));
  body_ += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    if (row.size() != head.size())
      fail<ShapeError>("table: '{}' has {} columns, a row has {}", caption, head.size(), row.size());
    body_ += "<tr>";
    for (size_t i = 0; i < row.size(); i++)
      body_ += fmt::format("<{0}>{1}</{2}>", i == 0 ? "th scope=\"row\"" : "td", escape(row[i]),
                           i == 0 ? "th" : "td");
    body_ += "</tr>\n";
  }
  body_ += "</tbody>\n</table></div>\n";
}

void Report::add_figure(const std::string& svgs, const std::string& words, bool wide,
                        const std::string& caption) {
  const std::string classes = fmt::format("{}{}", wide ? "wide " : "", caption.empty() ? "" : "frames");
  // What scrolls must be within reach of the keyboard.
  const std::string scroll =
      wide ? fmt::format(" class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"", escape(words))
           : "";
  body_ += fmt::format("<figure class=\"{}\"><div{}>\n{}</div>{}</figure>\n", classes, scroll, svgs, caption);
}

void Report::figure(const Drawing& drawing, const std::string& words, bool wide) {
  add_figure(to_inline_svg(drawing, words), words, wide, "");
}

std::string Report::slider(const std::string& label, const std::vector<std::string>& captions) {
  if (captions.empty()) fail<ShapeError>("frames: there is none");
  const std::string id = fmt::format("slider{}", ++sliders_);
  const size_t last = captions.size() - 1;
  std::string html = fmt::format(
      "\n<div class=\"slider\"><label for=\"{0}\">{1}</label>\n"
      "<input id=\"{0}\" type=\"range\" min=\"0\" max=\"{2}\" step=\"1\" value=\"{2}\" "
      "autocomplete=\"off\">\n"
      "<output for=\"{0}\">",
      id, escape(label), last);
  for (size_t i = 0; i <= last; i++)
    html +=
        fmt::format("<span data-frame=\"{}\"{}>{}</span>", i, i < last ? kHidden : "", escape(captions[i]));
  return html + "</output></div>";
}

void Report::frames(const Drawing& drawing, const std::string& words, const std::string& label,
                    const std::vector<std::string>& captions) {
  add_figure(to_inline_svg(drawing, words), words, false, slider(label, captions));
}

void Report::frames(const std::vector<Drawing>& drawings, const std::string& words, const std::string& label,
                    const std::vector<std::string>& captions) {
  if (drawings.size() != captions.size())
    fail<ShapeError>("frames: {} drawings, {} captions", drawings.size(), captions.size());
  std::string svgs;
  for (size_t i = 0; i < drawings.size(); i++)
    svgs += fmt::format("<div data-frame=\"{}\"{}>{}</div>\n", i, i + 1 < drawings.size() ? kHidden : "",
                        to_inline_svg(drawings[i], words + ": " + captions[i]));
  add_figure(svgs, words, true, slider(label, captions));
}

void Report::details(const std::string& summary, const std::string& text) {
  body_ += fmt::format("<details><summary>{}</summary><pre tabindex=\"0\">{}</pre></details>\n",
                       escape(summary), escape(text));
}

std::string Report::html() const {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n"
      "<style>{1}{2}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n<p>{3}</p>\n{4}{5}</main>\n"
      "<script>{6}</script>\n</body>\n</html>\n",
      escape(title_), kCss, drawing_css(), escape(lead_), body_, open_ ? "</section>\n" : "", kScript);
}

void add_summary(Report& report, const nn::Parts& model) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, x] : nn::named_parameters(model))
    rows.push_back({name, x.shape().str(), std::to_string(x.numel())});
  rows.push_back({"total", "", std::to_string(nn::count(model))});
  report.table("Parameters of the model", {"name", "shape", "elements"}, rows);
}

void add_gradcheck(Report& report, const GradcheckReport& check) {
  if (!check.reason.empty()) return report.paragraph("Nothing could be checked: " + check.reason);
  std::vector<std::vector<std::string>> rows;
  for (const GradcheckInput& input : check.inputs) {
    const GradcheckElement* worst = input.worst();
    rows.push_back({input.name, input.shape.str(), std::to_string(input.elements.size()),
                    std::to_string(input.count(GradcheckElement::Verdict::Wrong)),
                    fmt::format("{:.1e}", input.error()), worst ? input.index(*worst).str() : "",
                    worst ? fmt::format("{:.8g}", worst->analytic) : "",
                    worst ? fmt::format("{:.8g}", worst->numeric) : ""});
  }
  report.paragraph(
      fmt::format("The gradients are {}: compared with central differences, |a - n| / (|a| + |n|) is {:.1e}.",
                  check.ok() ? "right" : "wrong", check.error()));
  report.table("Gradients against numeric ones",
               {"parameter", "shape", "compared", "wrong", "error", "worst at", "gradient", "numeric"}, rows);
  for (const GradcheckInput& input : check.inputs)
    if (!input.diagnosis.text.empty()) report.paragraph(input.name + ": " + input.diagnosis.text);
}

}  // namespace gradus::examples
