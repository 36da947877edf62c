/* The lanes as one sees them: which part is in view, which packet is chosen, which step is selected. */

class Timeline extends EventTarget {
  constructor(root, journey) {
    super();
    this.root = root;
    this.journey = journey;
    this.canvas = root.querySelector(".lanes canvas");
    this.gutter = root.querySelector(".gutter");
    this.painter = new Painter(this);
    this.axisName = "order";
    this.cut = true;
    this.only = false;
    this.packet = null;
    this.selected = null;
    this.hovered = null;
    this.cursor = null; // {x, y} of the pointer on the canvas, or null.
    this.hits = new Set();
    this.marked = new Set(); // Steps that only this one of two journeys has.
    this.fontScale = 1;
    this.x = 0; // Left edge, in units of the axis.
    this.y = 0; // Upper edge, in pixels below the first lane's top.
    this.scale = 1; // Pixels a unit.
    this.#labels();
    this.lay();
    new ResizeObserver(() => this.resize()).observe(this.canvas.parentElement);
  }

  get ruler() {
    return Math.round(24 * this.fontScale);
  }

  get width() {
    return this.canvas.clientWidth;
  }

  get height() {
    return this.canvas.clientHeight - this.ruler;
  }

  /** Lay all out anew, for another axis or other steps. */
  lay() {
    const { journey } = this;
    const kept = this.only && this.packet !== null ? this.#kept() : null;
    const steps = kept ? journey.steps.filter((step) => kept.has(step.index)) : journey.steps;
    const order = new OrderAxis(journey, steps);
    this.axis = this.axisName === "order" ? order : new TimeAxis(journey, steps, this.cut);
    this.lanes = new Lanes(journey, order);
    this.#choose();
    this.fit();
    this.dispatchEvent(new Event("lay"));
  }

  /** The chosen packet's steps, with the calls that they are inside of. */
  #kept() {
    const kept = new Set();
    for (const step of this.journey.stepsOf(this.packet)) {
      kept.add(step.index);
      for (const outer of this.journey.ancestors(step)) kept.add(outer.index);
    }
    return kept;
  }

  #choose() {
    const ids = this.packet === null ? this.journey.packets.map((packet) => packet.id) : [this.packet];
    this.paths = ids
      .slice(0, this.packet === null ? Theme.PACKETS : 1)
      .map((id) => ({ id, links: this.journey.path(id) }));
    this.context = this.packet === null ? null : this.#kept();
  }

  /** How a step is shown: "plain", or with a packet chosen "chosen", "context" (a call around it) or "dimmed". */
  look(step) {
    if (this.packet === null) return "plain";
    if (step.packets.includes(this.packet)) return "chosen";
    return this.context.has(step.index) ? "context" : "dimmed";
  }

  choose(packet) {
    this.packet = packet;
    if (this.only) this.lay();
    else this.#choose();
    this.#changed("choose");
  }

  showOnly(only) {
    this.only = only;
    this.lay();
    this.#changed("view");
  }

  setAxis(name, cut = this.cut) {
    this.axisName = name;
    this.cut = cut;
    this.lay();
    if (this.selected) this.reveal(this.selected);
    this.#changed("view");
  }

  setFontScale(scale) {
    this.fontScale = scale;
    this.root.style.setProperty("--gutter", "4rem"); // To measure anew.
    this.#fitGutter();
    this.fit();
  }

  select(step, reveal = true) {
    this.selected = step;
    if (step && reveal) this.reveal(step);
    this.#changed("select");
  }

  #changed(what) {
    this.draw();
    this.dispatchEvent(new Event(what));
  }

  /** Show everything. */
  fit() {
    this.fitScale = Math.max(this.width - 24, 50) / this.axis.width;
    this.fitRows = this.lanes.fitting(Math.max(this.height - 6, 100), this.fontScale);
    this.scale = this.fitScale;
    this.x = -12 / this.scale;
    this.y = 0;
    this.#rows();
    this.draw();
  }

  /** Rows of the overview are low; they grow as one comes nearer. */
  #rows() {
    const near = Math.max(this.scale / this.fitScale, 1);
    const [call, other] = this.fitRows;
    const grown = (height, most, power) => Math.max(height, Math.min(most * this.fontScale, height * near ** power));
    this.lanes.arrange(grown(call, 15, 0.75), grown(other, 18, 0.4), this.fontScale);
    this.#clamp();
  }

  #clamp() {
    const room = this.width / this.scale;
    const margin = room * 0.5;
    this.x = Math.min(Math.max(this.x, -margin), Math.max(this.axis.width - room + margin, -12 / this.scale));
    this.y = Math.min(Math.max(this.y, 0), Math.max(this.lanes.height - this.height + 6, 0));
  }

  /** Time of the world under the pointer, to what a pixel tells. */
  cursorFs() {
    const at = (px) => this.axis.timeAt(this.x + px / this.scale);
    const pixel = this.axisName === "time" ? at(this.cursor.x + 1) - at(this.cursor.x) : 0;
    const digit = 10 ** Math.floor(Math.log10(Math.max(pixel, 1)));
    return Math.round((at(this.cursor.x) - this.journey.beginFs) / digit) * digit + this.journey.beginFs;
  }

  /** Zoom by a factor so that what is at pixel (px, py) of the canvas stays there, else the selected step. */
  zoom(factor, px = this.#centre()[0], py = this.#centre()[1]) {
    const at = this.x + px / this.scale;
    const y = this.y + py - this.ruler;
    const lane = this.lanes.at(y);
    const part = lane ? (y - lane.y) / lane.height : 0;
    const [least, most] = [this.fitScale * 0.8, Math.max(this.axis.most, this.fitScale * 4)];
    this.scale = Math.min(Math.max(this.scale * factor, least), most);
    this.x = at - px / this.scale;
    this.#rows();
    if (lane) this.y = lane.y + part * lane.height - py + this.ruler;
    this.#clamp();
    this.#changed("view");
  }

  /** The selected step if it is in view, or else the middle of the view. */
  #centre() {
    const middle = [this.width / 2, this.ruler + this.height / 2];
    if (!this.selected || this.lanes.row[this.selected.index] < 0) return middle;
    const { left, top } = this.box(this.selected);
    return left >= 0 && left < this.width && top >= this.ruler && top < this.ruler + this.height ? [left, top] : middle;
  }

  pan(dx, dy) {
    this.x += dx / this.scale;
    this.y += dy;
    this.#clamp();
    this.#changed("view");
  }

  /** Bring a step into view, near enough to read it. */
  reveal(step) {
    if (this.lanes.row[step.index] < 0) return; // Not shown now.
    const [x0, x1] = [this.axis.x0[step.index], this.axis.x1[step.index]];
    const readable = this.axisName === "order" ? 1.6 : this.fitScale;
    if (this.scale < readable) {
      this.scale = readable;
      this.#rows();
    }
    const left = (x0 - this.x) * this.scale;
    const right = (Math.min(x1, x0 + 120 / this.scale) - this.x) * this.scale;
    if (left < 40 || right > this.width - 60) this.x = x0 - (this.width * 0.35) / this.scale;
    const { y, height } = this.lanes.box(step);
    if (y < this.y + 10 || y + height > this.y + this.height - 20) this.y = y - this.height * 0.45;
    this.#clamp();
  }

  /** Bring a stretch of the axis into view. */
  show(x0, x1) {
    this.scale = Math.min(
      Math.max(this.width / (x1 - x0), this.fitScale * 0.8),
      Math.max(this.axis.most, this.fitScale * 4),
    );
    this.x = x0;
    this.#rows();
    this.#changed("view");
  }

  /** Where a step is on the canvas: {left, top, width, height} in pixels; instants have a least width. */
  box(step) {
    const { y, height } = this.lanes.box(step);
    const left = (this.axis.x0[step.index] - this.x) * this.scale;
    const width = (this.axis.x1[step.index] - this.axis.x0[step.index]) * this.scale;
    return { left, top: y - this.y + this.ruler, width: Math.max(width, 3), height };
  }

  /** The step at a pixel of the canvas, or null: of several the shortest. */
  stepAt(px, py) {
    let best = null;
    let narrow = Infinity;
    if (py < this.ruler) return null;
    for (const step of this.axis.steps) {
      const { left, top, width, height } = this.box(step);
      if (
        py < top ||
        py >= top + height ||
        px < left - 3 ||
        px > Math.max(left + width + 3, this.painter.labelEnd[step.index])
      )
        continue;
      const missed = px > left + width + 3 ? 1000 : 0; // On its label only.
      if (width + missed < narrow) [best, narrow] = [step, width + missed];
    }
    return best;
  }

  /** The step after (+1) or before (-1) the selected one, of the chosen packet if one is chosen. */
  neighbour(direction) {
    const wanted = (step) => this.packet === null || step.packets.includes(this.packet);
    const { steps } = this.axis;
    let i = this.selected ? steps.indexOf(this.selected) + direction : direction > 0 ? 0 : steps.length - 1;
    while (steps[i] && !wanted(steps[i])) i += direction;
    return steps[i] ?? null;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (!clientWidth) return;
    const whole = !this.sized || this.scale === this.fitScale;
    this.sized = true;
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    if (whole) this.fit();
    else this.#rows();
    this.draw();
  }

  /** Draw soon, once for all changes until then. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      if (!this.sized) return;
      this.painter.paint();
      this.#placeLabels();
    });
  }

  #labels() {
    const { journey } = this;
    this.heads = new Map(journey.hosts.map((host) => [host, element("div", "host", host)]));
    this.labels = journey.tracks.map((track) => element("div", `lane ${track.kind}`, track.label));
    journey.tracks.forEach((track, i) => {
      this.labels[i].title = track.name;
    });
    this.gutter.append(...this.heads.values(), ...this.labels);
    this.#fitGutter();
  }

  /** As wide as the longest name, within reason. */
  #fitGutter() {
    const widest = Math.max(...this.labels.map((label) => label.scrollWidth));
    if (widest) this.root.style.setProperty("--gutter", `${Math.min(Math.ceil(widest) + 6, innerWidth / 5)}px`);
  }

  #placeLabels() {
    for (const [host, head] of this.heads)
      head.hidden = !this.lanes.lanes.some((lane) => lane.heads && lane.track.host === host);
    this.lanes.lanes.forEach((lane, i) => {
      const label = this.labels[i];
      label.hidden = lane.hidden;
      if (lane.hidden) return;
      const top = lane.y - this.y + this.ruler;
      // A tall lane's name stays in view as long as the lane does.
      const held = Math.min(Math.max(top, this.ruler), top + lane.height - 18 * this.fontScale);
      label.style.transform = `translateY(${Math.max(held, top)}px)`;
      label.style.fontSize =
        lane.height < 15 * this.fontScale ? `${Math.min(lane.height - 1.5, 10.6 * this.fontScale)}px` : "";
      label.style.height = `${lane.height - Math.max(held - top, 0)}px`;
      if (lane.heads)
        this.heads.get(lane.track.host).style.transform = `translateY(${top - Lanes.GROUP * this.fontScale}px)`;
    });
  }
}
