/* Mouse, fingers and keys on the lanes. */

class Gestures {
  constructor(timeline, tip) {
    this.timeline = timeline;
    this.canvas = timeline.canvas;
    this.tip = tip;
    this.drag = null;
    this.canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.canvas.addEventListener("pointerup", (event) => this.#up(event));
    this.canvas.addEventListener("pointerleave", () => this.#leave());
    this.canvas.addEventListener("dblclick", (event) => this.#double(event));
  }

  #at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.shiftKey) this.timeline.pan(0, dx + dy);
    else if (Math.abs(dx) > Math.abs(dy)) this.timeline.pan(dx, 0);
    else this.timeline.zoom(1.0016 ** -dy, ...this.#at(event));
  }

  #down(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x: event.clientX, y: event.clientY, moved: false };
  }

  #move(event) {
    const [x, y] = this.#at(event);
    this.timeline.cursor = { x, y };
    if (this.drag) {
      const [dx, dy] = [event.clientX - this.drag.x, event.clientY - this.drag.y];
      if (this.drag.moved || Math.hypot(dx, dy) > 4) {
        this.drag = { x: event.clientX, y: event.clientY, moved: true };
        this.canvas.classList.add("dragged");
        this.timeline.pan(-dx, -dy);
      }
      this.tip.hide();
    } else {
      this.timeline.hovered = this.timeline.stepAt(x, y);
      this.canvas.classList.toggle("over", this.timeline.hovered !== null);
      if (this.timeline.hovered) this.tip.show(this.timeline.hovered, event.clientX, event.clientY);
      else this.tip.hide();
    }
    this.timeline.dispatchEvent(new Event("cursor"));
    this.timeline.draw();
  }

  #up(event) {
    if (this.drag && !this.drag.moved) this.timeline.select(this.timeline.stepAt(...this.#at(event)), false);
    this.drag = null;
    this.canvas.classList.remove("dragged");
  }

  #leave() {
    this.timeline.cursor = this.timeline.hovered = null;
    this.tip.hide();
    this.timeline.dispatchEvent(new Event("cursor"));
    this.timeline.draw();
  }

  #double(event) {
    const step = this.timeline.stepAt(...this.#at(event));
    if (!step) return this.timeline.zoom(2.5, ...this.#at(event));
    const { axis } = this.timeline;
    const [x0, x1] = [axis.x0[step.index], axis.x1[step.index]];
    const margin = Math.max((x1 - x0) * 0.15, 40 / axis.most);
    this.timeline.show(x0 - margin, x1 + margin);
    this.timeline.reveal(step);
  }

  /** True if the key meant something here. */
  key(event) {
    const { timeline } = this;
    const far = timeline.width * 0.3;
    const actions = {
      ArrowRight: () => timeline.select(timeline.neighbour(1) ?? timeline.selected),
      ArrowLeft: () => timeline.select(timeline.neighbour(-1) ?? timeline.selected),
      ArrowUp: () => this.#nest(-1),
      ArrowDown: () => this.#nest(1),
      "+": () => timeline.zoom(1.5),
      "=": () => timeline.zoom(1.5),
      "-": () => timeline.zoom(1 / 1.5),
      0: () => timeline.fit(),
      a: () => timeline.pan(-far, 0),
      d: () => timeline.pan(far, 0),
      PageUp: () => timeline.pan(0, -timeline.height * 0.7),
      PageDown: () => timeline.pan(0, timeline.height * 0.7),
      Escape: () => (timeline.selected ? timeline.select(null) : timeline.choose(null)),
    };
    const action = actions[event.key];
    if (action) action();
    return Boolean(action);
  }

  /** To the call around the selected step (-1), or to the first one in it (+1). */
  #nest(direction) {
    const { selected, journey } = this.timeline;
    if (!selected) return;
    const index = direction < 0 ? selected.parent : selected.children[0];
    if (index !== null && index !== undefined) this.timeline.select(journey.steps[index]);
  }
}

/** The few lines about a step that follow the pointer. */
class Tip {
  constructor(root, journey) {
    this.root = root;
    this.journey = journey;
  }

  show(step, x, y) {
    const { journey, root } = this;
    const track = journey.track(step);
    const cycle = journey.cycleText(track, step.begin_fs);
    const length = step.instant ? "" : ` · lasts ${durationText(step.end_fs - step.begin_fs)}`;
    root.replaceChildren(
      element("b", "", step.name),
      element("div", "", `${track.name}${step.what ? ` · ${step.what}` : ""}`),
      element("div", "", `${nsText(step.begin_fs - journey.beginFs)} ns${cycle}${length}`),
      ...step.packets.map((id) => element("div", "", packetMark(id), ` ${journey.packet(id).label}`)),
    );
    root.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = root;
    root.style.left = `${Math.min(x + 14, innerWidth - width - 8)}px`;
    root.style.top = `${y + 18 + height > innerHeight ? y - height - 10 : y + 18}px`;
  }

  hide() {
    this.root.hidden = true;
  }
}
