#pragma once
#include <filesystem>
#include <string>
#include <vector>

/// What a program costs before it computes anything.
namespace bench {

/// What a shell's command prints. Throws where it fails.
std::string output_of(const std::string& command);
/// Seconds that a program takes from its start to its end, what it prints thrown away. Throws where it fails.
double seconds_of(std::vector<std::string> command);

/// The shared libraries that the loader gives a program, links resolved.
std::vector<std::filesystem::path> libraries_of(const std::filesystem::path& program);

/// Bytes of a program and its shared libraries, without those that come with every C and C++ program:
/// glibc's, libstdc++ and libgcc_s.
double bytes_of(const std::filesystem::path& program);

}  // namespace bench
