//! Files in, files out: constant memory, input order, every row answered.
