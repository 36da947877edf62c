/* The page that compares two journeys: aligned steps on the left, times or octets on the right. */

class Comparison {
  static MARKS = {
    same: ["=", "the same"],
    octets: ["≠", "other octets made here"],
    still: ["≠", "other octets made elsewhere"],
    time: ["~", "other length of time"],
    a: ["A", "only in A"],
    b: ["B", "only in B"],
  };

  static QUIET = new Set(["same", "still"]); // What is no difference of its own.

  static RUN = 6; // More steps than this without a difference are folded.

  constructor(root, alignment) {
    this.root = root;
    this.alignment = alignment;
    this.list = root.querySelector(".aligned");
    this.panel = root.querySelector(".panel");
    this.summary = root.querySelector(".summary");
    this.selected = null;
    this.packet = null;
    for (const side of ["a", "b"]) root.querySelector(`.title-${side}`).textContent = alignment[side].title;
    const choice = root.querySelector("select");
    choice.append(new Option("all steps", ""));
    for (const packet of alignment.a.packets) choice.append(new Option(`#${packet.id} ${packet.label}`, packet.id));
    choice.addEventListener("change", () => this.follow(choice.value ? Number(choice.value) : null));
    root.querySelector(".previous").addEventListener("click", () => this.move(-1, true));
    root.querySelector(".next").addEventListener("click", () => this.move(1, true));
    this.follow(null);
  }

  follow(packet) {
    this.packet = packet;
    this.rows = this.alignment.rows(packet);
    this.root.querySelector("select").value = packet ?? "";
    this.open = new Set();
    this.selected = null;
    this.#list();
    this.#counts();
    this.#panel();
  }

  #counts() {
    const number = (mark) => this.rows.filter((row) => row.mark === mark).length;
    this.summary.replaceChildren(
      ...Object.entries(Comparison.MARKS).map(([mark, [sign, words]]) =>
        element("span", `count mark-${mark}`, element("b", "sign", sign), ` ${number(mark)} ${words}`),
      ),
    );
  }

  /** Runs of steps without a difference of their own are folded to one line that opens. */
  #list() {
    this.lines = new Map();
    const parts = [];
    for (let i = 0; i < this.rows.length;) {
      const first = i;
      while (i < this.rows.length && Comparison.QUIET.has(this.rows[i].mark)) i += 1;
      if (i - first > Comparison.RUN && !this.open.has(first)) parts.push(...this.#fold(first, i - 1));
      else for (let at = first; at < i; at += 1) parts.push(this.#line(at));
      if (i < this.rows.length) parts.push(this.#line(i));
      i += 1;
    }
    this.list.replaceChildren(...parts);
  }

  #fold(first, last) {
    const inner = this.rows.slice(first + 1, last);
    const still = inner.filter((row) => row.mark === "still").length;
    const words = `⋯ ${inner.length} ${still ? `alike, ${still} of them with other octets made elsewhere` : "the same"}`;
    return [this.#line(first), button("fold", words, "Show them", () => this.#unfold(first)), this.#line(last)];
  }

  #unfold(first) {
    this.open.add(first);
    this.#list();
    this.#show();
  }

  #line(index) {
    const row = this.rows[index];
    const line = button(`pair mark-${row.mark}`, "", "", () => this.select(index));
    line.dataset.mark = row.mark;
    const [sign, words] = Comparison.MARKS[row.mark];
    const mark = element("span", "sign", sign);
    mark.title = words;
    line.append(this.#side(this.alignment.a, row.a), mark, this.#side(this.alignment.b, row.b));
    this.lines.set(index, line);
    return line;
  }

  #side(journey, step) {
    if (!step) return element("span", "side none");
    const depth = Math.min(journey.ancestors(step).length, 30);
    const name = element("span", "name", step.name);
    name.style.paddingLeft = `${depth * 0.22}rem`;
    const length = step.instant ? "" : durationText(step.end_fs - step.begin_fs);
    return element(
      "span",
      "side",
      element("span", "when", timeText(step.begin_fs - journey.beginFs)),
      name,
      element("small", "", length),
      element("small", "where", journey.track(step).name),
    );
  }

  select(index) {
    this.selected = index;
    this.#show();
    this.#panel();
  }

  #show() {
    for (const [index, line] of this.lines) line.setAttribute("aria-pressed", String(index === this.selected));
    this.lines.get(this.selected)?.scrollIntoView({ block: "nearest" });
  }

  /** To the next row (+1) or the previous one (-1), or to one with a difference. */
  move(direction, different = false) {
    let index = this.selected === null ? (direction > 0 ? 0 : this.rows.length - 1) : this.selected + direction;
    while (this.rows[index] && (different ? Comparison.QUIET.has(this.rows[index].mark) : !this.lines.has(index)))
      index += direction;
    if (this.rows[index]) this.select(index);
  }

  #panel() {
    const row = this.selected === null ? null : this.rows[this.selected];
    this.panel.replaceChildren(...(row ? this.#pair(row) : this.#stages()));
    this.panel.scrollTop = 0;
  }

  #pair({ a, b, mark }) {
    const { a: one, b: other } = this.alignment;
    const [, words] = Comparison.MARKS[mark];
    const head = element(
      "div",
      "step-head",
      element("h3", "", (a ?? b).name),
      element("span", `kind mark-${mark}`, words),
      button("close", "×", "Back (Esc)", () => this.select(null)),
    );
    const facts = element(
      "table",
      "facts two",
      element("tr", "", element("th"), element("th", "", "A"), element("th", "", "B")),
    );
    const fact = (name, text) =>
      facts.append(
        element(
          "tr",
          "",
          element("th", "", name),
          element("td", "", a ? text(one, a) : "–"),
          element("td", "", b ? text(other, b) : "–"),
        ),
      );
    fact("where", (journey, step) => journey.track(step).name);
    fact("at", (journey, step) => `${nsText(step.begin_fs - journey.beginFs)} ns`);
    fact("lasts", (journey, step) => `${nsText(step.end_fs - step.begin_fs)} ns`);
    for (const name of new Set([...Object.keys(a?.values ?? {}), ...Object.keys(b?.values ?? {})])) {
      fact(name, (_, step) => (name in step.values ? valueText(step.values[name]) : "–"));
    }
    const [from, to] = [a?.to ?? null, b?.to ?? null];
    if (from === null && to === null) return [head, facts];
    const view = new OctetView(this.panel.clientWidth, OctetView.COMPARED);
    const title = element(
      "h3",
      "octets-title",
      from === null ? "Octets in B" : to === null ? "Octets in A" : "Octets in B, and in A where they differ",
    );
    return [head, facts, title, view.render(one, from, other, to, to === null ? "before" : "after")];
  }

  #stages() {
    const table = element(
      "table",
      "stages",
      element(
        "tr",
        "",
        element("th", "", "Where time and work go"),
        element("th", "", "A"),
        element("th", "", "B"),
        element("th", "", "B − A"),
      ),
    );
    const stages = this.alignment.stages(this.packet);
    for (const { where, name, a, b } of stages) {
      const calls = name === "calls";
      const size = (sum) => (calls ? sum.steps : sum.fs);
      const cell = (sum) =>
        element(
          "td",
          "",
          calls ? count(sum.steps, "call") : sum.steps ? durationText(sum.fs) : "–",
          this.#bar(size(sum) / Math.max(size(a), size(b), 1)),
          element("small", "", !calls && sum.steps > 1 ? `in ${sum.steps}` : ""),
        );
      const difference = size(b) - size(a);
      const text = calls ? String(Math.abs(difference)) : durationText(Math.abs(difference));
      table.append(
        element(
          "tr",
          difference ? "differs" : "",
          element("th", "", name, element("small", "", where)),
          cell(a),
          cell(b),
          element("td", "", difference ? `${difference > 0 ? "+" : "−"}${text}` : "="),
        ),
      );
    }
    const length = (journey) => durationText(journey.endFs - journey.beginFs);
    const total = element(
      "p",
      "hint",
      `A lasts ${length(this.alignment.a)}, B ${length(this.alignment.b)}. ` +
        "Choose a row on the left to compare its octets; n and p go from difference to difference.",
    );
    return [table, total];
  }

  #bar(part) {
    const bar = element("span", "bar");
    bar.style.width = `${Math.round(part * 100)}%`;
    return bar;
  }

  key(event) {
    const actions = {
      ArrowDown: () => this.move(1),
      ArrowRight: () => this.move(1),
      ArrowUp: () => this.move(-1),
      ArrowLeft: () => this.move(-1),
      n: () => this.move(1, true),
      p: () => this.move(-1, true),
      Escape: () => this.select(null),
    };
    if (actions[event.key]) actions[event.key]();
    return event.key in actions;
  }
}
