//! A Postgres for a whole run of tests: says its address and serves until its input ends.

use std::io::{Read as _, Write as _};

use waypost_testkit::postgres::Cluster;

fn main() -> std::io::Result<()> {
    let cluster = Cluster::start();
    writeln!(std::io::stdout(), "{}", cluster.url())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
