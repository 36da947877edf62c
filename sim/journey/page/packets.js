/* The list of packets, each below the one that it was made from; choosing one follows it through the lanes. */

class PacketList {
  constructor(root, timeline) {
    this.timeline = timeline;
    this.rows = new Map();
    const tree = (parent, depth) => {
      for (const packet of timeline.journey.packets.filter((one) => one.parent === parent)) {
        root.append(this.#row(packet, depth));
        tree(packet.id, depth + 1);
      }
    };
    tree(null, 0);
    timeline.addEventListener("choose", () => this.#show());
  }

  #row(packet, depth) {
    const dropped = packet.fate.startsWith("dropped");
    const fate = element("span", dropped ? "fate dropped" : "fate", `${dropped ? "✕ " : ""}${packet.fate}`);
    const row = button("packet", "", `Follow #${packet.id} (again to follow none)`, () => {
      this.timeline.choose(this.timeline.packet === packet.id ? null : packet.id);
    });
    row.append(packetMark(packet.id), element("span", "label", packet.label), fate);
    row.style.setProperty("--depth", depth);
    row.setAttribute("aria-pressed", "false");
    row.dataset.packet = packet.id;
    this.rows.set(packet.id, row);
    return row;
  }

  #show() {
    for (const [id, row] of this.rows) row.setAttribute("aria-pressed", String(id === this.timeline.packet));
  }
}

/** "#1" in the packet's colour. */
function packetMark(id) {
  const mark = element("span", "mark", `#${id}`);
  mark.style.setProperty("--colour", `var(--packet-${Theme.index(id)})`);
  return mark;
}
