//! Features in candle's graph: a token of one number takes their place there, and their numbers lie beside it.
//!
//! candle adds every gradient to zeros that it makes first, on one thread; for features that would take a third of a step.
//! Gradients of features are handed over beside the graph instead, and candle's backward pass only decides the order: when it
//! reaches an operator, everything that uses the operator's result has given its gradient.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use crate::ops::blocked::channelwise::add;
use crate::ops::blocked::maps::Maps;

/// Features, with their place in candle's graph.
#[derive(Clone)]
pub(super) struct Node {
    token: Tensor,
    maps: Arc<Maps>,
    gradient: Slot,
}

/// Where the gradient of some features is gathered.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Arc<Maps>>>>);

/// An operator that makes features, seen from its result.
pub(super) trait Backward: Send + Sync + 'static {
    /// Name of the operator.
    fn name(&self) -> &'static str;

    /// Takes the gradient of the result; gives those of features to their nodes, and returns those of tensors among the
    /// operator's arguments. The gradient of a node's token is that which [`Node::give`] returns.
    ///
    /// # Errors
    /// When candle refuses a tensor.
    fn backward(&self, gradient: Arc<Maps>, arguments: &[&Tensor]) -> Result<Vec<Option<Tensor>>>;
}

impl Node {
    /// What an operator makes of its arguments: tokens of nodes and tensors, at most three.
    pub fn new(maps: impl Into<Arc<Maps>>, backward: impl Backward, arguments: &[&Tensor]) -> Result<Self> {
        let gradient = Slot::default();
        let link = Link { backward, gradient: gradient.clone() };
        let token = match *arguments {
            [a] => a.apply_op1(link)?,
            [a, b] => a.apply_op2(b, link)?,
            [a, b, c] => a.apply_op3(b, c, link)?,
            _ => candle_core::bail!("operators have one to three arguments, not {}", arguments.len()),
        };
        Ok(Node { token, maps: maps.into(), gradient })
    }

    /// The features.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The features alone, copied where somebody else holds them.
    pub fn into_maps(self) -> Maps {
        Arc::try_unwrap(self.maps).unwrap_or_else(|maps| maps.copied())
    }

    /// The features alone.
    pub fn into_shared(self) -> Arc<Maps> {
        self.maps
    }

    /// The features, to be kept.
    pub fn shared(&self) -> Arc<Maps> {
        self.maps.clone()
    }

    /// What stands for the features in candle's graph.
    pub fn token(&self) -> &Tensor {
        &self.token
    }

    /// Whether somebody follows the gradient.
    pub fn is_followed(&self) -> bool {
        self.token.track_op()
    }

    /// Adds a gradient to what others gave; returns what stands for it in candle's graph.
    pub fn give(&self, gradient: impl Into<Arc<Maps>>) -> Result<Option<Tensor>> {
        let mut slot = self.gradient.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *slot = Some(match slot.take() {
            Some(sum) => added(sum, gradient.into()),
            None => gradient.into(),
        });
        Ok(Some(self.token.zeros_like()?))
    }

    /// The node alone, for who needs its place in the graph but not its features.
    pub fn without_maps(&self) -> Self {
        Node { maps: Arc::new(Maps::empty()), ..self.clone() }
    }

    /// The sum of the features of two nodes, in the memory of one that nobody else holds if there is such a one.
    pub fn summed(self, other: Self) -> Result<Self> {
        let sum = Sum { a: self.without_maps(), b: other.without_maps() };
        let maps = Arc::into_inner(added(self.maps, other.maps)).expect("a new sum has one holder");
        Node::new(maps, sum, &[&self.token, &other.token])
    }
}

/// The sum of two, of which the memory is used again where nobody else holds it.
fn added(mut a: Arc<Maps>, mut b: Arc<Maps>) -> Arc<Maps> {
    if Arc::get_mut(&mut a).is_none() {
        std::mem::swap(&mut a, &mut b);
    }
    match Arc::get_mut(&mut a) {
        Some(maps) => {
            add(maps, &b);
            a
        }
        None => {
            let mut sum = a.copied();
            add(&mut sum, &b);
            sum.into()
        }
    }
}

/// (a, b) → a + b
struct Sum {
    a: Node,
    b: Node,
}

impl Backward for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn backward(&self, gradient: Arc<Maps>, _: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        let given = |node: &Node| if node.is_followed() { node.give(gradient.clone()) } else { Ok(None) };
        Ok(vec![given(&self.a)?, given(&self.b)?])
    }
}

/// An operator in candle's graph.
struct Link<B> {
    backward: B,
    gradient: Slot,
}

impl<B: Backward> Link<B> {
    fn token() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    /// The gradients of so many arguments.
    fn gradients<const N: usize>(&self, arguments: [&Tensor; N]) -> Result<[Option<Tensor>; N]> {
        let gradient = self.gradient.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let Some(gradient) = gradient else { return Ok([const { None }; N]) };
        let given = self.backward.backward(gradient, &arguments)?;
        given.try_into().map_err(|_| candle_core::Error::msg("an operator has a gradient for each argument").bt())
    }
}

impl<B: Backward> CustomOp1 for Link<B> {
    fn name(&self) -> &'static str {
        self.backward.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::token()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.gradients([a])?;
        Ok(a)
    }
}

impl<B: Backward> CustomOp2 for Link<B> {
    fn name(&self) -> &'static str {
        self.backward.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::token()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients([a, b])?;
        Ok((a, b))
    }
}

impl<B: Backward> CustomOp3 for Link<B> {
    fn name(&self) -> &'static str {
        self.backward.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::token()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.gradients([a, b, c])?;
        Ok((a, b, c))
    }
}
