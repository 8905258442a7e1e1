//! The tensors of a TorchScript program. The program itself is never run: whoever wants its results has to know the
//! network.

use std::collections::BTreeMap;

use crate::checkpoint::ImportError;
use crate::checkpoint::array::Array;
use crate::checkpoint::pickle::{Global, Node};
use crate::checkpoint::torch::TorchFile;

/// Modules within modules, at most.
const DEEPEST: usize = 32;
/// Modules of a program, at most; keeps a module that contains itself from going on for ever.
const MOST_MODULES: usize = 1 << 14;

/// Whether `root` is a module of a TorchScript program.
pub(crate) fn is_module(root: Node<'_, '_>) -> bool {
    root.call(Global::ScriptModule).is_some()
}

/// The tensors of the module that `file` holds and of those inside it, under names like those of its `state_dict()`.
///
/// # Errors
/// [`ImportError::Malformed`] for a damaged tensor, [`ImportError::TooLarge`] for more modules than a network has.
pub(crate) fn tensors<'a>(file: &TorchFile<'a>) -> Result<BTreeMap<String, Array<'a>>, ImportError> {
    let mut tensors = BTreeMap::new();
    let mut modules = vec![(String::new(), file.root(), 0)];
    let mut count = 0;
    while let Some((prefix, module, depth)) = modules.pop() {
        count += 1;
        if count > MOST_MODULES || depth > DEEPEST {
            let (object, expected) = ("modules of the TorchScript program".to_owned(), MOST_MODULES as u64);
            return Err(ImportError::TooLarge { object, expected, found: count as u64 });
        }
        for (key, value) in module.state().and_then(Node::entries).into_iter().flatten() {
            let Some(key) = key.name() else { continue };
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            if is_module(value) {
                modules.push((name, value, depth + 1));
            } else if let Some(array) = file.tensor(&name, value)? {
                tensors.insert(name, array);
            }
        }
    }
    Ok(tensors)
}
