"""The words of each kind of qdisc, and how ``tc`` shows it (iproute2: tc/q_*.c)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..sched.netem_random import normal_table
from .args import Args, CommandError
from .json_print import Printer
from .tc_units import (
    TICKS_PER_US,
    get_percent,
    get_rate,
    get_size,
    get_time_us,
    get_whole,
    rate_text,
    size_text,
    time_text,
)

if TYPE_CHECKING:
    from .tc import Tc

__all__ = ["QDISC_KINDS", "QdiscKind", "QdiscOptions"]

QdiscOptions = dict[str, Any]


@dataclass(frozen=True, slots=True)
class QdiscKind:
    """How a kind's options are written.

    Members
    -------
    parse : callable
        Takes kind and words; returns the options as the qdisc takes them.
    show : callable
        Takes command, printer and options, and prints them.
    """

    parse: Callable[[str, Args], QdiscOptions]
    show: "Callable[[Tc, Printer, QdiscOptions], None]"


def unknown(kind: str, word: str) -> CommandError:
    """Return what is said about a word that a kind does not know."""
    return CommandError(f'{kind}: unknown parameter "{word}"')


def _no_options(kind: str, args: Args) -> QdiscOptions:
    if args:
        raise unknown(kind, args.word)
    return {}


def _show_nothing(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    del tc, out, options


def _parse_fifo(kind: str, args: Args) -> QdiscOptions:
    options: QdiscOptions = {}
    while args:
        if not args.taken("limit"):
            raise unknown(kind, args.word)
        options["limit"] = get_size(kind, "limit", args.next())
    return options


def _show_fifo(unit: str) -> "Callable[[Tc, Printer, QdiscOptions], None]":
    def show(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
        del tc
        out.any("limit", f"limit {options['limit']}{unit}", options["limit"])

    return show


def _parse_prio(kind: str, args: Args) -> QdiscOptions:
    options: QdiscOptions = {"bands": 3, "priomap": [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]}
    priomap: list[int] = []
    in_map = False
    while args:
        if args.taken("bands"):
            in_map = False
            options["bands"] = get_whole(kind, "bands", args.next(), 16)
        elif args.taken("priomap"):
            if in_map:
                raise CommandError("Error: duplicate priomap")
            in_map = True
        elif in_map:
            band = get_whole(kind, "priomap", args.take(), 255)
            if band >= options["bands"]:
                raise CommandError('"priomap" element is out of bands')
            priomap.append(band)
            if len(priomap) > 16:
                raise CommandError('"priomap" index cannot be larger than 15')
        else:
            raise unknown(kind, args.word)
    options["priomap"][: len(priomap)] = priomap
    return options


def _show_prio(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    out.any("bands", f"bands {options['bands']} ", options["bands"])
    out.open("priomap", [])
    out.text("priomap")
    for band in options["priomap"]:
        out.any(None, f" {band}", band)
    out.close()
    if tc.kind == "pfifo_fast":
        out.json("multiqueue", False)


def _parse_tbf(kind: str, args: Args) -> QdiscOptions:
    rate = peakrate = burst = mtu = limit = 0
    latency: float | None = None
    while args:
        if args.taken("limit"):
            limit = get_size(kind, "limit", args.next())
        elif args.taken("latency"):
            latency = get_time_us(kind, "latency", args.next())
        elif args.taken("burst", "buffer", "maxburst"):
            burst = get_size(kind, "buffer", args.next().split("/")[0])
        elif args.taken("mtu", "minburst"):
            mtu = get_size(kind, "mtu", args.next().split("/")[0])
        elif args.taken("rate"):
            rate = get_rate(kind, "rate", args.next())
        elif args.taken("peakrate"):
            peakrate = get_rate(kind, "peakrate", args.next())
        else:
            raise unknown(kind, args.word)
    missing = [
        text
        for bad, text in (
            (not rate, 'tbf: the "rate" parameter is mandatory.'),
            (not burst, 'tbf: the "burst" parameter is mandatory.'),
            (peakrate and not mtu, 'tbf: when "peakrate" is specified, "mtu" must also be specified.'),
            (not limit and latency is None, 'tbf: either "limit" or "latency" is required.'),
        )
        if bad
    ]
    if missing:
        raise CommandError("\n".join(missing))
    if not limit:
        assert latency is not None
        limit = int(rate * latency / 1e6) + burst
        if peakrate:
            limit = min(limit, int(peakrate * latency / 1e6) + mtu)
    options = {"limit": limit, "rate": rate, "rate_linklayer": 1, "buffer": _ticks(burst, rate), "burst": burst}
    if peakrate:
        options |= {"peakrate": peakrate, "peakrate_linklayer": 1, "mtu": _ticks(mtu, peakrate), "pburst": mtu}
    return options


def _ticks(octets: int, rate: int) -> int:
    """Return how long octets take, in ticks (iproute2: ``tc_calc_xmittime``)."""
    return int(1e6 * (octets / rate) * TICKS_PER_US)


def _octets(ticks: int, rate: int) -> int:
    """Return how many octets go in so many ticks (iproute2: ``tc_calc_xmitsize``)."""
    return int(rate * (ticks / TICKS_PER_US) / 1e6)


def _show_tbf(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    rate, peakrate = options.get("rate64") or options["rate"], options.get("prate64") or options["peakrate"]
    out.any("rate", f"rate {rate_text(rate)} ", rate)
    burst = _octets(options["buffer"], rate)
    detail = "/1 mpu 0b" if tc.details else ""
    out.any("burst", f"burst {size_text(burst)}{detail} ", burst)
    latency = 1e6 * (options["limit"] / rate) - options["buffer"] / TICKS_PER_US
    if peakrate:
        out.text(f"peakrate {rate_text(peakrate)} ")
        mtu = _octets(options["mtu"], peakrate)
        word = f"mtu {size_text(mtu)}/1 mpu 0b " if tc.details else f"minburst {size_text(mtu)} "
        out.any("minburst", word, mtu)
        latency = max(latency, 1e6 * (options["limit"] / peakrate) - options["mtu"] / TICKS_PER_US)
    if latency >= 0:
        out.any("lat", f"lat {time_text(latency)} ", int(latency))
    else:
        out.any("limit", f"limit {size_text(options['limit'])} ", options["limit"])
    if tc.details:
        out.text("linklayer ethernet ")


def _parse_sfq(kind: str, args: Args) -> QdiscOptions:
    options: QdiscOptions = {}
    while args:
        if args.taken("quantum"):
            options["quantum"] = get_size(kind, "quantum", args.next())
        elif args.taken("perturb"):
            options["perturb_period"] = get_whole(kind, "perturb", args.next(), 0x7FFF_FFFF)
        elif args.taken("headdrop"):
            options["headdrop"] = 1
        elif args and args.word in ("limit", "divisor", "flows", "depth"):
            word = args.take()
            options[word] = get_whole(kind, word, args.next())
        else:
            raise unknown(kind, args.word)
    return options


def _show_sfq(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    out.any("limit", f"limit {options['limit']}p ", options["limit"])
    out.any("quantum", f"quantum {size_text(options['quantum'])} ", options["quantum"])
    if options.get("depth"):
        out.any("depth", f"depth {options['depth']} ", options["depth"])
    if options.get("headdrop"):
        out.any("headdrop", "headdrop ", True)
    if tc.details:
        out.any("flows", f"flows {options['flows']}/{options['divisor']} ", options["flows"])
    out.any("divisor", f"divisor {options['divisor']} ", options["divisor"])
    if options.get("perturb_period"):
        out.any("perturb", f"perturb {options['perturb_period']}sec ", options["perturb_period"])


def _parse_codel(words: Sequence[str], sizes: Sequence[str]) -> Callable[[str, Args], QdiscOptions]:
    def parse(kind: str, args: Args) -> QdiscOptions:
        options: QdiscOptions = {}
        while args:
            word = args.take()
            if word in ("target", "interval", "ce_threshold"):
                options[word] = int(get_time_us(kind, word, args.next()))
            elif word in ("ecn", "noecn"):
                options["ecn"] = int(word == "ecn")
            elif word in sizes:
                options[word] = get_size(kind, word, args.next())
            elif word in words:
                options["drop_batch_size" if word == "drop_batch" else word] = get_whole(kind, word, args.next())
            else:
                raise unknown(kind, word)
        return options

    return parse


def _show_codel(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    del tc
    out.any("limit", f"limit {options['limit']}p ", options["limit"])
    for word in ("flows", "quantum"):
        if word in options:
            out.any(word, f"{word} {options[word]} ", options[word])
    for word in ("target", "ce_threshold", "interval"):
        if word in options:
            out.any(word, f"{word} {time_text(options[word])} ", options[word])
    if "memory_limit" in options:
        out.any("memory_limit", f"memory_limit {size_text(options['memory_limit'])} ", options["memory_limit"])
    if options.get("ecn"):
        out.any("ecn", "ecn ", True)
    if "drop_batch_size" in options:
        out.any("drop_batch", f"drop_batch {options['drop_batch_size']} ", options["drop_batch_size"])


def _parse_netem(kind: str, args: Args) -> QdiscOptions:
    options: QdiscOptions = {"limit": 1000}
    while args:
        word = args.take()
        if word == "limit":
            options["limit"] = get_whole(kind, "limit", args.next())
        elif word in ("delay", "latency"):
            _parse_delay(kind, args, options)
        elif word in ("loss", "drop"):
            _parse_loss(kind, args, options)
        elif word in ("duplicate", "corrupt", "reorder"):
            options[word] = get_percent(kind, word, args.next())
            if args and _is_percent(args.word):
                key = {"duplicate": "dup_corr", "corrupt": "corrupt_corr", "reorder": "reorder_corr"}[word]
                options[key] = get_percent(kind, word, args.take())
        elif word == "gap":
            options["gap"] = get_whole(kind, "gap", args.next())
        elif word == "ecn":
            options["ecn"] = 1
        elif word == "rate":
            options["rate"] = get_rate(kind, "rate", args.next())
            for key in ("packet_overhead", "cell_size", "cell_overhead"):
                if args and args.word.lstrip("-").isdigit():
                    options[key] = int(args.take())
        else:
            raise unknown(kind, word)
    if options.get("reorder") and not options.get("gap"):
        options["gap"] = 1
    if options.get("reorder") and not options.get("latency64"):
        raise CommandError("reordering not possible without specifying some delay")
    return options


def _is_percent(word: str) -> bool:
    text = word.removesuffix("%")
    return text.replace(".", "", 1).isdigit()


def _parse_delay(kind: str, args: Args, options: QdiscOptions) -> None:
    options["latency64"] = int(get_time_us(kind, "latency", args.next()) * 1000)
    if args and args.word[:1].isdigit():
        options["jitter64"] = int(get_time_us(kind, "latency", args.take()) * 1000)
        if args and _is_percent(args.word):
            options["delay_corr"] = get_percent(kind, "latency", args.take())
    if args.taken("distribution"):
        word = args.next()
        if word not in ("uniform", "normal"):
            raise CommandError(f'netem: no distribution "{word}"; there are uniform and normal')
        if word == "normal":
            options["delay_dist"] = normal_table()


def _parse_loss(kind: str, args: Args, options: QdiscOptions) -> None:
    model = args.take() if args and args.word in ("random", "state", "gemodel") else "random"
    if model == "random":
        options["loss"] = get_percent(kind, "loss", args.next())
        if args and _is_percent(args.word):
            options["loss_corr"] = get_percent(kind, "loss", args.take())
        return
    keys = ("p13", "p31", "p32", "p23", "p14") if model == "state" else ("p", "r", "h", "k1")
    shares = [get_percent(kind, f"loss {model}", args.next())]
    while args and _is_percent(args.word) and len(shares) < len(keys):
        shares.append(get_percent(kind, f"loss {model}", args.take()))
    options |= dict.fromkeys(keys, 0) | dict(zip(keys, shares, strict=False))
    whole = 0xFFFF_FFFF
    if model == "state":
        if len(shares) < 2:
            options["p31"] = whole - shares[0]
        if len(shares) < 4:
            options["p23"] = whole
    elif model == "gemodel":
        if len(shares) < 2:
            options["r"] = whole - shares[0]
        # The program writes chances of losing, the kernel wants those of not losing.
        options["h"] = 0 if len(shares) < 3 else whole - shares[2]


def _percent(value: int) -> str:
    return f"{100 * value / 0xFFFF_FFFF:g}%"


def _share(value: int) -> float:
    return round(value / 0xFFFF_FFFF, 10)


def _show_share(out: Printer, name: str, value: int, correlation: int, *, key: str = "") -> None:
    out.open(f"{name}-{key}" if key else name, {})
    out.any(key or name, f" {name} {_percent(value)}", _share(value))
    out.json("correlation", _share(correlation))
    if correlation:
        out.text(f" {_percent(correlation)}")
    out.close()


def _show_netem(tc: "Tc", out: Printer, options: QdiscOptions) -> None:
    del tc
    out.any("limit", f"limit {options['limit']}", options["limit"])
    latency, jitter = options["latency64"] / 1000, options["jitter64"] / 1000
    if latency or jitter:
        out.open("delay", {})
        out.any("delay", f" delay {time_text(latency)}", latency / 1e6)
        if jitter:
            out.any("jitter", f"  {time_text(jitter)}", jitter / 1e6)
            correlation = options.get("delay_corr", 0)
            out.json("correlation", _share(correlation))
            if correlation:
                out.text(f" {_percent(correlation)}")
        else:
            out.json("jitter", 0)
            out.json("correlation", 0)
        out.close()
    if options.get("loss"):
        _show_share(out, "loss", options["loss"], options.get("loss_corr", 0), key="random")
    _show_loss_model(out, options)
    if options.get("duplicate"):
        _show_share(out, "duplicate", options["duplicate"], options.get("dup_corr", 0))
    if options.get("reorder"):
        _show_share(out, "reorder", options["reorder"], options.get("reorder_corr", 0))
    if options.get("corrupt"):
        _show_share(out, "corrupt", options["corrupt"], options.get("corrupt_corr", 0))
    rate = options.get("rate64") or options.get("rate")
    if rate:
        out.open("rate", {})
        out.any("rate", f" rate {rate_text(rate)}", rate)
        for key in ("packet_overhead", "cell_size", "cell_overhead"):
            out.json(key.replace("_", ""), options.get(key, 0))
        out.close()
    out.json("ecn", bool(options.get("ecn")))
    if options.get("ecn"):
        out.text(" ecn ")
    out.json("gap", options.get("gap", 0))
    if options.get("gap"):
        out.text(f" gap {options['gap']}")


def _show_loss_model(out: Printer, options: QdiscOptions) -> None:
    if "p13" in options:
        out.open("loss-state", {})
        out.text(" loss state")
        for key in ("p13", "p31", "p32", "p23", "p14"):
            out.any(key, f" {key} {_percent(options[key])}", _share(options[key]))
        out.close()
    elif "p" in options:
        out.open("loss-gemodel", {})
        out.text(" loss gemodel")
        for key, word, value in (
            ("p", "p", options["p"]),
            ("r", "r", options["r"]),
            ("1-h", "1-h", 0xFFFF_FFFF - options["h"]),
            ("1-k", "1-k", options["k1"]),
        ):
            out.any(key, f" {word} {_percent(value)}", _share(value))
        out.close()


QDISC_KINDS: dict[str, QdiscKind] = {
    "bfifo": QdiscKind(_parse_fifo, _show_fifo("b")),
    "pfifo": QdiscKind(_parse_fifo, _show_fifo("p")),
    "pfifo_head_drop": QdiscKind(_parse_fifo, _show_fifo("p")),
    "pfifo_fast": QdiscKind(_no_options, _show_prio),
    "prio": QdiscKind(_parse_prio, _show_prio),
    "tbf": QdiscKind(_parse_tbf, _show_tbf),
    "sfq": QdiscKind(_parse_sfq, _show_sfq),
    "codel": QdiscKind(_parse_codel(("limit",), ()), _show_codel),
    "fq_codel": QdiscKind(
        _parse_codel(("limit", "flows", "drop_batch"), ("quantum", "memory_limit")),
        _show_codel,
    ),
    "netem": QdiscKind(_parse_netem, _show_netem),
    "mq": QdiscKind(_no_options, _show_nothing),
    "noqueue": QdiscKind(_no_options, _show_nothing),
}
