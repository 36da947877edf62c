// A whole Verilated board, its pins driven by the far ends of its serial line and of its RGMII: Python calls in once per
// event, not once per cycle.
//
// Ref: Reduced Gigabit Media Independent Interface (RGMII), HP, Broadcom, Marvell, version 2.0, 2002
#include "Vboard.h"
#include "verilated.h"
#include <memory>
#pragma GCC visibility push(default)
extern "C" {
#include "wire_abi.h"
#include "board_abi.h"
}
#pragma GCC visibility pop
#include "gmii_sink.h"
#include "gmii_source.h"
#include "phy.h"
#include "uart.h"
#include "waves.h"

namespace {
constexpr uint32_t kEvents = HW_FRAME | HW_RX_FRAME;  // These stay until somebody asks for them.
constexpr uint8_t kInBand = 0b1100;                   // Between frames: full duplex, 1 Gb/s; bit 0: the link is up.
constexpr uint32_t kStatusCycles = 128;               // The link's bit is looked up so often.
constexpr uint64_t kPeriodFs = 8'000'000;
constexpr uint64_t kNever = ~uint64_t(0);
}  // namespace

struct hw_nic {
  hw_state state{};
  VerilatedContext context;
  std::unique_ptr<Vboard> model;
  hw::GmiiSource source;
  hw::GmiiSink sink, rx_sink;
  hw::Phy phy;
  hw::UartSender to_card;
  hw::UartReceiver from_card;
  hw::Waves waves;
  uint32_t reasons = 0;
  bool recording_rx = false;

  hw_nic() {
    context.traceEverOn(HW_WAVES);
    model = std::make_unique<Vboard>(&context, "board");
    model->uart_rx = 1;
    model->mdio_i = 1;
    model->eval();
    configure({1, 125'000'000, 12'500'000, 0, 0, 0, 0, 0, 0});
  }

  void configure(const hw_uart_config &config) {
    to_card.times.set(config.clock_hz, config.baud);
    from_card.times.set(config.clock_hz, config.baud);
    to_card.noise.random.seed(config.seed);
    from_card.noise.random.seed(~config.seed);
    to_card.noise.flip_chance = config.to_card_flip_chance;
    to_card.noise.loss_chance = config.to_card_loss_chance;
    from_card.noise.flip_chance = config.from_card_flip_chance;
    from_card.noise.loss_chance = config.from_card_loss_chance;
    wake_octet_ = config.wake_octet;
  }
  void set_clocks(uint64_t period_fs, uint64_t rx_period_fs) {
    half_fs_ = period_fs / 2;
    rx_half_fs_ = rx_period_fs / 2;
  }

  uint32_t run(uint64_t until, uint32_t stop) {
    while (!(reasons & stop) && state.cycle < until) tick();
    uint32_t why = reasons & stop;
    if (!why) why = HW_TIME;
    reasons &= (kEvents | HW_OCTETS) & ~why;
    publish();
    return why;
  }

  void publish() {
    state.frame_count = sink.frames.size();
    state.frames = sink.frames.data();
    state.octets = sink.octets.data();
    state.frames_total = sink.total;
    state.rx_frame_count = rx_sink.frames.size();
    state.rx_frames = rx_sink.frames.data();
    state.rx_octets = rx_sink.octets.data();
    state.rx_frames_total = source.total;
    state.uart_count = from_card.octets.size();
    state.uart_octets = from_card.octets.data();
    state.uart_waiting = to_card.waiting();
    state.uart_misframed = from_card.misframed;
    state.to_card_flipped = to_card.noise.flipped;
    state.to_card_lost = to_card.noise.lost;
    state.from_card_flipped = from_card.noise.flipped;
    state.from_card_lost = from_card.noise.lost;
    state.uart_busy = to_card.waiting() || to_card.due() != kNever || !from_card.idle();
    state.in_frame = uint32_t(sink.in_frame) | uint32_t(source.pending() || source.in_frame()) << 1;
    state.leds = uint32_t(model->leds);
  }

 private:
  uint64_t half_fs_ = kPeriodFs / 2, rx_half_fs_ = kPeriodFs / 2;
  uint64_t now_fs_ = 0, next_rx_fs_ = 0, status_at_ = 0;  // next_rx_fs_: of the next edge of the PHY's clock.
  bool tx_clk_before_ = false, mdc_before_ = false, line_before_ = true, rx_high_ = false;
  bool dv_ = false, error_ = false, status_ = false, enable_ = false;
  uint8_t octet_ = 0, low_ = 0;
  uint32_t wake_octet_ = 0;
  uint64_t pause_at_ = kNever;  // When to tell of octets that do not end with that one.

  // One cycle: the rise of the clock, then its fall. `state.cycle` is the number of the rise.
  void tick() {
    if (state.cycle >= to_card.due()) model->uart_rx = to_card.clock(state.cycle);
    if (state.cycle >= phy.due) {
      phy.settle(state.cycle);
      model->mdio_i = phy.mdio;
    }
    edge(1);
    waves.dump(state.cycle, 0);
    state.cycle++;
    edge(0);
    waves.dump(state.cycle, 1);
    listen();
    if (model->mdc != mdc_before_) manage();
  }
  void edge(bool level) {
    while (next_rx_fs_ < now_fs_) {
      rx_edge();
      model->eval();
    }
    if (next_rx_fs_ == now_fs_) rx_edge();
    model->clk = level;
    model->eval();
    now_fs_ += half_fs_;
    if (bool(model->rgmii_tx_clk) != tx_clk_before_) send();
  }

  // RXC changes together with RXD, which is right if a delay in PHY or FPGA puts it in the middle of the data.
  void rx_edge() {
    next_rx_fs_ += rx_half_fs_;
    rx_high_ = !rx_high_;
    model->rgmii_rx_clk = rx_high_;
    if (rx_high_) {
      const uint64_t cycle = state.rx_cycle++;
      if (cycle >= source.due()) receive(cycle);
      if (cycle >= status_at_) {
        status_ = phy.link(state.cycle);
        status_at_ = cycle + kStatusCycles;
      }
    }
    const bool between = !(dv_ | error_);
    model->rgmii_rx_ctl = rx_high_ ? dv_ : dv_ ^ error_;
    model->rgmii_rxd = between ? kInBand | status_ : rx_high_ ? octet_ & 15 : octet_ >> 4;
  }
  void receive(uint64_t cycle) {
    source.clock(cycle, [this](bool valid, bool error, uint8_t octet) {
      dv_ = valid;
      error_ = error;
      octet_ = octet;
      if (recording_rx && (valid || rx_sink.in_frame) && rx_sink.clock(state.cycle, valid, error, octet))
        reasons |= HW_RX_FRAME;
    });
  }

  // An edge of TXC: the lower half of the octet with the rise, the upper one with the fall.
  void send() {
    tx_clk_before_ = model->rgmii_tx_clk;
    if (tx_clk_before_) {
      low_ = model->rgmii_txd;
      enable_ = model->rgmii_tx_ctl;
    } else if (enable_ | sink.in_frame) {
      const bool error = enable_ != bool(model->rgmii_tx_ctl);
      if (sink.clock(state.cycle, enable_, error, uint8_t(low_ | model->rgmii_txd << 4))) reasons |= HW_FRAME;
    }
  }

  void listen() {
    const bool line = model->uart_tx;
    if (from_card.idle()) {
      if (line_before_ && !line) from_card.start(state.cycle);
    } else if (state.cycle >= from_card.due() && from_card.clock(line)) {
      pause_at_ = from_card.pause();
      if (from_card.octets.back() == wake_octet_) tell();
    }
    if (state.cycle >= pause_at_) tell();
    line_before_ = line;
  }

  void tell() {
    reasons |= HW_OCTETS;
    pause_at_ = kNever;
  }

  void manage() {
    mdc_before_ = model->mdc;
    if (mdc_before_) phy.rise(state.cycle, model->mdio_oe ? bool(model->mdio_o) : phy.mdio);
  }
};

#include "wire_exports.h"

extern "C" {
const hw_state *hw_get_state(hw_nic *n) { n->publish(); return &n->state; }
void hw_set_clocks(hw_nic *n, uint64_t period_fs, uint64_t rx_period_fs) { n->set_clocks(period_fs, rx_period_fs); }
void hw_uart_configure(hw_nic *n, const hw_uart_config *config) { n->configure(*config); }
void hw_uart_write(hw_nic *n, const uint8_t *octets, uint64_t count) {
  n->to_card.write(n->state.cycle, octets, count);
  n->publish();
}
void hw_uart_clear(hw_nic *n) {
  n->from_card.octets.clear();
  n->publish();
}
}
