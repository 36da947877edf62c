"""The page of a journey in a browser: what it shows, and what it does with mouse and keys."""

import json
from collections.abc import Callable

import pytest

from hardwire.sim.journey.html import page
from hardwire.tb.sim.browser import JourneyBrowser
from hardwire.tb.sim.journeys import FS_PER_NS, Journey, Sketch, ancestors, changed, find, first_datagram

Show = Callable[..., JourneyBrowser]

MISS = first_datagram()
HIT = first_datagram(hit=True, offload=False, title="hardwire lan: ARP hit, checksums in software")


@pytest.mark.parametrize("number", [0, 3])
def test_a_page_is_of_one_journey_or_two(number: int) -> None:
    with pytest.raises(ValueError, match=f"^a page shows one journey or two, not {number}$"):
        page([MISS] * number)


def test_the_page_has_the_journey_unchanged() -> None:
    text = page([MISS, HIT])
    data = text.partition('<script type="application/json" id="journeys">')[2].partition("</script>")[0]
    assert json.loads(data) == [MISS, HIT]


def test_lanes_are_in_order_below_their_hosts_and_unused_ones_are_left_out(show: Show) -> None:
    browser = show(MISS)
    used = {step["track"] for step in MISS["steps"]}
    expected = []
    for index, track in enumerate(MISS["tracks"]):
        host = track["host"]
        if host and (index == 0 or MISS["tracks"][index - 1]["host"] != host):
            expected.append(host)
        if index in used:
            expected.append(track["name"].removeprefix(f"{host} "))
    labels = sorted(browser.all(".gutter > div"), key=lambda label: label.location["y"])
    assert [label.text for label in labels] == expected


def test_the_summary_has_hosts_time_cycles_packets_and_drops(show: Show) -> None:
    browser = show(MISS)
    end_ns = MISS["end_fs"] // FS_PER_NS
    assert browser.texts("h1") == ["hardwire lan: first datagram, ARP miss"]
    assert browser.texts(".summary span") == [
        *("host1, host2", f"{end_ns:,} ns", f"{end_ns // 8:,} cycles of 8 ns", "4 packets"),
        *(f"{len(MISS['steps'])} steps", "✕ 1 drop"),
    ]


def test_packets_are_a_tree_with_their_fates(show: Show) -> None:
    browser = show(MISS)
    rows = browser.all(".packet")
    assert [row.text.split("\n") for row in rows] == [
        ["#1", "UDP 10.0.0.1:49152 → 10.0.0.2:9000, 5 octets", "delivered"],
        ["#2", "ARP who has 10.0.0.2? tell 10.0.0.1", "consumed"],
        ["#3", "ARP 10.0.0.2 is at 02:00:00:00:00:02", "consumed"],
        ["#4", "UDP 10.0.0.2:53 → 10.0.0.1:7, 5 octets", "✕ dropped: NO_SOCKET"],
    ]
    marks = [mark.location["x"] for mark in browser.all(".packet .mark")]
    assert marks[0] == marks[3] < marks[1] < marks[2]


def test_choosing_a_packet_dims_all_but_its_steps_and_the_calls_around_them(show: Show) -> None:
    browser = show(MISS)
    steps = range(len(MISS["steps"]))
    assert set(browser.of_steps("look", len(steps))) == {"plain"}
    browser.click(".packet[data-packet='2']")
    own = {step for step in steps if 2 in MISS["steps"][step]["packets"]}
    around = set().union(*(ancestors(MISS, step) for step in own)) - own
    expected = ["chosen" if step in own else "context" if step in around else "dimmed" for step in steps]
    assert browser.of_steps("look", len(steps)) == expected
    assert set(expected) == {"chosen", "context", "dimmed"}
    browser.click(".packet[data-packet='2']")
    assert set(browser.of_steps("look", len(steps))) == {"plain"}


def test_only_the_chosen_packets_steps_can_be_left(show: Show) -> None:
    browser = show(MISS, fragment="packet=3")
    browser.click(".only input")
    shown = [step for step, is_shown in enumerate(browser.of_steps("shown", len(MISS["steps"]))) if is_shown]
    own = {step for step, values in enumerate(MISS["steps"]) if 3 in values["packets"]}
    assert set(shown) == own.union(*(ancestors(MISS, step) for step in own))
    assert "eth0 checksum" not in browser.texts(".gutter .lane")


def test_the_way_of_a_packet_is_drawn_in_its_colour(show: Show) -> None:
    browser = show(MISS, fragment="packet=2")
    # From the wire to the other host's MAC there is nothing else but background.
    wire, mac = (browser.view("box(a[0])", find(MISS, "frame", nth)) for nth in (1, 2))
    pixels = browser.js(
        """(() => {
            const canvas = document.querySelector(".lanes canvas");
            const { left, top } = canvas.getBoundingClientRect();
            const [x, y] = [Math.round(a[0] - left) - 3, Math.round(a[1] - top)];
            return [...canvas.getContext("2d").getImageData(x, y, 7, 1).data];
        })()""",
        mac["left"],
        (wire["top"] + wire["height"] + mac["top"]) / 2,
    )
    orange = (0xA3, 0x5E, 0x00)
    assert any(tuple(pixels[at : at + 3]) == orange for at in range(0, len(pixels), 4))


def test_a_click_on_a_step_shows_what_it_did_to_the_octets(show: Show) -> None:
    browser = show(MISS)
    step = find(MISS, "ip_send_check")
    for _ in range(4):
        browser.wheel(*browser.middle(step), -400)
    browser.click_at(*browser.middle(step))
    assert browser.view("selected()") == step
    assert browser.texts(".step-head h3") == ["ip_send_check"]
    assert browser.highlighted() == [10, 11]
    statuses = {
        layer.get_attribute("data-layer"): layer.get_attribute("data-status") for layer in browser.all(".layer")
    }
    assert statuses == {"IPv4": "changed", "UDP": "same", "Payload": "same"}
    assert browser.texts(".fields tr.changed th") == ["checksum"]
    assert browser.texts(".fields tr.changed td") == ["26c9 0000"]
    assert "".join(browser.texts(".layer .o")) == MISS["states"][MISS["steps"][step]["after"]]["octets"]
    browser.click(".sides button:first-child")
    assert "".join(browser.texts(".layer .o")) == MISS["states"][MISS["steps"][step]["before"]]["octets"]


def test_a_pushed_header_is_new_and_what_follows_it_is_not_changed(show: Show) -> None:
    browser = show(MISS, fragment=f"step={find(MISS, 'neigh_hh_output')}")
    statuses = [
        (layer.get_attribute("data-layer"), layer.get_attribute("data-status")) for layer in browser.all(".layer")
    ]
    assert statuses == [("Ethernet", "new"), ("IPv4", "same"), ("UDP", "same"), ("Payload", "same")]
    assert browser.highlighted() == []


def test_a_mark_shows_where_the_data_begin(show: Show) -> None:
    browser = show(MISS, fragment=f"step={find(MISS, 'udp_rcv')}")
    order = browser.js(
        "[...document.querySelectorAll('.octets > *')].map((part) => part.dataset.layer ?? part.textContent)"
    )
    assert order == ["Ethernet", "IPv4", "skb->data", "UDP", "Payload", "Padding"]
    assert [octet.get_attribute("data-i") for octet in browser.all(".o.data")] == ["34"]


def test_of_a_long_layer_the_beginning_is_shown_and_the_rest_on_demand(show: Show) -> None:
    sketch = Sketch("long")
    state = sketch.state("ab" * 300, ("Payload", 300))
    sketch.step("host1 stack", "call", "copy", (sketch.packet("long"),), after=state)
    browser = show(sketch.journey, fragment="step=0")
    assert len(browser.all(".o")) == 256
    assert browser.texts(".more") == ["… 44 octets more"]
    browser.click(".more")
    assert len(browser.all(".o")) == 300


@pytest.mark.parametrize("journey", [MISS, HIT], ids=["miss", "hit"])
def test_next_change_goes_through_all_changes_and_highlights_each_exactly(show: Show, journey: Journey) -> None:
    browser = show(journey, fragment="packet=1")
    names = browser.texts(".story .who")
    browser.click(".story li:first-child .change-line")
    seen = []
    while True:
        step = journey["steps"][browser.view("selected()")]
        seen.append(step["name"])
        if step["before"] is not None:
            assert browser.highlighted() == changed(journey, step["before"], step["after"]), step
        if not browser.one(".moves .next").is_enabled():
            break
        browser.click(".moves .next")
    assert seen == names
    assert names[:3] == ["ip_generic_getfrag", "ip_write_header", "udp_send_skb"]
    assert {"__netif_receive_skb_core", "udp_rcv"} < set(names)


def test_times_are_in_ns_and_in_cycles_of_the_hosts_clock(show: Show) -> None:
    journey = json.loads(json.dumps(MISS))
    for track in journey["tracks"]:
        if track["clock"] and track["host"] == "host2":
            track["clock"] = {"period_fs": 6_400_000, "phase_fs": 100_000_000}
    step = next(
        i for i, one in enumerate(journey["steps"]) if journey["tracks"][one["track"]]["name"] == "host2 eth0 MAC RX"
    )
    begin_ns = journey["steps"][step]["begin_fs"] // FS_PER_NS
    browser = show(journey, fragment=f"step={step}")
    facts = dict(zip(browser.texts(".facts th"), browser.texts(".facts td"), strict=True))
    assert facts["from"] == f"{begin_ns:,} ns · cycle {int((begin_ns - 100) / 6.4):,}"
    assert facts["lasts"] == "576 ns · 90 cycles"
    call = find(journey, "udp_rcv")  # A call has no clock of its own.
    begin_ns = journey["steps"][call]["begin_fs"] // FS_PER_NS
    browser = show(journey, fragment=f"step={call}")
    facts = dict(zip(browser.texts(".facts th"), browser.texts(".facts td"), strict=True))
    assert facts["at"] == f"{begin_ns:,} ns · cycle {int((begin_ns - 100) / 6.4):,}"


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ("udp_rcv", lambda step: step["name"] == "udp_rcv"),
        ("no_socket", lambda step: step["name"] == "NO_SOCKET"),
        ("dma read", lambda step: step["kind"] == "dma" and "read" in step["name"]),
        ("0x100018040", lambda step: step["values"].get("address") == 0x1_0001_8040),
        ("#3 skb_put", lambda step: step["name"] == "skb_put" and step["packets"] == [3]),
        ("nothing like it", lambda step: False),
    ],
)
def test_search_finds_names_reasons_kinds_and_addresses(
    show: Show, wanted: str, matches: Callable[[Journey], bool]
) -> None:
    browser = show(MISS)
    browser.press("/")
    browser.press(wanted)
    expected = [index for index, step in enumerate(MISS["steps"]) if matches(step)]
    assert browser.view("hits()") == expected
    assert browser.texts(".search output") == [f"{len(expected)} hit{'s' if len(expected) != 1 else ''}"]


def test_search_goes_from_hit_to_hit_and_around(show: Show) -> None:
    browser = show(MISS)
    browser.one(".search input").send_keys("frame")
    hits = browser.view("hits()")
    reached = []
    for _ in range(len(hits) + 1):
        browser.click(".search .next")
        reached.append(browser.view("selected()"))
    assert reached == [*hits, hits[0]]
    browser.click(".search .previous")
    assert browser.view("selected()") == hits[-1]


def test_wheel_zooms_at_the_pointer_and_dragging_moves(show: Show) -> None:
    browser = show(MISS)
    step = find(MISS, "ip_output")
    x, y = browser.middle(step)
    whole = browser.view("visible()")
    browser.wheel(x, y, -500)
    near = browser.view("visible()")
    assert near["right"] - near["left"] < 0.6 * (whole["right"] - whole["left"])
    assert browser.middle(step)[0] == pytest.approx(x, abs=25)
    browser.drag(700, 400, -200, 0)
    moved = browser.view("visible()")
    assert moved["scale"] == near["scale"]
    assert moved["left"] == pytest.approx(near["left"] + 200 / near["scale"])


def test_keys_zoom_at_the_selected_step(show: Show) -> None:
    step = find(MISS, "ip_output")
    browser = show(MISS, fragment=f"step={step}")
    before = browser.view("box(a[0])", step)
    browser.press("+", "+")
    after = browser.view("box(a[0])", step)
    assert after["left"] == pytest.approx(before["left"], abs=1)
    assert after["width"] > 1.5 * before["width"]


def test_everything_fits_at_first_and_again_after_key_0(show: Show) -> None:
    browser = show(MISS)
    whole = browser.view("visible()")
    assert (whole["beginFs"], whole["endFs"]) == (0, pytest.approx(MISS["steps"][-1]["begin_fs"]))
    browser.press("+", "+", "d")
    assert browser.view("visible()")["left"] > whole["left"]
    browser.press("0")
    assert browser.view("visible()") == whole


def test_in_order_each_step_has_a_place_of_its_own_inside_its_caller(show: Show) -> None:
    browser = show(MISS)
    boxes = browser.of_steps("box", len(MISS["steps"]))
    lefts = [box["left"] for box in boxes]
    assert lefts == sorted(lefts)
    assert len(set(lefts)) == len(lefts)
    for step, box in zip(MISS["steps"], boxes, strict=True):
        if step["parent"] is not None:
            outer = boxes[step["parent"]]
            assert outer["left"] < box["left"]
            assert box["left"] + box["width"] <= outer["left"] + outer["width"] + 3, step


def test_by_time_steps_are_where_their_time_is(show: Show) -> None:
    browser = show(MISS, fragment="axis=time")
    browser.click(".cut input")  # Idle time is shown in full.
    assert browser.texts("[aria-pressed='true']") == ["Time"]
    boxes = browser.of_steps("box", len(MISS["steps"]))
    begin = boxes[0]["left"]
    per_fs = (boxes[-1]["left"] - begin) / MISS["steps"][-1]["begin_fs"]
    for step, box in zip(MISS["steps"], boxes, strict=True):
        assert box["left"] == pytest.approx(begin + step["begin_fs"] * per_fs, abs=0.01)


def test_a_packet_that_only_waits_is_shown_by_time(show: Show) -> None:
    sketch = Sketch("nobody answers")
    packet = sketch.packet("UDP")
    sketch.step("host1 stack", "call", "sendto", (packet,))
    wait = sketch.step("host1 stack", "wait", "neighbour queue", (packet,), for_ns=3_000_000_000)
    sketch.now_ns = 3_000_000_000
    sketch.step("host1 stack", "drop", "NEIGH_FAILED", (packet,))
    browser = show(sketch.journey, fragment=f"packet={packet}&only=1&axis=time")
    assert browser.view("box(a[0])", wait)["width"] > 400


def test_idle_time_is_cut_so_that_frames_are_seen(show: Show) -> None:
    browser = show(MISS)
    browser.press("t")
    frame = find(MISS, "frame")
    cut = browser.view("box(a[0])", frame)["width"]
    browser.click(".cut input")
    assert cut > 10 * browser.view("box(a[0])", frame)["width"] / 3


def test_arrow_keys_step_through_the_journey_and_into_calls(show: Show) -> None:
    browser = show(MISS)
    right, left, up, down, escape = "\ue014", "\ue012", "\ue013", "\ue015", "\ue00c"
    browser.press(right, right, right)
    assert browser.view("selected()") == 2
    browser.press(left)
    assert browser.view("selected()") == 1
    browser.press(down)
    assert browser.view("selected()") == 2
    browser.press(up)
    assert browser.view("selected()") == 1
    browser.press(escape)
    assert browser.view("selected()") is None
    browser.click(".packet[data-packet='2']")
    browser.press(right, right)
    own = [index for index, step in enumerate(MISS["steps"]) if 2 in step["packets"]]
    assert browser.view("selected()") == own[1]
    box = browser.view("box(a[0])", own[1])
    assert 100 < box["left"] < 800
    assert 80 < box["top"] < 660


def test_the_pointer_shows_time_and_every_clocks_cycle_and_names_the_step(show: Show) -> None:
    browser = show(MISS)
    step = find(MISS, "OK")
    browser.point_at(*browser.middle(step))
    begin_ns = MISS["steps"][step]["begin_fs"] // FS_PER_NS
    assert browser.texts(".status > *") == [
        *(f"{begin_ns:,} ns", f"host1 eth0: cycle {begin_ns // 8:,}", f"host2 eth0: cycle {begin_ns // 8:,}")
    ]
    tip = browser.one(".tip").text.split("\n")
    assert tip[:3] == ["OK", "host1 eth0 completions", f"{begin_ns:,} ns · cycle {begin_ns // 8:,}"]


def test_an_address_leads_to_the_same_picture(show: Show) -> None:
    browser = show(MISS, fragment="axis=time&packet=2&step=70")
    assert [browser.view("packet()"), browser.view("selected()"), browser.view("visible().axis")] == [2, 70, "time"]


def test_titles_and_names_are_text_whatever_is_in_them(show: Show) -> None:
    sketch = Sketch("</script><b>bold</b><!-- <script>")
    packet = sketch.packet("<img src=x> & </script>")
    state = sketch.state("00", ("<i>Layer</i>", 1))
    sketch.step(
        "host1 stack", "call", "<script>alert(1)</script>", (packet,), after=state, what="</style>", key="<u>v</u>"
    )
    browser = show(sketch.journey, fragment="step=0")
    assert browser.title == "</script><b>bold</b><!-- <script>"
    assert browser.texts("h1") == ["</script><b>bold</b><!-- <script>"]
    assert browser.texts(".packet .label") == ["<img src=x> & </script>"]
    assert browser.texts(".step-head h3") == ["<script>alert(1)</script>"]
    assert browser.texts(".layer h4 b") == ["<i>Layer</i>"]


def test_a_journey_without_steps_is_a_page_too(show: Show) -> None:
    browser = show(Sketch("nothing happened").journey)
    browser.press("t", "+", "0", "\ue014")
    assert browser.texts("h1") == ["nothing happened"]


def test_a_journey_of_5000_steps_can_be_moved_through(show: Show) -> None:
    journey = json.loads(json.dumps(MISS))
    steps, end_fs = journey["steps"], journey["end_fs"]
    for turn in range(1, -(-5000 // len(steps))):
        base = turn * len(MISS["steps"])
        for step in MISS["steps"]:
            parent = None if step["parent"] is None else step["parent"] + base
            times = {name: step[name] + turn * end_fs for name in ("begin_fs", "end_fs")}
            steps.append(step | times | {"parent": parent})
    journey["end_fs"] *= len(steps) // len(MISS["steps"])
    browser = show(journey)
    browser.press("+", "+", "+", "d", "d")
    browser.press("\ue014")
    assert browser.view("selected()") == 0


@pytest.mark.parametrize(("width", "height"), [(1024, 640), (1280, 720), (1920, 1080)])
def test_nothing_is_cut_off_at_common_sizes(show: Show, width: int, height: int) -> None:
    browser = show(MISS, fragment="step=30", width=width, height=height)
    for selector in (".toolbar", ".lanes canvas", ".overview", ".status", ".packets", ".details"):
        box = browser.one(selector).rect
        assert -1 <= box["x"] <= box["x"] + box["width"] <= width + 1, selector
        assert -1 <= box["y"] <= box["y"] + box["height"] <= height + 1, selector
    assert browser.one(".lanes canvas").rect["width"] > 0.35 * width
    browser.click("[data-do='larger']")
    assert browser.one(".details").rect["y"] + browser.one(".details").rect["height"] <= height + 1
