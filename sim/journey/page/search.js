/* Search in everything that a step says about itself. */

class Search {
  constructor(root, timeline) {
    this.timeline = timeline;
    this.input = root.querySelector("input");
    this.output = root.querySelector("output");
    this.found = [];
    this.texts = timeline.journey.steps.map((step) => Search.text(timeline.journey, step));
    this.input.addEventListener("input", () => this.find(this.input.value));
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.move(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") this.clear();
      else return;
      event.preventDefault();
    });
    root.querySelector(".previous").addEventListener("click", () => this.move(-1));
    root.querySelector(".next").addEventListener("click", () => this.move(1));
  }

  static text(journey, step) {
    const values = Object.entries(step.values).flatMap(([name, value]) => [
      name,
      value,
      typeof value === "number" && Number.isInteger(value) ? `0x${value.toString(16)}` : "",
    ]);
    const packets = step.packets.map((id) => `#${id}`);
    return [step.name, step.kind, step.what, journey.track(step).name, ...values, ...packets].join(" ").toLowerCase();
  }

  find(wanted) {
    const words = wanted.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const { timeline } = this;
    this.found = words.length
      ? timeline.axis.steps.filter((step) => words.every((word) => this.texts[step.index].includes(word)))
      : [];
    timeline.hits = new Set(this.found.map((step) => step.index));
    this.#say(words.length > 0);
    timeline.draw();
  }

  /** Select the next (+1) or previous (-1) hit. */
  move(direction) {
    if (!this.found.length) return;
    const from = this.timeline.selected ? this.timeline.selected.index : direction > 0 ? -1 : Infinity;
    const next =
      direction > 0 ? this.found.find((step) => step.index > from) : this.found.findLast((step) => step.index < from);
    this.timeline.select(next ?? this.found.at(direction > 0 ? 0 : -1));
    this.#say(true);
  }

  #say(asked) {
    const here = this.found.indexOf(this.timeline.selected);
    this.output.value = !asked
      ? ""
      : here >= 0
        ? `${here + 1} of ${this.found.length}`
        : count(this.found.length, "hit");
  }

  clear() {
    this.input.value = "";
    this.find("");
    this.input.blur();
  }
}
