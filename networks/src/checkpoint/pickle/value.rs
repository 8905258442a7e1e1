//! What a pickle builds: values in one arena, joined by numbers, and a cursor to look at them.
//!
//! Numbers instead of pointers let values contain themselves and nest to any depth: dropping the arena is a loop, and
//! whoever walks the values has to bound the walk itself.

use std::borrow::Cow;

use crate::checkpoint::pickle::Global;

/// Place of a value in its arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(super) u32);

/// One value; `'a` is the input, in which texts and byte strings stay.
#[derive(Debug)]
pub enum Value<'a> {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer, little-endian two's complement.
    Long(&'a [u8]),
    /// A floating-point number.
    Float(f64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// A class or function from the list.
    Global(Global),
    /// A reference to something outside the pickle, by a value that describes it.
    Persistent(Id),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A set, duplicates and all.
    Set(Vec<Id>),
    /// A dict, duplicates and all: the last one counts.
    Dict(Vec<(Id, Id)>),
    /// A recorded call.
    Object(Box<Object>),
}

/// A call that was recorded, with what was put into its result afterwards.
#[derive(Debug)]
pub struct Object {
    /// The class or function.
    pub class: Global,
    /// Its arguments, a tuple.
    pub args: Id,
    /// Key and value pairs set on the result.
    pub items: Vec<(Id, Id)>,
    /// The state given to the result.
    pub state: Option<Id>,
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(super) nodes: Vec<Value<'a>>,
    pub(super) root: Id,
    /// Number of bytes that it took.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { pickle: self, id: self.root }
    }

    /// Number of bytes that the pickle takes at the front of its input.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Every value that was built, in no useful order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_, 'a>> {
        (0..self.nodes.len()).map(|index| Node { pickle: self, id: Id(index as u32) })
    }
}

/// One value of a pickle, ready to be asked what it is.
#[derive(Clone, Copy)]
pub struct Node<'p, 'a> {
    pickle: &'p Pickle<'a>,
    id: Id,
}

impl<'p, 'a> Node<'p, 'a> {
    /// The value itself.
    pub fn value(self) -> &'p Value<'a> {
        &self.pickle.nodes[self.id.0 as usize]
    }

    /// Whether this is `None`.
    pub fn is_none(self) -> bool {
        matches!(self.value(), Value::None)
    }

    /// The text, if this is one.
    pub fn text(self) -> Option<&'a str> {
        match self.value() {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, if this is one that could be the name of something: names are short.
    pub fn name(self) -> Option<&'a str> {
        const LONGEST: usize = 256;
        self.text().filter(|text| text.len() <= LONGEST)
    }

    /// The integer, if this is one.
    pub fn int(self) -> Option<i64> {
        match self.value() {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The integer as a size, if this is one and not negative.
    pub fn size(self) -> Option<usize> {
        usize::try_from(self.int()?).ok()
    }

    /// The byte string, if this is one in any of the ways that the protocols write it.
    pub fn bytes(self) -> Option<Cow<'a, [u8]>> {
        if let Value::Bytes(bytes) = self.value() {
            return Some(Cow::Borrowed(bytes));
        }
        if let Some(args) = self.call(Global::Bytes) {
            return (args.elements()?.len() == 0).then_some(Cow::Borrowed(&[]));
        }
        let mut args = self.call(Global::Encode)?.elements()?;
        let (text, codec) = (args.next()?.text()?, args.next()?.text()?);
        let latin1: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
        (codec == "latin1").then_some(Cow::Owned(latin1?))
    }

    /// The elements, if this is a tuple or list.
    pub fn elements(self) -> Option<impl ExactSizeIterator<Item = Node<'p, 'a>>> {
        match self.value() {
            Value::Tuple(ids) | Value::List(ids) => Some(ids.iter().map(move |id| self.at(*id))),
            _ => None,
        }
    }

    /// The sizes, if this is a tuple or list of nothing but sizes.
    pub fn sizes(self) -> Option<Vec<usize>> {
        self.elements()?.map(Node::size).collect()
    }

    /// Keys and values, if this is a dict of any class.
    pub fn entries(self) -> Option<impl DoubleEndedIterator<Item = (Node<'p, 'a>, Node<'p, 'a>)> + ExactSizeIterator> {
        let items = match self.value() {
            Value::Dict(items) => items,
            Value::Object(object) if matches!(object.class, Global::OrderedDict | Global::EasyDict) => &object.items,
            _ => return None,
        };
        Some(items.iter().map(move |(key, value)| (self.at(*key), self.at(*value))))
    }

    /// The value under `key`, if this is a dict that has it.
    pub fn get(self, key: &str) -> Option<Node<'p, 'a>> {
        self.entries()?.rev().find(|(found, _)| found.text() == Some(key)).map(|(_, value)| value)
    }

    /// The arguments, if this is a recorded call of `class`.
    pub fn call(self, class: Global) -> Option<Node<'p, 'a>> {
        match self.value() {
            Value::Object(object) if object.class == class => Some(self.at(object.args)),
            _ => None,
        }
    }

    /// The state that was given to a recorded call's result.
    pub fn state(self) -> Option<Node<'p, 'a>> {
        match self.value() {
            Value::Object(object) => object.state.map(|id| self.at(id)),
            _ => None,
        }
    }

    /// What the persistent reference says, if this is one.
    pub fn persistent(self) -> Option<Node<'p, 'a>> {
        match self.value() {
            Value::Persistent(id) => Some(self.at(*id)),
            _ => None,
        }
    }

    /// Number of bytes of the whole pickle.
    pub fn pickle_length(self) -> usize {
        self.pickle.length
    }

    /// What this is, for messages: short, whatever the value holds.
    pub fn describe(self) -> String {
        const SHOWN: usize = 60;
        match self.value() {
            Value::None => "None".to_owned(),
            Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            Value::Int(number) => number.to_string(),
            Value::Long(bytes) => format!("an integer of {} bytes", bytes.len()),
            Value::Float(number) => number.to_string(),
            Value::Bytes(bytes) => format!("a byte string of {} bytes", bytes.len()),
            Value::Text(text) => format!("'{}'", text.chars().take(SHOWN).collect::<String>()),
            Value::Global(global) => format!("the name {global:?}"),
            Value::Persistent(_) => "a persistent reference".to_owned(),
            Value::Tuple(ids) => format!("a tuple of {}", ids.len()),
            Value::List(ids) => format!("a list of {}", ids.len()),
            Value::Set(_) => "a set".to_owned(),
            Value::Dict(items) => format!("a dict of {}", items.len()),
            Value::Object(object) => format!("an object of {:?}", object.class),
        }
    }

    fn at(self, id: Id) -> Node<'p, 'a> {
        Node { pickle: self.pickle, id }
    }
}
