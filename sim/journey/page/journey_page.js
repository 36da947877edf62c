/* One journey's page: toolbar, lanes, packets and details, joined. */

class JourneyPage {
  constructor(root, journey) {
    this.root = root;
    this.journey = journey;
    this.timeline = new Timeline(root, journey);
    this.gestures = new Gestures(this.timeline, new Tip(document.querySelector(".tip"), journey));
    this.search = new Search(root.querySelector(".search"), this.timeline);
    this.overview = new Overview(root.querySelector(".overview canvas"), this.timeline);
    new PacketList(root.querySelector(".packets"), this.timeline);
    this.details = new Details(root.querySelector(".details"), this.timeline);
    this.#summary();
    this.#toolbar();
    this.timeline.addEventListener("cursor", () => this.#status());
    this.timeline.addEventListener("select", () => this.#speak());
    this.#split();
    this.#print();
    this.#status();
  }

  #summary() {
    const { journey, root } = this;
    const fs = journey.endFs - journey.beginFs;
    const periods = new Set(journey.clocks.map((clock) => clock.period_fs));
    const cycles = [...periods].map((period) => `${count(Math.round(fs / period), "cycle")} of ${nsText(period)} ns`);
    const drops = journey.drops().length;
    root.querySelector("h1").textContent = journey.title;
    root
      .querySelector(".summary")
      .replaceChildren(
        ...[
          journey.hosts.join(", "),
          `${nsText(fs)} ns`,
          ...cycles,
          count(journey.packets.length, "packet"),
          count(journey.steps.length, "step"),
        ]
          .filter(Boolean)
          .map((text) => element("span", "", text)),
        element("span", drops ? "dropped" : "", drops ? `✕ ${count(drops, "drop")}` : "no drops"),
      );
  }

  #toolbar() {
    const { root, timeline } = this;
    const on = (selector, action) => root.querySelector(selector).addEventListener("click", action);
    on(".axis-order", () => this.setAxis("order"));
    on(".axis-time", () => this.setAxis("time"));
    on(".zoom-in", () => timeline.zoom(1.5));
    on(".zoom-out", () => timeline.zoom(1 / 1.5));
    on(".fit", () => timeline.fit());
    this.cut = root.querySelector(".cut input");
    this.cut.addEventListener("change", () => timeline.setAxis(timeline.axisName, this.cut.checked));
    this.only = root.querySelector(".only input");
    this.only.addEventListener("change", () => timeline.showOnly(this.only.checked));
    timeline.addEventListener("choose", () => this.#enable());
    timeline.addEventListener("lay", () => this.search.find(this.search.input.value));
    this.setAxis("order");
    this.#enable();
  }

  #enable() {
    this.only.disabled = this.timeline.packet === null;
  }

  /** Mark steps that another journey does not have. */
  mark(indices) {
    this.timeline.marked = new Set(indices);
    this.#status();
  }

  setAxis(name) {
    this.timeline.setAxis(name);
    for (const axis of ["order", "time"])
      this.root.querySelector(`.axis-${axis}`).setAttribute("aria-pressed", String(axis === name));
    this.root.querySelector(".cut").hidden = name !== "time";
  }

  /** Time and cycles under the pointer. */
  #status() {
    const { timeline, journey } = this;
    const line = this.root.querySelector(".status");
    if (!timeline.cursor) return line.replaceChildren(...this.#legend());
    const fs = timeline.cursorFs();
    line.replaceChildren(
      element("b", "", `${nsText(fs - journey.beginFs)} ns`),
      ...journey.clocks.map((clock) =>
        element("span", "", `${clock.name}: cycle ${cycleOf(clock, fs).toLocaleString("en")}`),
      ),
    );
  }

  #legend() {
    const kinds = [
      ["call", "call, or work of the card"],
      ["wait", "waits in a queue"],
      ["frame", "frame under way"],
      ["drop", "dropped"],
      ["way", "way of a packet, in its colour"],
    ];
    if (this.timeline.marked.size) kinds.push(["marked", "not in the other journey"]);
    return kinds.map(([kind, words]) => element("span", "", element("i", `swatch ${kind}`), words));
  }

  #speak() {
    const { selected } = this.timeline;
    const { journey } = this;
    this.root.querySelector(".spoken").textContent = selected
      ? `${selected.name}, ${journey.track(selected).name}, ${nsText(selected.begin_fs - journey.beginFs)} ns, ` +
        selected.packets.map((id) => `packet ${id}`).join(", ")
      : "";
  }

  /** The border between lanes and panel can be moved. */
  #split() {
    const bar = this.root.querySelector(".split");
    bar.addEventListener("pointerdown", (event) => bar.setPointerCapture(event.pointerId));
    bar.addEventListener("pointermove", (event) => {
      if (event.buttons) this.root.style.setProperty("--panel", `${Math.max(innerWidth - event.clientX, 240)}px`);
    });
  }

  /** On paper the lanes are as they were on the screen, smaller if need be. */
  #print() {
    const view = this.root.querySelector(".view");
    addEventListener("beforeprint", () => {
      const { width, height } = view.getBoundingClientRect();
      view.style = `flex: none; width: ${width}px; height: ${height}px; zoom: ${Math.min(1, 1000 / width)}`;
    });
    addEventListener("afterprint", () => view.removeAttribute("style"));
  }

  key(event) {
    if (event.key === "t") this.setAxis(this.timeline.axisName === "order" ? "time" : "order");
    else if (event.key === "/") this.search.input.focus();
    else if (event.key === "n" || event.key === "p") this.search.move(event.key === "n" ? 1 : -1);
    else return this.gestures.key(event);
    return true;
  }
}
