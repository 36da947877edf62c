"""A packet that becomes another one (Linux: net/core/skbuff.c)."""

from .skbuff import SkBuff
from .skbuff_data import skb_walk_frags

__all__ = ["skb_morph"]

_UNSET = object()  # Of a member that few packets have.


def skb_morph(dst: SkBuff, src: SkBuff) -> None:
    """Let ``dst`` be what ``src`` is, and ``src``, which hangs on that, what ``dst`` was."""
    frags = [dst if frag is src else src if frag is dst else frag for frag in skb_walk_frags(src)]
    for name in SkBuff.__slots__:
        mine, theirs = getattr(dst, name, _UNSET), getattr(src, name, _UNSET)
        for skb, value in ((dst, theirs), (src, mine)):
            if value is not _UNSET:
                setattr(skb, name, value)
            elif hasattr(skb, name):
                delattr(skb, name)
    dst.frag_list = frags[0] if frags else None
    for frag, following in zip(frags, [*frags[1:], None], strict=True):
        frag.next = following
