"""Write UTF-8 records as ids by the kernel in C, which cuts, looks up and merges in one pass over the bytes.

`ult.codecs.pretokenizer.cut_words` and `ult.owner.bpe.encoder.Segmenter` do the same in two; tests compare them.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterable
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends

_ROWS = 1 << 19  # patches and gaps in memory, at most: 16 MB
_SPARE = 2  # ids that are written beyond the last one
_AT_ONCE = 1 << 14  # texts that are read while nothing can interrupt
_USUAL = 2  # bytes an id: room for ids is taken as if there were no more
_Array = NDArray[Any]
_Ids = NDArray[np.uint32]


class TextSegmenter:
    """Writes records as the ids of one table, with a memory of the patches that it has met."""

    def __init__(self, library: ctypes.PyDLL, merges: NDArray[np.int32], ids: _Ids) -> None:
        """Prepare to apply `merges` (m, 2) over bytes; `ids` (units,) uint32 holds the id of each unit.

        `library` is that of `ult.host.native`. Raises `MemoryError`.
        """
        pairs, units = np.ascontiguousarray(merges, np.int32), np.ascontiguousarray(ids, np.uint32)
        self._memory = new_memory(library, pairs, units)
        self._kind = np.uint16 if int(units.max(initial=0)) < 1 << 16 else np.uint32
        self._ids_of, self._lines_of, self._list_of = (
            function(library, f"ult_text_{name}") for name in ("ids", "lines", "list")
        )

    def __reduce__(self) -> Never:
        raise TypeError("a table's memory is as secret as the table, and is neither pickled nor copied")

    def ids(self, data: NDArray[np.uint8], stops: Ends, *, plain: bool = False) -> tuple[_Ids, Ends]:
        """Return the ids of all records, (n,) uint32, and where each record ends in them, (r,) int64.

        `data` (bytes,) is UTF-8, in which records end at `stops` (r,) int64. With `plain`, no instruction is used that
        a processor may lack.
        """
        out, ends = np.empty(len(data) + _SPARE, np.uint32), np.empty(len(stops), np.int64)
        stops = np.ascontiguousarray(stops, np.int64)
        n = self._ids_of(
            self._memory.at, *array(data), *array(stops), array(out)[0], array(ends)[0], ctypes.c_int(plain)
        )
        out.resize(n, refcheck=False)  # its memory is cut, not copied
        return out, ends

    def ids_of_list(self, texts: list[str], longest: int, *, plain: bool = False) -> tuple[_Ids, Ends] | None:
        """Return what `ids` does of texts, which are read where Python holds them.

        Python then keeps the UTF-8 of texts beyond ASCII, as it does for whoever asks for it. None if one is no text,
        or has a lone surrogate or over `longest` bytes.
        """
        sample = texts[:1024]
        try:
            nbytes = len("".join(sample)) * len(texts) // max(len(sample), 1)
        except TypeError:
            return None
        found, ends, done = _Growing(nbytes * 9 // 8 // _USUAL), np.empty(len(texts), np.int64), 0
        while done < len(texts):
            last = min(done + _AT_ONCE, len(texts))
            room, more = found.room(1), ctypes.c_int64()
            span = (ctypes.c_int64(done), ctypes.c_int64(last), _GET, _UTF8, ctypes.c_int64(longest))
            at = ends[done:]
            told = (ctypes.py_object(texts), *span, *array(room), array(at)[0], ctypes.byref(more), ctypes.c_int(plain))
            try:
                n = self._list_of(self._memory.at, *told)
            except (UnicodeEncodeError, TypeError, SystemError):
                return None
            if n < 0:
                return None
            if n == 0:
                found.room(2 * len(room))
                continue
            at[:n] += found.size
            found.size += more.value
            done += n
        return found.whole(), ends

    def ids_of_lines(
        self, blocks: Iterable[memoryview], nbytes: int, *, wide: bool = False, plain: bool = False
    ) -> tuple[_Ids, Ends]:
        """Return what `ids` does of the lines of UTF-8 in `blocks`, each of whole lines; the last may lack its end.

        There are about `nbytes` bytes in all. The ids are uint16 if all of the table are, unless `wide`.
        """
        kind = np.dtype(np.uint32 if wide else self._kind)
        found, ends = _Growing(nbytes // _USUAL, kind), _Growing(nbytes // 32, np.int64)
        few: _Ids = np.empty(0, np.uint32)
        for block in blocks:
            data, more = np.frombuffer(block, np.uint8), ctypes.c_int64()
            if kind == np.uint32:
                few = found.room(len(data) + _SPARE)
            elif len(few) < len(data) + _SPARE:
                few = np.empty(len(data) + _SPARE, np.uint32)
            at = ends.room(len(data) + 1)
            told = (array(few)[0], *array(at), ctypes.byref(more), ctypes.c_int(plain))
            n = self._lines_of(self._memory.at, *array(data), *told)
            if kind != np.uint32:
                found.room(n)[:n] = few[:n]
            at[: more.value] += found.size
            found.size += n
            ends.size += more.value
        return found.whole(), ends.whole()


class Memory:
    """What the kernel keeps between calls, freed with this object."""

    def __init__(self, at: int, free: Any) -> None:
        self.at = ctypes.c_void_p(at)
        weakref.finalize(self, free, self.at)


def new_memory(library: ctypes.PyDLL, pairs: NDArray[np.int32], units: _Ids) -> Memory:
    """Return an empty memory for the merges `pairs` (m, 2) over bytes and the ids of `units`. Raises `MemoryError`."""
    make, free = library.ult_text_new, library.ult_text_free
    make.restype, free.restype = ctypes.c_void_p, None
    at = make(*array(pairs), ctypes.c_int32(256), *array(units), ctypes.c_int64(_ROWS))
    if not at:
        raise MemoryError
    return Memory(at, free)


class _Growing:
    """An array that grows; what lies in it is `size` long."""

    def __init__(self, room: int, kind: Any = np.uint32) -> None:
        self._array: _Array = np.empty(room + _SPARE + 64, kind)  # takes no memory before it is written to
        self.size = 0

    def room(self, more: int) -> _Array:
        """Return the free end of the array, of at least `more`."""
        if self.size + more > len(self._array):
            wider = np.empty(max(2 * len(self._array), self.size + more), self._array.dtype)
            wider[: self.size] = self._array[: self.size]
            self._array = wider
        return self._array[self.size :]

    def whole(self) -> _Array:
        """Return what lies in it; nothing may be added afterwards."""
        self._array.resize(self.size, refcheck=False)  # its memory is cut, not copied
        return self._array


def function(library: ctypes.PyDLL, name: str) -> Any:
    """Return a function of the library that returns a number."""
    found = getattr(library, name)
    found.restype = ctypes.c_int64
    return found


def array(values: _Array) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
    """Return where an array lies, and how long it is, as the library takes them."""
    return ctypes.c_void_p(values.ctypes.data), ctypes.c_int64(len(values))


_GET = ctypes.cast(ctypes.pythonapi.PyList_GetItem, ctypes.c_void_p)
_UTF8 = ctypes.cast(ctypes.pythonapi.PyUnicode_AsUTF8AndSize, ctypes.c_void_p)
