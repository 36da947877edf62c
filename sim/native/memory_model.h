// Host memory on an AXI4 bus, working directly on the octets that Python sees.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "random.h"

namespace hw {

constexpr uint8_t kReadable = 1, kWritable = 2;  // Bits of a shadow octet.
constexpr uint32_t kOkay = 0, kSlvErr = 2, kDecErr = 3;
constexpr int kMaxOutstanding = 64;
constexpr int kAxiOctets = HW_AXI_OCTETS;

struct Transaction {
  uint64_t addr, ready_at;  // ready_at: earliest cycle of the (first) response.
  uint32_t id, beats, beat, size, error_from, resp;
  uint64_t next_addr;
};

// `order[0..count)` are slots in order of acceptance; erase keeps the order.
struct Slots {
  Transaction slot[kMaxOutstanding];
  uint8_t order[kMaxOutstanding], free_list[kMaxOutstanding];
  int count = 0;
  Slots() { for (int i = 0; i < kMaxOutstanding; i++) free_list[i] = uint8_t(i); }
  Transaction &push() { order[count] = free_list[count]; return slot[order[count++]]; }
  Transaction &operator[](int i) { return slot[order[i]]; }
  void erase(int i) {
    uint8_t gone = order[i];
    memmove(order + i, order + i + 1, size_t(count - i - 1));
    free_list[--count] = gone;
  }
};

class Memory {
 public:
  hw_memory_config config{};
  Random random;
  uint64_t reads = 0, writes = 0, errors_injected = 0;

  void attach(uint8_t *octets, const uint8_t *shadow, uint64_t base, uint64_t size) {
    octets_ = octets; shadow_ = shadow; base_ = base; size_ = size;
  }
  void configure(const hw_memory_config &c) {
    config = c;
    if (!config.read_outstanding || config.read_outstanding > kMaxOutstanding) config.read_outstanding = kMaxOutstanding;
    if (!config.write_outstanding || config.write_outstanding > kMaxOutstanding) config.write_outstanding = kMaxOutstanding;
    random.seed(c.seed);
    reads = writes = 0;
  }
  bool pending() const { return read_.count || write_.count; }
  // No beat or response comes before that cycle; all ones: none will.
  uint64_t due() {
    uint64_t reads = ~uint64_t(0), writes = reads;
    for (int i = 0; i < read_.count; i++) reads = std::min(reads, read_[i].beat ? 0 : read_[i].ready_at);
    for (int i = 0; i < filled_; i++) writes = std::min(writes, write_[i].ready_at);
    return std::min(read_.count ? std::max(reads, read_pause_) : reads, writes);
  }

  // Read side. accept_read on an AR handshake; next_read gives the beat to present, if one is due.
  bool read_room() const { return read_.count < int(config.read_outstanding); }
  Transaction &accept_read(uint64_t cycle, uint32_t id, uint64_t addr, uint32_t beats, uint32_t size) {
    Transaction &t = read_.push();
    t = {addr, cycle + config.read_latency + random.below(config.read_jitter + (config.read_jitter != 0)), id, beats, 0, size,
         ~0u, kOkay, addr};
    reads++;
    if (reads == config.read_error_nth || random.chance(config.read_error_chance)) {
      t.error_from = random.below(beats);
      errors_injected++;
    }
    return t;
  }
  // Fills data and returns the transaction of the beat, or null. `bad` says that the beat lies outside all mappings.
  Transaction *next_read(uint64_t cycle, void *data, uint32_t *resp, bool *bad) {
    if (!read_.count || cycle < read_pause_) return nullptr;
    int at = choose_read(cycle);
    if (at < 0) return nullptr;
    Transaction &t = read_[at];
    current_ = at;
    uint64_t word = t.next_addr & ~uint64_t(kAxiOctets - 1), offset = word - base_;
    *bad = offset >= size_ || !any_readable(offset);
    if (*bad) *resp = kDecErr;
    else if (t.beat >= t.error_from || in_error_range(t.next_addr)) *resp = kSlvErr;
    else *resp = kOkay;
    if (*resp == kOkay) memcpy(data, octets_ + offset, kAxiOctets);
    else memset(data, 0xEE, kAxiOctets);
    t.resp |= *resp;
    return &t;
  }
  // The beat that next_read gave was taken; true: it was the last of its transaction, which ends.
  bool read_taken(uint64_t cycle) {
    Transaction &t = read_[current_];
    read_pause_ = cycle + config.read_gap + stall();
    t.next_addr = (t.next_addr & ~((uint64_t(1) << t.size) - 1)) + (uint64_t(1) << t.size);
    if (++t.beat < t.beats) return false;
    read_.erase(current_);
    current_ = -1;
    return true;
  }

  // Write side: addresses queue up, beats go to the oldest address that misses some.
  bool write_room() const { return write_.count < int(config.write_outstanding); }
  bool wants_data() const { return filled_ < write_.count; }
  void accept_write(uint32_t id, uint64_t addr, uint32_t beats, uint32_t size) {
    Transaction &t = write_.push();
    t = {addr, ~uint64_t(0), id, beats, 0, size, ~0u, kOkay, addr};
    data_[slot_number(t)].clear();
    writes++;
    if (writes == config.write_error_nth || random.chance(config.write_error_chance)) {
      t.error_from = 0;
      errors_injected++;
    }
  }
  // Returns false if wlast does not fit.
  bool accept_data(uint64_t cycle, const void *data, uint64_t strobe, bool last) {
    Transaction &t = write_[filled_];
    Beat beat;
    memcpy(beat.octets, data, kAxiOctets);
    beat.strobe = strobe;
    beat.addr = t.next_addr & ~uint64_t(kAxiOctets - 1);
    data_[slot_number(t)].push_back(beat);
    t.next_addr = (t.next_addr & ~((uint64_t(1) << t.size) - 1)) + (uint64_t(1) << t.size);
    bool done = ++t.beat == t.beats;
    if (done || last) {
      t.ready_at = cycle + config.write_latency + random.below(config.write_jitter + (config.write_jitter != 0));
      filled_++;
    }
    return done == last;
  }
  // The response that is due, its octets now in memory; null if none. `bad` as above, with the address.
  Transaction *next_response(uint64_t cycle, uint32_t *resp, bool *bad, uint64_t *bad_addr) {
    int ready = -1;
    uint32_t found = 0;
    for (int i = 0; i < (config.reorder ? filled_ : filled_ != 0); i++)
      if (write_[i].ready_at <= cycle && !older_same_id(write_, i) && random.below(++found) == 0) ready = i;
    if (ready < 0) return nullptr;
    responding_ = ready;
    Transaction &t = write_[ready];
    *bad = false;
    for (const Beat &beat : data_[slot_number(t)]) {
      uint64_t offset = beat.addr - base_;
      if (beat.strobe && (offset >= size_ || !all_writable(offset, beat.strobe))) {
        if (!*bad) *bad_addr = beat.addr;
        *bad = true;
      }
      if (in_error_range(beat.addr)) t.error_from = 0;
    }
    *resp = *bad ? kDecErr : t.error_from == 0 ? kSlvErr : kOkay;
    if (*resp == kOkay) for (const Beat &beat : data_[slot_number(t)]) store(beat);
    return &t;
  }
  void response_taken() { write_.erase(responding_); filled_--; }
  uint32_t stall() { return random.chance(config.stall_chance) ? 1 + random.below(config.stall_max) : 0; }

 private:
  struct Beat { uint8_t octets[kAxiOctets]; uint64_t strobe, addr; };
  uint8_t *octets_ = nullptr;
  const uint8_t *shadow_ = nullptr;
  uint64_t base_ = 0, size_ = 0, read_pause_ = 0;
  Slots read_, write_;
  std::vector<Beat> data_[kMaxOutstanding];  // Of the write in that slot.
  int current_ = -1, filled_ = 0, responding_ = -1;

  size_t slot_number(const Transaction &t) const { return size_t(&t - write_.slot); }
  bool in_error_range(uint64_t addr) const { return addr + kAxiOctets > config.error_start && addr < config.error_end; }
  static bool older_same_id(Slots &slots, int i) {
    for (int k = 0; k < i; k++) if (slots[k].id == slots[i].id) return true;
    return false;
  }
  int choose_read(uint64_t cycle) {
    if (current_ >= 0 && read_[current_].beat && !config.interleave) return current_;
    if (!config.reorder && !config.interleave) return read_[0].ready_at <= cycle ? 0 : -1;
    int chosen = -1;
    uint32_t found = 0;
    for (int i = 0; i < read_.count; i++)
      if (read_[i].ready_at <= cycle && !older_same_id(read_, i) && random.below(++found) == 0) chosen = i;
    return chosen;
  }
  bool any_readable(uint64_t offset) const {
    for (int i = 0; i < kAxiOctets; i += 4) {
      uint32_t word;
      memcpy(&word, shadow_ + offset + i, 4);
      if (word & 0x01010101u * kReadable) return true;
    }
    return false;
  }
  bool all_writable(uint64_t offset, uint64_t strobe) const {
    for (int i = 0; i < kAxiOctets; i++) if (strobe >> i & 1 && !(shadow_[offset + uint64_t(i)] & kWritable)) return false;
    return true;
  }
  void store(const Beat &beat) {
    uint8_t *to = octets_ + (beat.addr - base_);
    for (int i = 0; i < kAxiOctets; i++) if (beat.strobe >> i & 1) to[i] = beat.octets[i];
  }
};

}  // namespace hw
