// What Python calls: wire_abi.h, for the card of the harness that includes this at its end.
#pragma once

extern "C" {
hw_nic *hw_new(void) { return new hw_nic; }
void hw_free(hw_nic *n) { delete n; }
uint32_t hw_run(hw_nic *n, uint64_t until, uint32_t stop) { return n->run(until, stop); }
void hw_clear_frames(hw_nic *n) { n->sink.clear(); n->publish(); }
void hw_inject(hw_nic *n, uint64_t start_cycle, const uint8_t *octets, const uint8_t *errors, uint64_t length,
               uint32_t gap) {
  hw::RxFrame frame{start_cycle, gap, true, 0, {octets, octets + length}, {}};
  if (errors) frame.errors.assign(errors, errors + length);
  n->source.insert(std::move(frame));
}
void hw_set_recording(hw_nic *n, int tx, int rx) {
  n->sink.keep = tx;
  n->recording_rx = rx;
}
void hw_clear_rx_frames(hw_nic *n) { n->rx_sink.clear(); n->publish(); }
void hw_set_link(hw_nic *n, int up, uint64_t autoneg_cycles) { n->phy.set_link(n->state.cycle, up, autoneg_cycles); }
void hw_set_phy_address(hw_nic *n, uint32_t address) { n->phy.address = address; }
int hw_waves(hw_nic *n, const char *path, uint64_t phase_fs, uint64_t period_fs, uint64_t from, uint64_t to) {
  n->waves.open(*n->model, path, phase_fs, period_fs, from, to);
  return HW_WAVES;
}
}
