// Register accesses: posted writes in order, and reads that push them ahead.
#pragma once
#include <cstdint>
#include <deque>

namespace hw {

struct PostedWrite { uint32_t offset, value; };

// `Device` is the Verilated root. All its outputs are registers, so a handshake of the coming edge is known before it.
template <class Device>
class AxilManager {
 public:
  uint64_t errors = 0;
  bool reading = false, read_done = false;
  uint32_t read_data = 0, read_resp = 0, read_offset = 0;

  bool busy() const { return busy_; }
  bool writes_done() const { return queue_.empty() && !unanswered_; }
  void post(uint32_t offset, uint32_t value) { queue_.push_back({offset, value}); busy_ = true; }
  void read(uint32_t offset) { reading = busy_ = true; read_done = false; read_offset = offset; }

  // Before the edge: set the inputs; whether any has changed.
  bool drive(Device &d) {
    bool changed = !d.s_axil_bready;
    if (!d.s_axil_awvalid && !d.s_axil_wvalid && !queue_.empty()) {
      presented_ = queue_.front();
      queue_.pop_front();
      d.s_axil_awaddr = uint16_t(presented_.offset);
      d.s_axil_wdata = presented_.value;
      d.s_axil_wstrb = 0xF;
      d.s_axil_awvalid = d.s_axil_wvalid = 1;
      unanswered_++;
      changed = true;
    }
    d.s_axil_bready = d.s_axil_rready = 1;
    if (reading && !asked_ && writes_done()) {
      d.s_axil_araddr = uint16_t(read_offset);
      d.s_axil_arvalid = 1;
      asked_ = changed = true;
    }
    return changed;
  }
  // Also before the edge: note what it will transfer; false: nothing. `written` is called for each write that lands.
  template <class Written, class Failed>
  bool sample(const Device &d, Written written, Failed failed) {
    aw_ = d.s_axil_awvalid && d.s_axil_awready;
    w_ = d.s_axil_wvalid && d.s_axil_wready;
    ar_ = d.s_axil_arvalid && d.s_axil_arready;
    if (w_) written(presented_);
    const bool b = d.s_axil_bvalid && unanswered_, r = d.s_axil_rvalid && asked_;
    if (b) {
      unanswered_--;
      if (d.s_axil_bresp & 2) { errors++; failed(presented_.offset); }
    }
    if (r) {
      read_data = d.s_axil_rdata;
      read_resp = d.s_axil_rresp;
      if (read_resp & 2) { errors++; failed(read_offset); }
      read_done = true;
      reading = asked_ = false;
    }
    return aw_ | w_ | ar_ | b | r;
  }
  // After the edge; whether an input has changed.
  bool settle(Device &d) {
    if (aw_) d.s_axil_awvalid = 0;
    if (w_) d.s_axil_wvalid = 0;
    if (ar_) d.s_axil_arvalid = 0;
    busy_ = reading || !writes_done();
    return aw_ | w_ | ar_;
  }

 private:
  std::deque<PostedWrite> queue_;
  PostedWrite presented_{};
  uint32_t unanswered_ = 0;
  bool busy_ = false, asked_ = false, aw_ = false, w_ = false, ar_ = false;
};

}  // namespace hw
