"""Where packets lie and wait: between two calls about one nothing happens to it, but time passes."""

from collections.abc import Iterator, Sequence

from .model import Step, Track

__all__ = ["waits"]

# What a packet was last given to, innermost first found: the call's name or its end, and where that leaves the packet.
_PLACES = (
    ("hardwire_start_xmit", "TX ring"),
    ("_enqueue", "qdisc"),
    ("__neigh_event_send", "neighbour queue"),
    ("__udp_enqueue_schedule_skb", "socket receive queue"),
    ("sock_queue_rcv_skb", "socket receive queue"),
    ("ip_defrag", "reassembly"),
)


def waits(calls: Sequence[tuple[Track, Step, Step | None]]) -> Iterator[tuple[Track, Step]]:
    """Yield a step for each stretch of time that a packet spends in a queue of the stack or the driver.

    Parameters
    ----------
    calls : sequence of tuple
        All steps: the track, the step and the one around it.
    """
    lying: dict[tuple[int, str | None], tuple[str, Track, Step]] = {}
    around = {id(step): outer for _, step, outer in calls}
    about = [(track, step) for track, step, _ in calls if step.kind == "call" and step.before is not None]
    for track, step in sorted(about, key=lambda one: one[1].begin_fs):
        for packet in step.packets[:1]:
            key = (packet, track.host)
            if key in lying:
                name, where, since = lying[key]
                if name == "neighbour queue" and _is_inside("neigh_probe", step, around):
                    continue  # A copy is looked at; the packet itself goes on lying there.
                if step.begin_fs > since.begin_fs:
                    del lying[key]
                    found = Step(-1, since.begin_fs, step.begin_fs, "wait", name, f"waits: {name}", packets=(packet,))
                    found.before = found.after = since.after
                    yield where, found
            place = next((where for name, where in _PLACES if step.name.endswith(name)), None)
            if place is not None:
                lying[key] = (place, track, step)


def _is_inside(name: str, step: Step, around: dict[int, Step | None]) -> bool:
    outer = around[id(step)]
    while outer is not None and outer.name != name:
        outer = around[id(outer)]
    return outer is not None
