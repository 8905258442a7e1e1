//! A tensor that still lies in the file: type, shape, strides and borrowed bytes, checked against each other once.

use std::borrow::Cow;
use std::fmt;

use rayon::prelude::*;

use crate::checkpoint::ImportError;

/// Type of the numbers in a file; all are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Truth value, one byte.
    Bool,
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 | Dtype::Bool => 1,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::I16 => "int16",
            Dtype::I32 => "int32",
            Dtype::I64 => "int64",
            Dtype::Bool => "bool",
        })
    }
}

/// Numbers in a row, as they lie in the file.
#[derive(Clone, Debug)]
pub struct Storage<'a> {
    /// Their type.
    pub dtype: Dtype,
    /// Their bytes.
    pub bytes: Cow<'a, [u8]>,
}

/// Where the elements of an array lie within their storage, counted in elements.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Place of the first element.
    pub start: usize,
    /// Extents.
    pub shape: Vec<usize>,
    /// Distance of neighbours along each axis.
    pub strides: Vec<usize>,
}

impl Layout {
    /// Neighbours along the last axis lie side by side.
    pub fn row_major(shape: Vec<usize>) -> Self {
        let mut strides = vec![1usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
        }
        Layout { start: 0, shape, strides }
    }

    /// Neighbours along the first axis lie side by side.
    pub fn column_major(shape: Vec<usize>) -> Self {
        let reversed = Layout::row_major(shape.iter().rev().copied().collect());
        Layout { start: 0, shape, strides: reversed.strides.into_iter().rev().collect() }
    }
}

/// A view of a storage whose every element is known to lie inside it.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    storage: Storage<'a>,
    start: usize,
    shape: Vec<usize>,
    strides: Vec<isize>,
    /// Added to every element when it is read.
    added: f32,
}

/// Most axes that a tensor may have.
const MOST_AXES: usize = 8;

impl<'a> Array<'a> {
    /// Lays a view over a storage; `name` is for messages.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when shape and strides do not belong together, when the view has more elements than the
    /// storage or reaches outside it. Nothing is allocated for the elements.
    pub fn new(name: &str, storage: Storage<'a>, layout: Layout) -> Result<Self, ImportError> {
        let Layout { start, shape, strides } = layout;
        if shape.len() > MOST_AXES || shape.len() != strides.len() {
            let found = format!("{} extents and {} strides", shape.len(), strides.len());
            return Err(ImportError::malformed(
                format!("tensor `{name}`"),
                format!("as many extents as strides, at most {MOST_AXES}"),
                found,
            ));
        }
        let available = storage.bytes.len() / storage.dtype.size();
        let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        let last = last_element(start, &shape, &strides);
        let inside = match (count, last) {
            (Some(0), _) => true,
            (Some(count), Some(last)) => count <= available && last < available,
            _ => false,
        };
        if !inside {
            let found = format!("shape {shape:?}, strides {strides:?}, offset {start}");
            let expected = format!("a view inside its storage of {available} elements");
            return Err(ImportError::malformed(format!("tensor `{name}`"), expected, found));
        }
        // Each step of a non-empty view stays inside the storage; an axis of one element takes no step, so its stride,
        // which may be anything, is dropped.
        let strides = shape.iter().zip(strides).map(|(&extent, stride)| if extent < 2 { 0 } else { stride as isize });
        Ok(Array { storage, start, strides: strides.collect(), shape, added: 0.0 })
    }

    /// Extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of the numbers in the file.
    pub fn dtype(&self) -> Dtype {
        self.storage.dtype
    }

    /// Bytes that its elements take in the file.
    pub fn byte_count(&self) -> usize {
        // Cannot overflow: there are at most as many elements as the storage has.
        self.shape.iter().product::<usize>() * self.storage.dtype.size()
    }

    /// Axis `i` of the result is axis `order[i]` of this array; an array with another number of axes stays as it is.
    pub fn permuted(mut self, order: &[usize]) -> Self {
        if order.len() == self.shape.len() {
            self.shape = order.iter().map(|&axis| self.shape[axis]).collect();
            self.strides = order.iter().map(|&axis| self.strides[axis]).collect();
        }
        self
    }

    /// Turns an axis around.
    pub fn reversed(mut self, axis: usize) -> Self {
        let last = self.shape[axis].saturating_sub(1) as isize;
        self.start = self.start.wrapping_add_signed(last * self.strides[axis]);
        self.strides[axis] = -self.strides[axis];
        self
    }

    /// The same elements in another shape that differs in axes of extent 1 only.
    pub fn without_unit_axes(mut self, shape: &[usize]) -> Self {
        let wide = |extents: &[usize]| extents.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
        if wide(&self.shape) != wide(shape) {
            return self;
        }
        let mut kept = self.shape.iter().zip(&self.strides).filter(|(extent, _)| **extent != 1).map(|(_, &s)| s);
        self.strides = shape.iter().map(|&extent| if extent == 1 { 0 } else { kept.next().unwrap_or(0) }).collect();
        self.shape = shape.to_vec();
        self
    }

    /// The same elements, each larger by `number` when it is read.
    pub fn plus(mut self, number: f32) -> Self {
        self.added += number;
        self
    }

    /// Copies the elements in row-major order, in parallel when there are many.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when the numbers are not floating-point; `name` is for the message.
    pub fn to_f32(&self, name: &str) -> Result<Vec<f32>, ImportError> {
        let mut out = vec![0.0; self.shape.iter().product()];
        if out.is_empty() {
            return Ok(out);
        }
        match self.storage.dtype {
            Dtype::F32 => self.gather(&mut out, f32::from_le_bytes),
            Dtype::F64 => self.gather(&mut out, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F16 => self.gather(&mut out, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.gather(&mut out, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            other => return Err(ImportError::malformed(format!("tensor `{name}`"), "floating-point numbers", other)),
        }
        if self.added != 0.0 {
            out.par_iter_mut().for_each(|value| *value += self.added);
        }
        Ok(out)
    }

    fn gather<const N: usize>(&self, out: &mut [f32], decode: impl Fn([u8; N]) -> f32 + Sync) {
        const CHUNK: usize = 1 << 16;
        let bytes = self.storage.bytes.as_ref();
        let at = |element: usize| decode(bytes[element * N..][..N].try_into().expect("N bytes were cut"));
        if self.is_row_major() {
            let bytes = &bytes[self.start * N..][..out.len() * N];
            out.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * N)).for_each(|(out, bytes)| {
                for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(N)) {
                    *value = decode(bytes.try_into().expect("chunks have N bytes"));
                }
            });
            return;
        }
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(index, out)| {
            let mut walk = Walk::new(self, index * CHUNK);
            for value in out {
                *value = at(walk.element);
                walk.advance(self);
            }
        });
    }

    fn is_row_major(&self) -> bool {
        let dense = Layout::row_major(self.shape.clone()).strides;
        let mut axes = self.shape.iter().zip(dense.iter().zip(&self.strides));
        axes.all(|(&extent, (&dense, &stride))| extent < 2 || dense as isize == stride)
    }
}

/// Place of the last element of a view, if the sum does not overflow.
fn last_element(start: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    let mut axes = shape.iter().zip(strides);
    axes.try_fold(start, |sum, (&extent, &stride)| sum.checked_add(extent.saturating_sub(1).checked_mul(stride)?))
}

/// Goes through the elements of an array in row-major order.
struct Walk {
    indices: [usize; MOST_AXES],
    /// Place of the current element in the storage.
    element: usize,
}

impl Walk {
    /// Starts at the element that is number `position` in row-major order.
    fn new(array: &Array<'_>, mut position: usize) -> Self {
        let mut walk = Walk { indices: [0; MOST_AXES], element: array.start };
        for axis in (0..array.shape.len()).rev() {
            walk.indices[axis] = position % array.shape[axis];
            position /= array.shape[axis];
            walk.element = walk.element.wrapping_add_signed(walk.indices[axis] as isize * array.strides[axis]);
        }
        walk
    }

    fn advance(&mut self, array: &Array<'_>) {
        for axis in (0..array.shape.len()).rev() {
            self.element = self.element.wrapping_add_signed(array.strides[axis]);
            self.indices[axis] += 1;
            if self.indices[axis] < array.shape[axis] {
                return;
            }
            self.indices[axis] = 0;
            self.element = self.element.wrapping_add_signed(-(array.shape[axis] as isize * array.strides[axis]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(count: usize) -> Storage<'static> {
        let bytes = (0..count).flat_map(|index| (index as f32).to_le_bytes()).collect();
        Storage { dtype: Dtype::F32, bytes: Cow::Owned(bytes) }
    }

    fn view(count: usize, start: usize, shape: &[usize], strides: &[usize]) -> Result<Array<'static>, ImportError> {
        Array::new("x", storage(count), Layout { start, shape: shape.to_vec(), strides: strides.to_vec() })
    }

    #[test]
    fn a_view_reads_its_elements_in_row_major_order() {
        let array = view(7, 1, &[2, 3], &[1, 2]).unwrap();
        assert_eq!(array.to_f32("x").unwrap(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn permuting_and_reversing_move_elements_as_numpy_does() {
        let array = Array::new("x", storage(6), Layout::row_major(vec![2, 3])).unwrap();
        let turned = array.clone().permuted(&[1, 0]);
        assert_eq!(turned.to_f32("x").unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(array.reversed(1).to_f32("x").unwrap(), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    }

    #[test]
    fn column_major_is_the_transpose_of_row_major() {
        let array = Array::new("x", storage(6), Layout::column_major(vec![2, 3])).unwrap();
        assert_eq!(array.to_f32("x").unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn unit_axes_come_and_go() {
        let array = Array::new("x", storage(6), Layout::row_major(vec![1, 2, 1, 3])).unwrap();
        let reshaped = array.without_unit_axes(&[2, 3, 1]);
        assert_eq!((reshaped.shape(), reshaped.to_f32("x").unwrap().len()), (&[2, 3, 1][..], 6));
    }

    #[test]
    fn a_view_outside_its_storage_is_refused() {
        assert!(view(6, 1, &[2, 3], &[3, 1]).is_err());
        assert!(view(6, 0, &[2, 3], &[usize::MAX, 1]).is_err());
        assert!(view(6, usize::MAX, &[1], &[1]).is_err());
        assert!(view(6, 0, &[1 << 60], &[0]).is_err(), "more elements than the storage has, by way of stride 0");
        assert!(view(6, 0, &[1 << 40, 1 << 40], &[0, 0]).is_err());
        assert!(view(6, 0, &[2], &[1, 1]).is_err());
        assert!(view(6, 0, &[1; 9], &[1; 9]).is_err());
    }

    #[test]
    fn an_empty_view_has_no_elements_wherever_it_lies() {
        assert!(view(6, 100, &[0, 3], &[3, 1]).unwrap().to_f32("x").unwrap().is_empty());
    }
}
