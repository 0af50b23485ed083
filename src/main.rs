//! The `baoctl` program.
fn main() {}
