//! What each kind of file calls a tensor, and how to turn it into canonical layout: tables to be checked by eye.

pub(crate) mod nvidia;
pub(crate) mod rosinality;
pub(crate) mod tensorflow;

use crate::checkpoint::array::Array;

/// How a file's tensor becomes ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is ours already.
    Same,
    /// Axes of extent 1 are added or taken away.
    Reshape,
    /// `[I, O]` to `[O, I]`.
    Transpose,
    /// `[kh, kw, I, O]` to `[O, I, kh, kw]`.
    ToOihw,
    /// The same, and both spatial axes are reversed.
    ToOihwReversed,
    /// 1 is added to every element.
    AddOne,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name in the file.
    pub theirs: String,
    /// How to turn it.
    pub turn: Turn,
}

/// Shorthand for a line of a table.
fn rule(theirs: impl Into<String>, turn: Turn) -> Rule {
    Rule { theirs: theirs.into(), turn }
}

impl Turn {
    /// Turns an array; one of another rank stays as it is, and its shape will be complained about.
    pub fn apply<'a>(self, array: Array<'a>, expected: &[usize]) -> Array<'a> {
        match self {
            Turn::Same => array,
            Turn::Reshape => array.without_unit_axes(expected),
            Turn::AddOne => array.plus(1.0),
            Turn::Transpose => array.permuted(&[1, 0]),
            Turn::ToOihw => array.permuted(&[3, 2, 0, 1]),
            Turn::ToOihwReversed if array.shape().len() == 4 => array.reversed(0).reversed(1).permuted(&[3, 2, 0, 1]),
            Turn::ToOihwReversed => array,
        }
    }
}
