//! The commands give the published tools' files: same names, no byte off by more than 1, and at least 99.9 % of all equal
//! when they compute in the precision in which the published tool did.

use std::path::Path;
use std::process::Command;

mod support;

use support::beside;

/// How two sets of images compare, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Agreement {
    bytes: usize,
    /// Off by exactly 1; more than that fails at once.
    off: usize,
}

impl Agreement {
    fn assert_within(self, per_mille: usize) {
        assert!(
            self.bytes > 0 && self.off * 1000 <= per_mille * self.bytes,
            "{self:?}, allowed {per_mille} in a thousand"
        );
    }
}

impl std::iter::Sum for Agreement {
    fn sum<I: Iterator<Item = Agreement>>(iter: I) -> Agreement {
        iter.fold(Agreement::default(), |a, b| Agreement { bytes: a.bytes + b.bytes, off: a.off + b.off })
    }
}

/// A call of a published tool: the checkpoint, the folder that it wrote and its arguments.
struct Call {
    checkpoint: &'static str,
    published: &'static str,
    args: &'static [&'static str],
}

const UNCONDITIONAL: &str = "ckpt_r64_skip_resnet_map8/network.pkl";

const SEEDS: Call =
    Call { checkpoint: UNCONDITIONAL, published: "gen", args: &["generate", "--seeds", "3-5", "--trunc", "0.7"] };
const PROJECTED: Call = Call {
    checkpoint: UNCONDITIONAL,
    published: "gen_projected",
    args: &["generate", "--projected-w", "projected_w.npz"],
};
const MIX: Call = Call {
    checkpoint: UNCONDITIONAL,
    published: "mix",
    args: &["style-mix", "--rows", "1,2", "--cols", "3,4", "--styles", "0-3", "--trunc", "0.8"],
};
/// The published tool renders the last blocks of this checkpoint in half precision, which ours does on request only.
const CLASS: Call = Call {
    checkpoint: "ckpt_r32_cond5/network.pkl",
    published: "gen_cond",
    args: &["generate", "--seeds", "1,2", "--class", "3"],
};

impl Call {
    /// Runs our command and compares every image that the published tool wrote; nothing without the reference set.
    fn compare(&self, precision: &str) -> Option<Agreement> {
        let goldens = beside("goldens")?;
        let tools = goldens.join("cli_tools");
        let out = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new(env!("CARGO_BIN_EXE_toonify"))
            .current_dir(&tools)
            .args(self.args)
            .args(["--precision", precision, "--network"])
            .arg(goldens.join(self.checkpoint))
            .arg("--outdir")
            .arg(out.path())
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let published = std::fs::read_dir(tools.join(self.published)).expect("the published folder");
        let images = published.map(|entry| entry.expect("an entry").path());
        Some(images.map(|path| compare(&path, &out.path().join(path.file_name().expect("a name")))).sum())
    }
}

fn compare(expected: &Path, found: &Path) -> Agreement {
    let open = |path: &Path| image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8();
    let (a, b) = (open(expected), open(found));
    assert_eq!(a.dimensions(), b.dimensions(), "{}", expected.display());
    let off = a.as_raw().iter().zip(b.as_raw()).filter(|(a, b)| a != b).count();
    let far = a.as_raw().iter().zip(b.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 1).count();
    assert_eq!(far, 0, "{}: {far} bytes are off by more than 1", expected.display());
    Agreement { bytes: a.as_raw().len(), off }
}

#[test]
fn generate_renders_the_published_images_of_seeds() {
    SEEDS.compare("single").inspect(|agreement| agreement.assert_within(1));
}

#[test]
fn generate_renders_the_published_images_of_projected_latents() {
    PROJECTED.compare("single").inspect(|agreement| agreement.assert_within(1));
}

#[test]
fn style_mix_renders_the_published_pairs_and_grid() {
    MIX.compare("single").inspect(|agreement| agreement.assert_within(1));
}

/// In half precision the last bits of single precision, which `w` and the first block are computed in, decide which way
/// numbers round: changing `w` by 1e-7 of itself changes up to 23 bytes in a thousand of the class's images by 1
/// (docs/decisions/0012), so these alone are held to 30. networks/tests/half_golden.rs holds the roundings themselves,
/// to the last bit.
#[test]
fn in_the_published_precision_all_published_images_together_agree() {
    let Some(class) = CLASS.compare("half") else { return };
    class.assert_within(30);
    [SEEDS, PROJECTED, MIX]
        .iter()
        .filter_map(|call| call.compare("half"))
        .chain([class])
        .sum::<Agreement>()
        .assert_within(1);
}

/// Single precision, the default, is another arithmetic than the published tool's for a checkpoint that asks for half.
#[test]
fn generate_comes_near_the_published_images_of_a_class_in_single_precision() {
    CLASS.compare("single").inspect(|agreement| agreement.assert_within(70));
}
