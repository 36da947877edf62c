"""Comparing the order of our stack's calls with that of a real kernel: shared/golden/README.md has the rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from hardwire.sim.trace import Call

__all__ = [
    "FILTER_17B",
    "RULE_FILES",
    "Node",
    "Rules",
    "compare",
    "find",
    "fold",
    "ours",
    "read_golden",
    "side_by_side",
    "theirs",
]

# Functions of qdisc, driver, NAPI and softirqs that 17b's filter shows.
FILTER_17B = (
    "__dev_queue_xmit __do_softirq __napi_poll __napi_schedule __netif_reschedule __qdisc_run dev_hard_start_xmit "
    "dev_qdisc_enqueue e1000_clean e1000_intr e1000_maybe_stop_tx e1000_xmit_frame napi_complete_done "
    "napi_schedule_prep net_rx_action net_tx_action netif_tx_wake_queue pfifo_fast_dequeue pfifo_fast_enqueue "
    "sch_direct_xmit"
).split()

_HERE = Path(__file__).parent / "golden"
RULE_FILES = sorted(path.stem for path in _HERE.glob("[a-z]*.txt"))


@dataclass(slots=True)
class Node:
    """A function that was called, and what it called."""

    name: str
    calls: "list[Node]" = field(default_factory=list)

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the call tree, two spaces a depth."""
        yield "  " * depth + self.name
        for node in self.calls:
            yield from node.lines(depth + 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What of their trace is not looked for in ours; each entry has its reason in ``golden/rules.txt``."""

    ignore: frozenset[str]
    cut: frozenset[str]
    ends: dict[str, str]
    renamed: dict[str, str]

    @classmethod
    def read(cls, *files: str) -> "Rules":
        """Read files of rules, ``rules`` if none is named.

        Raises
        ------
        ValueError
            If a line has no reason or is none of the known ones.
        """
        ignore, cut = set[str](), set[str]()
        names: dict[str, dict[str, str]] = {"is": {}, "as": {}}
        text = "".join((_HERE / f"{name}.txt").read_text() for name in files or ("rules",))
        for line in text.splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "ignore" and len(words) > 2:
                ignore.add(words[1])
            elif words[0] == "cut" and len(words) > 2:
                cut.add(words[1])
            elif words[0] in names and len(words) > 3:
                names[words[0]][words[1]] = words[2]
            else:
                raise ValueError(f"no rule with a reason: {line!r}")
        return cls(frozenset(ignore), frozenset(cut), names["is"], names["as"])


def read_golden(name: str) -> dict[str, list[Node]]:
    """Return a trace's sections, by the titles of their ``# --`` lines ("" before the first): the calls at the top.

    One that was taken in parts, ``-p1`` and so on, is joined: a part goes on where the one before ended.
    """
    first, *parts = sorted(_HERE.glob(f"{name}-*.txt"))
    lines = first.read_text().splitlines()
    lines += [line for path in parts for line in path.read_text().splitlines() if not line.startswith("#")]
    sections: dict[str, list[Node]] = {"": []}
    title = ""
    stack: list[Node] = []
    for line in lines:
        if line.startswith("# -- "):
            title = line[5:]
            sections[title] = stack = []
        if not line.strip() or line.startswith(("#", "[")):
            stack = []
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        node = Node(line.strip())
        del stack[depth:]
        (stack[-1].calls if stack else sections[title]).append(node)
        stack.append(node)
    return sections


def theirs(nodes: Iterable[Node], rules: Rules) -> list[Node]:
    """Return their call tree without what the rules leave out, under our names."""
    kept: list[Node] = []
    for node in nodes:
        if node.name in rules.cut:
            continue
        if node.name in rules.ends:
            kept.append(Node(rules.ends[node.name]))
        elif node.name in rules.ignore:
            kept += theirs(node.calls, rules)
        else:
            kept.append(Node(rules.renamed.get(node.name, node.name), theirs(node.calls, rules)))
    return kept


def ours(calls: Iterable[Call], names: set[str], ends: Iterable[str]) -> list[Node]:
    """Return our call tree as far as it has functions of ``names``; ``ends`` are not looked into."""
    kept: list[Node] = []
    for call in calls:
        if call.name in ends:
            kept.append(Node(call.name))
        elif call.name in names:
            kept.append(Node(call.name, ours(call.calls, names, ends)))
        else:
            kept += ours(call.calls, names, ends)
    return kept


def find(nodes: list[Node], name: str) -> list[Node]:
    """Return the calls of a function, from anywhere below."""
    found: list[Node] = []
    for node in nodes:
        found += [node] if node.name == name else find(node.calls, name)
    return found


def side_by_side(left: list[str], right: list[str]) -> str:
    """Return two call trees beside each other up to a few lines after the first difference."""
    width = max(len("theirs"), *(len(line) for line in left)) + 1 if left else len("theirs ")
    text = [f"{'theirs':<{width}}   ours"]
    after = -1
    for one, other in zip_longest(left, right, fillvalue=""):
        if one != other and after < 0:
            after = 0
        text.append(f"{one:<{width}} {' ' if one == other else '|'} {other}")
        if after >= 0:
            after += 1
        if after > 5:
            break
    return "\n".join(text)


def fold(nodes: Iterable[Node]) -> list[Node]:
    """Return a call tree in which calls that repeat one after the other, with all below them, are one."""
    folded: list[Node] = []
    for node in nodes:
        small = Node(node.name, fold(node.calls))
        if not folded or folded[-1] != small:
            folded.append(small)
    return folded


def compare(golden: Iterable[Node], calls: Iterable[Call], rules: Rules, names: Iterable[str] = ()) -> None:
    """Check that our calls have theirs, in their order and nesting.

    Parameters
    ----------
    golden : Iterable[Node]
        Their call tree.
    calls : Iterable[Call]
        Ours.
    rules : Rules
        What is left out or has another name.
    names : Iterable[str]
        With these: the functions that their trace would have shown, apart from those that it has. Then ours may have
        no more of them than theirs, and runs of equal calls count as one.

    Raises
    ------
    AssertionError
        With both trees side by side, up to the first difference.
    """
    wanted = theirs(golden, rules)
    shown = {line.strip() for node in wanted for line in node.lines()} | {rules.renamed.get(n, n) for n in names}
    present = ours(calls, shown, set(rules.ends.values()))
    if names:
        wanted, present = fold(wanted), fold(present)
    left = [line for node in wanted for line in node.lines()]
    right = [line for node in present for line in node.lines()]
    if left != right:
        raise AssertionError("the call orders differ\n" + side_by_side(left, right))
