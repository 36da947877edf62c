"""The framing of the bridge against RFC 1662's own words, octet by octet."""

from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from hardwire.sim.bridge.hdlc import Deframer, enframe
from hardwire.tb.bench import seed


def fcs32(octets: bytes) -> int:
    """Return the FCS bit by bit (RFC 1662 appendix C.3: register preset to ones, polynomial reversed)."""
    register = 0xFFFF_FFFF
    for octet in octets:
        for bit in range(8):
            feedback = (register ^ octet >> bit) & 1
            register = register >> 1 ^ (0xEDB8_8320 if feedback else 0)
    return register ^ 0xFFFF_FFFF


def stuffed(octets: bytes) -> bytes:
    """Return a frame with its FCS, escaped octet by octet (RFC 1662 §4.2), and its closing flag."""
    line = bytearray()
    for octet in octets + fcs32(octets).to_bytes(4, "little"):
        line += bytes([0x7D, octet ^ 0x20]) if octet in (0x7D, 0x7E) else bytes([octet])
    return bytes(line) + b"\x7e"


# Mostly what needs escapes.
frames = st.binary(min_size=1, max_size=40) | st.lists(st.sampled_from([0x7D, 0x7E, 0x5D, 0x5E, 0]), min_size=1).map(
    bytes
)


@given(frames)
def test_frame_on_the_line_is_that_of_the_rfc(frame: bytes) -> None:
    assert enframe(frame) == stuffed(frame)


@given(st.lists(frames), st.lists(st.integers(1, 9), min_size=1))
def test_frames_come_out_however_the_line_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    line = b"\x7e" + b"".join(map(stuffed, sent))
    deframer = Deframer(300)
    found, at, number = [], 0, 0
    while at < len(line):
        size = cuts[number % len(cuts)]
        found += deframer.feed(line[at : at + size])
        at, number = at + size, number + 1
    assert found == sent
    assert deframer.damaged == 0
    assert deframer.octets == len(line)


@given(frames)
@example(b"\xdc")  # Its FCS ends with 5D, so that two escapes stand before the flag.
def test_any_octet_may_be_escaped(frame: bytes) -> None:
    whole = frame + fcs32(frame).to_bytes(4, "little")
    line = b"".join(bytes([0x7D, octet ^ 0x20]) for octet in whole if octet ^ 0x20 != 0x7E)
    usable = not any(octet ^ 0x20 == 0x7E for octet in whole)
    assert Deframer(300).feed(b"\x7e" + line + b"\x7e") == ([frame] if usable else [])


@given(st.lists(st.binary()), frames)
def test_arbitrary_octets_never_crash_and_the_next_flag_starts_anew(noise: list[bytes], frame: bytes) -> None:
    deframer = Deframer(300)
    for part in noise:
        deframer.feed(part)
    assert deframer.feed(b"\x7e" + stuffed(frame))[-1] == frame


@given(frames, st.data())
def test_damaged_frame_is_counted_and_not_handed_on(frame: bytes, data: st.DataObject) -> None:
    line = stuffed(frame)[:-1]
    at = data.draw(st.integers(0, len(line) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet not in (line[at], 0x7E)))
    deframer = Deframer(300)
    found = deframer.feed(b"\x7e" + line[:at] + bytes([octet]) + line[at + 1 :] + b"\x7e")
    # An escape that was damaged may make two octets of one, and the other way round; CRC-32 sees up to 32 bits of it.
    assert found == []
    assert deframer.damaged == 1


def test_aborted_short_and_long_frames_are_damaged_ones() -> None:
    deframer = Deframer(10)
    assert deframer.feed(b"~" + stuffed(b"abc")[:-1] + b"}~") == []  # RFC 1662 §4.3: escape and flag abort.
    assert deframer.feed(b"abc~") == []
    assert deframer.feed(fcs32(b"").to_bytes(4, "little") + b"~") == []
    assert deframer.damaged == 3
    assert deframer.feed(stuffed(bytes(11))) == []
    assert deframer.damaged == 4
    assert deframer.feed(b"x" * 1000) == []
    assert deframer.feed(b"x" * 1000 + b"~" + stuffed(bytes(10))) == [bytes(10)]
    assert deframer.damaged == 5


def test_flags_between_frames_are_no_frames() -> None:
    deframer = Deframer(10)
    assert deframer.feed(b"~~~" + stuffed(b"a") + b"~~" + stuffed(b"b")) == [b"a", b"b"]
    assert deframer.damaged == 0


def test_noise_costs_no_more_frames_than_it_hits() -> None:
    rng = Random(seed())
    deframer = Deframer(300)
    sent = [rng.randbytes(rng.randint(1, 200)) for _ in range(500)]
    hit = rng.sample(range(500), 50)
    found = deframer.feed(b"~")
    for number, frame in enumerate(sent):
        line = bytearray(stuffed(frame))
        if number in hit:
            line[rng.randrange(len(line) - 1)] ^= 1 << rng.randrange(8)
        found += deframer.feed(bytes(line))
    assert [frame for frame in found if len(frame) > 4] == [
        frame for number, frame in enumerate(sent) if number not in hit and len(frame) > 4
    ]
