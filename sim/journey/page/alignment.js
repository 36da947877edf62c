/* Two journeys side by side: which step of one is which step of the other. */

class Alignment {
  constructor(a, b) {
    this.a = a;
    this.b = b;
    this.partners = new Map(a.packets.map((packet) => [packet.id, this.#partner(packet)]));
  }

  /** The packet of B that is what a packet of A is: with the same words, or else with the same number. */
  #partner(packet) {
    const same = this.b.packets.find((one) => one.label === packet.label);
    return (same ?? this.b.packet(packet.id))?.id ?? null;
  }

  /**
   * Steps in order: {a, b, mark}, where mark is "same", "octets" (this step makes other octets), "still" (they were
   * other before, or a call within made them so), "time", "a" (only in A) or "b" (only in B).
   */
  rows(packet) {
    const partner = packet === null ? null : this.partners.get(packet);
    const left = packet === null ? this.a.steps : this.a.stepsOf(packet);
    const right = packet === null ? this.b.steps : partner === null ? [] : this.b.stepsOf(partner);
    const keysA = left.map((step) => Alignment.key(this.a, step));
    const keysB = right.map((step) => Alignment.key(this.b, step));
    const pairs = commonOrder(keysA, keysB).map(([i, j]) => ({
      a: i === null ? null : left[i],
      b: j === null ? null : right[j],
    }));
    const explained = new Set(); // Calls with a call within that made the octets other.
    for (const pair of pairs.reverse()) pair.mark = this.#mark(pair.a, pair.b, explained);
    return pairs.reverse();
  }

  #mark(a, b, explained) {
    if (!a || !b) return a ? "a" : "b";
    if (this.#differ(a.to, b.to)) {
      if (this.#differ(a.from, b.from)) return "still";
      if (a.parent !== null) explained.add(a.parent);
      return explained.has(a.index) ? "still" : "octets";
    }
    return a.end_fs - a.begin_fs === b.end_fs - b.begin_fs ? "same" : "time";
  }

  #differ(a, b) {
    return a !== null && b !== null && this.a.states[a].octets !== this.b.states[b].octets;
  }

  /** What a step is called in any journey: place, kind and name; hosts by their order. */
  static key(journey, step) {
    const track = journey.track(step);
    return [Alignment.place(journey, track), step.kind, step.name].join("|");
  }

  static place(journey, track) {
    const alike = journey.tracks.filter((one) => one.host === track.host && one.kind === track.kind);
    return [journey.hosts.indexOf(track.host), track.kind, track.stage ?? alike.indexOf(track)].join("|");
  }

  /** Steps and time per lane and name: {where, name, a: {steps, fs}, b: {steps, fs}}, the greatest difference first. */
  stages(packet) {
    const table = new Map();
    const add = (journey, side, steps) => {
      for (const step of steps) {
        const track = journey.track(step);
        const call = step.kind === "call";
        const key = call ? Alignment.place(journey, track) : Alignment.key(journey, step);
        if (!call && step.instant) continue;
        if (!table.has(key)) {
          table.set(key, {
            where: track.name,
            name: call ? "calls" : step.name,
            a: { steps: 0, fs: 0 },
            b: { steps: 0, fs: 0 },
          });
        }
        const sum = table.get(key)[side];
        sum.steps += 1;
        if (!call) sum.fs += step.end_fs - step.begin_fs;
      }
    };
    const partner = packet === null ? null : this.partners.get(packet);
    add(this.a, "a", packet === null ? this.a.steps : this.a.stepsOf(packet));
    add(this.b, "b", packet === null ? this.b.steps : partner === null ? [] : this.b.stepsOf(partner));
    const weight = ({ a, b }) => Math.abs(b.fs - a.fs) + Math.abs(b.steps - a.steps);
    return [...table.values()].sort((one, other) => weight(other) - weight(one));
  }
}

/** Pair two sequences along their longest common subsequence: [i, j], null where one has no partner. */
function commonOrder(a, b) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const [n, m] = [a.length - head - tail, b.length - head - tail];
  const keep = new Uint8Array((n + 1) * (m + 1)); // What to do at (i, j): 0 take both, 1 only a, 2 only b.
  let below = new Uint32Array(m + 1);
  for (let i = n - 1; i >= 0; i -= 1) {
    const row = new Uint32Array(m + 1);
    for (let j = m - 1; j >= 0; j -= 1) {
      const equal = a[head + i] === b[head + j];
      row[j] = equal ? below[j + 1] + 1 : Math.max(below[j], row[j + 1]);
      keep[i * (m + 1) + j] = equal ? 0 : below[j] >= row[j + 1] ? 1 : 2;
    }
    below = row;
  }
  const pairs = Array.from({ length: head }, (_, i) => [i, i]);
  let [i, j] = [0, 0];
  while (i < n || j < m) {
    const what = i === n ? 2 : j === m ? 1 : keep[i * (m + 1) + j];
    pairs.push([what === 2 ? null : head + i, what === 1 ? null : head + j]);
    i += what === 2 ? 0 : 1;
    j += what === 1 ? 0 : 1;
  }
  for (let k = tail; k > 0; k -= 1) pairs.push([a.length - k, b.length - k]);
  return pairs;
}
