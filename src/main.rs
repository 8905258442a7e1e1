//! The `toonify` program.

fn main() {}
