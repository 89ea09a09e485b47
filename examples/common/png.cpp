#include <common/png.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>

namespace gradus::examples {
namespace {

void append_big_endian(std::string& to, uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) to += static_cast<char>(value >> shift);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

uint32_t adler32(std::string_view bytes) {
  uint32_t a = 1, b = 0;
  for (const char byte : bytes) {
    a = (a + static_cast<uint8_t>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

std::string chunk(const std::string& type_and_data) {
  std::string bytes;
  append_big_endian(bytes, static_cast<uint32_t>(type_and_data.size() - 4));
  const uint32_t crc = crc32(type_and_data);
  bytes += type_and_data;
  append_big_endian(bytes, crc);
  return bytes;
}

/// A zlib stream of stored blocks, at most 65535 bytes each.
std::string stored(std::string_view bytes) {
  std::string stream = "\x78\x01";
  const uint32_t checksum = adler32(bytes);
  do {
    const std::string_view block = bytes.substr(0, 65535);
    bytes.remove_prefix(block.size());
    stream += static_cast<char>(bytes.empty());
    for (const size_t length : {block.size(), ~block.size()}) {
      stream += static_cast<char>(length);
      stream += static_cast<char>(length >> 8);
    }
    stream += block;
  } while (!bytes.empty());
  append_big_endian(stream, checksum);
  return stream;
}

}  // namespace

std::string encode_png(int64_t width, int64_t height, std::span<const uint8_t> rgb) {
  constexpr int64_t kMost = 1 << 14;
  if (width < 1 || height < 1 || width > kMost || height > kMost ||
      static_cast<int64_t>(rgb.size()) != 3 * width * height)
    fail<ShapeError>("encode_png: {} bytes for {} x {} pixels (each side 1 to {})", rgb.size(), width, height,
                     kMost);
  std::string header = "IHDR";
  append_big_endian(header, static_cast<uint32_t>(width));
  append_big_endian(header, static_cast<uint32_t>(height));
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB, the standard methods

  std::string rows;
  for (int64_t y = 0; y < height; y++) {
    rows += '\0';  // each row starts with its filter: none
    const auto row = rgb.subspan(static_cast<size_t>(3 * width * y), static_cast<size_t>(3 * width));
    rows.append(row.begin(), row.end());
  }
  return "\x89PNG\r\n\x1a\n" + chunk(header) + chunk("IDAT" + stored(rows)) + chunk("IEND");
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; k++) group = group << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; k++) text += k <= n ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace gradus::examples
