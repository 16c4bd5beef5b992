"""The protobuf wire format, as far as an ONNX file needs it: walk the fields of a message, append one. No onnx package."""

from collections.abc import Iterator
from typing import NamedTuple

from coupler.errors import HaloclineError


class Entry(NamedTuple):
    """One field of a message: its number, the number or the bytes that it holds, and where it stands."""

    number: int
    value: int | bytes
    start: int
    stop: int


def entries(data: bytes) -> Iterator[Entry]:
    """The fields of a message in the order of the file; HaloclineError where the bytes are no message.

    Source: protobuf encoding, wire types 0 (varint), 1 (8 bytes), 2 (length and bytes), 5 (4 bytes).
    """
    place = 0
    while place < len(data):
        start = place
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == 0:
            value, place = _varint(data, place)
        else:
            if kind == 2:
                size, place = _varint(data, place)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise _damaged(f"wire type {kind} at byte {start}")
            value, place = data[place : place + size], place + size
        if number == 0 or place > len(data):
            raise _damaged(f"field {number} at byte {start} ends at {place} of {len(data)} bytes")
        yield Entry(number, value, start, place)


def messages(data: bytes, number: int) -> Iterator[bytes]:
    """The embedded messages (or strings) of one field."""
    for entry in entries(data):
        if entry.number == number and isinstance(entry.value, bytes):
            yield entry.value


def text_entry(number: int, *strings: bytes) -> bytes:
    """The bytes of field `number`, a message of strings numbered 1, 2, ... (ONNX's StringStringEntryProto)."""
    body = b"".join(_tag(n, value) for n, value in enumerate(strings, 1))
    return _tag(number, body)


def _tag(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _damaged(f"number at byte {place} has no end")


def _damaged(what: str) -> HaloclineError:
    return HaloclineError(f"not an ONNX file, or a damaged one ({what}). Copy it again and compare its sha256.")
