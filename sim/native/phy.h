// The management side of a 1000BASE-T PHY: a clause 22 slave on mdc and mdio.
//
// Ref: IEEE Std 802.3-2022, 22.2.4 (registers, frames), 22.3.4 (timing), 40.5.1 (1000BASE-T registers)
#pragma once
#include <cstdint>

namespace hw {

class Phy {
 public:
  uint32_t address = 1;
  bool mdio = true;                // What it drives; high if it does not: there is a pull-up.
  uint64_t due = ~uint64_t(0);     // The cycle in which `mdio` changes by itself.
  uint64_t output_delay = 38;      // Cycles from a rising mdc to its output: up to 300 ns.

  Phy() { reset(0); }

  // The partner is there or not. Autonegotiation starts when it comes, and takes `autoneg` cycles.
  void set_link(uint64_t now, bool up, uint64_t autoneg) {
    autoneg_ = autoneg;
    if (up == partner_) return;
    partner_ = up;
    restart(now);
  }
  bool link(uint64_t now) const { return partner_ && can_link() && now >= done_at_; }

  // A rising edge of mdc, with the level of mdio at it.
  void rise(uint64_t now, bool bit) {
    settle(now);
    if (count_ == 0) {  // Between frames: at least 32 ones, then the start, 01.
      if (bit) {
        ones_ += ones_ < 32;
        return;
      }
      const bool enough = ones_ == 32;
      ones_ = 0;
      if (enough) { shift_ = 0; count_ = 1; }
      return;
    }
    shift_ = shift_ << 1 | bit;
    count_++;
    if (count_ == 2 && !bit) { count_ = 0; return; }  // 00 is no start.
    if (count_ == 14) {
      const uint32_t op = shift_ >> 10 & 3;
      mine_ = (op == 1 || op == 2) && (shift_ >> 5 & 31) == address;
      reading_ = op == 2;
      register_ = shift_ & 31;
    }
    if (mine_ && reading_ && count_ >= 15 && count_ < 32) {
      if (count_ == 15) out_ = read(now, register_);
      drive(now, count_ == 15 ? false : out_ >> (31 - count_) & 1);
    }
    if (count_ == 32) {
      if (mine_ && reading_) drive(now, true);
      else if (mine_) write(now, register_, uint16_t(shift_));
      count_ = 0;
      mine_ = false;
    }
  }
  void settle(uint64_t now) {
    if (now >= due) {
      mdio = next_;
      due = ~uint64_t(0);
    }
  }

 private:
  enum { kBmcr, kBmsr, kPhyId1, kPhyId2, kAnar, kAnlpar, kAner, kGbcr = 9, kGbsr, kEstatus = 15 };
  static constexpr uint16_t kReset = 1 << 15, kAutoneg = 1 << 12, kPowerDown = 1 << 11, kIsolate = 1 << 10,
                            kRestart = 1 << 9;
  static constexpr uint16_t kFull1000 = 1 << 9;  // Of GBCR.
  bool partner_ = false, next_ = true, mine_ = false, reading_ = false, failed_ = true, page_ = false;
  uint64_t autoneg_ = 0, done_at_ = 0;
  uint32_t ones_ = 0, count_ = 0, shift_ = 0, register_ = 0;
  uint16_t out_ = 0, bmcr_ = 0, anar_ = 0, gbcr_ = 0, advertised_ = 0;

  void drive(uint64_t now, bool bit) {
    next_ = bit;
    due = now + output_delay;
  }
  void reset(uint64_t now) {
    bmcr_ = kAutoneg | 1 << 8 | 1 << 6;  // Full duplex, 1000 Mb/s.
    anar_ = 0x01E1;                      // 802.3; 10 and 100 Mb/s, either duplex.
    gbcr_ = kFull1000;
    restart(now);
  }
  void restart(uint64_t now) {
    failed_ = true;
    page_ = false;
    advertised_ = gbcr_;
    done_at_ = now + autoneg_;
  }
  // 1000BASE-T needs autonegotiation (40.5.1), and nothing else would fit the GMII.
  bool can_link() const { return bmcr_ & kAutoneg && !(bmcr_ & (kPowerDown | kIsolate)) && advertised_ & kFull1000; }
  bool negotiated(uint64_t now) const {
    return partner_ && bmcr_ & kAutoneg && !(bmcr_ & kPowerDown) && now >= done_at_;
  }

  uint16_t read(uint64_t now, uint32_t number) {
    const bool done = negotiated(now);
    uint16_t value;
    switch (number) {
      case kBmcr: return bmcr_;
      case kBmsr:  // The link bit is low if the link has failed since the last read.
        value = uint16_t(0x7909 | done << 5 | (link(now) && !failed_) << 2);
        failed_ = !link(now);
        return value;
      case kPhyId1: return 0x4857;
      case kPhyId2: return 0x0010;
      case kAnar: return anar_;
      case kAnlpar: return done ? 0x4DE1 : 0;
      case kAner:  // The partner can negotiate; a page was received, since the last read.
        value = uint16_t(done | (done && !page_) << 1);
        page_ |= done;
        return value;
      case kGbcr: return gbcr_;
      case kGbsr: return done ? 0x3800 : 0;  // Both receivers are good; the partner can 1000BASE-T full duplex.
      case kEstatus: return 0x2000;          // 1000BASE-T full duplex.
      default: return 0;
    }
  }
  void write(uint64_t now, uint32_t number, uint16_t value) {
    switch (number) {
      case kBmcr: {
        if (value & kReset) { reset(now); return; }
        const uint16_t changed = bmcr_ ^ value;
        bmcr_ = value & uint16_t(~kRestart);
        if (value & kRestart || changed & (kAutoneg | kPowerDown | kIsolate)) restart(now);
        return;
      }
      case kAnar: anar_ = value; return;
      case kGbcr: gbcr_ = value; return;
      default: return;
    }
  }
};

}  // namespace hw
