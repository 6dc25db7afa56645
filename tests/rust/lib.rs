//! Properties of the core under arbitrary bytes and numbers, in `tests/`. A workspace of its own: the package needs no proptest.
