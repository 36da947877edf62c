/* A journey as the page uses it: what the recorder wrote, with all that follows from it. */

const FS_PER_NS = 1_000_000;

class Journey {
  constructor(json) {
    this.title = json.title;
    this.beginFs = json.begin_fs;
    this.endFs = json.end_fs;
    this.packets = json.packets;
    this.states = json.states;
    this.hosts = [...new Set(json.tracks.map((track) => track.host).filter((host) => host !== null))];
    this.tracks = json.tracks.map((track, index) => ({ ...track, index, label: this.#label(track) }));
    this.steps = json.steps.map((step, index) => ({
      ...step,
      before: this.#state(step.before),
      after: this.#state(step.after),
      index,
      children: [],
      last: index,
      from: null,
      to: null,
      owner: step.packets[0] ?? null,
      instant: step.begin_fs === step.end_fs,
    }));
    this.clocks = this.#clocks();
    this.#nest();
    this.#followStates();
  }

  /** In which cycle of its card a lane is at a time; of the host's cards, where it is of none: " · cycle 38,532". */
  cycleText(track, fs) {
    const own = this.clocks.filter((clock) => (track.clock ? clock.name === cardOf(track) : clock.host === track.host));
    const name = (clock) => (own.length > 1 ? ` of ${clock.name}` : "");
    return own.map((clock) => ` · cycle ${cycleOf(clock, fs).toLocaleString("en")}${name(clock)}`).join("");
  }

  packet(id) {
    return this.packets[id - 1];
  }

  track(step) {
    return this.tracks[step.track];
  }

  /** The steps that a step is inside of, the outermost first. */
  ancestors(step) {
    const found = [];
    for (let index = step.parent; index !== null; index = this.steps[index].parent) found.unshift(this.steps[index]);
    return found;
  }

  /** The octets of a state. */
  octets(state) {
    this.decoded ??= new Map();
    if (!this.decoded.has(state)) {
      const hex = this.states[state].octets;
      this.decoded.set(
        state,
        Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.substr(2 * i, 2), 16)),
      );
    }
    return this.decoded.get(state);
  }

  stepsOf(id) {
    return this.steps.filter((step) => step.packets.includes(id));
  }

  drops() {
    return this.steps.filter((step) => step.kind === "drop");
  }

  /** The packet's own line through the lanes: {from, to, inside}; inside is within a lane at one instant. */
  path(id) {
    const links = [];
    const runs = new Map(); // Each host goes on from where it was itself: both ends of a cable run at once.
    let onWire = null;
    const latest = () => [...runs.values()].sort((a, b) => a.last.index - b.last.index).at(-1);
    for (const step of this.#moving(id)) {
      const host = this.track(step).host;
      const run = host === null ? latest() : (runs.get(host) ?? onWire ?? latest());
      const goesOn =
        run &&
        run.last.track === step.track &&
        run.last.begin_fs === step.begin_fs &&
        run.last.kind === "call" &&
        step.kind === "call";
      if (goesOn) {
        run.last = step;
        continue;
      }
      if (run) links.push(...this.#leave(run, step));
      const entered = { first: step, last: step };
      if (host === null) onWire = entered;
      else runs.set(host, entered);
    }
    return [
      ...links,
      ...[...runs.values()]
        .filter((run) => run.first !== run.last)
        .map((run) => ({ from: run.first, to: run.last, inside: true })),
    ];
  }

  /** The packet's steps without calls that began before it came, such as a recvfrom() that waited for it. */
  #moving(id) {
    const steps = this.stepsOf(id);
    const arrivals = steps.filter((step) => this.track(step).stage === "MAC RX");
    return steps.filter(
      (step) =>
        step.kind !== "call" ||
        !arrivals.some(
          (arrival) =>
            this.track(arrival).host === this.track(step).host &&
            step.index < arrival.index &&
            step.end_fs > arrival.begin_fs,
        ),
    );
  }

  /** From a run of calls to what comes next: left from the call that led there, not from a helper before it. */
  #leave(run, to) {
    const caller = to.parent === null ? null : this.steps[to.parent];
    const own = caller && to.packets.some((id) => caller.packets.includes(id));
    const exit = own && caller.track === run.last.track && caller.index > run.first.index ? caller : run.last;
    const inside = run.first === exit || run.left ? [] : [{ from: run.first, to: exit, inside: true }];
    run.left = true;
    return [...inside, { from: exit, to, inside: false }];
  }

  /** A state without octets is none: the packet is only being made. */
  #state(index) {
    return index !== null && this.states[index].octets ? index : null;
  }

  #label(track) {
    const own = track.host !== null && track.name.startsWith(`${track.host} `);
    return own ? track.name.slice(track.host.length + 1) : track.name;
  }

  /** Each card's clock: {name, host, period_fs, phase_fs}, by the card's name. */
  #clocks() {
    const found = new Map();
    for (const track of this.tracks.filter((track) => track.clock)) {
      const name = cardOf(track);
      if (!found.has(name)) found.set(name, { name, host: track.host, ...track.clock });
    }
    return [...found.values()];
  }

  /** Give each step its children and the index of the last step that begins before it ends. */
  #nest() {
    const steps = this.steps;
    let after = 0;
    const ends = steps.filter((step) => !step.instant).sort((a, b) => a.end_fs - b.end_fs);
    for (const step of ends) {
      while (after < steps.length && steps[after].begin_fs < step.end_fs) after += 1;
      step.last = Math.max(step.index, after - 1);
    }
    for (const step of [...steps].reverse()) {
      if (step.parent === null) continue;
      const parent = steps[step.parent];
      parent.children.unshift(step.index);
      if (step.kind !== "wait") parent.last = Math.max(parent.last, step.last);
    }
  }

  /** Find which octets each step begins and ends with, and at which steps they change. */
  #followStates() {
    const events = this.steps.flatMap((step) => [
      { step, at: step.index, order: 0, state: step.before },
      { step, at: step.last, order: 1, state: step.after },
    ]);
    // Of those that end together the inner one, which began later, ends first.
    events.sort((a, b) => a.at - b.at || a.order - b.order || (a.order ? b.step.index - a.step.index : 0));
    const known = new Map();
    this.changes = [];
    for (const { step, order, state } of events) {
      if (step.owner === null) continue;
      const { host, kind } = this.track(step);
      const place = `${step.owner} ${host} ${kind === "card"}`; // The card works on its own copy, each host on its own.
      const before = known.get(place) ?? known.get(step.owner) ?? null;
      const now = state ?? before;
      if (order === 0) step.from = now;
      else step.to = now;
      if (state === null) continue;
      if (state !== before)
        this.changes.push({ step: this.#changer(step, order), packet: step.owner, from: before, to: state });
      known.set(place, state);
      known.set(step.owner, state);
    }
    for (const change of this.changes) {
      if (change.step.from === null && change.from !== null) change.step.from = change.from;
    }
  }

  /** What changed before a call began, its caller did. */
  #changer(step, order) {
    const caller = order === 0 && step.parent !== null ? this.steps[step.parent] : null;
    return caller?.packets.includes(step.owner) ? caller : step;
  }
}

/** A time since the journey's begin as rulers and lists have it: "54.728 µs". */
function timeText(fs) {
  return `${(fs / 1e9).toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 })} µs`;
}

/** A time since the journey's begin, in ns, to the femtosecond: "2,904" or "6.4". */
function nsText(fs) {
  return (fs / FS_PER_NS).toLocaleString("en", { maximumFractionDigits: 6 });
}

/** A length of time for people: "48.2 µs". */
function durationText(fs) {
  const [unit, per] = [
    ["s", 1e15],
    ["ms", 1e12],
    ["µs", 1e9],
    ["ns", 1e6],
    ["ps", 1e3],
  ].find(([, per]) => Math.abs(fs) >= per) ?? ["ns", 1e6];
  return `${(fs / per).toLocaleString("en", { maximumSignificantDigits: Math.abs(fs / per) >= 1000 ? 6 : 4 })} ${unit}`;
}

/** The name of a lane's card: "host1 eth0" of "host1 eth0 DMA read". */
function cardOf(track) {
  const stage = ` ${track.stage}`;
  return track.name.endsWith(stage) ? track.name.slice(0, -stage.length) : track.name;
}

/** The cycle of a clock in which a time of the world lies. */
function cycleOf(clock, fs) {
  return Math.floor((fs - clock.phase_fs) / clock.period_fs);
}
