// Several NICs, one time: always the one with the earliest edge goes on.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "station.h"

struct hw_world {
  std::vector<hw::Station *> stations;

  // Run for `until` fs from `now`, up to the first event; every NIC has then done the edges before that time, no other.
  uint32_t run(__int128 now, hw::Fs until, bool endless, uint32_t stop, hw::Fs *reached) {
    begin(now);
    const uint32_t why = loop(until, endless, stop & HW_QUIET, reached);
    finish(*reached);
    return why;
  }

  uint64_t read32(__int128 now, hw::Station *station, uint32_t offset, hw::Fs *reached) {
    std::vector<uint32_t> stops;
    for (hw::Station *s : stations) {
      stops.push_back(s->stop);
      s->stop = s == station ? hw::kReadDone : 0;
    }
    station->begin_read(offset);
    begin(now);
    loop(hw::kFarFs, false, false, reached);
    const uint64_t answer = station->end_read();
    finish(*reached);
    for (size_t i = 0; i < stops.size(); i++) {
      stations[i]->stop = stops[i];
      stations[i]->state.why = 0;
    }
    return answer;
  }

 private:
  void begin(__int128 now) {
    for (hw::Station *s : stations) {
      s->first_cycle = s->state.cycle;
      s->first = s->key = hw::Fs(s->phase + __int128(s->state.cycle) * s->period - now);
      s->resting = s->calm = false;
      s->eventful = s->pending(s->stop, false);
      s->state.why = 0;
    }
  }

  // An event comes before the edges of the same time, and an edge that changes nothing after the others: it must not
  // have been if one of them finds that all are calm. Else the order is that in which the NICs were made.
  static hw::Fs order(const hw::Station *s) { return s->key * 4 + (s->eventful ? 0 : s->calm ? 2 : 1); }

  uint32_t loop(hw::Fs until, bool endless, bool to_quiet, hw::Fs *reached) {
    for (;;) {
      hw::Station *s = stations[0];
      hw::Fs earliest = order(s), second = 4 * hw::kFarFs + 3;
      for (size_t i = 1; i < stations.size(); i++) {
        const hw::Fs its = order(stations[i]);
        if (its < earliest) { second = earliest; earliest = its; s = stations[i]; }
        else if (its < second) second = its;
      }
      if (s->key >= until) { *reached = until; return HW_TIME; }
      if (s->resting) {
        s->skip_to(s->cycle_at(s->key));
        s->resting = false;
      }
      const hw::Fs limit = std::min(until, second >> 2);
      // At a tie it does its one edge now, the other one the next time.
      const uint64_t to = limit <= s->key + s->period ? s->state.cycle + 1 : s->cycle_at(limit);
      const uint32_t why = s->advance(to, s->stop | (s->calm ? hw::kGo : 0));
      s->eventful = false;
      if (!(why & HW_TIME)) s->calm = false;
      s->key = s->at(s->state.cycle);
      if (why & hw::kPeer) poke(s->wire->to);
      if (why & HW_TIME) {
        s->eventful = why & s->stop;
      } else if (why & hw::kRest) {
        *reached = s->key;
        rest(s);
        if (s->calm && (to_quiet || endless) && all_calm()) return endless ? HW_IDLE : HW_QUIET;
      } else if (why & ~hw::kPeer) {
        *reached = s->key;
        s->state.why = why;
        for (hw::Station *other : stations)
          if (other != s && other->at(other->state.cycle) == s->key) other->state.why = other->pending(other->stop, true);
        return 0;
      }
    }
  }

  static void rest(hw::Station *s) {
    s->calm = s->rest_until == ~uint64_t(0);
    s->resting = s->skips;
    if (s->skips) s->key = s->calm ? hw::kFarFs : s->at(s->rest_until);
  }
  // The wire has brought something.
  static void poke(hw::Station *s) {
    s->calm = false;
    if (s->resting) s->key = std::min(s->key, s->at(s->source.due()));
  }
  bool all_calm() const {
    return std::all_of(stations.begin(), stations.end(), [](const hw::Station *s) { return s->calm; });
  }
  void finish(hw::Fs reached) {
    for (hw::Station *s : stations) {
      if (s->resting) s->skip_to(s->cycle_at(reached));
      s->publish();
    }
  }
};
