"""SQLite's C driver for the gate, without what it imports for one cache. Plain dialect:
gate and hook load this file.

`_sqlite3` imports functools for lru_cache alone, and functools imports collections: a third of a whole
decision (2 ms of 5). So we hand it the C part of that and take it away again. Where this Python is built in
another way, the real functools is loaded: slower, and right.
"""

import sys

if "functools" not in sys.modules:
    try:
        import _functools  # type: ignore[import-not-found]

        def _lru_cache(maxsize: int) -> object:
            return lambda function: _functools._lru_cache_wrapper(function, maxsize, False, tuple)  # noqa: SLF001, FBT003

        _stand_in = type(sys)("functools")
        _stand_in.lru_cache = _lru_cache  # type: ignore[attr-defined]
        sys.modules["functools"] = _stand_in
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
    except Exception:  # whatever went wrong: the long way below
        sys.modules.pop("_sqlite3", None)

import _sqlite3

Connection = _sqlite3.Connection
Error = _sqlite3.Error
connect = _sqlite3.connect
