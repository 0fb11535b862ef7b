//! Numbers to p-values. Pure functions: no I/O, no clock, no randomness of its own.
