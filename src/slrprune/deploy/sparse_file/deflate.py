"""Entropy coding with zlib: raw deflate streams where they pay, plain bytes where they do not.

A part of the file is compressed exactly when its stored length is below its real length, which the reader knows from
the index. So no flag is needed, and the reader can bound what it inflates.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from slrprune.deploy.sparse_file.errors import InvalidError
from slrprune.deploy.sparse_file.words import Bytes

_RAW = -zlib.MAX_WBITS
_WORTH_IT = 0.85
"""A stream that saves less than 15% is not worth the time to inflate it: mantissas stay as they are."""
_EFFORTS = ((9, zlib.Z_HUFFMAN_ONLY), (9, zlib.Z_RLE), (6, zlib.Z_DEFAULT_STRATEGY))
_AS_IT_IS = (0, zlib.Z_DEFAULT_STRATEGY)
_SAMPLE = 1 << 15
_END = b"\x03\x00"
"""An empty last block."""


def deflate(pieces: Sequence[Bytes]) -> bytes:
    """One deflate stream for the pieces one behind the other, or the pieces themselves where it is not worth it.

    Each piece gets blocks of its own, by the best of several strategies or as they are: pieces differ in kind.
    """
    streams = [_best_stream(piece) for piece in pieces]
    length = sum(map(len, pieces))
    if sum(map(len, streams)) + len(_END) <= _WORTH_IT * length:
        return b"".join([*streams, _END])
    return b"".join(piece.tobytes() for piece in pieces)


def inflate(part: memoryview, length: int) -> Bytes:
    """The `length` bytes behind a stored part; read-only.

    Never allocates more than `length` bytes and a small buffer, whatever the stream claims.

    Raises:
        InvalidError: the part is too long, or a stream that is broken, shorter or longer than `length`.
    """
    if len(part) == length:
        return np.frombuffer(part, np.uint8)
    if len(part) > length:
        raise InvalidError(f"a part of {len(part)} bytes is stored where at most {length} belong")
    stream = zlib.decompressobj(_RAW)
    try:
        data = stream.decompress(part, length)
        rest = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise InvalidError(f"a compressed part is broken ({error})") from error
    if rest or len(data) != length or not stream.eof or stream.unused_data:
        raise InvalidError(f"a compressed part does not hold exactly {length} bytes")
    return np.frombuffer(data, np.uint8)


def _best_stream(data: Bytes) -> bytes:
    """Blocks for `data`, none of them the last; the strategy is chosen on samples where there is much data."""
    sample = data
    if len(data) > 4 * _SAMPLE:
        starts = (0, len(data) // 2, len(data) - _SAMPLE)
        sample = np.concatenate([data[start : start + _SAMPLE] for start in starts])
    length, effort = min((len(_stream(sample, effort)), effort) for effort in _EFFORTS)
    if length <= _WORTH_IT * len(sample):
        stream = _stream(data, effort)
        if len(stream) <= _WORTH_IT * len(data):
            return stream
    return _stream(data, _AS_IT_IS)


def _stream(data: Bytes, effort: tuple[int, int]) -> bytes:
    level, strategy = effort
    encoder = zlib.compressobj(level, zlib.DEFLATED, _RAW, 9, strategy)
    return encoder.compress(data.data) + encoder.flush(zlib.Z_FULL_FLUSH)
