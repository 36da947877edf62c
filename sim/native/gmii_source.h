// The near end of the GMII: puts frames on gmii_rx*, those given whole and those that a wire still brings.
#pragma once
#include <algorithm>
#include <cstdint>
#include <list>
#include <vector>

namespace hw {

struct RxFrame {
  uint64_t start;  // Not before this cycle.
  uint32_t gap;    // Octet times of silence before it, at least.
  bool whole;      // False: octets are still coming.
  uint32_t wire;   // Number of the wire that brings it; 0: none.
  std::vector<uint8_t> octets, errors;  // Preamble and FCS included; errors: rx_er of each octet, or empty.
};

class GmiiSource {
 public:
  uint64_t total = 0;
  uint32_t wires = 0;  // That have ever led here, which are numbered from 1.

  bool pending() const { return !queue_.empty(); }
  bool in_frame() const { return at_ != kIdle; }
  // Frames that a wire has brought to their end, and that have not gone in yet.
  uint64_t waiting(uint32_t wire) const {
    return uint64_t(std::count_if(queue_.begin(), queue_.end(), [=](const RxFrame &f) { return f.whole && f.wire == wire; }));
  }
  // The cycle in which an input has to be set next.
  uint64_t due() const { return due_; }

  // A frame goes behind those that start no later than it, and never before one that is on the wire.
  RxFrame *insert(RxFrame frame) {
    auto place = queue_.end();
    while (place != queue_.begin()) {
      auto before = std::prev(place);
      if (before->start <= frame.start || !before->whole || (before == queue_.begin() && at_ < kSilence)) break;
      place = before;
    }
    RxFrame *kept = &*queue_.insert(place, std::move(frame));
    plan();
    return kept;
  }

  // The inputs of cycle `now`, which is due; `drive(valid, error, octet)` sets them.
  template <class Drive> void clock(uint64_t now, Drive drive) {
    if (at_ == kIdle) at_ = 0;
    else if (at_ == kSilence) at_ = kIdle;
    if (at_ == kIdle) {
      drive(false, false, 0);
      plan();
      return;
    }
    RxFrame &frame = queue_.front();
    if (at_ < frame.octets.size()) {
      drive(true, at_ < frame.errors.size() && frame.errors[at_], frame.octets[at_]);
      at_++;
    } else if (!frame.whole) {
      drive(true, true, 0);  // The wire brings less than this clock takes: an error, as from an elastic buffer.
    }
    next_start_ = now + 1;
    due_ = now + 1;
    if (at_ == frame.octets.size() && frame.whole) {
      queue_.pop_front();
      total++;
      at_ = kSilence;
    }
  }
  // The wire has brought the last octet of a frame: it may end between two cycles of this clock.
  void finish(RxFrame *frame) {
    frame->whole = true;
    if (at_ < kSilence && frame == &queue_.front() && at_ == frame->octets.size()) {
      queue_.pop_front();
      total++;
      at_ = kSilence;
    }
  }

 private:
  static constexpr size_t kIdle = ~size_t(0), kSilence = kIdle - 1;  // kSilence: dv falls in the next cycle.
  std::list<RxFrame> queue_;
  size_t at_ = kIdle;
  uint64_t next_start_ = 0, due_ = ~uint64_t(0);  // next_start_: with no gap at all.

  void plan() {
    if (at_ == kIdle)
      due_ = queue_.empty() ? ~uint64_t(0) : std::max(queue_.front().start, next_start_ + queue_.front().gap);
  }
};

}  // namespace hw
