/* Where each step lies in its lane: calls one below the other as they nest, the rest in as few rows as they need. */

class Lanes {
  static PAD = 1;
  static GROUP = 16; // Space above the first lane of a host, for its name.

  constructor(journey, axis) {
    this.journey = journey;
    this.row = new Int32Array(journey.steps.length).fill(-1);
    this.next = new Int32Array(journey.steps.length).fill(-1); // The next step in the same row.
    this.lanes = journey.tracks.map((track) => ({
      track,
      rows: 0,
      waits: 0,
      calls: track.kind === "stack" || track.kind === "driver",
    }));
    this.taken = this.lanes.map(() => []); // Per lane and row: stretches [x0, x1] in use.
    const trees = axis.steps.filter((step) => this.#root(step));
    for (const step of trees.filter((step) => step.kind !== "wait")) this.#place(step, axis);
    this.taken = this.lanes.map(() => []); // Waits have rows of their own, below.
    for (const step of trees.filter((step) => step.kind === "wait")) this.#place(step, axis);
    this.#chain(axis);
    const used = new Set(axis.steps.map((step) => step.track));
    for (const lane of this.lanes) lane.hidden = !used.has(lane.track.index);
  }

  /** A wait outlives the call that began it, so it is never drawn inside of it. */
  #root(step) {
    return step.kind === "wait" || step.parent === null || this.journey.steps[step.parent].kind === "wait";
  }

  /** Place a call and all within it: in each lane at the first row where nothing is in the way. */
  #place(root, axis) {
    const shown = (this.shown ??= new Set(axis.steps.map((step) => step.index)));
    const members = [];
    const walk = (step, depths) => {
      const lane = step.track;
      const depth = depths[lane] ?? 0;
      if (shown.has(step.index)) members.push({ step, lane, depth });
      const inner = { ...depths, [lane]: depth + (shown.has(step.index) ? 1 : 0) };
      for (const child of step.children) {
        if (this.journey.steps[child].kind !== "wait") walk(this.journey.steps[child], inner);
      }
    };
    walk(root, {});
    for (const lane of new Set(members.map((member) => member.lane))) {
      const own = members.filter((member) => member.lane === lane);
      let offset = 0;
      while (
        !own.every(({ step, depth }) => this.#free(lane, depth + offset, axis.x0[step.index], axis.x1[step.index]))
      ) {
        offset += 1;
      }
      for (const { step, depth } of own) {
        this.row[step.index] = depth + offset;
        (this.taken[lane][depth + offset] ??= []).push([axis.x0[step.index], axis.x1[step.index]]);
        const rows = root.kind === "wait" ? "waits" : "rows";
        this.lanes[lane][rows] = Math.max(this.lanes[lane][rows], depth + offset + 1);
      }
    }
  }

  #free(lane, row, x0, x1) {
    const taken = this.taken[lane][row];
    if (!taken) return true;
    for (let i = taken.length - 1; i >= 0; i -= 1) {
      // The latest first: they come in order.
      if (taken[i][0] < x1 && x0 < taken[i][1]) return false;
    }
    return true;
  }

  #chain(axis) {
    const lastIn = new Map();
    for (const step of axis.steps) {
      const key = `${step.track} ${step.kind === "wait"} ${this.row[step.index]}`;
      if (lastIn.has(key)) this.next[lastIn.get(key)] = step.index;
      lastIn.set(key, step.index);
    }
  }

  /** Give each lane its place for rows of these heights; return the height of all. */
  arrange(callRow, otherRow, scale) {
    let y = 0;
    let host;
    for (const lane of this.lanes.filter((lane) => !lane.hidden)) {
      lane.heads = lane.track.host !== host && lane.track.host !== null; // The host's name stands above it.
      if (lane.heads) y += Lanes.GROUP * scale;
      host = lane.track.host;
      lane.rowHeight = lane.calls ? callRow : otherRow;
      lane.y = y;
      lane.waitHeight = otherRow;
      lane.height = Math.max(lane.rows * lane.rowHeight + lane.waits * otherRow, otherRow) + 2 * Lanes.PAD;
      y += lane.height;
    }
    this.height = y;
    return y;
  }

  /** Heights of rows, [calls, others], with which all lanes fit, as far as they may shrink. */
  fitting(height, scale) {
    const callers = this.lanes.filter((lane) => lane.calls && !lane.hidden);
    const rows = callers.reduce((sum, lane) => sum + lane.rows, 0);
    for (let other = 17 * scale; ; other -= scale) {
      // What is left when no call has any height, if each such lane can then be as low as it is.
      const spare = callers.filter((lane) => !lane.waits).length * other;
      const left = height - this.arrange(0, other, scale) + spare;
      if (left >= rows * 4 * scale || other <= 10 * scale) {
        return [Math.min(Math.max(rows ? left / rows : other, 1.5), 15 * scale), other];
      }
    }
  }

  /** {y, height} of a step, below the top of the first lane. */
  box(step) {
    const lane = this.lanes[step.track];
    const row = this.row[step.index];
    if (step.kind !== "wait") return { y: lane.y + Lanes.PAD + row * lane.rowHeight, height: lane.rowHeight };
    return { y: lane.y + Lanes.PAD + lane.rows * lane.rowHeight + row * lane.waitHeight, height: lane.waitHeight };
  }

  /** The lane at y, or undefined. */
  at(y) {
    return this.lanes.find((lane) => !lane.hidden && y >= lane.y && y < lane.y + lane.height);
  }
}
