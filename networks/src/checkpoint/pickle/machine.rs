//! The stack machine that turns the instructions of a pickle into values.

use crate::checkpoint::ImportError;
use crate::checkpoint::pickle::Global;
use crate::checkpoint::pickle::opcode::Opcode;
use crate::checkpoint::pickle::value::{Id, Object, Pickle, Value};
use crate::checkpoint::reader::Reader;

/// How much a pickle may build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most values.
    values: usize,
    /// Most places that values may take on the stack and inside other values, taken together.
    links: usize,
}

impl Limits {
    /// For a whole checkpoint: a real one has less than 100,000 values.
    pub const CHECKPOINT: Limits = Limits { values: 1 << 18, links: 1 << 20 };
    /// For the description of one storage: it has less than 100. There may be many such pickles in one file.
    pub const STORAGE: Limits = Limits { values: 1 << 10, links: 1 << 12 };
}

/// Reads the pickle at the front of `bytes`; whatever follows it is left alone.
///
/// # Errors
/// [`ImportError::ForbiddenGlobal`] for a class or function that is not on the list, [`ImportError::Opcode`] for an
/// instruction that checkpoints do not use, [`ImportError::TooLarge`] above the limits, and [`ImportError::Truncated`] or
/// [`ImportError::Malformed`] for damage.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Pickle<'_>, ImportError> {
    let machine = Machine {
        input: Reader::new(bytes),
        limits,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        links: 0,
    };
    machine.run()
}

struct Machine<'a> {
    input: Reader<'a>,
    limits: Limits,
    nodes: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which a mark lies.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// Places taken so far; never given back, which bounds the work too.
    links: usize,
}

/// What the errors call the thing that is read.
const PICKLE: &str = "the pickle";

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, ImportError> {
        loop {
            let position = self.input.position();
            let byte = self.input.u8(PICKLE)?;
            let opcode = Opcode::from_byte(byte).map_err(|found| ImportError::Opcode { found, position })?;
            if opcode == Opcode::Stop {
                let root = self.pop()?;
                return Ok(Pickle { nodes: self.nodes, root, length: self.input.position() });
            }
            self.step(opcode, position)?;
        }
    }

    fn step(&mut self, opcode: Opcode, position: usize) -> Result<(), ImportError> {
        match opcode {
            Opcode::Proto => self.check_protocol(),
            Opcode::Frame => self.check_frame(),
            Opcode::Mark => self.mark(),
            Opcode::Pop => self.drop_top(),
            Opcode::PopMark => self.pop_mark().map(drop),
            Opcode::Dup => self.top().and_then(|id| self.push_id(id)),
            Opcode::BinGet | Opcode::LongBinGet => self.recall(opcode),
            Opcode::BinPut | Opcode::LongBinPut | Opcode::Memoize => self.memorise(opcode),
            Opcode::Append | Opcode::Appends | Opcode::AddItems => self.extend_list(opcode),
            Opcode::SetItem | Opcode::SetItems => self.extend_dict(opcode),
            Opcode::Build => self.build(),
            Opcode::Global | Opcode::StackGlobal => self.global(opcode, position),
            Opcode::Reduce | Opcode::NewObj | Opcode::NewObjEx => self.call(opcode),
            Opcode::EmptyTuple | Opcode::Tuple1 | Opcode::Tuple2 | Opcode::Tuple3 | Opcode::Tuple => self.tuple(opcode),
            Opcode::EmptyList | Opcode::List | Opcode::EmptyDict | Opcode::Dict => self.container(opcode),
            Opcode::EmptySet | Opcode::FrozenSet => self.container(opcode),
            _ => self.scalar(opcode).and_then(|value| self.push(value)),
        }
    }

    /// Values that need nothing but the input.
    fn scalar(&mut self, opcode: Opcode) -> Result<Value<'a>, ImportError> {
        let input = &mut self.input;
        Ok(match opcode {
            Opcode::NewTrue => Value::Bool(true),
            Opcode::NewFalse => Value::Bool(false),
            Opcode::BinInt => Value::Int(i32::from_le_bytes(input.array(PICKLE)?).into()),
            Opcode::BinInt1 => Value::Int(input.u8(PICKLE)?.into()),
            Opcode::BinInt2 => Value::Int(input.u16(PICKLE)?.into()),
            Opcode::BinFloat => Value::Float(f64::from_be_bytes(input.array(PICKLE)?)),
            Opcode::Long1 | Opcode::Long4 => integer(self.counted(opcode)?),
            Opcode::BinBytes | Opcode::ShortBinBytes | Opcode::BinBytes8 | Opcode::ByteArray8 => {
                Value::Bytes(self.counted(opcode)?)
            }
            Opcode::BinString
            | Opcode::ShortBinString
            | Opcode::BinUnicode
            | Opcode::ShortBinUnicode
            | Opcode::BinUnicode8 => self.text(opcode)?,
            Opcode::BinPersId => Value::Persistent(self.pop()?),
            _ => Value::None,
        })
    }

    /// A byte string that comes after its length.
    fn counted(&mut self, opcode: Opcode) -> Result<&'a [u8], ImportError> {
        let count = match opcode {
            Opcode::BinBytes8 | Opcode::ByteArray8 | Opcode::BinUnicode8 => self.input.u64(PICKLE)?,
            Opcode::BinBytes | Opcode::BinUnicode | Opcode::BinString | Opcode::Long4 => self.input.u32(PICKLE)?.into(),
            _ => self.input.u8(PICKLE)?.into(),
        };
        self.input.take(count, "a string in the pickle")
    }

    /// A text; Python 2 wrote its texts as byte strings.
    fn text(&mut self, opcode: Opcode) -> Result<Value<'a>, ImportError> {
        let bytes = self.counted(opcode)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) if matches!(opcode, Opcode::BinString | Opcode::ShortBinString) => Ok(Value::Bytes(bytes)),
            Err(error) => Err(ImportError::malformed("a text in the pickle", "UTF-8", error)),
        }
    }

    fn tuple(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let ids = match opcode {
            Opcode::EmptyTuple => Vec::new(),
            Opcode::Tuple1 => self.pop_many(1)?,
            Opcode::Tuple2 => self.pop_many(2)?,
            Opcode::Tuple3 => self.pop_many(3)?,
            _ => self.pop_mark()?,
        };
        self.take_links(ids.len())?;
        self.push(Value::Tuple(ids))
    }

    fn container(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let ids = match opcode {
            Opcode::List | Opcode::Dict | Opcode::FrozenSet => self.pop_mark()?,
            _ => Vec::new(),
        };
        self.take_links(ids.len())?;
        match opcode {
            Opcode::EmptyList | Opcode::List => self.push(Value::List(ids)),
            Opcode::EmptySet | Opcode::FrozenSet => self.push(Value::Set(ids)),
            _ => pairs(&ids).and_then(|items| self.push(Value::Dict(items))),
        }
    }

    fn extend_list(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let ids = if opcode == Opcode::Append { self.pop_many(1)? } else { self.pop_mark()? };
        self.take_links(ids.len())?;
        match self.top_value()? {
            Value::List(list) | Value::Set(list) => list.extend(ids),
            _ => return Err(ImportError::malformed(PICKLE, "a list to append to", "another value")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let ids = if opcode == Opcode::SetItem { self.pop_many(2)? } else { self.pop_mark()? };
        self.take_links(ids.len())?;
        let items = pairs(&ids)?;
        match self.top_value()? {
            Value::Dict(dict) => dict.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err(ImportError::malformed(PICKLE, "a dict to put items into", "another value")),
        }
        Ok(())
    }

    fn build(&mut self) -> Result<(), ImportError> {
        let state = self.pop()?;
        match self.top_value()? {
            Value::Object(object) => object.state = Some(state),
            _ => return Err(ImportError::malformed(PICKLE, "an object to give a state to", "another value")),
        }
        Ok(())
    }

    /// Records a call. The class must be a listed one, which the type of the record guarantees.
    fn call(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        if opcode == Opcode::NewObjEx && !self.is_empty_dict() {
            return Err(ImportError::malformed(PICKLE, "a call without keyword arguments", "keyword arguments"));
        }
        let ids = self.pop_many(if opcode == Opcode::NewObjEx { 3 } else { 2 })?;
        let Value::Global(class) = self.nodes[ids[0].0 as usize] else {
            return Err(ImportError::malformed(PICKLE, "a named class to call", "another value"));
        };
        if !matches!(self.nodes[ids[1].0 as usize], Value::Tuple(_)) {
            return Err(ImportError::malformed(PICKLE, "a tuple of arguments", "another value"));
        }
        self.push(Value::Object(Box::new(Object { class, args: ids[1], items: Vec::new(), state: None })))
    }

    /// Whether the top of the stack is a dict without entries.
    fn is_empty_dict(&self) -> bool {
        let top = self.stack.last().map(|id| &self.nodes[id.0 as usize]);
        matches!(top, Some(Value::Dict(items)) if items.is_empty())
    }

    fn global(&mut self, opcode: Opcode, position: usize) -> Result<(), ImportError> {
        let (module, name) = if opcode == Opcode::Global {
            (line(self.input.line(PICKLE)?), line(self.input.line(PICKLE)?))
        } else {
            let ids = self.pop_many(2)?;
            let (Value::Text(module), Value::Text(name)) =
                (&self.nodes[ids[0].0 as usize], &self.nodes[ids[1].0 as usize])
            else {
                return Err(ImportError::malformed(PICKLE, "two texts that name a class", "other values"));
            };
            (shortened(module), shortened(name))
        };
        match Global::find(&module, &name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(ImportError::ForbiddenGlobal { found: format!("{module}.{name}"), position }),
        }
    }

    fn recall(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let key = self.memo_key(opcode)?;
        match self.memo.get(key as usize).copied().flatten() {
            Some(id) => self.push_id(id),
            None => Err(ImportError::malformed(PICKLE, format!("a value in memory {key}"), "none")),
        }
    }

    fn memorise(&mut self, opcode: Opcode) -> Result<(), ImportError> {
        let key = if opcode == Opcode::Memoize { self.memo.len() as u64 } else { self.memo_key(opcode)? };
        let index = within(key, self.limits.values, "memories of the pickle")?;
        let id = self.top()?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(id);
        Ok(())
    }

    fn memo_key(&mut self, opcode: Opcode) -> Result<u64, ImportError> {
        Ok(match opcode {
            Opcode::BinGet | Opcode::BinPut => self.input.u8(PICKLE)?.into(),
            _ => self.input.u32(PICKLE)?.into(),
        })
    }

    fn check_protocol(&mut self) -> Result<(), ImportError> {
        let version = self.input.u8(PICKLE)?;
        if (2..=5).contains(&version) {
            return Ok(());
        }
        Err(ImportError::malformed("protocol of the pickle", "2 to 5", version))
    }

    /// A frame only helps those who read from a slow file; it must still fit.
    fn check_frame(&mut self) -> Result<(), ImportError> {
        let (expected, found) = (self.input.u64(PICKLE)?, self.input.rest().len() as u64);
        if expected <= found {
            return Ok(());
        }
        Err(ImportError::Truncated { object: "a frame of the pickle".to_owned(), expected, found })
    }

    fn mark(&mut self) -> Result<(), ImportError> {
        self.take_links(1)?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), ImportError> {
        let index = within(self.nodes.len() as u64, self.limits.values, "values of the pickle")?;
        self.nodes.push(value);
        self.push_id(Id(index as u32))
    }

    fn push_id(&mut self, id: Id) -> Result<(), ImportError> {
        self.take_links(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn take_links(&mut self, count: usize) -> Result<(), ImportError> {
        self.links += count;
        within(self.links as u64, self.limits.links, "references in the pickle").map(drop)
    }

    /// The value on top of the stack, above the last mark.
    fn top(&self) -> Result<Id, ImportError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(id) if self.stack.len() > floor => Ok(*id),
            _ => Err(ImportError::malformed(PICKLE, "a value on the stack", "none")),
        }
    }

    fn top_value(&mut self) -> Result<&mut Value<'a>, ImportError> {
        let id = self.top()?;
        Ok(&mut self.nodes[id.0 as usize])
    }

    fn pop(&mut self) -> Result<Id, ImportError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    /// POP: takes the top value away, or the mark when it lies there.
    fn drop_top(&mut self) -> Result<(), ImportError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, ImportError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let found = self.stack.len() - floor;
        if found < count {
            return Err(ImportError::malformed(PICKLE, format!("{count} values on the stack"), found));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, ImportError> {
        match self.marks.pop() {
            Some(floor) => Ok(self.stack.split_off(floor)),
            None => Err(ImportError::malformed(PICKLE, "a mark on the stack", "none")),
        }
    }
}

/// Checks a count against its limit.
fn within(found: u64, most: usize, object: &str) -> Result<usize, ImportError> {
    if found < most as u64 {
        return Ok(found as usize);
    }
    Err(ImportError::TooLarge { object: object.to_owned(), expected: most as u64, found })
}

/// Joins keys and values that lie one after the other.
fn pairs(ids: &[Id]) -> Result<Vec<(Id, Id)>, ImportError> {
    if !ids.len().is_multiple_of(2) {
        return Err(ImportError::malformed(PICKLE, "as many keys as values", format!("{} in all", ids.len())));
    }
    Ok(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// A little-endian integer in two's complement, of any length.
fn integer(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > size_of::<i64>() {
        return Value::Long(bytes);
    }
    let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
    let mut wide = [sign; size_of::<i64>()];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A name for a message: names of classes are short, hostile ones need not be.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 256;
    name.chars().take(LONGEST).collect()
}
