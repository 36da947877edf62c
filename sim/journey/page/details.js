/* The panel beside the lanes: a step with its octets, or how the chosen packet changed, or how to read all this. */

class Details {
  constructor(root, timeline) {
    this.root = root;
    this.timeline = timeline;
    this.side = "after";
    this.help = root.querySelector(".help");
    for (const event of ["select", "choose"]) timeline.addEventListener(event, () => this.show());
    new ResizeObserver(() => {
      if (this.perRow !== undefined && new OctetView(root.clientWidth).perRow !== this.perRow) this.show();
    }).observe(root);
    this.show();
  }

  show() {
    const { selected, packet } = this.timeline;
    if (selected) this.root.replaceChildren(...this.#step(selected));
    else if (packet !== null) this.root.replaceChildren(...this.#story(packet));
    else this.root.replaceChildren(this.help);
    this.root.scrollTop = 0;
  }

  #step(step) {
    const { journey } = this.timeline;
    const track = journey.track(step);
    const head = element(
      "div",
      "step-head",
      element("h3", "", step.name),
      element("span", "kind", step.kind),
      this.#close(),
    );
    const facts = element("table", "facts");
    const fact = (name, ...value) =>
      facts.append(element("tr", "", element("th", "", name), element("td", "", ...value)));
    fact("where", `${track.name}${step.what ? ` · ${step.what}` : ""}`);
    fact(step.instant ? "at" : "from", this.#moment(track, step.begin_fs));
    if (!step.instant) {
      fact("to", this.#moment(track, step.end_fs));
      fact("lasts", this.#length(track, step));
    }
    const outer = journey.ancestors(step).slice(-3);
    if (outer.length) fact("inside", ...outer.flatMap((one) => ["› ", this.#link(one)]));
    if (step.packets.length)
      fact("about", ...step.packets.flatMap((id) => [packetMark(id), ` ${journey.packet(id).label} `]));
    for (const [name, value] of Object.entries(step.values)) fact(name, valueText(value));
    return [head, facts, ...this.#octets(step)];
  }

  #moment(track, fs) {
    const { journey } = this.timeline;
    return `${nsText(fs - journey.beginFs)} ns${journey.cycleText(track, fs)}`;
  }

  #length(track, step) {
    const fs = step.end_fs - step.begin_fs;
    return `${nsText(fs)} ns${track.clock ? ` · ${count(Math.round(fs / track.clock.period_fs), "cycle")}` : ""}`;
  }

  #link(step) {
    return button("link", step.name, "Select it", () => this.timeline.select(step));
  }

  #close() {
    return button("close", "×", "Back (Esc)", () => this.timeline.select(null));
  }

  #octets(step) {
    const { journey } = this.timeline;
    if (step.owner === null || (step.from === null && step.to === null)) {
      return step.owner === null ? [] : [this.#moves(step), element("p", "hint", "Its octets are not known yet.")];
    }
    const same = step.from === step.to;
    const length = (state) => (state === null ? "none" : String(journey.octets(state).length));
    const title = element(
      "h3",
      "octets-title",
      "Octets of ",
      packetMark(step.owner),
      ` ${same || step.from === null ? length(step.to) : `${length(step.from)} → ${length(step.to)}`}`,
    );
    const view = new OctetView(this.root.clientWidth);
    this.perRow = view.perRow;
    const parts = [this.#moves(step), title];
    const note = journey.states[step.to ?? step.from].note;
    parts.push(
      element(
        "p",
        "change",
        same ? "Nothing changes here." : changeText(journey, step.from, step.to),
        note ? element("span", "note", note) : null,
      ),
    );
    const side = same || step.from === null ? "after" : this.side;
    if (!same && step.from !== null) parts.push(this.#sides());
    parts.push(view.render(journey, step.from, journey, step.to, side));
    return parts;
  }

  #sides() {
    const choice = (side, text) => {
      const made = button("", text, "", () => {
        this.side = side;
        this.show();
      });
      made.setAttribute("aria-pressed", String(this.side === side));
      return made;
    };
    return element("div", "segments sides", choice("before", "Before"), choice("after", "After"));
  }

  /** Buttons to the packet's change before and after this step. */
  #moves(step) {
    const changes = this.timeline.journey.changes.filter((change) => change.packet === step.owner);
    const here = changes.findIndex((change) => change.step === step);
    const before = here >= 0 ? changes[here - 1] : changes.filter((change) => change.step.index < step.index).at(-1);
    const last = changes.findLastIndex((change) => change.step === step);
    const after = here >= 0 ? changes[last + 1] : changes.find((change) => change.step.index > step.index);
    const move = (className, text, change) => {
      const made = button(className, text, change ? change.step.name : "", () => this.timeline.select(change.step));
      made.disabled = !change;
      return made;
    };
    return element("div", "moves", move("previous", "‹ previous change", before), move("next", "next change ›", after));
  }

  #line(step, text, kind = "") {
    const { journey } = this.timeline;
    const line = button("change-line", "", "", () => this.timeline.select(step));
    line.append(
      element("span", "when", timeText(step.begin_fs - journey.beginFs)),
      element("b", "who", step.name),
      element("small", "", journey.track(step).name),
      element("span", `did ${kind}`, text),
    );
    return element("li", "", line);
  }

  /** Where the chosen packet's octets changed, in order. */
  #story(id) {
    const { journey } = this.timeline;
    const packet = journey.packet(id);
    const head = element(
      "div",
      "step-head",
      element("h3", "", packetMark(id), " How it changed on its way"),
      button("close", "×", "Follow none (Esc)", () => this.timeline.choose(null)),
    );
    const changes = journey.changes.filter((one) => one.packet === id);
    const drops = journey.drops().filter((step) => step.packets.includes(id));
    const list = element("ol", "story");
    for (const { step, from, to } of changes) list.append(this.#line(step, changeText(journey, from, to)));
    for (const step of drops) list.append(this.#line(step, "dropped", "dropped"));
    if (!changes.length) list.append(element("li", "hint", "Its octets were not seen."));
    return [head, list];
  }
}

/** Numbers that look like addresses or words of bits also as hexadecimal. */
function valueText(value) {
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) > 0xffff
    ? `0x${value.toString(16)}`
    : String(value);
}
