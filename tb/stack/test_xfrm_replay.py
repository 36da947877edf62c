"""The window of sequence numbers against a set that forgets nothing."""

import os
import random

import pytest

from hardwire.stack.core.net import Kernel
from hardwire.stack.xfrm.xfrm import IPPROTO_AH, XFRM_STATE_ESN
from hardwire.stack.xfrm.xfrm_replay import (
    xfrm_replay_advance,
    xfrm_replay_check,
    xfrm_replay_overflow,
    xfrm_replay_recheck,
    xfrm_replay_seqhi,
)
from hardwire.stack.xfrm.xfrm_state import XfrmState
from hardwire.tb.stack.fake import FakePlatform

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))
LOW = 0xFFFFFFFF


@pytest.fixture(scope="module")
def net():
    return Kernel(FakePlatform()).init_net


def make(net, window: int, *, extended: bool = False, esn: bool = False) -> XfrmState:
    """Return a state with nothing but its numbers."""
    flags = XFRM_STATE_ESN if esn else 0
    return XfrmState(net, daddr=1, proto=IPPROTO_AH, replay_window=window, flags=flags, extended=extended)


@pytest.mark.parametrize(
    ("window", "extended", "esn"),
    [
        (1, False, False),
        (32, False, False),
        (64, True, False),
        (300, True, False),
        (32, True, True),
        (4096, True, True),
    ],
)
def test_a_number_is_taken_once_and_only_within_the_window(net, window, extended, esn):
    print(f"HARDWIRE_SEED={SEED}")
    rng = random.Random(SEED)
    x = make(net, window, extended=extended, esn=esn)
    top = x.replay.seq = rng.choice((0, LOW - 50)) if esn else 0
    seen = {top} if top else {0}
    if top:
        x.replay.bitmap = 1
    for _ in range(3000):
        number = max(1, top + rng.choice((1, 1, 2, rng.randrange(-2 * window, 2 * window + 1))))
        expected = number > top or (top - number < window and number not in seen)
        sequence = number & LOW
        # An extended number before the window is taken for one far ahead of it: then the check value is wrong.
        high = xfrm_replay_seqhi(x, sequence)
        genuine = high << 32 | sequence == number
        assert (xfrm_replay_check(x, sequence) and genuine) == expected, (number, top)
        if not expected:
            continue
        assert xfrm_replay_recheck(x, sequence, high)
        xfrm_replay_advance(x, sequence)
        seen.add(number)
        top = max(top, number)
    if esn:
        assert x.replay.seq == top


def test_the_high_half_is_that_of_rfc_4303(net):
    # Appendix A2.2, with a window of 64: case A above it and below, case B in both subspaces.
    x = make(net, 64, extended=True, esn=True)
    for last, low, expected in (
        (5 << 32 | 1000, 937, 5),
        (5 << 32 | 1000, 936, 6),
        (5 << 32 | 1000, LOW, 5),
        (5 << 32 | 10, 11, 5),
        (5 << 32 | 10, LOW, 4),
        (5 << 32 | 10, (10 - 63) & LOW, 4),
        (5 << 32 | 10, (10 - 64) & LOW, 5),
        (10, LOW, 0),
    ):
        x.replay.seq = last
        assert xfrm_replay_seqhi(x, low) == expected


def test_a_number_that_moved_out_of_its_half_meanwhile_is_refused(net):
    x = make(net, 64, extended=True, esn=True)
    x.replay.seq = 5 << 32 | 1000
    assert not xfrm_replay_recheck(x, 937, 6)
    assert x.stats.replay_window == 1


def test_without_a_window_each_number_is_taken(net):
    x = make(net, 0)
    for number in (5, 5, 0, 1):
        assert xfrm_replay_check(x, number)
        xfrm_replay_advance(x, number)


@pytest.mark.parametrize(("esn", "last"), [(False, LOW), (True, LOW << 32 | LOW)])
def test_numbers_to_send_begin_at_1_and_end(net, esn, last):
    x = make(net, 32, extended=esn, esn=esn)
    assert [xfrm_replay_overflow(x) for _ in range(3)] == [1, 2, 3]
    x.replay.oseq = last - 1
    assert xfrm_replay_overflow(x) == last
    assert xfrm_replay_overflow(x) is None
    assert x.replay.oseq == last
