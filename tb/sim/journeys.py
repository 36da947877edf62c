"""Journeys as a recorder would write them, small enough to know: a first datagram, with an ARP miss or a hit."""

from typing import Any

__all__ = ["FS_PER_NS", "Journey", "Sketch", "ancestors", "changed", "find", "first_datagram"]

Journey = dict[str, Any]

FS_PER_NS = 1_000_000
CYCLE_NS = 8

MAC1, MAC2, NOBODY = "020000000001", "020000000002", "ffffffffffff"
STAGES = [
    *("registers", "TX ring", "descriptors", "DMA read", "ARP cache", "checksum", "FIFO", "MAC TX"),
    *("completions", "MAC RX", "RX checks", "DMA write", "interrupt"),
]

SEND = """
sendto socket.py #1
 __x64_sys_sendto socket.py #1
  __sys_sendto socket.py #1
   sockfd_lookup_light socket_lookup.py
   move_addr_to_kernel socket_lookup.py
   __sock_sendmsg socket.py #1
    inet_sendmsg ipv4/af_inet.py #1
     inet_autobind ipv4/af_inet.py
      udp_v4_get_port ipv4/udp_table.py
       udp_lib_get_port ipv4/udp_table.py
     udp_sendmsg ipv4/udp.py #1
      ip_route_output_flow ipv4/route.py
       ip_route_output_key_hash_rcu ipv4/route.py
        fib_lookup ipv4/fib_trie.py
         fib_table_lookup ipv4/fib_trie.py
        __mkroute_output ipv4/route.py
         rt_dst_alloc ipv4/route.py
      ip_make_skb ipv4/ip_output_make.py #1
       __ip_append_data ipv4/ip_output_make.py #1
        sock_alloc_send_pskb core/sock.py
         __alloc_skb core/skbuff.py
        ip_generic_getfrag ipv4/ip_output_make.py #1 =data
       __ip_make_skb ipv4/ip_output_make.py #1
        ip_select_ttl ipv4/ip_output_make.py
        ip_write_header ipv4/ip_output_make.py #1 =ip
      udp_send_skb ipv4/udp.py #1 =udp
       udp4_hwcsum ipv4/udp.py #1 =pseudo
        csum_tcpudp_nofold wire/checksum.py
       ip_send_skb ipv4/ip_output.py #1
        ip_local_out ipv4/ip_output.py #1
         __ip_local_out ipv4/ip_output.py #1
          ip_send_check ipv4/ip.py #1 =checked
           csum_partial wire/checksum.py
          nf_hook netfilter/core.py #1
         dst_output core/dst.py #1
          ip_output ipv4/ip_output.py #1
           NF_HOOK_COND netfilter/core.py #1
            ip_finish_output ipv4/ip_output.py #1
             ip_finish_output2 ipv4/ip_output.py #1
              ip_neigh_for_gw ipv4/route.py
               __neigh_create core/neighbour_table.py
              neigh_output core/neighbour_output.py #1
"""

SOLICIT = """
neigh_resolve_output core/neighbour_output.py #1
 __neigh_event_send core/neighbour.py #1
  neigh_probe core/neighbour.py #1
   arp_solicit ipv4/arp.py #2
    arp_send_dst ipv4/arp.py #2
     arp_create ipv4/arp.py #2
      __alloc_skb core/skbuff.py
      skb_put core/skbuff.py #2 =arp
      eth_header ethernet/eth.py #2 =arp_frame
       skb_push core/skbuff.py #2
     arp_xmit ipv4/arp.py #2
"""

XMIT = """
dev_queue_xmit core/dev.py #1
 __dev_queue_xmit core/dev.py #1
  netdev_core_pick_tx core/dev.py #1
  __dev_xmit_skb core/dev.py #1
   sch_direct_xmit sched/sch_generic.py #1
    validate_xmit_skb core/dev_validate.py #1
     netif_skb_features core/dev_validate.py
    dev_hard_start_xmit core/dev_xmit.py #1
     xmit_one core/dev_xmit.py #1
      hardwire_start_xmit drivers/hardwire/tx.py #1
       hardwire_maybe_stop_tx drivers/hardwire/tx.py
       dma_map_single drivers/hardwire/tx.py #1
       netdev_tx_sent_queue core/dev_queue.py
        dql_queued core/dql.py
       post drivers/hardwire/queue.py #1
"""

INTERRUPT = """
run_in_irq core/softirq.py
 hardwire_intr drivers/hardwire/pair.py
  mask_irq drivers/hardwire/queue.py
  __napi_schedule core/dev_napi.py
 irq_exit core/softirq.py
  __do_softirq core/softirq.py
   net_rx_action core/dev_napi.py
    __napi_poll core/dev_napi.py
     hardwire_poll drivers/hardwire/pair.py
"""

CLEAN = """
hardwire_clean_tx drivers/hardwire/tx.py #1
 consume_skb core/skbuff.py #1
  skb_release_data core/skbuff.py #1
"""

RECEIVE = """
hardwire_clean_rx drivers/hardwire/rx.py #1
 napi_gro_receive core/gro.py #1
  netif_receive_skb core/dev.py #1
   __netif_receive_skb_core core/dev.py #1 =pulled
"""

ARP_RECEIVE = """
arp_rcv ipv4/arp.py #1
 arp_process ipv4/arp.py #1
  neigh_update core/neighbour.py
"""

UDP_RECEIVE = """
ip_rcv ipv4/ip_input.py #1
 ip_rcv_core ipv4/ip_input.py #1
 ip_rcv_finish ipv4/ip_input.py #1
  ip_route_input_noref ipv4/route.py #1
  ip_local_deliver ipv4/ip_input.py #1
   ip_protocol_deliver_rcu ipv4/ip_input.py #1
    udp_rcv ipv4/udp.py #1 =at_udp
     __udp4_lib_rcv ipv4/udp.py #1
      udp_csum_init ipv4/udp.py #1
      udp_queue_rcv_skb ipv4/udp.py #1
       __udp_enqueue_schedule_skb ipv4/udp.py #1
"""


def _layers(*parts: tuple[str, int]) -> list[dict[str, Any]]:
    layers, at = [], 0
    for name, length in parts:
        layers.append({"name": name, "begin": at, "end": at + length, "fields": _fields(name, at)})
        at += length
    return layers


def _fields(name: str, at: int) -> list[list[Any]]:
    known = {
        "Ethernet": [("destination", 0, 6), ("source", 6, 12), ("type", 12, 14)],
        "ARP": [("operation", 6, 8), ("sender MAC", 8, 14), ("sender IP", 14, 18), ("target IP", 24, 28)],
        "IPv4": [("total length", 2, 4), ("ttl", 8, 9), ("protocol", 9, 10), ("checksum", 10, 12), ("source", 12, 16)],
        "UDP": [("source port", 0, 2), ("destination port", 2, 4), ("length", 4, 6), ("checksum", 6, 8)],
    }
    return [[word, (at + begin, at + end), at + begin, at + end] for word, begin, end in known.get(name, [])]


class Sketch:
    """Writes down a journey step by step: calls from indented text, events of the card, waits.

    Parameters
    ----------
    title : str
        Title of the journey.
    """

    def __init__(self, title: str) -> None:
        self.now_ns = 0
        self._tracks: list[dict[str, Any]] = []
        for host in ("host1", "host2"):
            clock = {"period_fs": CYCLE_NS * FS_PER_NS, "phase_fs": 0}
            places = [
                ("stack", "stack", None),
                ("driver", "driver", None),
                *((f"eth0 {stage}", "card", stage) for stage in STAGES),
            ]
            for name, kind, stage in places if host == "host1" else places[::-1]:
                track = {"name": f"{host} {name}", "host": host, "kind": kind, "clock": clock if stage else None}
                self._tracks.append(track | ({"stage": stage} if stage else {}))
            if host == "host1":
                for ends in ("host1 → host2", "host2 → host1"):
                    self._tracks.append({"name": f"wire {ends}", "host": None, "kind": "wire", "clock": None})
        self._by_name = {track["name"]: index for index, track in enumerate(self._tracks)}
        self._state_of: dict[tuple[int, str], int] = {}
        self._states: list[dict[str, Any]] = []
        self.journey: dict[str, Any] = {
            "version": 1, "title": title, "begin_fs": 0, "end_fs": 0,
            "tracks": self._tracks, "packets": [], "steps": [], "states": self._states,
        }  # fmt: skip

    def packet(self, label: str, parent: int | None = None, fate: str = "delivered") -> int:
        """Add a packet; return its number."""
        number = len(self.journey["packets"]) + 1
        self.journey["packets"].append({"id": number, "parent": parent, "label": label, "fate": fate})
        return number

    def state(self, octets: str, *layers: tuple[str, int], data: int = 0, note: str = "") -> int:
        """Add a state of a packet; return its number."""
        made = {"octets": octets, "data": data, "note": note, "layers": _layers(*layers)}
        for layer in made["layers"]:
            for field in layer["fields"]:
                begin, end = field[1]
                field[1] = octets[2 * begin : 2 * end]
        if made not in self._states:
            self._states.append(made)
        return self._states.index(made)

    def step(
        self,
        track: str,
        kind: str,
        name: str,
        packets: tuple[int, ...] = (),
        *,
        for_ns: int = 0,
        parent: int | None = None,
        after: int | None = None,
        what: str = "",
        **values: int | str,
    ) -> int:
        """Add a step that begins now; return its number."""
        host = track.split()[0]
        before = self._state_of.get((packets[0], host)) if packets else None
        if packets and after is not None:
            self._state_of[packets[0], host] = after
        self.journey["steps"].append({
            "track": self._by_name[track],
            "begin_fs": self.now_ns * FS_PER_NS, "end_fs": (self.now_ns + for_ns) * FS_PER_NS,
            "kind": kind, "name": name, "what": what, "parent": parent, "packets": list(packets),
            "before": before, "after": before if after is None else after, "values": dict(values),
        })  # fmt: skip
        self.journey["end_fs"] = max(self.journey["end_fs"], self.journey["steps"][-1]["end_fs"])
        return len(self.journey["steps"]) - 1

    def calls(
        self, host: str, text: str, packets: dict[int, int], states: dict[str, int], parent: int | None = None
    ) -> dict[str, int]:
        """Add calls from lines ``name module #packet =state``, one space more a level; return their numbers by name."""
        chain: list[int] = [] if parent is None else [parent]
        base = len(chain)
        numbers: dict[str, int] = {}
        for line in text.strip().splitlines():
            depth = len(line) - len(line.lstrip()) + base
            name, module, *more = line.split()
            about = tuple(packets[int(word[1:])] for word in more if word[0] == "#")
            after = next((states[word[1:]] for word in more if word[0] == "="), None)
            place = "driver" if module.startswith("drivers/") else "stack"
            chain = chain[:depth]
            inside = chain[-1] if chain else None
            number = self.step(f"{host} {place}", "call", name, about, parent=inside, after=after, what=module)
            for outer in chain if after is not None else ():
                if self.journey["steps"][outer]["packets"][:1] == [about[0]]:
                    self.journey["steps"][outer]["after"] = after
            chain.append(number)
            numbers[name] = number
        return numbers


def _mac_frame(octets: str) -> str:
    return octets.ljust(120, "0") + "1c2d3e4f"


class _Way(Sketch):
    """A sketch that knows the ways through a card and over the wire."""

    def send(self, host: str, packet: int, frame: int, sent: int, driver: int, *, hit: bool, csum: bool) -> None:
        """Doorbell to the wire; time goes on until the frame's begin."""
        card = f"{host} eth0"
        self.step(f"{card} registers", "register", "txq[0].TAIL", (packet,), parent=driver, value=1)
        started = self.now_ns
        self.now_ns += 48
        self.step(f"{card} TX ring", "wait", "TX ring", (packet,), for_ns=1072)
        self.step(f"{card} DMA read", "dma", "read descriptor", (packet,), for_ns=1040, address=0x1_0002_0000, beats=4)
        self.now_ns = started + 1120
        self.step(f"{card} descriptors", "desc", "descriptor 0", (packet,), index=0)
        self.now_ns += 24
        self.step(f"{card} DMA read", "dma", "read packet", (packet,), for_ns=1056, address=0x1_0001_8040, beats=6)
        self.step(f"{card} ARP cache", "arp", "hit" if hit else "miss", (packet,), hit=int(hit), for_ns=16)
        self.now_ns += 1064
        if csum:
            self.step(f"{card} checksum", "csum", "checksums", (packet,), for_ns=112, after=frame)
        self.now_ns += 8
        self.step(f"{card} FIFO", "fifo", "TX FIFO", (packet,), for_ns=128)
        self.now_ns += 112
        self.step(f"{card} MAC TX", "frame", "frame", (packet,), for_ns=576, after=sent, octets=64)

    def travel(
        self, source: str, target: str, packet: int, sent: int, driver: int | None, pair: tuple[int, int]
    ) -> None:
        """Wire, reception and both interrupts; ``pair`` is the packet and state that arrive."""
        card, other = f"{source} eth0", f"{target} eth0"
        self.step(f"wire {source} → {target}", "frame", "frame", (packet,), for_ns=576, after=sent, octets=64)
        self.now_ns += 56
        self.step(
            f"{card} DMA write", "dma", "write completion", (packet,), for_ns=1024, address=0x1_0002_2000, beats=2
        )
        self._state_of[packet, target] = sent
        self.step(f"{other} MAC RX", "frame", "frame", (packet,), for_ns=576, octets=64)
        self.now_ns += 580
        self.step(f"{other} RX checks", "rx", "address, checksum", (packet,), for_ns=16, after=pair[1], ok="yes")
        self.now_ns += 40
        self.step(f"{other} DMA write", "dma", "write packet", (packet,), for_ns=1040, address=0x1_0009_0000, beats=8)
        self.now_ns += 436
        self.step(f"{card} completions", "completion", "OK", (packet,), index=0, status="OK")
        self.now_ns += 700
        self.step(f"{other} completions", "completion", "OK", (packet,), index=0, status="OK")
        self.now_ns += 48_208

    def poll(self, host: str) -> int:
        """Interrupt up to the driver's poll function; return its step."""
        self.step(f"{host} eth0 interrupt", "irq", "raised")
        return self.calls(host, INTERRUPT, {}, {})["hardwire_poll"]


def first_datagram(
    *, hit: bool = False, offload: bool = True, title: str = "hardwire lan: first datagram, ARP miss"
) -> dict[str, Any]:
    """Return the journey of a datagram of 5 octets from one host to the other, and of the ARP that it needs.

    Parameters
    ----------
    hit : bool
        The neighbour is known.
    offload : bool
        The card sums; else the stack does.
    title : str
        Title of the journey.
    """
    w = _Way(title)
    udp = w.packet("UDP 10.0.0.1:49152 → 10.0.0.2:9000, 5 octets")
    ip, payload = "4500002100004000401100000a0000010a000002", "68656c6c6f"
    checked = ip[:20] + "26c9" + ip[24:]
    header, layers = "c0002328000d", [("IPv4", 20), ("UDP", 8), ("Payload", 5)]
    summed = "145f" if offload else "8f1a"
    note = "CHECKSUM_PARTIAL" if offload else ""
    eth = MAC2 + MAC1 + "0800"
    whole = _mac_frame(eth + checked + header + "8f1a" + payload)
    in_frame = [("Ethernet", 14), *layers]
    wired = [*in_frame, ("Padding", 13), ("FCS", 4)]
    states = {
        "data": w.state(payload, ("Payload", 5)),
        "ip": w.state(ip + "0" * 16 + payload, *layers),
        "udp": w.state(ip + header + "0000" + payload, *layers),
        "pseudo": w.state(ip + header + summed + payload, *layers, note=note),
        "checked": w.state(checked + header + summed + payload, *layers, note=note),
        "frame": w.state(eth + checked + header + summed + payload, *in_frame, note=note),
        "summed": w.state(eth + checked + header + "8f1a" + payload, *in_frame),
        "sent": w.state(whole, *wired),
        "arrived": w.state(whole[:120], *wired[:-1]),
        "pulled": w.state(whole[:120], *wired[:-1], data=14),
        "at_udp": w.state(whole[:120], *wired[:-1], data=34),
    }  # fmt: skip
    w.step("host2 stack", "call", "recvfrom", what="socket.py", for_ns=120_000 if hit else 300_000)
    send = SEND if offload else SEND.replace("udp4_hwcsum", "udp_csum")
    output = w.calls("host1", send, {1: udp}, states)["neigh_output"]
    if not hit:
        output = _resolve(w, udp, output)
    queue = "neigh_hh_output core/neighbour_output.py #1 =frame\n" + "\n".join(
        f" {line}" for line in XMIT.strip().splitlines()
    )
    driver = w.calls("host1", queue, {1: udp}, states, output)["post"]
    w.send("host1", udp, states["summed"], states["sent"], driver, hit=hit, csum=offload)
    w.travel("host1", "host2", udp, states["sent"], None, (udp, states["arrived"]))
    _deliver(w, udp, states)
    w.calls("host1", CLEAN, {1: udp}, {}, w.poll("host1"))
    return w.journey


def _resolve(w: _Way, udp: int, output: int) -> int:
    """ARP query and reply; return the step that sends the waiting datagram."""
    query = w.packet("ARP who has 10.0.0.2? tell 10.0.0.1", udp, "consumed")
    reply = w.packet("ARP 10.0.0.2 is at 02:00:00:00:00:02", query, "consumed")
    host2, reached = "host2", 0
    for source, target, packet, operation in (("host1", host2, query, 1), (host2, "host1", reply, 2)):
        macs = (MAC1, "0" * 12) if operation == 1 else (MAC2, MAC1)
        ips = ("0a000001", "0a000002") if operation == 1 else ("0a000002", "0a000001")
        arp = f"000108000604000{operation}" + macs[0] + ips[0] + macs[1] + ips[1]
        eth = (NOBODY + MAC1 if operation == 1 else MAC1 + MAC2) + "0806"
        whole = _mac_frame(eth + arp)
        layers = [("Ethernet", 14), ("ARP", 28), ("Padding", 18), ("FCS", 4)]
        states = {
            "arp": w.state(arp, ("ARP", 28)),
            "arp_frame": w.state(eth + arp, *layers[:2]),
            "sent": w.state(whole, *layers),
            "arrived": w.state(whole[:120], *layers[:3]),
            "pulled": w.state(whole[:120], *layers[:3], data=14),
        }
        solicit = SOLICIT if operation == 1 else "\n".join(line[3:] for line in SOLICIT.strip().splitlines()[4:])
        xmit = w.calls(source, solicit, {1: udp, 2: packet}, states, output if operation == 1 else reached)["arp_xmit"]
        driver = w.calls(source, XMIT, {1: packet}, states, xmit)["post"]
        w.send(source, packet, states["arp_frame"], states["sent"], driver, hit=True, csum=False)
        if operation == 1:
            w.step("host1 stack", "wait", "neighbour queue", (udp,), for_ns=104_000)
        w.travel(source, target, packet, states["sent"], driver, (packet, states["arrived"]))
        core = w.calls(target, RECEIVE, {1: packet}, states, w.poll(target))["__netif_receive_skb_core"]
        reached = w.calls(target, ARP_RECEIVE, {1: packet}, states, core)[
            "arp_process" if operation == 1 else "neigh_update"
        ]
    return reached


def _deliver(w: _Way, udp: int, states: dict[str, int]) -> None:
    core = w.calls("host2", RECEIVE, {1: udp}, states, w.poll("host2"))["__netif_receive_skb_core"]
    w.calls("host2", UDP_RECEIVE, {1: udp}, states, core)
    w.step("host2 stack", "wait", "socket receive queue", (udp,), for_ns=4_000)
    w.now_ns += 4_000
    waiting = next(i for i, step in enumerate(w.journey["steps"]) if step["name"] == "recvfrom")
    w.journey["steps"][waiting]["packets"] = [udp]
    w.calls(
        "host2", "udp_recvmsg ipv4/udp.py #1\n skb_copy_datagram_msg core/datagram.py #1\n", {1: udp}, states, waiting
    )
    w.journey["steps"][waiting]["end_fs"] = w.now_ns * FS_PER_NS
    stranger = w.packet("UDP 10.0.0.2:53 → 10.0.0.1:7, 5 octets", None, "dropped: NO_SOCKET")
    w.step("host1 stack", "drop", "NO_SOCKET", (stranger,), what="ipv4/udp.py")


def find(journey: Journey, name: str, nth: int = 0) -> int:
    """Return the index of a step by its name."""
    return [index for index, step in enumerate(journey["steps"]) if step["name"] == name][nth]


def ancestors(journey: Journey, step: int) -> set[int]:
    """Return the indices of the steps that a step is inside of."""
    parent = journey["steps"][step]["parent"]
    return set() if parent is None else {parent} | ancestors(journey, parent)


def changed(journey: Journey, before: int, after: int) -> list[int]:
    """Return the positions of octets that are other than before, layer by layer."""
    old, new = journey["states"][before], journey["states"][after]
    was, now = bytes.fromhex(old["octets"]), bytes.fromhex(new["octets"])
    places = {layer["name"]: layer for layer in old["layers"]}
    found = []
    for layer in new["layers"]:
        if layer["name"] in places:
            shift = places[layer["name"]]["begin"] - layer["begin"]
            found += [
                i for i in range(layer["begin"], layer["end"]) if was[i + shift : i + shift + 1] != now[i : i + 1]
            ]
    return found
