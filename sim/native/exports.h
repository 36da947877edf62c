// What Python calls: abi.h, for the NIC of harness.cpp, which includes this at its end.
#pragma once

extern "C" {
const hw_state *hw_get_state(hw_nic *n) { n->publish(); return &n->state; }
void hw_set_memory(hw_nic *n, uint8_t *octets, const uint8_t *shadow, uint64_t base, uint64_t size) {
  n->memory.attach(octets, shadow, base, size);
}
void hw_configure(hw_nic *n, const hw_memory_config *config) { n->memory.configure(*config); }
void hw_set_skipping(hw_nic *n, int on) { n->skips = on; }
void hw_set_events(hw_nic *n, uint64_t capacity) { n->event_capacity = capacity; }
void hw_set_hang(hw_nic *n, uint64_t cycles) { n->hang_cycles = cycles; }
void hw_write(hw_nic *n, const uint32_t *pairs, uint32_t count) {
  for (; count; count--, pairs += 2) n->csr.post(pairs[0], pairs[1]);
}
uint64_t hw_read32(hw_nic *n, uint32_t offset) { return n->read32(offset); }
void hw_clear_violations(hw_nic *n) { n->violations.clear(); n->publish(); }
void hw_clear_events(hw_nic *n) { n->events.clear(); n->publish(); }
void hw_connect(hw_nic *from, hw_nic *to, uint64_t delay_fs) {
  if (from->cable) from->cable->set_up(false);
  // The base comes first: `to` may be of another library.
  from->cable = to ? std::make_unique<hw::Wire>(static_cast<hw::Station *>(to), hw::Fs(delay_fs)) : nullptr;
  from->wire = from->cable.get();
}
void hw_set_wire_up(hw_nic *from, int up) { if (from->wire) from->wire->set_up(up); }
void hw_get_wire_counters(hw_nic *from, hw_wire_counters *counters) {
  const hw::Wire *wire = from->wire;
  *counters = wire ? hw_wire_counters{wire->sent, wire->delivered(), wire->cut} : hw_wire_counters{};
}
hw_world *hw_world_new(void) { return new hw_world; }
void hw_world_free(hw_world *w) { delete w; }
void hw_world_add(hw_world *w, hw_nic *nic, uint64_t phase_fs_high, uint64_t phase_fs_low, uint64_t period_fs) {
  hw::Station *s = static_cast<hw::Station *>(nic);
  s->phase = __int128(phase_fs_high) << 64 | phase_fs_low;
  s->period = hw::Fs(period_fs);
  w->stations.push_back(s);
}
void hw_world_set_stop(hw_nic *nic, uint32_t stop_mask) { static_cast<hw::Station *>(nic)->stop = stop_mask; }
uint32_t hw_world_run(hw_world *w, uint64_t now_fs_high, uint64_t now_fs_low, uint64_t until_fs, uint32_t stop_mask,
                      uint64_t *reached_fs) {
  const bool endless = until_fs == kNever;
  hw::Fs reached = 0;
  const uint32_t why = w->run(__int128(now_fs_high) << 64 | now_fs_low, endless ? hw::kFarFs : hw::Fs(until_fs), endless,
                              stop_mask, &reached);
  *reached_fs = uint64_t(reached);
  return why;
}
uint64_t hw_world_read32(hw_world *w, hw_nic *nic, uint64_t now_fs_high, uint64_t now_fs_low, uint32_t offset,
                         uint64_t *reached_fs) {
  hw::Fs reached = 0;
  const uint64_t answer =
      w->read32(__int128(now_fs_high) << 64 | now_fs_low, static_cast<hw::Station *>(nic), offset, &reached);
  *reached_fs = uint64_t(reached);
  return answer;
}
uint64_t hw_bench_prefilled(hw_nic *n, uint32_t tail_offset, uint32_t cpl_tail_offset, uint32_t tail, uint32_t mask,
                            uint64_t frames, uint32_t batch, uint32_t in_flight) {
  const uint64_t start = n->sink.total;
  uint64_t posted = 0;
  while (n->sink.total - start < frames) {
    while (posted < frames && posted + batch - (n->sink.total - start) <= in_flight) {
      posted += batch;
      n->csr.post(cpl_tail_offset, uint32_t(tail + (n->sink.total - start)) & mask);
      n->csr.post(tail_offset, uint32_t(tail + posted) & mask);
    }
    if (n->run(kNever, HW_FRAME) & (HW_IDLE | HW_HANG | HW_VIOLATION)) break;
    if (n->sink.frames.size() >= 4096) n->sink.clear();
  }
  n->publish();
  return n->sink.total - start;
}
}
