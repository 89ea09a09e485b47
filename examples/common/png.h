#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gradus::examples {

/// An 8-bit RGB picture, rows from the top, as the bytes of a PNG file (uncompressed: its deflate blocks are
/// stored). ShapeError unless there are 3 · width · height bytes.
std::string encode_png(int64_t width, int64_t height, std::span<const uint8_t> rgb);

/// Base64 (RFC 4648), for data URIs.
std::string base64(std::string_view bytes);

}  // namespace gradus::examples
