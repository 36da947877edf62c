"""Traffic control against real kernels: this machine's, and Linux 6.1, whose answers are in ``golden/tc-6.1.json``."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.skbuff import alloc_skb, skb_put_data, skb_reserve
from hardwire.stack.sched.cls_filter import tc_del_tfilter, tc_new_tfilter
from hardwire.stack.sched.sch_api import gnet_stats, qdisc_dump, tc_get_qdisc, tc_modify_qdisc
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.linux_tc import as_options, frame, run_on_linux
from hardwire.tb.stack.tc_programs import PROGRAMS

ANSWERS = json.loads((Path(__file__).parent / "golden" / "tc-6.1.json").read_text())
HERE = {"pfifo", "bfifo", "pfifo_head_drop", "pfifo_fast", "tbf", "mq", "noqueue", "nonsense", None}  # Of any kernel.
# What the rate tables of old versions of tc were made from, and random numbers.
NOT_OURS = ("cell_log", "cell_align", "mpu", "linklayer", "prng_seed")


def kinds_of(entry: dict[str, Any]) -> set[str | None]:
    return {step[2] for step in entry["program"] if step[0] == "qdisc"}


def run_on_ours(program: list[list[Any]], queues: int) -> list[Any]:
    """Run a program on our stack; return what each step brought."""
    kernel, platform = make_kernel()
    dev = FakeNetDevice(kernel.init_net, tx_queues=queues)
    register_netdevice(dev)
    dev_open(dev)
    said: list[Any] = []
    number = seen = 0
    for step, *args in program:
        try:
            if step == "qdisc":
                tc_modify_qdisc(dev, *args)
            elif step == "del":
                tc_get_qdisc(dev, *args, delete=True)
            elif step == "filter":
                flags, kind, parent, protocol, prio, handle, options = args
                options = None if options is None else as_options(options)
                tc_new_tfilter(dev, flags, kind, parent, protocol, prio, handle, options)
            elif step == "delfilter":
                kind, parent, protocol, prio, handle = args
                tc_del_tfilter(dev, kind, parent, protocol, prio, handle)
            elif step == "send":
                flow, length, priority, mark = args
                number += 1
                skb = alloc_skb(kernel, 64 + length)
                skb_reserve(skb, 64)
                skb_put_data(skb, frame(number, flow, length))
                skb.dev, skb.protocol, skb.network_header = dev, 0x0800, skb.data + 14
                skb.priority, skb.mark = priority, mark
                dev_queue_xmit(skb)
                continue
            elif step == "order":
                platform.advance(150_000_000)
                said.append([int.from_bytes(octets[42:46], "big") for octets in dev.frames[seen:]])
                seen = len(dev.frames)
                continue
            else:
                entries = []
                for sch in qdisc_dump(dev):
                    entry = {
                        "kind": sch.ops.id,
                        "handle": sch.handle,
                        "parent": sch.parent,
                        "options": sch.ops.dump(sch),
                    }
                    entries.append(entry | gnet_stats(sch))
                said.append(entries)
                continue
            said.append(0)
        except OSError as error:
            said.append(error.errno)
    return said


def comparable(answers: list[Any]) -> list[Any]:
    """Return answers without what is up to the kernel's version and to time."""
    found = json.loads(json.dumps(answers))
    for answer in found:
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], dict):
            continue
        answer.sort(key=lambda entry: (entry["parent"] != 0xFFFFFFFF, entry["parent"], entry["handle"]))
        for entry in answer:
            # Handles that the kernel chose go on from device to device.
            entry["handle"] = min(entry["handle"], 0x80000000)
            # How often somebody looked in vain depends on who else looked.
            del entry["overlimits"]
            entry["options"] = {
                name: value for name, value in entry["options"].items() if value and not name.endswith(NOT_OURS)
            }
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_has_the_answers_of_linux_6_1(name):
    entry = PROGRAMS[name]
    assert comparable(run_on_ours(entry["program"], entry["queues"])) == comparable(ANSWERS[name])


@pytest.mark.skipif(not can_make_namespaces(), reason="needs root and /dev/net/tun")
@pytest.mark.parametrize("name", [name for name, entry in PROGRAMS.items() if kinds_of(entry) <= HERE])
def test_a_program_has_the_answers_of_this_machine(name):
    entry = PROGRAMS[name]
    with LinuxPeer(f"hw-tc-{os.getpid()}") as peer:
        answers = peer.inside(lambda: run_on_linux(entry["program"], entry["queues"]))
    assert comparable(run_on_ours(entry["program"], entry["queues"])) == comparable(answers)
