//! What holds between dialects: the golden square, the laws of streams and codecs, and the byte identity of splicing.
//! Bytes come from `tests/golden`; to add a case, add a file there.

mod codecs;
mod collect;
mod fixtures;
mod golden;
mod mutations;
mod smaller;
mod splices;
mod streams;
