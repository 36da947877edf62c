/* Two ways to lay steps along the page: one after the other, or by time. Each has x0 and x1 for every step. */

/** Each step has a column of its own; a call reaches over all that it calls. */
class OrderAxis {
  static WIDTHS = { caller: 13, call: 30, frame: 130, wait: 80, dma: 100, drop: 100, register: 44, event: 76 };

  constructor(journey, steps) {
    this.journey = journey;
    this.name = "order";
    this.steps = steps;
    const left = new Float64Array(journey.steps.length);
    const right = new Float64Array(journey.steps.length);
    const shown = new Set(steps.map((step) => step.index));
    this.columns = []; // {x, width, fs, first}: first is true where time has moved on.
    let x = 0;
    let column = 0;
    for (const step of journey.steps) {
      left[step.index] = right[step.index] = x;
      if (!shown.has(step.index)) continue;
      const first = !this.columns.length || this.columns.at(-1).fs !== step.begin_fs;
      if (first && column) x += 10; // A little air between one instant and the next.
      const width = this.#width(step);
      this.columns.push({ x, width, fs: step.begin_fs, first });
      left[step.index] = x;
      x += width;
      right[step.index] = x;
      column += 1;
    }
    this.x0 = left;
    this.x1 = Float64Array.from(journey.steps, (step) => Math.max(right[step.index], right[step.last]));
    this.width = Math.max(x, 1);
    this.least = 0.002;
    this.most = 12;
  }

  #width(step) {
    if (step.kind !== "call") return OrderAxis.WIDTHS[step.kind] ?? OrderAxis.WIDTHS.event;
    // What is done to the packet has room for its name; of helpers there are many.
    const name = step.owner === null ? 0 : Math.min(Math.max(4.6 * step.name.length + 6, 34), 100);
    if (!step.children.length) return Math.max(name, OrderAxis.WIDTHS.call);
    const inner = step.children.map((index) => this.journey.steps[index]);
    const room = inner.some((child) => child.children.length) ? name : inner.length * OrderAxis.WIDTHS.call;
    return Math.max(name - room, OrderAxis.WIDTHS.caller);
  }

  /** Time of the world at x. */
  timeAt(x) {
    let low = 0;
    for (let high = this.columns.length - 1; low < high;) {
      const middle = (low + high + 1) >> 1;
      if (this.columns[middle].x <= x) low = middle;
      else high = middle - 1;
    }
    return this.columns[low]?.fs ?? this.journey.beginFs;
  }

  /** Stretches of one instant each: {x0, x1, fs}. */
  get bands() {
    this.made ??= this.columns
      .filter((column) => column.first)
      .map((column, i, all) => ({
        x0: column.x,
        x1: all[i + 1]?.x ?? this.width,
        fs: column.fs,
      }));
    return this.made;
  }
}

/** Time runs evenly; where nothing happens for long, it may be cut short. */
class TimeAxis {
  static BUSY = new Set(["frame", "dma", "fifo", "csum", "desc", "arp", "register"]);
  static UNITS = 1000; // Width of all busy time.

  constructor(journey, steps, cut) {
    this.journey = journey;
    this.name = "time";
    this.steps = steps;
    this.pieces = this.#pieces(cut);
    this.width = this.pieces.at(-1).x1;
    this.x0 = Float64Array.from(journey.steps, (step) => this.xOf(step.begin_fs));
    this.x1 = Float64Array.from(journey.steps, (step) => this.xOf(step.end_fs));
    this.least = 0.05;
    const cycle = journey.clocks[0]?.period_fs ?? 8 * FS_PER_NS;
    const dense = this.pieces.find((piece) => !piece.idle);
    this.most = 60 / ((cycle * (dense.x1 - dense.x0)) / (dense.end - dense.begin));
  }

  /** {begin, end, x0, x1, idle}: the journey's time in stretches, idle ones short. */
  #pieces(cut) {
    const { beginFs, endFs } = this.journey;
    const times = [...new Set([beginFs, endFs, ...this.steps.flatMap((step) => [step.begin_fs, step.end_fs])])].sort(
      (a, b) => a - b,
    );
    const busy = this.steps
      .filter((step) => TimeAxis.BUSY.has(step.kind) && !step.instant)
      .sort((a, b) => a.begin_fs - b.begin_fs);
    const gaps = [];
    let reach = -Infinity;
    let next = 0;
    for (let i = 0; i + 1 < times.length; i += 1) {
      for (; next < busy.length && busy[next].begin_fs <= times[i]; next += 1)
        reach = Math.max(reach, busy[next].end_fs);
      if (reach <= times[i]) gaps.push([times[i], times[i + 1]]);
    }
    // If there is nothing but idle time, that is what there is to see.
    const idle = cut && busy.length ? gaps.filter(([begin, end]) => this.#long(end - begin, gaps)) : [];
    const idleFs = idle.reduce((sum, [begin, end]) => sum + end - begin, 0);
    const perFs = TimeAxis.UNITS / Math.max(endFs - beginFs - idleFs, 1);
    const pieces = [];
    let at = beginFs;
    let x = 0;
    const push = (end, width, isIdle) => {
      if (end > at || !pieces.length)
        pieces.push({ begin: at, end: Math.max(end, at + 1), x0: x, x1: x + width, idle: isIdle });
      x += end > at ? width : 0;
      at = end;
    };
    for (const [begin, end] of idle) {
      if (begin > at) push(begin, (begin - at) * perFs, false);
      push(end, TimeAxis.UNITS * 0.05, true);
    }
    if (at < endFs || !pieces.some((piece) => !piece.idle)) push(endFs, Math.max((endFs - at) * perFs, 1), false);
    return pieces;
  }

  #long(fs, gaps) {
    this.all ??= this.journey.endFs - this.journey.beginFs - gaps.reduce((sum, [begin, end]) => sum + end - begin, 0);
    return fs > 1000 * FS_PER_NS && fs > this.all * 0.08;
  }

  xOf(fs) {
    const pieces = this.pieces;
    let low = 0;
    for (let high = pieces.length - 1; low < high;) {
      const middle = (low + high + 1) >> 1;
      if (pieces[middle].begin <= fs) low = middle;
      else high = middle - 1;
    }
    const piece = pieces[low];
    return piece.x0 + ((fs - piece.begin) / (piece.end - piece.begin)) * (piece.x1 - piece.x0);
  }

  timeAt(x) {
    const piece = this.pieces.find((one) => x <= one.x1) ?? this.pieces.at(-1);
    const fs = piece.begin + ((x - piece.x0) / (piece.x1 - piece.x0)) * (piece.end - piece.begin);
    return Math.min(Math.max(fs, this.journey.beginFs), this.journey.endFs);
  }
}
