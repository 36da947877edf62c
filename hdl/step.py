"""Small counters in gates: for up to about six bits they are smaller than a carry chain with what leads in and out."""

from amaranth.hdl import Cat, Value

__all__ = ["one_less", "one_more"]


def one_more(value: Value) -> Value:
    """Return ``value`` plus one, in the same number of bits."""
    return value ^ Cat(1, *(value[:bit].all() for bit in range(1, len(value))))


def one_less(value: Value) -> Value:
    """Return ``value`` minus one, in the same number of bits."""
    return value ^ Cat(1, *(~value[:bit].any() for bit in range(1, len(value))))
