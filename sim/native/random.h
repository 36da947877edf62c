// Where every random decision of a run comes from.
#pragma once
#include <cstdint>

namespace hw {

// xorshift64*: every random decision of a run comes from here, and only when something happens, never per cycle, so
// that skipped cycles draw nothing.
struct Random {
  uint64_t state = 1;
  void seed(uint64_t seed) { state = seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u; if (!state) state = 1; }
  uint32_t next() {
    state ^= state >> 12; state ^= state << 25; state ^= state >> 27;
    return uint32_t((state * 0x2545F4914F6CDD1Du) >> 32);
  }
  uint32_t below(uint32_t n) { return n ? uint32_t((uint64_t(next()) * n) >> 32) : 0; }
  bool chance(uint32_t c) { return c && next() < c; }
};

}  // namespace hw
