// The Verilated NIC with everything around it: Python calls in once per event, not once per cycle.
//
// All outputs of the NIC that matter here come from registers, so what an edge will transfer is known before it. Without
// loops, a cycle is then Verilator's "ico" (inputs to registers), needed only if an input has changed, and its "nba" (the
// edge, and all that follows from it): HW_BY_PARTS calls just these, with the clocks of those parts that are awake (see
// sim/activity.py). Without it (waves, or another Verilator) both clock edges of everything are evaluated the ordinary
// way; a test compares the two.
#include "Vnic.h"
#include "Vnic___024root.h"
#include "verilated.h"
#include <memory>
#pragma GCC visibility push(default)
extern "C" {
#include "wire_abi.h"
#include "abi.h"
}
#pragma GCC visibility pop
#include "axil_manager.h"
#include "gmii_sink.h"
#include "memory_model.h"
#include "phy.h"
#include "station.h"
#include "waves.h"
#include "world.h"
#if HW_BY_PARTS
#include "parts.h"
#else
namespace hw {
constexpr uint64_t kFedCsr = 0, kFedRead = 0, kFedWrite = 0, kFedGmii = 0, kFedMdio = 0, kFedAdvance = 0, kFedAny = 0;
constexpr bool kGmiiReachesMore = true;
}  // namespace hw
#endif

#define HW_UNLIKELY(x) __builtin_expect(!!(x), 0)

#if HW_BY_PARTS
void Vnic___024root___eval_ico(Vnic___024root *root);
void Vnic___024root___eval_nba(Vnic___024root *root);
#endif

namespace {
using Root = Vnic___024root;
constexpr uint64_t kNever = ~uint64_t(0);
constexpr uint32_t kEvents = HW_FRAME | HW_VIOLATION | HW_RX_FRAME;  // These stay until somebody asks for them.
constexpr uint32_t kGapCycles = 16;   // Longer than the MAC's gap, in which only it moves.
constexpr uint32_t kSettleCycles = 4;  // From a register write or the last activity to when its effect shows outside.

template <class Port> const void *octets_of(const Port &port) { return &port; }
template <class Port> uint64_t number_of(const Port &port) {
  uint64_t value = 0;
  memcpy(&value, &port, sizeof port < 8 ? sizeof port : 8);
  return value;
}
}  // namespace

struct hw_nic final : hw::Station {
  VerilatedContext context;
  std::unique_ptr<Vnic> model;
  Root *d = nullptr;
  hw::Memory memory;
  hw::GmiiSink sink, rx_sink;
  hw::Phy phy;
  std::unique_ptr<hw::Wire> cable;
  hw::AxilManager<Root> csr;
  std::vector<hw_violation> violations;
  std::vector<hw_event> events;
  uint64_t event_capacity = 0, hang_cycles = 1'000'000;
  uint64_t last_activity = 0, last_write = 0, last_quiet = 0, last_sent = 0, read_since = 0;
  uint64_t ar_pause = 0, aw_pause = 0, w_pause = 0, r_addr = 0;
  uint64_t fed = hw::kFedAny;  // Clocks of the parts that have to see a change of an input.
  uint32_t reasons = 0, last_descriptor = ~0u, still = 0;  // still: cycles in which only counters have moved.
  bool irq_before = false, inputs_changed = true, mdc_before = false, recording_rx = false;
  hw::Waves waves;

  hw_nic() {
    context.traceEverOn(HW_WAVES);
    power_up();
    memory.configure({});
  }

  // Everything up to and including the rising edge, in two halves: what is sampled is right between them.
  void before_edge() {
#if HW_BY_PARTS
    if (inputs_changed) {
      d->__VicoTriggered[0] = 1;
      Vnic___024root___eval_ico(d);
      inputs_changed = false;
    }
#else
    d->clk = 0;
    model->eval();
    waves.dump(state.cycle, 1);
#endif
  }
  void edge() {
#if HW_BY_PARTS
    const uint64_t triggers = hw::triggers(*d) | fed;
    still = triggers == hw::kAlways ? still + 1 : 0;
    d->__VnbaTriggered[0] = triggers;
    fed = 0;
    Vnic___024root___eval_nba(d);
#else
    d->clk = 1;
    model->eval();
    waves.dump(state.cycle, 0);
#endif
  }

  // Power up: registers have their first values, so there is no reset input.
  void power_up() {
    model = std::make_unique<Vnic>(&context, "nic");
    d = model->rootp;
    d->clk = 0;
    model->eval();
    d->mdio_i = 1;
    change(hw::kFedAny);
  }

  // Inputs have changed that these parts read.
  void change(uint64_t parts) {
    inputs_changed = true;
    fed |= parts;
  }

  void log(uint32_t kind, uint32_t a = 0, uint64_t b = 0) {
    if (events.size() >= event_capacity) { state.events_lost++; return; }
    events.push_back({state.cycle, kind, a, b});
  }
  void violation(uint32_t kind, uint64_t address) {
    violations.push_back({state.cycle, address, kind, last_descriptor});
    reasons |= HW_VIOLATION;
  }

  // One cycle: state.cycle is the number of the coming edge.
  template <bool kLog> void tick() {
    Root &p = *d;
    const bool csr_busy = csr.busy();
    if (csr_busy && csr.drive(p)) change(hw::kFedCsr);
    if (HW_UNLIKELY(state.cycle >= source.due())) receive();
    if (HW_UNLIKELY(state.cycle >= phy.due)) drive_mdio();
    before_edge();
    bool csr_moved = false;
    if (csr_busy) {
      csr_moved = csr.sample(p, [this](const hw::PostedWrite &w) { if (kLog) log(HW_EV_MMIO_WRITE, w.offset, w.value); },
                 [this](uint32_t offset) { violation(HW_MMIO_ERROR, offset); });
      if (csr_moved) last_write = state.cycle;
      if (kLog && csr.read_done) log(HW_EV_MMIO_READ, csr.read_offset, csr.read_data);
    }
    const bool ar = p.m_axi_arvalid & p.m_axi_arready, r = p.m_axi_rvalid & p.m_axi_rready;
    const bool aw = p.m_axi_awvalid & p.m_axi_awready, w = p.m_axi_wvalid & p.m_axi_wready;
    const bool b = p.m_axi_bvalid & p.m_axi_bready;
    const bool bus = ar | r | aw | w | b, active = bus | csr_moved;
    if (ar | aw | w) transfer<kLog>(ar, aw, w);
    edge();
    state.cycle++;
    state.evaluated++;
    if (csr_busy && csr.settle(p)) change(hw::kFedCsr);
    if (r) {
      set(hw::kFedRead, p.m_axi_rvalid, 0);
      if (kLog && p.m_axi_rlast) log(HW_EV_READ_DONE, p.m_axi_rresp, r_addr);
      memory.read_taken(state.cycle);
    }
    if (b) {
      set(hw::kFedWrite, p.m_axi_bvalid, 0);
      memory.response_taken();
    }
    if (bus | memory.pending() | address_stalled()) drive_memory<kLog>();
    if (active) last_activity = state.cycle;
    if (p.gmii_tx_en | sink.in_frame) send<kLog>();
    if (HW_UNLIKELY(p.mdc != mdc_before)) manage();
    if (p.probe_desc_stb) last_descriptor = p.probe_desc_index;
    if (kLog) probes();
  }
  bool address_stalled() const { return !(d->m_axi_arready & d->m_axi_awready); }

  // What the coming edge takes from the device: it is gone after the edge.
  template <bool kLog> void transfer(bool ar, bool aw, bool w) {
    Root &p = *d;
    const uint64_t now = state.cycle;
    if (ar) {
      const uint32_t beats = uint32_t(p.m_axi_arlen) + 1;
      check_burst(p.m_axi_araddr, beats, p.m_axi_arsize, p.m_axi_arburst);
      memory.accept_read(now + 1, p.m_axi_arid, p.m_axi_araddr, beats, p.m_axi_arsize);
      ar_pause = now + 1 + memory.stall();
      if (kLog) log(HW_EV_READ, beats, p.m_axi_araddr);
    }
    if (aw) {
      const uint32_t beats = uint32_t(p.m_axi_awlen) + 1;
      check_burst(p.m_axi_awaddr, beats, p.m_axi_awsize, p.m_axi_awburst);
      memory.accept_write(p.m_axi_awid, p.m_axi_awaddr, beats, p.m_axi_awsize);
      aw_pause = now + 1 + memory.stall();
      if (kLog) log(HW_EV_WRITE, beats, p.m_axi_awaddr);
    }
    if (w) {
      w_pause = now + 1 + memory.config.write_gap + memory.stall();
      if (!memory.accept_data(now + 1, octets_of(p.m_axi_wdata), number_of(p.m_axi_wstrb), p.m_axi_wlast))
        violation(HW_BAD_BURST, 0);
    }
  }

  void check_burst(uint64_t addr, uint32_t beats, uint32_t size, uint32_t burst) {
    const uint64_t start = addr & ~((uint64_t(1) << size) - 1);
    if (burst != 1 || (1u << size) > hw::kAxiOctets) violation(HW_BAD_BURST, addr);
    if ((start ^ (start + (uint64_t(beats) << size) - 1)) >> 12) violation(HW_CROSSES_4K, addr);
  }

  // Inputs of the memory bus for the next edge. What was taken is gone: rvalid and bvalid are high here only if a beat
  // or response still waits.
  template <bool kLog> void drive_memory() {
    Root &p = *d;
    const uint64_t now = state.cycle;
    uint32_t resp;
    bool bad;
    uint64_t bad_addr;
    if (!p.m_axi_rvalid) {
      if (hw::Transaction *t = memory.next_read(now, &p.m_axi_rdata, &resp, &bad)) {
        set(hw::kFedRead, p.m_axi_rvalid, 1);
        p.m_axi_rid = decltype(p.m_axi_rid)(t->id);
        p.m_axi_rresp = uint8_t(resp);
        p.m_axi_rlast = t->beat + 1 == t->beats;
        r_addr = t->addr;
        if (HW_UNLIKELY(bad)) violation(HW_READ_OUTSIDE, t->next_addr);
      }
    }
    if (!p.m_axi_bvalid) {
      if (hw::Transaction *t = memory.next_response(now, &resp, &bad, &bad_addr)) {
        set(hw::kFedWrite, p.m_axi_bvalid, 1);
        p.m_axi_bid = decltype(p.m_axi_bid)(t->id);
        p.m_axi_bresp = uint8_t(resp);
        if (HW_UNLIKELY(bad)) violation(HW_WRITE_OUTSIDE, bad_addr);
        if (kLog) log(HW_EV_WRITE_DONE, resp, t->addr);
      }
    }
    set(hw::kFedRead, p.m_axi_arready, memory.read_room() && now >= ar_pause);
    set(hw::kFedWrite, p.m_axi_awready, memory.write_room() && now >= aw_pause);
    set(hw::kFedWrite, p.m_axi_wready, memory.wants_data() && now >= w_pause);
  }
  void set(uint64_t parts, uint8_t &port, bool value) {
    if (port == value) return;
    change(parts);
    port = value;
  }

  // What comes from the PHY in the cycle of the coming edge. No logic of the NIC looks at it but what registers take at
  // the edge, if kGmiiReachesMore is false: then nothing has to be evaluated before.
  void receive() {
    source.clock(state.cycle, [this](bool valid, bool error, uint8_t octet) {
      if (d->gmii_rx_dv != valid || d->gmii_rx_er != error || d->gmii_rxd != octet) {
        d->gmii_rx_dv = valid;
        d->gmii_rx_er = error;
        d->gmii_rxd = octet;
        fed |= hw::kFedGmii;
        inputs_changed |= hw::kGmiiReachesMore;
      }
      if (recording_rx && (valid || rx_sink.in_frame) && rx_sink.clock(state.cycle, valid, error, octet))
        reasons |= HW_RX_FRAME;
    });
    last_activity = state.cycle;
  }
  void drive_mdio() {
    phy.settle(state.cycle);
    set(hw::kFedMdio, d->mdio_i, phy.mdio);
  }
  void manage() {
    mdc_before = d->mdc;
    if (mdc_before) phy.rise(state.cycle, d->mdio_oe ? d->mdio_o : phy.mdio);
    last_activity = state.cycle;
  }

  // The octet that the PHY sees in the cycle after the edge.
  template <bool kLog> void send() {
    const bool start = !sink.in_frame;
    if (wire) {
      if (!d->gmii_tx_en) wire->end();
      else if (wire->put(*this, state.cycle, d->gmii_txd, d->gmii_tx_er)) reasons |= hw::kPeer;
    }
    if (sink.clock(state.cycle, d->gmii_tx_en, d->gmii_tx_er, d->gmii_txd)) {
      reasons |= HW_FRAME;
      if (kLog) log(HW_EV_FRAME_END, sink.last().length, sink.last().flags);
    } else if (kLog && start) {
      log(HW_EV_FRAME_START);
    }
    last_sent = state.cycle;
  }

  void probes() {
    if (d->probe_desc_stb) log(HW_EV_DESC, d->probe_desc_index);
    if (d->probe_arp_stb) log(HW_EV_ARP, d->probe_arp_hit);
    if (d->probe_stage_stb) log(HW_EV_STAGE);
    if (d->probe_csum_stb) log(HW_EV_CSUM);
    if (d->probe_cpl_stb) log(HW_EV_CPL, d->probe_cpl_index, d->probe_cpl_status);
    if (d->probe_rx_stb) log(HW_EV_RX);
    if (d->probe_rx_filtered_stb) log(HW_EV_RX_FILTERED);
    if (d->probe_rx_missed_stb) log(HW_EV_RX_MISSED);
    if (d->probe_rx_cpl_stb) log(HW_EV_RX_CPL, d->probe_rx_cpl_index, d->probe_rx_cpl_status);
    if (bool(d->irq) != irq_before) log(HW_EV_IRQ, irq_before = d->irq);
  }

  // Nothing under way anywhere, and long enough for the last activity to have shown.
  bool quiet() const {
    return d->idle && !csr.busy() && !memory.pending() && !sink.in_frame && !source.in_frame() && !address_stalled() &&
           state.cycle >= last_activity + kSettleCycles;
  }
  // Nothing will start by itself either.
  bool untimed() const { return d->wake_in == ~0u && !source.pending(); }
  bool irq_settled() const { return d->irq && csr.writes_done() && state.cycle >= last_write + kSettleCycles; }

  // Waits for host memory, and nothing at all can change before that answers: all parts of the gateware are at rest, and
  // the MAC is not between two frames.
  bool frozen() {
    return still >= kSettleCycles && !fed && !inputs_changed && memory.pending() && !csr.busy() && !source.in_frame() &&
           !sink.in_frame && state.cycle >= last_sent + kGapCycles && !address_stalled() && !d->m_axi_rvalid &&
           !d->m_axi_bvalid && d->m_axi_wready == memory.wants_data();
  }
  // Let the free-running counters jump: one edge for `cycles` of them.
  void skip(uint64_t cycles) {
    d->advance_stb = 1;
    d->advance_cycles = uint32_t(cycles - 1);
    change(hw::kFedAdvance);
    before_edge();
    edge();
    d->advance_stb = 0;
    change(hw::kFedAdvance);
    state.cycle += cycles;
    if (!memory.pending()) last_quiet = state.cycle;  // What comes now starts from here, however long the jump was.
    state.evaluated++;
  }
  // How many cycles may be jumped over; 0 or 1: none. Two are kept back before the device starts something. A register
  // that counts shows a jump later, but no later than a read comes to it.
  uint64_t skippable(uint64_t until) const {
    const uint64_t next_input = std::min(source.due(), phy.due);
    if (next_input <= state.cycle) return 0;
    uint64_t cycles = std::min(until, next_input);
    if (cycles <= state.cycle) return 0;
    cycles -= state.cycle;
    if (d->wake_in != ~0u) cycles = std::min<uint64_t>(cycles, d->wake_in > 3 ? d->wake_in - 2 : 0);
    return std::min<uint64_t>(cycles, 0xFFFF'FFF0u);
  }

  // kShared: with other NICs, which say how far it may go; an event at `until` waits until they are there, too.
  template <bool kLog, bool kShared> uint32_t run_loop(uint64_t until, uint32_t stop) {
    bool go = kShared && stop & hw::kGo;
    if (kShared) stop &= ~hw::kGo;
    else stop |= HW_TIME | HW_IDLE | HW_HANG;
    for (;;) {
      if (d->irq && irq_settled()) reasons |= HW_IRQ;
      else reasons &= ~uint32_t(HW_IRQ);
      if (kShared) {
        if (stop & hw::kReadDone && (csr.read_done || state.cycle - read_since > hang_cycles)) reasons |= hw::kReadDone;
        if (state.cycle >= until) {
          const uint32_t why = HW_TIME | (reasons & (stop | hw::kPeer));
          reasons &= ~hw::kPeer;
          return why;
        }
        if (reasons & (stop | hw::kPeer)) break;
      } else {
        if (reasons & stop) break;
        if (state.cycle >= until) { reasons |= HW_TIME; break; }
      }
      if (d->idle && quiet()) {
        last_quiet = state.cycle;
        if (kShared) {
          const uint64_t cycles = skips ? skippable(kNever) : 0;
          if (!go && (cycles > 1 || untimed())) {
            rest_until = untimed() ? kNever : state.cycle + cycles;
            reasons |= hw::kRest;
            break;
          }
        } else {
          if (untimed()) {
            if (until == kNever) { reasons |= HW_IDLE; break; }
            if (stop & HW_QUIET) { reasons |= HW_QUIET; break; }
          }
          if (skips) {
            const uint64_t cycles = skippable(until);
            if (cycles > 1) {
              skip(cycles);
              continue;
            }
          }
        }
      } else {
        const uint64_t hangs_at = std::max({last_activity, last_sent, last_quiet}) + hang_cycles + 1;
        if (HW_UNLIKELY(state.cycle >= hangs_at) && (!kShared || stop & HW_HANG)) {
          reasons |= HW_HANG;
          break;
        }
        if (skips && frozen()) {
          const uint64_t cycles = skippable(std::min({until, memory.due() - 1, hangs_at}));
          if (cycles > 1 && !kShared) {
            skip(cycles);
            continue;
          }
          if (cycles > 1 && !go) {
            rest_until = state.cycle + cycles;
            reasons |= hw::kRest;
            break;
          }
        }
      }
      go = false;
      tick<kLog>();
    }
    const uint32_t why = reasons & (kShared ? stop | hw::kPeer | hw::kRest : stop);
    reasons &= kEvents & ~why;
    if (!kShared) publish();
    return why;
  }
  uint32_t run(uint64_t until, uint32_t stop) {
    return event_capacity ? run_loop<true, false>(until, stop) : run_loop<false, false>(until, stop);
  }

  // As one of several.
  uint32_t advance(uint64_t until, uint32_t stop) override {
    return event_capacity ? run_loop<true, true>(until, stop) : run_loop<false, true>(until, stop);
  }
  uint32_t pending(uint32_t stop, bool take) override {
    if (d->irq && irq_settled()) reasons |= HW_IRQ;
    else reasons &= ~uint32_t(HW_IRQ);
    const uint32_t why = reasons & stop;
    if (take) reasons &= kEvents & ~why;
    return why;
  }
  void skip_to(uint64_t cycle) override {
    while (state.cycle + 1 < cycle) skip(std::min<uint64_t>(cycle - state.cycle, 0xFFFF'FFF0u));
    if (state.cycle < cycle)
      if (event_capacity) tick<true>(); else tick<false>();
  }

  void begin_read(uint32_t offset) override {
    csr.read(offset);
    read_since = last_activity = state.cycle;
  }
  uint64_t end_read() override {
    const bool answered = csr.read_done;
    csr.read_done = false;
    last_activity = state.cycle;
    return answered ? csr.read_data | uint64_t(csr.read_resp) << 32 : uint64_t(1) << 63;
  }
  uint64_t read32(uint32_t offset) {
    begin_read(offset);
    while (!csr.read_done && state.cycle - read_since <= hang_cycles) {
      if (event_capacity) tick<true>(); else tick<false>();
    }
    const uint64_t answer = end_read();
    publish();
    return answer;
  }

  void publish() override {
    state.irq = d->irq;
    state.quiet = quiet() && untimed();
    state.frame_count = sink.frames.size();
    state.frames = sink.frames.data();
    state.octets = sink.octets.data();
    state.frames_total = sink.total;
    state.rx_frame_count = rx_sink.frames.size();
    state.rx_frames = rx_sink.frames.data();
    state.rx_octets = rx_sink.octets.data();
    state.rx_frames_total = source.total;
    state.violation_count = violations.size();
    state.violations = violations.data();
    state.event_count = events.size();
    state.events = events.data();
    state.reads = memory.reads;
    state.writes = memory.writes;
    state.errors_injected = memory.errors_injected;
    state.mmio_errors = csr.errors;
  }
};

#include "wire_exports.h"
#include "exports.h"
