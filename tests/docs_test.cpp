#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "needs.h"
#include "text_support.h"

/// The pages say what is so: their code stands in the files to which they link, and these are compiled and
/// run; their outputs are what the programs to which they link print; their links lead somewhere.
namespace gradus {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

const fs::path kRoot = GRADUS_SOURCE_DIR;

struct Block {
  std::string language;
  size_t line;  // of the fence, counted from 1
  Lines lines;
};
struct Link {
  std::string target;
  size_t line;
};
struct Page {
  std::string path;  // from the root of the tree
  std::vector<Block> blocks;
  std::vector<Link> links;
  std::set<std::string> anchors;
  std::vector<size_t> unfenced_code;  // indented, or between ~~~
};
struct Source {
  std::string name;
  Lines lines;
};

Lines lines_of(const std::string& text) {
  std::istringstream stream(text);
  Lines lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The anchor of a heading as code hosts name it: "5. Where it differs" is 5-where-it-differs.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte) || c == '-' || c == '_')
      anchor += static_cast<char>(std::tolower(byte));
    if (c == ' ') anchor += '-';
  }
  return anchor;
}

Page parse(const std::string& path, const Lines& lines) {
  static const std::regex fence(R"(^( *)```([^`]*)$)"), heading(R"(^#+ +(.*?) *$)"), inline_code("`[^`]*`"),
      link(R"(\]\(([^) ]+)\))");
  Page page{path, {}, {}, {}, {}};
  bool in_block = false;
  size_t indent = 0;
  std::smatch match;
  for (size_t i = 0; i < lines.size(); i++) {
    if (std::regex_match(lines[i], match, fence)) {
      if (!in_block) page.blocks.push_back({match[2], i + 1, {}});
      indent = static_cast<size_t>(match.length(1));
      in_block = !in_block;
    } else if (in_block) {
      // A block of a list item is indented with it.
      page.blocks.back().lines.push_back(lines[i].substr(std::min(indent, lines[i].size())));
    } else {
      if (std::regex_match(lines[i], match, heading)) page.anchors.insert(anchor_of(match[1]));
      const bool indented = lines[i].starts_with("    ") && (i == 0 || lines[i - 1].empty());
      if (indented || lines[i].starts_with("~~~")) page.unfenced_code.push_back(i + 1);
      const std::string text = std::regex_replace(lines[i], inline_code, "code");
      for (auto l = std::sregex_iterator(text.begin(), text.end(), link); l != std::sregex_iterator(); ++l)
        page.links.push_back({(*l)[1], i + 1});
    }
  }
  return page;
}

std::vector<Page> pages() {
  std::vector<Page> all;
  const auto add = [&](const fs::path& path) {
    all.push_back(parse(path.lexically_relative(kRoot).generic_string(), lines_of(text_of(path))));
  };
  for (const char* name : {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}) add(kRoot / name);
  for (const auto& entry : fs::directory_iterator(kRoot / "docs"))
    if (entry.path().extension() == ".md") add(entry.path());
  return all;
}

std::string place(const Page& page, size_t line) { return page.path + ":" + std::to_string(line); }

bool leads_out(const std::string& target) { return std::regex_search(target, std::regex("^[a-z]+:")); }
/// The file or folder to which a link of the page leads.
fs::path file_of(const Page& page, const std::string& target) {
  const std::string path = target.substr(0, target.find('#'));
  return path.empty() ? kRoot / page.path : (kRoot / page.path).parent_path() / path;
}

// ---- code and outputs

/// How many lines of `part` stand in `whole` from line `at` on, all indented by the same number of spaces.
size_t equal_lines(const Lines& part, const Lines& whole, size_t at) {
  const size_t first = part[0].size(), there = whole[at].size();
  if (there < first) return 0;
  const std::string indent(there - first, ' ');
  size_t n = 0;
  while (n < part.size() && at + n < whole.size() &&
         whole[at + n] == (part[n].empty() ? "" : indent + part[n]))
    n++;
  return n;
}

/// Empty where the block stands in one of the sources; else where it begins to differ from the likest.
std::string drift(const Block& block, const std::vector<Source>& sources) {
  if (block.lines.empty()) return "the block is empty";
  size_t most = 0;
  std::string likest = "no file or program to which the page links has its first line: " + block.lines[0];
  for (const Source& source : sources)
    for (size_t at = 0; at < source.lines.size(); at++) {
      const size_t n = equal_lines(block.lines, source.lines, at);
      if (n == block.lines.size()) return "";
      if (n <= most) continue;
      most = n;
      likest = source.name + ":" + std::to_string(at + n + 1) +
               " is: " + (at + n < source.lines.size() ? source.lines[at + n] : "(the end)") +
               "\nthe page says: " + block.lines[n];
    }
  return likest;
}

/// The sources to which the page links, itself or by their folder.
std::vector<Source> linked_sources(const Page& page) {
  std::vector<Source> sources;
  const auto add = [&](const fs::path& path) {
    static const std::set<std::string> extensions{".cpp", ".h", ".txt"};
    if (extensions.contains(path.extension().string()))
      sources.push_back({path.lexically_relative(kRoot).generic_string(), lines_of(text_of(path))});
  };
  for (const Link& link : page.links) {
    if (leads_out(link.target)) continue;
    const fs::path path = file_of(page, link.target);
    if (fs::is_regular_file(path)) add(path.lexically_normal());
    if (fs::is_directory(path))
      for (const auto& entry : fs::recursive_directory_iterator(path.lexically_normal())) add(entry.path());
  }
  return sources;
}

/// What in gradcheck's reports is rounding, and differs between processors: errors below 1e-6, in which
/// element they are largest, and how wide the columns are.
Lines without_rounding(Lines lines) {
  static const std::regex tiny(R"([0-9]\.[0-9]e-(0[7-9]|[1-9][0-9]))"),
      worst(R"( tiny (d )?\[[0-9, ]*\](/d \[[0-9, ]*\])? \S+ \S+$)"), spaces(R"((\S) +)"), end(" +$");
  for (std::string& line : lines) {
    line = std::regex_replace(line, tiny, "tiny");
    line = std::regex_replace(std::regex_replace(line, end, ""), spaces, "$1 ");
    line = std::regex_replace(line, worst, " tiny");
  }
  return lines;
}

const Outcome& outcome(const std::string& program, const std::string& arguments) {
  static std::map<std::string, Outcome> known;
  const auto [at, is_new] = known.try_emplace(program + " " + arguments);
  if (is_new) at->second = run_program(program, arguments);
  return at->second;
}

/// The program that is built from a source, and is run without arguments; empty where there is none.
std::string program_of(const std::string& source) {
  const fs::path path = source;
  if (path.parent_path() == "docs/snippets") return "docs_" + path.stem().string();
  if (path.parent_path() == "examples") return path.stem().string();
  return "";
}

/// How far the blocks of a page have got in the output of each program.
using Positions = std::map<std::string, size_t>;

/// As drift(), of a block without a language: it follows the page's earlier blocks of the same program. A
/// program without the data that it needs says nothing.
std::string drift_from_outputs(const Block& block, const std::vector<Source>& outputs, Positions& read) {
  for (const Source& output : outputs)
    for (size_t at = read[output.name]; at < output.lines.size(); at++)
      if (equal_lines(block.lines, output.lines, at) == block.lines.size()) {
        read[output.name] = at + block.lines.size();
        return "";
      }
  const std::string found = drift(block, outputs);
  return found.empty() ? "this is printed before an earlier block of the page: " + block.lines[0] : found;
}

std::string drift_from_programs(const Page& page, const Block& block, Positions& read) {
  std::vector<Source> outputs;
  bool skipped = false;
  for (const Source& source : linked_sources(page)) {
    const std::string program = program_of(source.name);
    if (program.empty()) continue;
    const Outcome& o = outcome(program, "");
    skipped |= o.code == 77;
    outputs.push_back({"the output of " + program, without_rounding(lines_of(o.text))});
    if (drift(block, outputs).empty()) break;
  }
  const std::string found = drift_from_outputs(block, outputs, read);
  return skipped && !drift(block, outputs).empty() ? "" : found;
}

/// As drift(), of a block with commands after `$` and what each of them prints, or a part of it.
std::string drift_from_console(const Block& block) {
  static const std::regex command(R"(^\$ build/bin/(\S+) ?(.*)$)");
  std::smatch match;
  for (size_t i = 0; i < block.lines.size();) {
    if (!std::regex_match(block.lines[i], match, command))
      return "no command of the form $ build/bin/…: " + block.lines[i];
    const Source printed{"the output of " + match[1].str(),
                         without_rounding(lines_of(outcome(match[1], match[2]).text))};
    Block answer{"", 0, {}};
    while (++i < block.lines.size() && !block.lines[i].starts_with("$ "))
      answer.lines.push_back(block.lines[i]);
    if (answer.lines.empty()) continue;
    if (std::string found = drift(answer, {printed}); !found.empty()) return found;
  }
  return "";
}

/// "docs/x.md:3: message" for each block of which `check` has something to say.
template <class Check>
Lines complaints(Check check) {
  Lines found;
  for (const Page& page : pages())
    for (const Block& block : page.blocks)
      if (const std::string what = check(page, block); !what.empty())
        found.push_back(place(page, block.line) + ": " + what);
  return found;
}

TEST(Docs, CodeStandsInTheFilesToWhichThePageLinks) {
  const auto check = [](const Page& page, const Block& block) {
    const bool code = block.language == "cpp" || block.language == "cmake" || block.language == "check";
    return code ? drift(block, linked_sources(page)) : "";
  };
  EXPECT_THAT(complaints(check), testing::IsEmpty());
}

TEST(Docs, EveryBlockIsOfAKindThatIsCheckedOrIsNoCode) {
  const auto check = [](const Page&, const Block& block) {
    static const std::set<std::string> known{"cpp", "cmake", "check", "console", "", "sh", "text"};
    return known.contains(block.language)
               ? ""
               : "a block is cpp, cmake, check, console, sh or text, or a program's output: " +
                     block.language;
  };
  EXPECT_THAT(complaints(check), testing::IsEmpty());
  for (const Page& page : pages())
    EXPECT_THAT(page.unfenced_code, testing::IsEmpty()) << page.path << ": code stands between ``` and ```";
}

class DocsOutputs : public testing::Test {
 protected:
  // Programs leave their files in a folder that goes, where they find the examples.
  void SetUp() override {
    fs::current_path(folder_.path());
    fs::create_directory_symlink(kRoot / "examples", "examples");
  }
  void TearDown() override { fs::current_path(before_); }

 private:
  const fs::path before_ = fs::current_path();
  const TemporaryFolder folder_;
};

TEST_F(DocsOutputs, AreWhatTheProgramsPrint) {
  GRADUS_SKIP_WITHOUT("docs_readme");
  std::map<std::string, Positions> read;
  const auto check = [&](const Page& page, const Block& block) {
    const Block rounded{block.language, block.line, without_rounding(block.lines)};
    return block.language.empty()        ? drift_from_programs(page, rounded, read[page.path])
           : block.language == "console" ? drift_from_console(rounded)
                                         : "";
  };
  EXPECT_THAT(complaints(check), testing::IsEmpty());
}

// ---- a reader's program

/// The page's code as one program: its first block, and what follows in main().
std::string program_of(const Page& page) {
  std::string text;
  for (const Block& block : page.blocks) {
    if (block.language != "cpp") continue;
    for (const std::string& line : block.lines) text += line + "\n";
    if (&block == &page.blocks.front()) text += "\nint main() {\n";
  }
  return text + "}\n";
}

// Nothing but what is installed is in the compiler's way.
TEST(Docs, TheQuickStartCompilesAsItStandsSlow) {
  const std::vector<Page> all = pages();
  const auto page = std::ranges::find(all, "docs/quick-start.md", &Page::path);
  ASSERT_NE(page, all.end());
  const Outcome outcome = compile(program_of(*page));
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  const std::string snippet = text_of(kRoot / "docs/snippets/quick_start.cpp"),
                    squeezed = std::regex_replace(program_of(*page), std::regex("\\s+"), "");
  EXPECT_THAT(std::regex_replace(snippet, std::regex("\\s+"), ""), testing::HasSubstr(squeezed));
}

// ---- the site

/// What of a page's text is the same as Markdown and on the site.
std::string without_markup(const std::string& text) {
  return std::regex_replace(text, std::regex(R"([\s`*|\[\]_\\])"), "");
}

std::string text_of_page(const fs::path& path) {
  static const std::regex item(R"(^(\s*([-*]|[0-9]+\.)|#+) )"), rule(R"(^\|[ |:-]+\|$)"),
      picture(R"(!\[[^\]]*\]\([^)]*\))"), link(R"(\]\([^)]*\))"), comment("<!--.*?-->");
  std::string text;
  bool in_block = false;
  for (std::string line : lines_of(text_of(path))) {
    if (std::regex_search(line, std::regex("^ *```"))) {
      in_block = !in_block;
      continue;
    }
    if (!in_block) {
      if (std::regex_match(line, rule)) continue;
      for (const std::regex* markup : {&comment, &item, &picture, &link})
        line = std::regex_replace(line, *markup, "");
    }
    text += line;
  }
  return without_markup(text);
}

std::string text_of_site(const fs::path& path) {
  const std::string html = text_of(path);
  const auto between = [&](const std::string& begin, const std::string& end) {
    const size_t from = html.find(begin), to = html.find(end, from);
    return from == std::string::npos ? "" : html.substr(from, to - from);
  };
  std::string text =
      between("<div class=\"title\">", "</div>") + between("<div class=\"contents\">", "<!-- contents -->");
  // Captions repeat what a picture says; ttc is what a name in code shows when it is pointed at.
  const auto drop = [&](const std::string& begin, const std::string& end) {
    for (size_t at; (at = text.find(begin)) != std::string::npos;)
      text.erase(at, text.find(end, at) + end.size() - at);
  };
  drop("<div class=\"caption\">", "</div>");
  drop("<div class=\"ttc\"", "</div></div>");
  text = std::regex_replace(text, std::regex("<[^>]*>"), "");
  for (const auto& [name, sign] :
       {std::pair("&lt;", "<"), {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}})
    text = std::regex_replace(text, std::regex(name), sign);
  return without_markup(text);
}

/// Where two texts begin to differ; empty where they are the same.
std::string difference(const std::string& a, const std::string& b) {
  const size_t at = static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  if (at == a.size() && a.size() == b.size()) return "";
  const size_t from = at < 30 ? 0 : at - 30;
  return "..." + a.substr(from, 60) + "... is on the site ..." + b.substr(from, 60);
}

// Doxygen reads Markdown in its own way: a % before a letter, a ' in code.
TEST(Docs, TheSiteLosesNothingOfThePages) {
  GRADUS_SKIP_WITHOUT(
      std::system("command -v doxygen >/dev/null && test -d /usr/share/doxygen-awesome-css") == 0,
      "doxygen and doxygen-awesome-css");
  const TemporaryFolder folder;
  const Outcome outcome =
      run_command("cd '" + kRoot.string() + "' && GRADUS_DOCS='" + folder.path() + "' doxygen docs/Doxyfile");
  ASSERT_EQ(outcome.code, 0) << outcome.text;
  for (const Page& page : pages()) {
    if (page.path == "CHANGELOG.md") continue;  // it is not there
    std::string name = page.path == "README.md"        ? "index"
                       : page.path == "docs/README.md" ? "docs"
                                                       : fs::path(page.path).stem().string();
    for (char& c : name)
      c = std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '-';
    EXPECT_EQ(difference(text_of_page(kRoot / page.path),
                         text_of_site(fs::path(folder / "html") / (name + ".html"))),
              "")
        << page.path;
  }
}

// ---- links

/// Empty where the link leads to a file or folder of the tree and, after #, to a heading of a page.
std::string broken(const Page& page, const std::string& target, const std::vector<Page>& all) {
  if (leads_out(target)) return "";
  const fs::path path = file_of(page, target).lexically_normal();
  const std::string name = path.lexically_relative(kRoot).generic_string();
  const size_t hash = target.find('#');
  if (hash == std::string::npos) return fs::exists(path) ? "" : "there is no " + name;
  const std::string anchor = target.substr(hash + 1);
  for (const Page& other : all)
    if (other.path == name && other.anchors.contains(anchor)) return "";
  return name + " has no heading #" + anchor;
}

TEST(Docs, LinksLeadSomewhere) {
  const std::vector<Page> all = pages();
  Lines found;
  for (const Page& page : all)
    for (const Link& link : page.links)
      if (const std::string what = broken(page, link.target, all); !what.empty())
        found.push_back(place(page, link.line) + ": " + what);
  EXPECT_THAT(found, testing::IsEmpty());
}

TEST(Docs, TheIndexListsEveryPage) {
  const std::vector<Page> all = pages();
  const auto index = std::ranges::find(all, "docs/README.md", &Page::path);
  ASSERT_NE(index, all.end());
  std::set<std::string> missing;
  for (const Page& page : all)
    if (page.path.starts_with("docs/") && page.path != index->path) missing.insert(page.path.substr(5));
  for (const Link& link : index->links) missing.erase(link.target);
  EXPECT_THAT(missing, testing::IsEmpty());
}

// ---- the test can fail

TEST(Docs, DriftAndBrokenLinksAreFound) {
  const Page page = parse("docs/x.md", lines_of("# A page: one\n"
                                                "[a](y.md#b) `[c](d)` ![e](f.svg)\n"
                                                "```cpp\n"
                                                "if (x)\n"
                                                "  y();\n"
                                                "```\n"
                                                "\n"
                                                "    z();\n"
                                                "```\n"
                                                "loss 0.25\n"
                                                "```\n"
                                                "- item\n"
                                                "  ```cpp\n"
                                                "  z();\n"
                                                "  ```\n"));
  ASSERT_EQ(page.blocks.size(), 3u);
  const Block &code = page.blocks[0], &output = page.blocks[1];
  EXPECT_EQ(code.language, "cpp");
  EXPECT_EQ(output.language, "");
  EXPECT_EQ(output.line, 9u);
  EXPECT_EQ(page.blocks[2].lines, Lines{"z();"});
  EXPECT_THAT(page.unfenced_code, testing::ElementsAre(8u));
  EXPECT_THAT(page.anchors, testing::ElementsAre("a-page-one"));
  ASSERT_EQ(page.links.size(), 2u);
  EXPECT_EQ(page.links[1].target, "f.svg");

  EXPECT_EQ(drift(code, {{"s.cpp", {"f();", "    if (x)", "      y();", "}"}}}), "");
  EXPECT_EQ(drift(code, {{"s.cpp", {"if (x)", "  z();"}}}), "s.cpp:2 is:   z();\nthe page says:   y();");
  EXPECT_EQ(drift(code, {{"s.cpp", {"  if (x)", "  y();"}}}), "s.cpp:2 is:   y();\nthe page says:   y();");
  EXPECT_EQ(drift(code, {{"s.cpp", {"if (x)"}}}), "s.cpp:2 is: (the end)\nthe page says:   y();");
  EXPECT_NE(drift(code, {}), "");
  EXPECT_NE(drift(output, {{"out", {"loss 0.26"}}}), "");

  Positions read;
  const std::vector<Source> printed{{"out", {"loss 0.25", "loss 0.5"}}};
  EXPECT_EQ(drift_from_outputs(output, printed, read), "");
  EXPECT_EQ(drift_from_outputs(output, printed, read),
            "this is printed before an earlier block of the page: loss 0.25");

  EXPECT_EQ(without_rounding({"error 6.9e-10, 1.2e-06"}), Lines{"error tiny, 1.2e-06"});
  EXPECT_EQ(without_rounding({"  W [4, 2]   8  0  6.9e-10  [3, 0]   0.5  0.5"}),
            Lines{"  W [4, 2] 8 0 tiny"});
  EXPECT_NE(without_rounding({"  W [4]   8  1  6.9e-03  [3]   0.5  0.5"}), Lines{"  W [4] 8 1 tiny"});
  EXPECT_NE(drift_from_console({"console", 1, {"loss 0.25"}}), "");

  const std::vector<Page> all{page, parse("docs/design.md", {"## Why", "text"})};
  EXPECT_EQ(broken(page, "design.md#why", all), "");
  EXPECT_EQ(broken(page, "design.md#who", all), "docs/design.md has no heading #who");
  EXPECT_EQ(broken(page, "#a-page-one", all), "");
  EXPECT_EQ(broken(page, "https://example.org/x", all), "");
  EXPECT_EQ(broken(page, "no_such.md", all), "there is no docs/no_such.md");
}

}  // namespace
}  // namespace gradus
