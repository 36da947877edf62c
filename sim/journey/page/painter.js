/* Draws the lanes on a canvas, only what is in view. */

class Painter {
  constructor(timeline) {
    this.timeline = timeline;
    this.context = timeline.canvas.getContext("2d");
    this.labelEnd = new Float64Array(timeline.journey.steps.length);
    this.retheme();
  }

  retheme() {
    this.theme = new Theme();
  }

  paint() {
    const { timeline: view, context: c, theme } = this;
    const ratio = window.devicePixelRatio || 1;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.width = view.width;
    this.bottom = view.ruler + view.height;
    c.fillStyle = theme.bg;
    c.fillRect(0, 0, this.width, this.bottom);
    this.#lanes();
    if (view.axisName === "order") this.#bands();
    else this.#ticks();
    c.save();
    c.beginPath();
    c.rect(0, view.ruler, this.width, view.height);
    c.clip();
    this.labelEnd.fill(-1);
    const labels = [];
    for (const step of view.axis.steps) {
      const box = view.box(step);
      if (
        box.left > this.width ||
        box.left + box.width < -400 ||
        box.top > this.bottom ||
        box.top + box.height < view.ruler
      )
        continue;
      const look = view.look(step);
      this.#step(step, box, look);
      if (look !== "dimmed") labels.push([step, box, look]);
    }
    for (const path of view.paths) this.#path(path);
    for (const [step, box, look] of labels) {
      if (step.kind === "drop") this.#drop(step, box);
      if (box.height >= 9 * view.fontScale) this.#label(step, box, look);
      else if (look !== "context") this.#title(step, box);
    }
    this.#marks();
    c.restore();
    this.#cursor();
  }

  #lanes() {
    const { timeline: view, context: c, theme } = this;
    for (const lane of view.lanes.lanes.filter((lane) => !lane.hidden)) {
      const top = lane.y - view.y + view.ruler;
      c.fillStyle = theme.lane;
      c.fillRect(0, top, this.width, lane.height - 1);
    }
  }

  /** In order: each instant is a band, with its time above. */
  #bands() {
    const { timeline: view, context: c, theme } = this;
    let free = -Infinity;
    view.axis.bands.forEach((band, i) => {
      const [left, right] = [(band.x0 - view.x) * view.scale, (band.x1 - view.x) * view.scale];
      if (right < 0 || left > this.width) return;
      if (i % 2 && right - left > 3) {
        c.fillStyle = theme.band;
        c.fillRect(left, view.ruler, right - left, view.height);
      }
      free = this.#rulerLabel(timeText(band.fs - view.journey.beginFs), Math.max(left, Math.min(0, right - 60)), free);
    });
    this.#rulerLine();
  }

  #rulerLabel(text, left, free, centred = false) {
    const { timeline: view, context: c, theme } = this;
    c.font = `${11 * view.fontScale}px ${theme.sans}`;
    const width = c.measureText(text).width;
    const x = centred ? left - width / 2 : left + 4;
    if (x < free + 8) return free;
    c.fillStyle = theme.muted;
    c.textBaseline = "middle";
    c.fillText(text, x, view.ruler / 2);
    if (!centred) c.fillRect(left, view.ruler - 6, 1, 6);
    return x + width;
  }

  #rulerLine() {
    this.context.fillStyle = this.theme.line;
    this.context.fillRect(0, this.timeline.ruler - 1, this.width, 1);
  }

  /** By time: ticks at round times, cycles of the clock when near, and marks where idle time is cut out. */
  #ticks() {
    const { timeline: view, context: c, theme } = this;
    const { journey, axis } = view;
    const lane = view.cursor ? view.lanes.at(view.cursor.y - view.ruler + view.y) : null;
    let free = -Infinity;
    for (const piece of axis.pieces) {
      const [left, right] = [(piece.x0 - view.x) * view.scale, (piece.x1 - view.x) * view.scale];
      if (right < 0 || left > this.width) continue;
      if (piece.idle) {
        this.#hatch(left, view.ruler, right - left, view.height, theme.idle, 7);
        free = this.#rulerLabel(`‖ ${durationText(piece.end - piece.begin)}`, (left + right) / 2, free, true);
        continue;
      }
      const perFs = (right - left) / (piece.end - piece.begin);
      const clock = lane?.track.clock ?? journey.clocks[0];
      if (clock && clock.period_fs * perFs >= 7) this.#cycles(piece, left, perFs, clock);
      const apart = Painter.round(62 / perFs);
      const from = Math.max(piece.begin, piece.begin - left / perFs) - journey.beginFs;
      const until = Math.min(piece.end, piece.begin + (this.width - left) / perFs) - journey.beginFs;
      for (let fs = Math.ceil(from / apart) * apart; fs <= until; fs += apart) {
        const x = left + (fs + journey.beginFs - piece.begin) * perFs;
        c.fillStyle = theme.line;
        c.fillRect(x, view.ruler, 1, view.height);
        free = this.#rulerLabel(fs < 1e9 ? `${nsText(fs)} ns` : `${+(fs / 1e9).toFixed(6)} µs`, x, free);
      }
    }
    this.#rulerLine();
  }

  /** The least of 1, 2, 5, 10, 20, … that is not less. */
  static round(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
  }

  #cycles(piece, left, perFs, clock) {
    const { timeline: view, context: c, theme } = this;
    const first = Math.max(piece.begin, piece.begin - left / perFs);
    const until = Math.min(piece.end, piece.begin + (this.width - left) / perFs);
    c.fillStyle = theme.band;
    for (let cycle = cycleOf(clock, first); ; cycle += 1) {
      const fs = cycle * clock.period_fs + clock.phase_fs;
      if (fs > until) break;
      if (cycle % 2) c.fillRect(left + (fs - piece.begin) * perFs, view.ruler, clock.period_fs * perFs, view.height);
    }
  }

  #hatch(x, y, width, height, colour, apart) {
    const { context: c } = this;
    const [from, to] = [Math.max(x, -20), Math.min(x + width, this.width + 20)];
    if (to <= from) return;
    c.save();
    c.beginPath();
    c.rect(from, y, to - from, height);
    c.clip();
    c.strokeStyle = colour;
    c.lineWidth = 1;
    c.beginPath();
    for (let at = from - height - ((((from - x - height) % apart) + apart) % apart); at < to; at += apart) {
      c.moveTo(at, y + height);
      c.lineTo(at + height, y);
    }
    c.stroke();
    c.restore();
  }

  #colours(step) {
    const { packet } = this.timeline;
    return this.theme.packet(packet !== null && step.packets.includes(packet) ? packet : step.owner);
  }

  #step(step, box, look) {
    const { timeline: view, context: c, theme } = this;
    const { line, fill } = this.#colours(step);
    const left = Math.max(box.left, -4);
    const width = Math.min(box.left + box.width, this.width + 4) - left;
    const gap = box.height > 6 ? 1 : 0;
    const height = Math.max(box.height - gap, 1);
    c.globalAlpha = look === "dimmed" ? 0.28 : 1;
    if (step.kind === "wait") {
      this.#hatch(left, box.top, width, height, line, 5);
      c.strokeStyle = line;
      c.setLineDash([4, 3]);
      c.strokeRect(left + 0.5, box.top + 0.5, Math.max(width - 1, 1), Math.max(height - 1, 1));
      c.setLineDash([]);
    } else if (step.kind !== "drop") {
      const strong = step.kind === "frame" && look !== "dimmed";
      c.fillStyle = look === "context" ? theme.lane : strong ? line : fill;
      c.fillRect(left, box.top, width, height);
      if (width > 2.5 && height > 2.5) {
        c.strokeStyle = look === "context" ? theme.muted : line;
        c.lineWidth = 1;
        c.strokeRect(left + 0.5, box.top + 0.5, width - 1, height - 1);
      }
    } else {
      this.#drop(step, box);
    }
    c.globalAlpha = 1;
  }

  /** A name stands in its bar, or if it is too long right of it, or over both as far as there is room. */
  #label(step, box, look) {
    const { timeline: view, context: c, theme } = this;
    const next = view.lanes.next[step.index];
    const inside = box.left + box.width;
    let free = Math.max(next < 0 ? Infinity : (view.axis.x0[next] - view.x) * view.scale, inside) - 3;
    let start = Math.max(box.left, 0) + 4;
    const size = Math.min(11.5 * view.fontScale, box.height - (step.kind === "call" ? 2.5 : 1));
    c.font = `${step.kind === "frame" || step.kind === "drop" ? "600 " : ""}${size}px ${theme.sans}`;
    let text = Painter.text(step);
    let width = c.measureText(text).width;
    const mark = step.kind === "drop" ? box.height : 0;
    const beside = mark || (start + width > inside - 2 && box.width < 60 && inside + 4 + width < free);
    if (beside) start = box.left + Math.max(mark, box.width) + 4;
    else if (step.kind !== "call" && box.width > 24) free = Math.min(free, inside - 2);
    if (free - start < 12) return;
    if (start + width > free) {
      let fits = Math.floor((text.length * (free - start)) / width);
      const whole = text;
      do {
        fits -= 1;
        text = `${whole.slice(0, fits)}…`;
        width = c.measureText(text).width;
      } while (start + width > free && fits > 1);
      if (fits < 2) return;
    }
    const within = !beside && start + width <= inside;
    c.textBaseline = "middle";
    const y = box.top + box.height / 2;
    if (!beside && (step.kind === "wait" || step.kind === "frame")) {
      // Over hatching, in a strong bar, or half out of it.
      c.fillStyle = step.kind === "frame" && within ? this.#colours(step).line : theme.lane;
      c.fillRect(start - 2, box.top + 1, width + 4, box.height - 3);
    }
    if (step.kind === "drop") c.fillStyle = theme.drop;
    else if (step.kind === "frame" && within) c.fillStyle = theme.bg;
    else c.fillStyle = look === "context" || step.owner === null ? theme.muted : theme.text;
    if (!within && step.kind !== "call") {
      // Readable also where a line runs behind it.
      c.strokeStyle = theme.lane;
      c.lineWidth = 3;
      c.lineJoin = "round";
      c.strokeText(text, start, y);
      c.lineWidth = 1;
    }
    c.fillText(text, start, y);
    this.labelEnd[step.index] = start + width;
  }

  /** Where rows are too low for names, the outermost calls have theirs over what they call. */
  #title(step, box) {
    const { timeline: view, context: c, theme } = this;
    const outer = step.parent === null ? null : view.journey.steps[step.parent];
    if (step.kind !== "call" || outer?.track === step.track) return;
    c.font = `600 ${10.5 * view.fontScale}px ${theme.sans}`;
    if (c.measureText(step.name).width + 8 > box.width) return;
    c.textBaseline = "top";
    c.strokeStyle = this.#colours(step).fill;
    c.lineWidth = 3;
    c.lineJoin = "round";
    c.strokeText(step.name, Math.max(box.left, 0) + 4, box.top + 1);
    c.lineWidth = 1;
    c.fillStyle = theme.text;
    c.fillText(step.name, Math.max(box.left, 0) + 4, box.top + 1);
  }

  static text(step) {
    return step.kind === "wait" && !step.instant
      ? `${step.name} ${durationText(step.end_fs - step.begin_fs)}`
      : step.name;
  }

  #drop(step, box) {
    const { context: c, theme } = this;
    const radius = Math.min(Math.max(box.height / 2, 4), 8);
    const [x, y] = [box.left + radius, box.top + box.height / 2];
    c.fillStyle = theme.drop;
    c.beginPath();
    c.arc(x, y, radius, 0, 2 * Math.PI);
    c.fill();
    c.strokeStyle = theme.bg;
    c.lineWidth = 1.6;
    const arm = radius * 0.45;
    c.beginPath();
    c.moveTo(x - arm, y - arm);
    c.lineTo(x + arm, y + arm);
    c.moveTo(x + arm, y - arm);
    c.lineTo(x - arm, y + arm);
    c.stroke();
    c.lineWidth = 1;
  }

  #path({ id, links }) {
    const { timeline: view, context: c, theme } = this;
    const chosen = view.packet === id;
    c.strokeStyle = c.fillStyle = theme.packet(id).line;
    c.lineWidth = (chosen ? 2.4 : 1.3) * view.fontScale;
    for (const { from, to, inside } of links) {
      const [a, b] = [view.box(from), view.box(to)];
      const [x1, y1, y0] = [b.left, b.top + b.height / 2, a.top + a.height / 2];
      // Out of a bar that lasts, where the next thing begins; else from its end.
      const x0 = inside ? a.left : Math.min(Math.max(x1, a.left), a.left + a.width);
      if (Math.max(x0, x1) < -50 || Math.min(x0, x1) > this.width + 50) continue;
      c.globalAlpha = (chosen ? 1 : 0.75) * (inside ? 0.55 : 1);
      c.beginPath();
      c.moveTo(x0, y0);
      if (inside) c.lineTo(x1, y1);
      else c.bezierCurveTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1);
      c.stroke();
      if (!inside && chosen) {
        for (const [x, y] of [
          [x0, y0],
          [x1, y1],
        ]) {
          c.beginPath();
          c.arc(x, y, 2.7 * view.fontScale, 0, 2 * Math.PI);
          c.fill();
        }
      }
    }
    c.globalAlpha = 1;
    c.lineWidth = 1;
  }

  #marks() {
    const { timeline: view, context: c, theme } = this;
    const outline = (step, colour, width, out) => {
      const box = view.box(step);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.strokeRect(box.left - out, box.top - out, box.width + 2 * out - 1, Math.max(box.height + 2 * out - 1, 3));
      c.lineWidth = 1;
    };
    const shown = (index) => view.lanes.row[index] >= 0;
    for (const index of view.marked) if (shown(index)) outline(view.journey.steps[index], theme.accent, 1.5, 0.5);
    for (const index of view.hits) {
      if (!shown(index)) continue;
      outline(view.journey.steps[index], theme.text, 5, 1);
      outline(view.journey.steps[index], theme.hit, 3, 1);
    }
    if (view.hovered) outline(view.hovered, theme.text, 1, 0.5);
    if (view.selected && shown(view.selected.index)) {
      outline(view.selected, theme.bg, 5, 2);
      outline(view.selected, theme.text, 2.5, 1.5);
    }
  }

  #cursor() {
    const { timeline: view, context: c, theme } = this;
    if (!view.cursor) return;
    c.fillStyle = theme.accent;
    c.fillRect(view.cursor.x, 0, 1, this.bottom);
    const text = timeText(view.cursorFs() - view.journey.beginFs);
    c.font = `600 ${11 * view.fontScale}px ${theme.sans}`;
    const width = c.measureText(text).width + 10;
    const left = Math.min(Math.max(view.cursor.x - width / 2, 0), this.width - width);
    c.fillRect(left, 2, width, view.ruler - 5);
    c.fillStyle = theme.bg;
    c.textBaseline = "middle";
    c.fillText(text, left + 5, view.ruler / 2);
  }
}
