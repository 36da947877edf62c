// The far end of the GMII: collects frames and checks each octet.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace hw {

inline uint32_t crc32(const uint8_t *octets, size_t length) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t c = ~0u;
  for (size_t i = 0; i < length; i++) c = c >> 8 ^ table[(c ^ octets[i]) & 0xFF];
  return ~c;
}

class GmiiSink {
 public:
  std::vector<hw_frame> frames;
  std::vector<uint8_t> octets;
  uint64_t total = 0;
  bool in_frame = false;
  bool keep = true;  // Frames that have ended; else they are only counted.

  // One cycle with tx_en high, or the first one with it low. True: a frame has ended.
  bool clock(uint64_t cycle, bool enable, bool error, uint8_t octet) {
    if (enable) {
      if (!in_frame) {
        in_frame = true;
        preamble_ = 0;
        bad_preamble_ = false;
        frame_ = {cycle, cycle, octets.size(), 0, 0, 0, 0};
        uint64_t gap = total ? cycle - last_end_ - 1 : ~uint64_t(0);
        frame_.gap = gap > UINT32_MAX ? UINT32_MAX : uint32_t(gap);
      }
      frame_.end_cycle = cycle;
      if (error) frame_.flags |= HW_TX_ER;
      if (preamble_ < 8) {
        bad_preamble_ |= octet != (preamble_ < 7 ? 0x55 : 0xD5);
        preamble_++;
      } else {
        octets.push_back(octet);
      }
      return false;
    }
    in_frame = false;
    last_end_ = frame_.end_cycle;
    frame_.length = uint32_t(octets.size() - frame_.offset);
    if (!bad_preamble_ && preamble_ == 8) frame_.flags |= HW_PREAMBLE_OK;
    if (frame_.length < 64) frame_.flags |= HW_RUNT;
    if (frame_.length > 4) {
      const uint8_t *fcs = &octets[frame_.offset + frame_.length - 4];
      uint32_t sent = uint32_t(fcs[0]) | uint32_t(fcs[1]) << 8 | uint32_t(fcs[2]) << 16 | uint32_t(fcs[3]) << 24;
      if (crc32(&octets[frame_.offset], frame_.length - 4) == sent) frame_.flags |= HW_FCS_OK;
    }
    if (keep) frames.push_back(frame_);
    else octets.resize(frame_.offset);
    total++;
    return true;
  }
  const hw_frame &last() const { return frame_; }
  // A frame that is still under way stays.
  void clear() {
    octets.erase(octets.begin(), octets.begin() + (in_frame ? long(frame_.offset) : long(octets.size())));
    frame_.offset = 0;
    frames.clear();
  }

 private:
  hw_frame frame_{};
  uint64_t last_end_ = 0;
  int preamble_ = 0;
  bool bad_preamble_ = false;
};

}  // namespace hw
