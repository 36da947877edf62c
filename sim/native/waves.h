// FST waves of a window of time, if the library was built with them; else nothing.
#pragma once
#include <cstdint>
#if HW_WAVES
#include <memory>
#include "verilated_fst_c.h"
#endif

namespace hw {

#if HW_WAVES
class Waves {
 public:
  template <class Model>
  void open(Model &model, const char *path, uint64_t phase_fs, uint64_t period_fs, uint64_t from, uint64_t to) {
    if (file_) file_->close();
    file_ = nullptr;
    if (!path) return;
    file_ = std::make_unique<VerilatedFstC>();
    model.trace(file_.get(), 99);
    file_->set_time_unit("1fs");
    file_->set_time_resolution("1fs");
    file_->open(path);
    from_ = from;
    to_ = to;
    phase_fs_ = phase_fs;
    period_fs_ = period_fs;
  }
  // At the rise of that cycle, less so many half periods.
  void dump(uint64_t cycle, int halves) {
    if (file_ && cycle >= from_ && cycle <= to_)
      file_->dump(phase_fs_ + cycle * period_fs_ - uint64_t(halves) * (period_fs_ / 2));
  }

 private:
  std::unique_ptr<VerilatedFstC> file_;
  uint64_t from_ = 0, to_ = 0, phase_fs_ = 0, period_fs_ = 0;
};
#else
struct Waves {
  template <class Model> void open(Model &, const char *, uint64_t, uint64_t, uint64_t, uint64_t) {}
  void dump(uint64_t, int) {}
};
#endif

}  // namespace hw
