//! What breaks, row by row, and what must be seen then.

mod clients;
mod upstream;
mod upstream_body;
mod upstream_connection;
mod upstream_head;
mod upstream_status;
mod upstream_stream;
mod upstream_usage;
