"""Two ends of the bridge's link against each other, over a line with noise."""

from random import Random

import pytest

from hardwire.sim.bridge.link import BridgeError, Link
from hardwire.stack.abi.bridge import BridgeKind
from hardwire.tb.bench import seed
from hardwire.tb.sim.noisy_line import LineEnd, noisy_line

Heard = list[tuple[BridgeKind, bytes]]


class Ends:
    """A host's end and a card's."""

    def __init__(self, rng: Random, **noise: float) -> None:
        self.lines = noisy_line(rng, **noise)
        self.heard: tuple[Heard, Heard] = ([], [])
        self.host = Link(self.lines[0], lambda kind, octets: self.heard[0].append((kind, octets)))
        self.card = Link(self.lines[1], self._card, governs=False)
        self.host.restart()
        self.card.restart()

    def _card(self, kind: BridgeKind, octets: bytes) -> None:
        if kind == BridgeKind.LIMIT:
            self.card.pace.octets = int.from_bytes(octets, "little")
        else:
            self.heard[1].append((kind, octets))

    def run(self, limit_fs: int = 10**18) -> None:
        """Let time pass until both ends are idle."""
        line: LineEnd = self.lines[0]
        while not (self.host.idle and self.card.idle):
            assert line.time_fs < limit_fs
            self.host.pump()
            self.card.pump()
            events = [self.host.deadline_fs, self.card.deadline_fs, *(end.next_fs for end in self.lines)]
            later = [at for at in events if at is not None]
            if later:
                line.clock.now_fs = max(line.time_fs, min(later))


def memory_of(heard: Heard, size: int) -> bytes:
    """Return what WRITE frames make of memory."""
    memory = bytearray(size)
    for kind, octets in heard:
        if kind == BridgeKind.WRITE:
            at = int.from_bytes(octets[:4], "little")
            memory[at : at + len(octets) - 4] = octets[4:]
    return bytes(memory)


@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"flip": 0.001},
        {"loss": 0.001, "insertion": 0.001},
        {"flip": 0.004, "loss": 0.003, "insertion": 0.003},  # 1 % of all octets.
        {"flip": 0.02},
    ],
    ids=str,
)
def test_everything_arrives_once_and_in_order(noise: dict[str, float]) -> None:
    rng = Random(seed())
    ends = Ends(rng, **noise)
    sent: tuple[Heard, Heard] = ([], [])
    for link, out in ((ends.host, sent[0]), (ends.card, sent[1])):
        for number in range(150):
            octets = number.to_bytes(4, "little") + rng.randbytes(rng.randint(0, 20))
            out.append((BridgeKind.REG_WRITE, octets))
            link.send(BridgeKind.REG_WRITE, octets)
    ends.run()
    assert ends.heard[1] == sent[0]
    assert ends.heard[0] == sent[1]


@pytest.mark.parametrize("flip", [0, 0.001, 0.01])
def test_memory_arrives_whole_and_before_what_tells_of_it(flip: float) -> None:
    rng = Random(seed())
    ends = Ends(rng, flip=flip)
    image = rng.randbytes(8_000)
    for link in (ends.host, ends.card):
        link.write(0, image)
        link.send(BridgeKind.IRQ, b"\1")
    ends.run()
    for heard in ends.heard:
        assert heard[-1] == (BridgeKind.IRQ, b"\1")
        assert memory_of(heard, len(image)) == image
        assert max(len(octets) for _, octets in heard) <= 4 + 256


def test_both_ways_at_once_nine_tenths_of_the_line_are_payload() -> None:
    rng = Random(seed())
    ends = Ends(rng)
    image = rng.randbytes(60_000)
    for link in (ends.host, ends.card):
        link.write(0, image)
    ends.run()
    line = ends.lines[0]
    assert len(image) * line.octet_fs / line.time_fs >= 0.9
    assert ends.host.report()["frames_resent"] == ends.card.report()["frames_resent"] == 0


def test_frames_become_shorter_with_noise_and_long_again_without() -> None:
    rng = Random(seed())
    ends = Ends(rng, flip=0.01)
    image = rng.randbytes(8_000)
    for link in (ends.host, ends.card):
        link.write(0, image)
    ends.run()
    for heard in ends.heard:
        lengths = [len(octets) - 4 for _, octets in heard]
        assert lengths[0] == 256
        assert min(lengths) <= 64
    for end in ends.lines:
        end.flip = 0
    for link in (ends.host, ends.card):
        link.write(0, image * 4)
    ends.run()
    for heard in ends.heard:
        assert len(heard[-2][1]) - 4 == 256
        assert memory_of(heard, 4 * len(image)) == image * 4


def test_what_was_queued_goes_out_in_one_piece() -> None:
    ends = Ends(Random(0))
    ends.host.write(0, bytes(1514))
    ends.host.write(4096, bytes(32))
    ends.host.send(BridgeKind.REG_WRITE, bytes(8))
    ends.host.pump()
    assert ends.host.report()["writes"] == 1
    ends.run()
    assert [kind for kind, _ in ends.heard[1]] == [BridgeKind.WRITE] * 7 + [BridgeKind.REG_WRITE]


def test_frames_of_an_earlier_session_are_ignored() -> None:
    ends = Ends(Random(0))
    ends.card.send(BridgeKind.IRQ, b"\1")
    ends.card.pump()
    ends.host.close()
    ends.lines[0].clock.now_fs = 10**12
    assert not ends.host.pump()
    assert ends.heard[0] == []
    ends.card.send_unnumbered(BridgeKind.HELLO, b"hello")
    ends.lines[0].clock.now_fs *= 2
    assert ends.host.pump()
    assert ends.heard[0] == [(BridgeKind.HELLO, b"hello")]


def test_dead_line_is_an_error() -> None:
    ends = Ends(Random(0), loss=1)
    ends.host.send(BridgeKind.REG_WRITE, bytes(8))
    with pytest.raises(BridgeError, match="does not answer any more"):
        ends.run()
    assert ends.host.report()["timeouts"] > 10
