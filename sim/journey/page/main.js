/* Puts the page together, and keeps what it shows in the address, so that a link leads to the same picture. */

class Main {
  constructor() {
    const journeys = JSON.parse(document.getElementById("journeys").textContent).map((json) => new Journey(json));
    const names = ["A", "B"];
    this.pages = new Map();
    const template = document.getElementById("journey-page");
    journeys.forEach((journey, i) => {
      const root = template.content.firstElementChild.cloneNode(true);
      document.querySelector("main").append(root);
      this.pages.set(names[i], new JourneyPage(root, journey));
    });
    if (journeys.length > 1) this.#compare(journeys);
    this.#tabs();
    this.fontScale = 1;
    this.show(journeys.length > 1 ? "compare" : "A");
    this.#fromAddress();
    this.#listen();
    this.#hook();
  }

  get page() {
    return this.pages.get(this.shown);
  }

  #compare([a, b]) {
    const root = document.getElementById("comparison-page").content.firstElementChild.cloneNode(true);
    document.querySelector("main").append(root);
    const alignment = new Alignment(a, b);
    this.pages.set("compare", new Comparison(root, alignment));
    const rows = alignment.rows(null);
    for (const [name, side] of [
      ["A", "a"],
      ["B", "b"],
    ]) {
      this.pages.get(name).mark(rows.filter((row) => row.mark === side).map((row) => row[side].index));
    }
  }

  #tabs() {
    const bar = document.querySelector(".tabs");
    bar.hidden = this.pages.size === 1;
    for (const name of this.pages.keys()) {
      const title = this.pages.get(name).journey?.title;
      const tab = button("", title ? `${name}: ${title}` : "Compare A and B", title ?? "", () => this.show(name));
      tab.dataset.page = name;
      bar.append(tab);
    }
  }

  show(name) {
    this.shown = name;
    for (const [one, page] of this.pages) page.root.hidden = one !== name;
    for (const tab of document.querySelectorAll(".tabs button"))
      tab.setAttribute("aria-pressed", String(tab.dataset.page === name));
    this.page.timeline?.resize();
    this.#toAddress();
  }

  setFontScale(scale) {
    this.fontScale = Math.min(Math.max(scale, 0.8), 2);
    document.documentElement.style.setProperty("--scale", this.fontScale);
    for (const page of this.pages.values()) page.timeline?.setFontScale(this.fontScale);
  }

  toggleTheme() {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    this.#retheme();
  }

  #retheme() {
    for (const page of this.pages.values()) {
      page.timeline?.painter.retheme();
      page.timeline?.draw();
      page.overview?.draw();
    }
  }

  #listen() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input:not([type=checkbox]), select"))
        return;
      if (this.page.key(event)) event.preventDefault();
    });
    document.addEventListener("click", (event) => {
      const wanted = event.target.closest("[data-do]")?.dataset.do;
      if (wanted === "larger") this.setFontScale(this.fontScale + 0.15);
      if (wanted === "smaller") this.setFontScale(this.fontScale - 0.15);
      if (wanted === "theme") this.toggleTheme();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#retheme());
    for (const page of this.pages.values()) {
      for (const what of ["select", "choose", "view"]) page.timeline?.addEventListener(what, () => this.#toAddress());
    }
    addEventListener("hashchange", () => this.#fromAddress());
  }

  #toAddress() {
    const { timeline } = this.page;
    const parts = { page: this.pages.size > 1 ? this.shown : null };
    if (timeline) {
      parts.axis = timeline.axisName === "order" ? null : timeline.axisName;
      parts.packet = timeline.packet;
      parts.only = timeline.only ? 1 : null;
      parts.step = timeline.selected?.index ?? null;
    }
    const text = Object.entries(parts)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name}=${value}`)
      .join("&");
    clearTimeout(this.later); // Browsers limit how often the address may change.
    this.later = setTimeout(() => history.replaceState(null, "", text ? `#${text}` : location.pathname), 200);
  }

  #fromAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (wanted.has("scale")) this.setFontScale(Number(wanted.get("scale")));
    if (this.pages.has(wanted.get("page"))) this.show(wanted.get("page"));
    const { page } = this;
    if (!page.timeline) return;
    const { journey, timeline } = page;
    if (journey.packet(Number(wanted.get("packet")))) timeline.choose(Number(wanted.get("packet")));
    if (wanted.has("only") && timeline.packet !== null) page.only.click();
    if (wanted.get("axis") === "time") page.setAxis("time");
    if (wanted.has("q")) page.search.find((page.search.input.value = wanted.get("q")));
    const step = journey.steps[Number(wanted.get("step") ?? NaN)];
    if (step) timeline.select(step);
  }

  /** What tests, and whoever scripts the page, may look at. */
  #hook() {
    const view = () => this.page.timeline;
    window.journeyView = {
      page: () => this.shown,
      visible: () => {
        const { x, y, scale, width, axis } = view();
        return {
          beginFs: axis.timeAt(x),
          endFs: axis.timeAt(x + width / scale),
          left: x,
          right: x + width / scale,
          y,
          scale,
          axis: axis.name,
        };
      },
      selected: () => view().selected?.index ?? null,
      packet: () => view().packet,
      hits: () => [...view().hits],
      look: (index) => view().look(view().journey.steps[index]),
      shown: (index) => view().lanes.row[index] >= 0,
      box: (index) => {
        const { left, top } = view().canvas.getBoundingClientRect();
        const box = view().box(view().journey.steps[index]);
        return { left: left + box.left, top: top + box.top, width: box.width, height: box.height };
      },
      stepAt: (x, y) => {
        const { left, top } = view().canvas.getBoundingClientRect();
        return view().stepAt(x - left, y - top)?.index ?? null;
      },
    };
  }
}

new Main();
