/* The whole journey as a strip, with a window on what the lanes show. */

class Overview {
  constructor(canvas, timeline) {
    this.canvas = canvas;
    this.timeline = timeline;
    this.context = canvas.getContext("2d");
    for (const event of ["view", "choose", "select"]) timeline.addEventListener(event, () => this.draw());
    const move = (event) => {
      if (!event.buttons) return;
      const { left, width } = canvas.getBoundingClientRect();
      const at = ((event.clientX - left) / width) * timeline.axis.width;
      timeline.pan((at - timeline.x) * timeline.scale - timeline.width / 2, 0);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener("pointermove", move);
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.#paint();
    });
  }

  #paint() {
    const { canvas, context: c, timeline } = this;
    const {
      axis,
      journey,
      painter: { theme },
    } = timeline;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = theme.lane;
    c.fillRect(0, 0, width, height);
    const per = width / axis.width;
    const row = (height - 4) / journey.tracks.length;
    for (const step of axis.steps) {
      const look = timeline.look(step);
      c.globalAlpha = look === "dimmed" || look === "context" ? 0.15 : 0.9;
      c.fillStyle =
        step.kind === "drop" ? theme.drop : theme.packet(look === "chosen" ? timeline.packet : step.owner).line;
      const left = axis.x0[step.index] * per;
      c.fillRect(
        left,
        2 + step.track * row,
        Math.max(step.kind === "call" ? 1 : axis.x1[step.index] * per - left, 1),
        Math.max(row - 0.5, 1),
      );
    }
    c.globalAlpha = 1;
    const left = Math.max(timeline.x * per, 0);
    const right = Math.min((timeline.x + timeline.width / timeline.scale) * per, width);
    c.fillStyle = theme.accent;
    c.globalAlpha = 0.14;
    const [top, bottom] = this.#rows(row, height);
    c.fillRect(left, top, right - left, bottom - top);
    c.globalAlpha = 1;
    c.strokeStyle = theme.accent;
    c.lineWidth = 1.5;
    c.strokeRect(left + 0.75, top + 0.75, Math.max(right - left - 1.5, 2), bottom - top - 1.5);
  }

  /** Upper and lower edge of the lanes that are in view. */
  #rows(row, height) {
    const { y, height: seen, lanes } = this.timeline;
    const inView = lanes.lanes.filter((lane) => !lane.hidden && lane.y < y + seen && lane.y + lane.height > y);
    if (!inView.length) return [0, height];
    const [first, last] = [inView[0].track.index, inView.at(-1).track.index];
    return [first ? 1 + first * row : 0, last < lanes.lanes.length - 1 ? 3 + (last + 1) * row : height];
  }
}
