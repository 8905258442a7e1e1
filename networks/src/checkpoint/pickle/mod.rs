//! An inert pickle machine: reads Python's pickle protocols 2 to 5 into plain values and executes nothing.
//!
//! A pickle is a program for a small stack machine. Here its instructions only build values: calls are recorded, not
//! made, and a class or function can be named only if it is on the list in [`global`](Global). Text and byte strings
//! stay where they are in the input. Instructions as documented in CPython's `pickletools`.

mod global;
mod machine;
mod opcode;
mod value;

pub(crate) use global::Global;
pub(crate) use machine::{Limits, read};
pub(crate) use value::{Node, Pickle, Value};
