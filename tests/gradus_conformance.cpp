#include "conformance.h"

#include <CLI/CLI.hpp>
#include <iostream>

int main(int argc, char** argv) {
  using namespace gradus::conformance;
  CLI::App app(
      "Runs conformance corpora: folders with a manifest.json. Exit code 1: failures, 2: unreadable.");
  Options options;
  std::vector<std::string> folders;
  app.add_option("--tier", options.tier, "Only cases of this tier or a lower one")->check(CLI::Range(1, 3));
  app.add_flag("--list-skipped", options.list_skipped, "Name the skipped cases and say why");
  app.add_option("DIR", folders, "The folders")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  Counts all;
  try {
    for (const std::string& folder : folders) {
      const Counts counts = run_folder(folder, options, std::cout);
      all.passed += counts.passed;
      all.failed += counts.failed;
      all.skipped += counts.skipped;
    }
  } catch (const CorpusError& e) {
    std::cerr << "gradus_conformance: " << e.what() << "\n";
    return 2;
  }
  std::cout << all.passed << " passed, " << all.failed << " failed, " << all.skipped << " skipped\n";
  return all.failed ? 1 : 0;
}
