"""Socket buffers: room, sharing, copying, sums and memory given back."""

import random

import pytest

from hardwire.stack.core.drop_reasons import SkbDropReason
from hardwire.stack.core.net import Kernel
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    MAX_SKB_FRAGS,
    SkBuff,
    alloc_page,
    alloc_skb,
    alloc_skb_with_frags,
    consume_skb,
    kfree_skb,
    kfree_skb_reason,
    skb_fill_page_desc,
    skb_get,
    skb_headlen,
    skb_pull,
    skb_push,
    skb_put,
    skb_put_data,
    skb_reserve,
    skb_tailroom,
    skb_trim,
)
from hardwire.stack.core.skbuff_data import (
    __pskb_pull_tail,
    pskb_copy,
    pskb_expand_head,
    pskb_may_pull,
    skb_checksum,
    skb_clone,
    skb_copy,
    skb_copy_bits,
    skb_cow_head,
    skb_expand_head,
    skb_linearize,
    skb_realloc_headroom,
    skb_store_bits,
)
from hardwire.stack.wire.checksum import csum_partial
from hardwire.tb.stack.fake import FakePlatform, make_kernel

pull_tail = __pskb_pull_tail


def octets_of(skb: SkBuff) -> bytes:
    return skb_copy_bits(skb, 0, skb.len)


def build(kernel: Kernel, head: bytes, frags: tuple[bytes, ...] = (), chain: tuple[bytes, ...] = ()) -> SkBuff:
    skb = alloc_skb(kernel, 32 + len(head))
    skb_reserve(skb, 32)
    skb_put_data(skb, head)
    for octets in frags:
        page = alloc_page(kernel, len(octets) + 7)
        page.view[7 : 7 + len(octets)] = octets
        skb_fill_page_desc(skb, page, 7, len(octets))
        skb.len += len(octets)
        skb.data_len += len(octets)
    last = None
    for octets in chain:
        part = build(kernel, octets)
        if last is None:
            skb.frag_list = part
        else:
            last.next = part
        last = part
        skb.len += part.len
        skb.data_len += part.len
    return skb


@pytest.fixture
def host() -> tuple[Kernel, FakePlatform]:
    return make_kernel()


def test_data_grows_and_shrinks_at_both_ends(host):
    kernel, platform = host
    skb = alloc_skb(kernel, 40)
    skb_reserve(skb, 14)
    assert skb_put(skb, 3) == 14
    skb.view[14:17] = b"abc"
    assert skb_push(skb, 2) == 12
    skb.view[12:14] = b"XY"
    assert octets_of(skb) == b"XYabc"
    skb_pull(skb, 1)
    skb_trim(skb, 3)
    assert octets_of(skb) == b"Yab"
    assert skb_tailroom(skb) == 40 - 16
    kfree_skb(skb)
    assert not platform.buffers


@pytest.mark.parametrize(
    ("function", "length"),
    [(skb_put, 27), (skb_push, 15), (skb_pull, 1)],
)
def test_data_never_leaves_the_head(host, function, length):
    skb = alloc_skb(host[0], 40)
    skb_reserve(skb, 14)
    with pytest.raises(ValueError, match=function.__name__):
        function(skb, length)


def test_a_freed_skb_gives_all_memory_back_and_counts_the_reason(host):
    kernel, platform = host
    skb = build(kernel, b"head", (b"one", b"two"), (b"three", b"four"))
    kfree_skb_reason(skb, SkbDropReason.QDISC_DROP)
    assert not platform.buffers
    assert kernel.drop_counts() == {"QDISC_DROP": 1}


def test_consume_is_no_drop(host):
    kernel, platform = host
    consume_skb(build(kernel, b"head"))
    assert kernel.drop_counts() == {}


def test_the_last_reference_frees(host):
    kernel, platform = host
    skb = skb_get(build(kernel, b"head"))
    kfree_skb(skb)
    assert platform.buffers
    kfree_skb(skb)
    assert not platform.buffers


def test_the_destructor_runs_once_and_sees_the_skb(host):
    seen = []
    skb = build(host[0], b"head")
    skb.destructor = seen.append
    clone = skb_clone(skb)
    consume_skb(clone)
    assert seen == []
    consume_skb(skb)
    assert seen == [skb]


def test_clones_share_data_until_one_is_made_writable(host):
    kernel, platform = host
    skb = build(kernel, b"head", (b"frag",), (b"list",))
    clone = skb_clone(skb)
    clone.view[clone.data] = ord("H")
    assert octets_of(skb) == b"Headfraglist"
    skb_cow_head(clone, 0)
    clone.view[clone.data] = ord("h")
    assert octets_of(skb) == b"Headfraglist"
    assert octets_of(clone) == b"headfraglist"
    consume_skb(skb)
    assert octets_of(clone) == b"headfraglist"
    consume_skb(clone)
    assert not platform.buffers


@pytest.mark.parametrize("copy", [skb_copy, pskb_copy, skb_clone, lambda skb: skb_realloc_headroom(skb, 100)])
def test_copies_outlive_the_original(host, copy):
    kernel, platform = host
    skb = build(kernel, b"head", (b"frag", b"more"), (b"list",))
    skb.ip_summed = CHECKSUM_PARTIAL
    skb.network_header = skb.data + 1
    skb.csum_start = skb.data + 2
    skb.csum_offset = 1
    other = copy(skb)
    consume_skb(skb)
    assert octets_of(other) == b"headfragmorelist"
    assert (other.ip_summed, other.csum_start - other.data, other.csum_offset) == (CHECKSUM_PARTIAL, 2, 1)
    assert other.network_header == other.data + 1
    consume_skb(other)
    assert not platform.buffers


def test_headroom_is_added_without_losing_the_owner(host):
    kernel, platform = host
    freed = []
    skb = build(kernel, b"head", (b"frag",))
    skb.destructor = freed.append
    clone = skb_clone(skb)
    grown = skb_expand_head(skb, 100)
    assert grown.data >= 100
    assert octets_of(grown) == b"headfrag"
    assert freed == []
    consume_skb(clone)
    consume_skb(grown)
    assert len(freed) == 1
    assert not platform.buffers


def test_headroom_of_a_shared_skb_moves_the_ownership(host):
    kernel, platform = host
    freed = []
    skb = skb_get(build(kernel, b"head"))
    skb.destructor = freed.append
    grown = skb_expand_head(skb, 100)
    assert grown is not skb
    consume_skb(skb)
    assert freed == []
    consume_skb(grown)
    assert freed == [grown]
    assert not platform.buffers


def test_linearize_brings_everything_into_the_head(host):
    kernel, platform = host
    skb = build(kernel, b"head", (b"frag", b"more"), (b"list", b"end"))
    skb_linearize(skb)
    assert skb.data_len == 0
    assert skb_headlen(skb) == skb.len == 19
    assert octets_of(skb) == b"headfragmorelistend"
    assert len(platform.buffers) == 1


@pytest.mark.parametrize("delta", range(1, 16))
def test_pull_tail_takes_exactly_as_much_as_asked(host, delta):
    kernel, platform = host
    skb = build(kernel, b"head", (b"frag", b"more"), (b"list", b"end"))
    pull_tail(skb, delta)
    assert skb_headlen(skb) == 4 + delta
    assert octets_of(skb) == b"headfragmorelistend"
    consume_skb(skb)
    assert not platform.buffers


def test_may_pull_knows_what_is_there(host):
    skb = build(host[0], b"head", (b"frag",))
    assert pskb_may_pull(skb, 4)
    assert skb.data_len == 4
    assert pskb_may_pull(skb, 6)
    assert skb.data_len == 2
    assert not pskb_may_pull(skb, 9)


def test_store_and_copy_reach_every_part(host):
    skb = build(host[0], b"head", (b"frag",), (b"list",))
    skb_store_bits(skb, 2, b"ADFRAGLI")
    assert octets_of(skb) == b"heADFRAGLIst"
    assert skb_copy_bits(skb, 3, 7) == b"DFRAGLI"
    for offset, length in ((0, 13), (13, 0), (-1, 2)):
        with pytest.raises(ValueError, match="are not all in"):
            skb_copy_bits(skb, offset, length)


def test_checksum_over_odd_parts_is_that_of_the_octets(host, request):
    seed = 7
    rng = random.Random(seed)
    for _ in range(200):
        parts = [rng.randbytes(rng.randrange(1, 9)) for _ in range(rng.randrange(1, 7))]
        cut = rng.randrange(1, len(parts) + 1)
        skb = build(host[0], parts[0], tuple(parts[1:cut]), tuple(parts[cut:]))
        octets = b"".join(parts)
        start = rng.randrange(len(octets))
        length = rng.randrange(len(octets) - start + 1)
        assert skb_checksum(skb, start, length) == csum_partial(octets[start : start + length]), f"seed {seed}"


def test_a_large_skb_gets_fragments_for_its_data(host):
    kernel, platform = host
    skb = alloc_skb_with_frags(kernel, 100, 70_000)
    assert [size for _, _, size in skb.frags] == [32768, 32768, 4464]
    kfree_skb(skb)
    assert not platform.buffers
    with pytest.raises(OSError, match="MAX_SKB_FRAGS"):
        alloc_skb_with_frags(kernel, 100, MAX_SKB_FRAGS * 32768 + 1)


@pytest.mark.parametrize("failing", range(3))
def test_an_allocation_that_fails_leaves_nothing_behind(host, failing):
    kernel, platform = host
    platform.fail_kmalloc = failing
    with pytest.raises(OSError, match="fail_kmalloc"):
        alloc_skb_with_frags(kernel, 100, 50_000)
    assert not platform.buffers


def test_expanding_that_fails_changes_nothing(host):
    kernel, platform = host
    skb = build(kernel, b"head", (b"frag",))
    platform.fail_kmalloc = 0
    with pytest.raises(OSError, match="fail_kmalloc"):
        pskb_expand_head(skb, 10, 10)
    assert octets_of(skb) == b"headfrag"
