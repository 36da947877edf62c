"""The page that compares two journeys, in a browser."""

import json
import os
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

from hardwire.tb.sim.browser import JourneyBrowser
from hardwire.tb.sim.journeys import Journey, Sketch, find, first_datagram

SEED = int(os.environ.get("HARDWIRE_SEED") or SystemRandom().getrandbits(32))

Show = Callable[..., JourneyBrowser]

MISS = first_datagram()
HIT = first_datagram(hit=True, offload=False, title="hardwire lan: ARP hit, checksums in software")


class Compared:
    """The page that compares a miss and a hit."""

    def __init__(self, browser: JourneyBrowser) -> None:
        self.browser = browser

    def counts(self) -> dict[str, int]:
        counts = (text.split(" ", 2) for text in self.browser.texts(".comparison .count"))
        return {words: int(number) for _, number, words in counts}

    def names(self, mark: str) -> list[str]:
        return self.browser.texts(f".pair[data-mark='{mark}'] .name")


def keys(journey: Journey) -> list[tuple[Any, ...]]:
    return [(step["track"], step["kind"], step["name"]) for step in journey["steps"]]


def common(a: list[tuple[Any, ...]], b: list[tuple[Any, ...]]) -> int:
    """Return the length of the longest common subsequence."""
    lengths = [0] * (len(b) + 1)  # Of A so far with each beginning of B.
    for key in a:
        row = [0]
        for j, other in enumerate(b):
            row.append(lengths[j] + 1 if key == other else max(lengths[j + 1], row[j]))
        lengths = row
    return lengths[-1]


def at_random(random: Random) -> Journey:
    sketch = Sketch("at random")
    for _ in range(random.randrange(60)):
        sketch.step(random.choice(("host1 stack", "host2 stack")), "call", random.choice("abc"))
    return sketch.journey


def test_a_comparison_pairs_as_many_steps_as_can_be(show: Show) -> None:
    print(f"HARDWIRE_SEED={SEED}")
    random = Random(SEED)
    for a, b in [(MISS, HIT), *((at_random(random), at_random(random)) for _ in range(5))]:
        browser = show(a, b)
        assert browser.view("page()") == "compare"
        counts = Compared(browser).counts()
        pairs = sum(number for words, number in counts.items() if not words.startswith("only"))
        assert pairs == common(keys(a), keys(b))
        assert (counts["only in A"], counts["only in B"]) == (len(a["steps"]) - pairs, len(b["steps"]) - pairs)


def test_a_comparison_shows_what_only_one_has(show: Show) -> None:
    compared = Compared(show(MISS, HIT))
    only_a = compared.names("a")
    assert {"udp4_hwcsum", "neigh_resolve_output", "arp_solicit", "neighbour queue", "arp_rcv", "checksums"} <= set(
        only_a
    )
    assert compared.names("b") == ["udp_csum", "hit"]


def test_a_comparison_of_equal_journeys_has_no_difference(show: Show) -> None:
    compared = Compared(show(MISS, MISS))
    counts = compared.counts()
    assert counts["the same"] == len(MISS["steps"])
    assert sum(counts.values()) == len(MISS["steps"])
    folded = compared.browser.texts(".fold")
    assert folded == [f"⋯ {len(MISS['steps']) - 2} the same"]
    compared.browser.click(".fold")
    assert len(compared.browser.js("[...document.querySelectorAll('.pair')]")) == len(MISS["steps"])


def test_a_comparison_shows_where_octets_become_other_and_which(show: Show) -> None:
    with_sum = first_datagram(hit=True)
    without = json.loads(json.dumps(with_sum))
    step = find(without, "ip_send_check")
    state = json.loads(json.dumps(without["states"][without["steps"][step]["after"]]))
    state["octets"] = state["octets"][:20] + "0000" + state["octets"][24:]
    without["states"].append(state)
    changed_from = without["steps"][step]["after"]
    for one in without["steps"]:
        for moment in ("before", "after"):
            if one[moment] == changed_from:
                one[moment] = len(without["states"]) - 1
    browser = show(with_sum, without)
    compared = Compared(browser)
    assert compared.names("octets") == ["ip_send_check", "ip_send_check"]
    browser.press("n")
    assert browser.texts(".step-head h3") == ["ip_send_check"]
    assert browser.highlighted() == [10, 11]


def test_a_comparison_can_follow_one_packet_and_sums_up_stages(show: Show) -> None:
    browser = show(MISS, HIT)
    rows = {tuple(row.text.split("\n")[:2]): row for row in browser.all(".stages tr.differs")}
    assert ("neighbour queue", "host1 stack") in rows
    assert rows["neighbour queue", "host1 stack"].text.endswith("−104 µs")
    browser.choose(".comparison select", "2")
    counts = Compared(browser).counts()
    own = sum(2 in step["packets"] for step in MISS["steps"])
    other = sum(2 in step["packets"] for step in HIT["steps"])
    assert counts["only in A"] + (sum(counts.values()) - counts["only in A"] - counts["only in B"]) == own
    assert sum(counts.values()) - counts["only in A"] == other


def test_both_journeys_of_a_comparison_can_be_looked_at(show: Show) -> None:
    browser = show(MISS, HIT)
    browser.click(".tabs [data-page='B']")
    assert browser.texts("h1") == [HIT["title"]]
    browser.press("\ue014")
    assert browser.view("selected()") == 0
    browser.click(".tabs [data-page='A']")
    assert browser.texts("h1") == [MISS["title"]]
    assert browser.view("selected()") is None
