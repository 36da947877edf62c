/* The page's colours, as a canvas needs them: resolved from the style sheet, for light or dark. */

class Theme {
  static NAMES = ["bg", "lane", "band", "line", "text", "muted", "accent", "hit", "drop", "idle"];
  static PACKETS = 7;

  constructor() {
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
    const resolve = (value) => {
      probe.style.color = value;
      return getComputedStyle(probe).color;
    };
    for (const name of Theme.NAMES) this[name] = resolve(`var(--${name})`);
    this.packets = Array.from({ length: Theme.PACKETS + 1 }, (_, i) => ({
      line: resolve(`var(--packet-${i})`),
      fill: resolve(`color-mix(in srgb, var(--packet-${i}) var(--tint), var(--bg))`),
    }));
    probe.remove();
    this.sans = getComputedStyle(document.body).fontFamily;
  }

  /** Colours of a packet; null stands for steps that are about none. */
  packet(id) {
    return this.packets[id === null ? 0 : Theme.index(id)];
  }

  static index(id) {
    return ((id - 1) % Theme.PACKETS) + 1;
  }
}
