//! The command line: flags in, plans out, and what happened on the screen.

pub mod suggest;
pub mod terminal;
