// The far end of a serial line, 8N1: octets to and from a card, with exact bit times, and what a bad line does to them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "random.h"

namespace hw {

constexpr uint32_t kUartBits = 10;  // Start, eight of data, the lowest first, stop.

// Times of bits, in cycles: a bit takes clock_hz / baud of them, which need not be a whole number.
class BitTimes {
 public:
  void set(uint64_t clock_hz, uint64_t baud) { clock_hz_ = clock_hz; baud_ = baud; }
  // The first cycle that is not before `halves` half bits after `start`, a time in cycles times `baud`.
  uint64_t after(uint64_t start, uint64_t halves) const { return (2 * start + halves * clock_hz_ + 2 * baud_ - 1) / (2 * baud_); }
  uint64_t at(uint64_t cycle) const { return cycle * baud_; }
  uint64_t octet() const { return kUartBits * clock_hz_; }

 private:
  uint64_t clock_hz_ = 1, baud_ = 1;
};

// What befalls octets of one direction.
struct Noise {
  uint32_t flip_chance = 0, loss_chance = 0;  // Out of 2^32.
  uint64_t flipped = 0, lost = 0;
  Random random;

  // Whether the octet comes at all; it may be another one then.
  bool pass(uint8_t &octet) {
    if (random.chance(loss_chance)) { lost++; return false; }
    if (random.chance(flip_chance)) { flipped++; octet ^= uint8_t(1 << random.below(8)); }
    return true;
  }
};

class UartSender {
 public:
  BitTimes times;
  Noise noise;

  uint64_t due() const { return due_; }  // The cycle in which the line has to be set next.
  uint64_t waiting() const { return queue_.size() - next_; }
  void write(uint64_t now, const uint8_t *octets, uint64_t count) {
    if (next_ == queue_.size()) {
      queue_.clear();
      next_ = 0;
    }
    queue_.insert(queue_.end(), octets, octets + count);
    if (due_ == kNever) due_ = now;
  }
  // The level from cycle `now` on, which is due.
  bool clock(uint64_t now) {
    if (bit_ == kUartBits) {
      if (next_ == queue_.size()) { due_ = kNever; return true; }
      start_ = std::max(start_, times.at(now));
      const bool passes = noise.pass(queue_[next_]);
      frame_ = passes ? uint32_t(queue_[next_]) << 1 | 1u << 9 : ~0u;
      next_++;
      bit_ = 0;
    }
    const bool level = frame_ >> bit_ & 1;
    bit_++;
    due_ = times.after(start_, 2 * bit_);
    if (bit_ == kUartBits) start_ += times.octet();
    return level;
  }

 private:
  static constexpr uint64_t kNever = ~uint64_t(0);
  std::vector<uint8_t> queue_;
  size_t next_ = 0;
  uint32_t frame_ = 0, bit_ = kUartBits;
  uint64_t start_ = 0, due_ = kNever;  // start_: of the octet on the line or, between two, the earliest of the next.
};

class UartReceiver {
 public:
  BitTimes times;
  Noise noise;
  std::vector<uint8_t> octets;
  uint64_t misframed = 0;  // Octets without a stop bit.

  uint64_t due() const { return due_; }
  bool idle() const { return due_ == kNever; }
  // The line has fallen in cycle `now`, and no octet is under way.
  void start(uint64_t now) {
    start_ = times.at(now);
    bit_ = 0;
    due_ = times.after(start_, 1);
  }
  // When the octets that have come are worth telling of, if no more comes.
  uint64_t pause() const { return times.after(start_, 2 * 3 * kUartBits); }
  // The middle of a bit; true: an octet has come.
  bool clock(bool level) {
    frame_ = frame_ >> 1 | uint32_t(level) << 9;
    if (bit_ == 0 && level) { due_ = kNever; return false; }  // No start, only a spike.
    bit_++;
    due_ = times.after(start_, 2 * bit_ + 1);
    if (bit_ < kUartBits) return false;
    due_ = kNever;
    if (!level) { misframed++; return false; }
    uint8_t octet = uint8_t(frame_ >> 1);
    if (!noise.pass(octet)) return false;
    octets.push_back(octet);
    return true;
  }

 private:
  static constexpr uint64_t kNever = ~uint64_t(0);
  uint32_t frame_ = 0, bit_ = 0;
  uint64_t start_ = 0, due_ = kNever;
};

}  // namespace hw
