"""Random routing tables and policy rules: for each flow the route that a real kernel gives."""

import json
import os
import random
import re
import subprocess
from errno import errorcode

import pytest

from hardwire.tb.bench import seed
from hardwire.tb.stack.fib_random import DEVICES, Answer, Flow, Router, random_change, random_flow
from hardwire.tb.stack.linux_peer import can_make_namespaces

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

ERRORS = {os.strerror(number): number for number in errorcode}


class Linux:
    """A namespace with the same devices; in a ``with``."""

    def __init__(self, *, forwarding: bool, rp_filter: int) -> None:
        self.name = f"hardwire-fib{os.getpid()}"
        self.settings = [f"net.ipv4.ip_forward={int(forwarding)}", "net.ipv6.conf.all.disable_ipv6=1"]
        self.settings += [f"net.ipv4.conf.{name}.rp_filter={rp_filter}" for name in DEVICES]
        self.settings += ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]
        self.settings += ["net.ipv6.conf.default.disable_ipv6=1"]

    def __enter__(self) -> "Linux":
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        # The names of ours get the same numbers; then come their other ends.
        lines = ["link set lo up"]
        lines += [f"link add {name} type veth peer name w{name}" for name in DEVICES]
        lines += [f"link set {first}{name} up" for name in DEVICES for first in ("", "w")]
        assert self.batch(lines)[1] == {}
        words = ["ip", "netns", "exec", self.name, "sysctl", "-qw", *self.settings]
        subprocess.run(words, check=True, capture_output=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def batch(self, lines: list[str]) -> tuple[str, dict[int, str]]:
        """Run commands of ip(8); return what they print, and for those that fail, by number, why."""
        done = subprocess.run(
            ["ip", "-n", self.name, "-j", "-force", "-batch", "-"],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        failed: dict[int, str] = {}
        why = ""
        for line in done.stderr.splitlines():
            number = re.fullmatch(r"Command failed -:(\d+)", line)
            if number is None:
                why = line
            else:
                failed[int(number[1]) - 1] = why
        return done.stdout, failed

    def show(self) -> str:
        """Return addresses, rules and tables as text."""
        shown = [("-4", "-o", "address"), ("rule",), ("route", "show", "table", "all")]
        runs = [subprocess.run(["ip", "-n", self.name, *words], capture_output=True, text=True) for words in shown]
        return "".join(run.stdout for run in runs)

    def change(self, changes: list[str]) -> list[bool]:
        """Make changes; return which could be made."""
        _, failed = self.batch(changes)
        return [number not in failed for number in range(len(changes))]

    def get(self, flows: list[Flow]) -> list[Answer]:
        """Return the routes for flows."""
        printed, failed = self.batch([f"route get {flow.words}" for flow in flows])
        found = iter(
            json.JSONDecoder().raw_decode(text)[0][0] for text in re.split(r"\n(?=\[)", printed) if text.strip()
        )
        answers: list[Answer] = []
        for number, flow in enumerate(flows):
            if number in failed:
                answers.append(Answer(ERRORS[failed[number].removeprefix("RTNETLINK answers: ")]))
                continue
            route = next(found)
            source = "" if flow.iif or flow.saddr else route.get("prefsrc", "")
            answers.append(Answer(0, route.get("type", "unicast"), route.get("gateway", ""), route["dev"], source))
        return answers


def play(number: int, *, rules: bool) -> None:
    """Make the same changes here and there, and ask for the same routes after each few."""
    rng = random.Random(number)
    settings = {"forwarding": rng.random() < 0.8, "rp_filter": rng.choice((0, 0, 1, 2))}
    ours = Router(**settings)
    log: list[str] = [str(settings)]
    with Linux(**settings) as linux:
        for _ in range(4):
            changes = [random_change(rng, rules=rules) for _ in range(rng.randrange(4, 14))]
            for change, worked in zip(changes, linux.change(changes), strict=True):
                log.append(f"{change}   # {worked}")
                assert ours.change(change) == worked, "\n".join(log)
            flows = [random_flow(rng) for _ in range(40)]
            for flow, theirs in zip(flows, linux.get(flows), strict=True):
                mine = ours.get(flow)
                # Which one of several it is is up to the kernel's secret; its device may decide if the source is good.
                if mine != theirs and ours.paths(flow):
                    mine = next((answer for answer in ours.answers(flow) if answer == theirs), mine)
                assert mine == theirs, "\n".join(
                    [*log, linux.show(), f"route get {flow.words}", f"ours {mine}", f"theirs {theirs}"]
                )


@pytest.mark.parametrize("rules", [False, True])
def test_random_tables_rules_and_flows_give_the_routes_of_linux(rules):
    first = seed()
    print(f"HARDWIRE_SEED={first}")
    for number in range(first, first + 6):
        play(number, rules=rules)
