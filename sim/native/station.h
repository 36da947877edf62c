// What a world of several NICs knows of each of them, and the wire between two.
//
// NICs of different parameters come from different libraries, built from the same sources: only virtual functions and
// the members below are used across.
#pragma once
#include <cstdint>
#include <vector>

#include "gmii_source.h"

namespace hw {

using Fs = int64_t;  // Time since the world's call began.
constexpr Fs kFarFs = Fs(1) << 60;
constexpr uint64_t kLongestFrame = 16384;  // Octets over which two clocks may drift apart within a frame.

// Reasons inside the native code, above those of hw_reason.
constexpr uint32_t kReadDone = 1 << 16, kRest = 1 << 17, kPeer = 1 << 18, kGo = 1 << 19;

struct Wire;

struct Station {
  hw_state state{};
  GmiiSource source;
  Wire *wire = nullptr;  // Where its frames go.

  // The world's, while a call lasts.
  __int128 phase = 0;
  Fs period = 0, first = 0;  // first: when the edge of first_cycle is.
  uint64_t first_cycle = 0, rest_until = 0;
  Fs key = 0;                // When it has to be looked at next.
  uint32_t stop = 0;
  bool resting = false, calm = false, eventful = false, skips = true;

  virtual ~Station() = default;
  // Run to a cycle or an event that is asked for; returns why. At `until` an event stays pending, and is told.
  virtual uint32_t advance(uint64_t until, uint32_t stop) = 0;
  virtual uint32_t pending(uint32_t stop, bool take) = 0;
  virtual void skip_to(uint64_t cycle) = 0;
  virtual void publish() = 0;
  virtual void begin_read(uint32_t offset) = 0;
  virtual uint64_t end_read() = 0;

  Fs at(uint64_t cycle) const {
    const uint64_t ahead = cycle - first_cycle;
    return ahead > uint64_t(kFarFs / period) ? kFarFs : first + Fs(ahead) * period;
  }
  uint64_t cycle_at(Fs time) const {  // The first whose edge is not before.
    return time <= first ? first_cycle : first_cycle + uint64_t((time - first + period - 1) / period);
  }
};

// One direction of a cable: octets of one NIC become inputs of another one, in the other one's clock.
struct Wire {
  Station *to;
  Fs delay;
  bool up = true;
  uint64_t sent = 0, brought = 0, cut = 0;

  Wire(Station *to, Fs delay) : to(to), delay(delay), number_(++to->source.wires) {}
  uint64_t delivered() const { return brought - to->source.waiting(number_); }

  // An octet in cycle `cycle` of the sender, whose clock is the sender's; true: a frame has begun.
  bool put(const Station &from, uint64_t cycle, uint8_t octet, bool error) {
    const bool begins = !in_frame_;
    if (begins) {
      in_frame_ = true;
      sent++;
      errors_ = false;
      if (up) {
        // The receiver must not run out of octets if its clock is the faster one: the buffer in its PHY.
        const Fs drift = from.period > to->period ? Fs(kLongestFrame) * (from.period - to->period) : 0;
        const Fs arrival = from.at(cycle) + std::max(delay, drift + 2 * from.period);
        frame_ = to->source.insert({to->cycle_at(arrival), 1, false, number_, {}, {}});
      } else {
        cut++;
      }
    }
    if (frame_) {
      if (error && !errors_) frame_->errors.assign(frame_->octets.size(), 0);
      errors_ |= error;
      frame_->octets.push_back(octet);
      if (errors_) frame_->errors.push_back(error);
    }
    return begins;
  }
  void end() {
    in_frame_ = false;
    if (frame_) {
      to->source.finish(frame_);
      brought++;
      frame_ = nullptr;
    }
  }
  // Pulled in the middle of a frame: what has been sent still arrives, with an error at its end.
  void set_up(bool on) {
    if (!on && up && frame_) {
      frame_->errors.resize(frame_->octets.size());
      frame_->errors.back() = 1;
      frame_->wire = 0;  // Counted as cut.
      to->source.finish(frame_);
      frame_ = nullptr;
      cut++;
    }
    up = on;
  }

 private:
  uint32_t number_;
  RxFrame *frame_ = nullptr;
  bool in_frame_ = false, errors_ = false;
};

}  // namespace hw
