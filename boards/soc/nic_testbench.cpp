// Reads the identity of the NIC, has it send a frame from host memory, and compares what comes out on GMII.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "Vhardwire_nic.h"
#include "hardwire_regs.h"
#include "verilated.h"

namespace {

constexpr uint64_t kBase = 0x100000000, kRing = 0x0, kCompletions = 0x1000, kOctets = 0x2003;
constexpr unsigned kFrameOctets = 47, kMinOctets = 60, kTimeout = 20000;

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "FAILED: %s\n", what);
    std::exit(1);
}

uint32_t crc32(const uint8_t *octets, size_t count) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < count; i++) {
        crc ^= octets[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

// The NIC with host memory on its AXI4 port: one burst each way at a time.
class Bench {
public:
    std::vector<uint8_t> memory = std::vector<uint8_t>(1 << 16);
    std::vector<uint8_t> wire;

    Bench() {
        nic_.rst = 1;
        for (int i = 0; i < 4; i++) cycle();
        nic_.rst = 0;
        cycle();
    }

    void cycle() {
        drive();
        nic_.clk = 0;
        nic_.eval();
        sample();
        nic_.clk = 1;
        nic_.eval();
    }

    uint32_t read(size_t offset) {
        nic_.s_axil_araddr = offset;
        nic_.s_axil_arvalid = nic_.s_axil_rready = 1;
        while (!answered_) step("a register read is not answered");
        answered_ = false;
        nic_.s_axil_rready = 0;
        return value_;
    }

    void write(size_t offset, uint32_t value) {
        nic_.s_axil_awaddr = offset;
        nic_.s_axil_wdata = value;
        nic_.s_axil_wstrb = 0xF;
        nic_.s_axil_awvalid = nic_.s_axil_wvalid = nic_.s_axil_bready = 1;
        while (!answered_) step("a register write is not answered");
        answered_ = false;
        nic_.s_axil_bready = 0;
    }

    void step(const char *timeout) {
        if (++cycles_ > kTimeout) fail(timeout);
        cycle();
    }

    bool irq() const { return nic_.irq; }
    bool sending() const { return nic_.gmii_tx_en; }

private:
    static constexpr size_t kBeat = sizeof(Vhardwire_nic::m_axi_rdata);
    Vhardwire_nic nic_;
    unsigned cycles_ = 0;
    bool answered_ = false, reading_ = false, writing_ = false, responding_ = false;
    bool ar_taken_ = false, aw_taken_ = false, w_taken_ = false;
    uint32_t value_ = 0;
    uint64_t read_at_ = 0, write_at_ = 0;
    unsigned beats_left_ = 0;

    uint8_t *at(uint64_t address, size_t count) {
        if (address < kBase || address - kBase + count > memory.size()) fail("an address is not in host memory");
        return &memory[address - kBase];
    }

    void drive() {
        if (ar_taken_) nic_.s_axil_arvalid = 0;
        if (aw_taken_) nic_.s_axil_awvalid = 0;
        if (w_taken_) nic_.s_axil_wvalid = 0;
        nic_.m_axi_arready = !reading_;
        nic_.m_axi_rvalid = reading_;
        nic_.m_axi_rlast = beats_left_ == 0;
        if (reading_) std::memcpy(&nic_.m_axi_rdata, at(read_at_, kBeat), kBeat);
        nic_.m_axi_awready = !writing_ && !responding_;
        nic_.m_axi_wready = writing_;
        nic_.m_axi_bvalid = responding_;
    }

    void sample() {
        if (nic_.rst) return;
        ar_taken_ = nic_.s_axil_arvalid && nic_.s_axil_arready;
        aw_taken_ = nic_.s_axil_awvalid && nic_.s_axil_awready;
        w_taken_ = nic_.s_axil_wvalid && nic_.s_axil_wready;
        if (nic_.s_axil_rvalid && nic_.s_axil_rready) value_ = nic_.s_axil_rdata, answered_ = true;
        if (nic_.s_axil_bvalid && nic_.s_axil_bready) answered_ = true;
        if (nic_.gmii_tx_en) wire.push_back(nic_.gmii_txd);
        if (reading_ && nic_.m_axi_rready) {
            reading_ = beats_left_ != 0;
            beats_left_ -= reading_;
            read_at_ += kBeat;
        } else if (nic_.m_axi_arvalid && nic_.m_axi_arready) {
            reading_ = true;
            read_at_ = nic_.m_axi_araddr & ~uint64_t(kBeat - 1);
            beats_left_ = nic_.m_axi_arlen;
            nic_.m_axi_rid = nic_.m_axi_arid;
        }
        if (responding_ && nic_.m_axi_bready) responding_ = false;
        if (writing_ && nic_.m_axi_wvalid) {
            for (size_t i = 0; i < kBeat; i++)
                if (uint64_t(nic_.m_axi_wstrb) >> i & 1)
                    *at(write_at_ + i, 1) = reinterpret_cast<const uint8_t *>(&nic_.m_axi_wdata)[i];
            write_at_ += kBeat;
            if (nic_.m_axi_wlast) writing_ = false, responding_ = true;
        } else if (nic_.m_axi_awvalid && nic_.m_axi_awready) {
            writing_ = true;
            write_at_ = nic_.m_axi_awaddr & ~uint64_t(kBeat - 1);
            nic_.m_axi_bid = nic_.m_axi_awid;
        }
    }
};

void check_frame(const std::vector<uint8_t> &wire, const uint8_t *sent) {
    if (wire.size() != 8 + kMinOctets + 4) fail("the frame has another length");
    for (int i = 0; i < 8; i++)
        if (wire[i] != (i < 7 ? 0x55 : 0xD5)) fail("preamble or start frame delimiter is wrong");
    const uint8_t *frame = &wire[8];
    for (unsigned i = 0; i < kMinOctets; i++)
        if (frame[i] != (i < kFrameOctets ? sent[i] : 0)) fail("an octet is wrong");
    const uint32_t fcs = crc32(frame, kMinOctets);
    if (std::memcmp(frame + kMinOctets, &fcs, 4)) fail("the FCS is wrong");
}

}  // namespace

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    Bench bench;
    const uint32_t id = bench.read(offsetof(hardwire_t, global.ID));
    if (id != HARDWIRE_DEVICE_ID) fail("the identity is another device's");
    std::printf("identity 0x%08x\n", id);

    uint8_t *frame = &bench.memory[kOctets];
    for (unsigned i = 0; i < kFrameOctets; i++) frame[i] = uint8_t(0x11 * i + 1);
    hardwire_tx_desc_t desc = {};
    desc.addr = kBase + kOctets;
    desc.length = kFrameOctets;
    desc.flags = HARDWIRE_TX_FLAG_FIRST | HARDWIRE_TX_FLAG_LAST;
    desc.cookie = 0xC0FFEE;
    std::memcpy(&bench.memory[kRing], &desc, sizeof desc);

    bench.write(offsetof(hardwire_t, txq[0].BASE_LO), uint32_t(kBase + kRing));
    bench.write(offsetof(hardwire_t, txq[0].BASE_HI), uint32_t(kBase >> 32));
    bench.write(offsetof(hardwire_t, txq[0].CPL_BASE_LO), uint32_t(kBase + kCompletions));
    bench.write(offsetof(hardwire_t, txq[0].CPL_BASE_HI), uint32_t(kBase >> 32));
    bench.write(offsetof(hardwire_t, txq[0].SIZE), 1);
    bench.write(offsetof(hardwire_t, txq[0].CPL_TAIL), HARDWIRE__TXQX__CPL_TAIL__ARM_bm);
    bench.write(offsetof(hardwire_t, txq[0].CTRL), HARDWIRE__TXQX__CTRL__ENABLE_bm);
    bench.write(offsetof(hardwire_t, txq[0].TAIL), 1);

    while (!bench.irq()) bench.step("there is no interrupt");
    while (bench.wire.empty() || bench.sending()) bench.step("no frame is sent");
    check_frame(bench.wire, frame);
    hardwire_tx_cpl_t cpl;
    std::memcpy(&cpl, &bench.memory[kCompletions], sizeof cpl);
    if (cpl.phase != 1 || cpl.status != HARDWIRE_TX_STATUS_OK || cpl.cookie != desc.cookie)
        fail("the completion is wrong");
    std::printf("sent %u octets\nPASSED\n", kFrameOctets);
    return 0;
}
