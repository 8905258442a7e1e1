//! Laplacian pyramids: what each scale of an image adds to the next coarser one (Burt and Adelson 1983).
//!
//! The kernel is (1, 4, 6, 4, 1)/16 both ways; images are mirrored at their edges without repeating the edge.

/// One channel of a square image.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Side in pixels.
    pub px: usize,
    /// `[px, px]`
    pub values: Vec<f32>,
}

/// Side of the coarsest scale.
pub const COARSEST_PX: usize = 16;

/// Sides of the scales of an image of `px` pixels, finest first.
pub fn sides(px: usize) -> Vec<usize> {
    let halves = std::iter::successors(Some(px), |side| side.is_multiple_of(2).then_some(side / 2));
    let finer = halves.take_while(|side| *side >= COARSEST_PX).collect::<Vec<_>>();
    if finer.is_empty() { vec![px] } else { finer }
}

/// The pyramid of a plane, finest scale first; the last is the reduced image itself.
pub fn laplacian(plane: Plane) -> Vec<Plane> {
    let mut levels = vec![plane];
    for _ in 1..sides(levels[0].px).len() {
        let finest = levels.last_mut().expect("it begins with one level");
        let coarser = along_both(finest, halve);
        let predicted = along_both(&coarser, double);
        finest.values.iter_mut().zip(&predicted.values).for_each(|(value, predicted)| *value -= predicted);
        levels.push(coarser);
    }
    levels
}

/// Applies `change` to all rows and then to all columns.
fn along_both(plane: &Plane, change: fn(&[f32]) -> Vec<f32>) -> Plane {
    let across = |rows: &[f32], px: usize| -> Vec<Vec<f32>> { rows.chunks(px).map(change).collect() };
    let rows = across(&plane.values, plane.px);
    let px = rows[0].len();
    let columns = transposed(&rows);
    let changed: Vec<Vec<f32>> = columns.iter().map(|column| change(column)).collect();
    Plane { px, values: transposed(&changed).concat() }
}

fn transposed(rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
}

/// Smooths a line and keeps every other value.
fn halve(line: &[f32]) -> Vec<f32> {
    let at = |index: isize| line[mirrored(index, line.len())];
    let smooth = |i: isize| (at(i - 2) + at(i + 2) + 4.0 * (at(i - 1) + at(i + 1)) + 6.0 * at(i)) / 16.0;
    (0..line.len() as isize / 2).map(|i| smooth(2 * i)).collect()
}

/// Puts zeros between the values of a line and smooths it, twice as strong.
fn double(line: &[f32]) -> Vec<f32> {
    let length = 2 * line.len();
    // Only the even places of the stretched line are not zero.
    let at = |index: isize| line[mirrored(index, length) / 2];
    let even = |i: isize| (at(i - 2) + at(i + 2) + 6.0 * at(i)) / 8.0;
    let odd = |i: isize| (at(i - 1) + at(i + 1)) / 2.0;
    (0..length as isize).map(|i| if i % 2 == 0 { even(i) } else { odd(i) }).collect()
}

/// The place in a line that stands for one outside it: … 2 1 | 0 1 2 … n−1 | n−2 …
fn mirrored(index: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let index = index.abs();
    (if index > last { 2 * last - index } else { index }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(px: usize) -> Plane {
        Plane { px, values: (0..px * px).map(|i| ((i * i * 7 + i) % 256) as f32).collect() }
    }

    #[test]
    fn scales_go_down_to_sixteen_pixels() {
        assert_eq!(sides(128), [128, 64, 32, 16]);
        assert_eq!(sides(16), [16]);
        assert_eq!(sides(8), [8]);
        assert_eq!(sides(24), [24]);
        assert_eq!(sides(33), [33]);
    }

    #[test]
    fn the_scales_together_are_the_image() {
        let image = plane(64);
        let levels = laplacian(image.clone());
        assert_eq!(levels.iter().map(|level| level.px).collect::<Vec<_>>(), [64, 32, 16]);
        let sum = levels.into_iter().rev().reduce(|coarse, fine| {
            let up = along_both(&coarse, double);
            Plane { px: fine.px, values: fine.values.iter().zip(&up.values).map(|(a, b)| a + b).collect() }
        });
        let worst = sum.unwrap().values.iter().zip(&image.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst}");
    }

    #[test]
    fn a_flat_image_has_no_detail() {
        let levels = laplacian(Plane { px: 32, values: vec![200.0; 32 * 32] });
        assert!(levels[0].values.iter().all(|value| value.abs() < 1e-4));
        assert!(levels[1].values.iter().all(|value| (value - 200.0).abs() < 1e-4));
    }
}
