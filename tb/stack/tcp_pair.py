"""Two hosts with TCP on a cable that delays, loses, doubles and reorders; and one host with a peer by hand."""

import random
from hashlib import sha256

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from hardwire.stack import socket as api
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.programs import make_ours

__all__ = ["Cable", "Scripted", "TcpPair", "seconds"]

PORT = 7000


def seconds(number: float) -> int:
    """Return a time in ns."""
    return int(number * 1_000_000_000)


class Cable:
    """One direction: frames go through ``choose``, which returns after how many ns each copy arrives (none: lost)."""

    def __init__(self, platform, device, choose) -> None:
        self.platform = platform
        self.device = device
        self.choose = choose
        self.carried = 0
        self.lost = 0

    def lose(self, *numbers: int, longer_than: int, delay_ns: int = 5 * MS) -> None:
        """Lose some of the frames that are longer than so many octets: the first is number 1; all others arrive."""
        count = 0

        def choose(frame: bytes) -> list[int]:
            nonlocal count
            is_long = len(frame) > longer_than
            count += is_long
            return [] if is_long and count in numbers else [delay_ns]

        self.choose = choose

    def receive(self, frame: bytes) -> None:
        """Take a frame that was sent."""
        delays = self.choose(frame)
        self.carried += 1
        self.lost += not delays
        for delay in delays:
            at = self.platform.now_ns() + delay
            self.platform.timer(at, lambda: self.device.receive(frame))


class TcpPair(Pair):
    """10.0.0.1 and 10.0.0.2; ``ab`` and ``ba`` are what the cable does to what goes each way."""

    def __init__(self, seed: int = 1, delay_ns: int = 5 * MS, **kwargs) -> None:
        super().__init__(seed, **kwargs)
        self.random = random.Random(seed)
        self.ab = Cable(self.platform, self.b.dev, lambda _: [delay_ns])
        self.ba = Cable(self.platform, self.a.dev, lambda _: [delay_ns])
        self.a.dev.peer, self.b.dev.peer = self.ab, self.ba  # type: ignore[assignment]  # They take frames, too.

    def faults(self, *, delay_ns: int, loss: float, reorder: float = 0.0, double: float = 0.0) -> None:
        """Let the cable delay, lose, overtake and double frames, as random numbers of the seed say."""

        def choose(_: bytes) -> list[int]:
            if self.random.random() < loss:
                return []
            late = delay_ns * 3 // 4 if self.random.random() < reorder else delay_ns
            return [late, delay_ns + 1000] if self.random.random() < double else [late]

        self.ab.choose = self.ba.choose = choose

    def listener(self, port: int = PORT, backlog: int = 5, **options):
        """Return a socket of b that listens."""
        sock = self.b.net.socket(api.AF_INET, api.SOCK_STREAM)
        for (level, name), value in options.pop("options", {}).items():
            sock.setsockopt(level, name, value)
        sock.bind(("10.0.0.2", port))
        sock.listen(backlog)
        return sock

    def connected(self, **kwargs):
        """Return both ends of a connection from a to b."""
        listener = self.listener(**kwargs)
        client = self.a.net.socket(api.AF_INET, api.SOCK_STREAM)
        client.connect(("10.0.0.2", kwargs.get("port", PORT)))
        server, _ = listener.accept()
        listener.close()
        return client, server

    def transfer(self, client, server, size: int, *, limit_s: float = 600, back: int = 0) -> None:
        """Send octets from one end to the other, and ``back`` from there, at once; what comes is what went."""
        sources = [self.random.randbytes(size), self.random.randbytes(back)]
        ends = [(client, server), (server, client)]
        hashes = [sha256(), sha256()]
        sent, got = [0, 0], [0, 0]
        for sock in (client, server):
            sock.setblocking(False)
        end_ns = self.platform.now_ns() + seconds(limit_s)
        while got != [size, back]:
            assert self.platform.now_ns() < end_ns, f"only {got} of {[size, back]} came, {sent} were taken"
            moved = False
            for way, (source, (tx, rx)) in enumerate(zip(sources, ends, strict=True)):
                if sent[way] < len(source):
                    try:
                        sent[way] += tx.send(source[sent[way] : sent[way] + 65536])
                        moved = True
                    except BlockingIOError:
                        pass
                try:
                    octets = rx.recv(1 << 20)
                except BlockingIOError:
                    continue
                assert octets
                hashes[way].update(octets)
                got[way] += len(octets)
                moved = True
            if not moved:
                self.run(MS)
        assert [h.hexdigest() for h in hashes] == [sha256(source).hexdigest() for source in sources]
        for sock in (client, server):
            sock.setblocking(True)

    def finish(self, *socks) -> None:
        """Close sockets, wait until nothing is left of connections, and see that memory and tables are as before."""
        for sock in socks:
            sock.close()
        self.run(seconds(400))
        for host in (self.a, self.b):
            info = host.net.ipv4.tcp_hashinfo
            assert (info.ehash, info.lhash, info.bhash) == ({}, {}, {})
            assert (info.orphan_count, info.tw_count, host.mib["Tcp:CurrEstab"]) == (0, 0, 0)
        self.check_memory()


class Scripted:
    """Our host, 10.0.0.2, and a peer at 10.0.0.1 whose segments a test makes, and looks at what comes back.

    ``seq`` is the peer's next number, ``ack`` what it has of ours; ``isn`` was our first.
    """

    def __init__(self, seed: int = 1) -> None:
        self.host = make_ours()
        self.platform = self.host.platform
        self.net = self.host.net
        self.mib = self.host.mib
        self.seq = 1000
        self.ack = 0
        self.isn = 0
        self.port, self.peer_port = PORT, 40000
        self.tsval = 0
        self.timestamps = False
        self.run(1000 * MS)
        self.host.dev.sent.clear()
        self.buffers_at_rest = len(self.platform.buffers)

    def run(self, ns: int = MS) -> None:
        """Let time pass."""
        self.platform.advance(ns)

    def segment(self, flags: str, payload: bytes = b"", *, seq=None, ack=None, window=65535, options=(), **fields):
        """Return a frame with a segment of the peer."""
        options = list(options)
        if self.timestamps and not any(name == "Timestamp" for name, _ in options):
            options.append(("Timestamp", (self.tsval, 0)))
        tcp = TCP(
            sport=self.peer_port,
            dport=self.port,
            flags=flags,
            seq=(self.seq if seq is None else seq) & 0xFFFFFFFF,
            ack=(self.ack if ack is None else ack) & 0xFFFFFFFF if "A" in flags else 0,
            window=window,
            options=options,
            **fields,
        )
        ip = IP(src="10.0.0.1", dst="10.0.0.2", id=1)
        return bytes(Ether(src=PEER_MAC, dst=MY_MAC) / ip / tcp / payload)

    def receive(self, flags: str, payload: bytes = b"", **fields) -> list:
        """Let a segment of the peer arrive, and return what is answered; ``seq`` goes on if it was not given."""
        count = len(payload) + ("S" in flags) + ("F" in flags)
        frame = self.segment(flags, payload, **fields)
        if fields.get("seq") is None:
            self.seq = self.seq + count & 0xFFFFFFFF
        self.host.receive(frame)
        self.run(0)
        return self.sent()

    def sent(self) -> list:
        """Return the segments that our host has sent since the last call; all checksums are right."""
        segments = []
        for frame in self.host.dev.sent:
            packet = Ether(frame)
            if TCP not in packet:
                continue
            again = IP(bytes(packet[IP]))
            del again[TCP].chksum
            assert IP(bytes(again))[TCP].chksum % 0xFFFF == packet[TCP].chksum % 0xFFFF
            length = packet[IP].len - 20 - packet[TCP].dataofs * 4
            packet[TCP].remove_payload() if not length else None
            segments.append(packet[TCP])
        self.host.dev.sent.clear()
        return segments

    def accept(self, *, mss: int = 1460, options=(), window: int = 65535, **sockopts):
        """Return an accepted socket, after a handshake that the peer began."""
        listener = self.net.socket(api.AF_INET, api.SOCK_STREAM)
        listener.bind(("10.0.0.2", self.port))
        listener.listen(5)
        (synack,) = self.receive("S", options=[("MSS", mss), *options], window=window)
        assert synack.flags == "SA"
        self.synack = synack
        self.isn = synack.seq
        self.ack = synack.seq + 1
        self.timestamps = any(name == "Timestamp" for name, _ in synack.options)
        self.tsval = dict(options).get("Timestamp", (0, 0))[0] + 1
        assert self.receive("A", window=window) == []
        sock, _ = listener.accept()
        listener.close()
        return sock

    def connecting(self):
        """Return a socket that does not wait while it is being connected to the peer, and its SYN."""
        sock = self.net.socket(api.AF_INET, api.SOCK_STREAM)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("10.0.0.1", PORT))
        (syn,) = self.sent()
        return sock, syn

    def connect(self, *, options=(), window: int = 65535):
        """Return a socket that is connected to the peer."""
        sock, syn = self.connecting()
        self.syn = syn
        self.peer_port, self.port = PORT, syn.sport
        self.isn, self.ack = syn.seq, syn.seq + 1
        (ack,) = self.receive("SA", options=[("MSS", 1460), *options], window=window)
        assert (ack.flags, ack.ack) == ("A", self.seq)
        sock.setblocking(True)
        return sock

    def check_memory(self) -> None:
        """Check that nothing was lost and nothing is kept."""
        assert len(self.platform.buffers) == self.buffers_at_rest
