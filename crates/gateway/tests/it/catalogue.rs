//! What breaks, row by row, and what must be seen then.

mod clients;
