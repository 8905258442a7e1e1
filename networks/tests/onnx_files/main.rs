//! Every kind of ONNX file that we write, taken apart: only operators of the table in docs/export.md, in the forms that
//! the programs named there run, and every weight a constant.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod wire;

use std::collections::{BTreeMap, BTreeSet};

use toonify_networks::latent::Truncation;
use toonify_networks::onnx::{self, Graph, Size, Storage};
use toonify_networks::ops::Activation;
use toonify_networks::pix2pix::{BlockKind, Preset, StudentLayer};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Architecture, Channels, GeneratorConfig, Layer, MappingConfig, Resolution, Weights};
use wire::{File, Node};

/// Numbers of data types in the format.
const FLOAT: i64 = 1;
const INT64: i64 = 7;
const FLOAT16: i64 = 10;

/// The rows of the table of operators: what each column says.
fn documented() -> BTreeMap<String, Vec<String>> {
    let document = include_str!("../../../docs/export.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let is_operator = |name: &str| name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_uppercase);
    let cells = |rest: &str| rest.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.filter(|(name, _)| is_operator(name)).map(|(name, rest)| (name.to_owned(), cells(rest))).collect()
}

/// Columns of the table behind the name.
const STUDENT: usize = 0;
const SYNTHESIS: usize = 1;
const MAPPING: usize = 2;
const PROGRAMS: [usize; 4] = [3, 4, 5, 6];

fn student_files() -> Vec<Graph> {
    let mut files = Vec::new();
    for (preset, block, channels) in [
        (Preset::Tiny, BlockKind::Plain, 3),
        (Preset::Tiny, BlockKind::Separable, 4),
        (Preset::Small, BlockKind::Plain, 4),
        (Preset::Small, BlockKind::Separable, 3),
        (Preset::Base, BlockKind::Plain, 3),
    ] {
        let config = preset.config(block, channels);
        let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
        for size in [Size::Dynamic, Size::Fixed(256, 128)] {
            for storage in [Storage::Single, Storage::Half] {
                files.push(onnx::student(&config, &weights, size, storage).unwrap());
            }
        }
    }
    files
}

fn generator(architecture: Architecture, c_dim: usize, taps: &[f32]) -> (GeneratorConfig, Weights<Layer>) {
    let mapping = MappingConfig {
        num_layers: 2,
        embed_features: 5,
        layer_features: 7,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    };
    let config = GeneratorConfig {
        z_dim: 6,
        c_dim,
        w_dim: 8,
        resolution: Resolution::new(32).unwrap(),
        img_channels: 3,
        mapping,
        channels: Channels::from_widths(vec![6, 5, 4, 3]),
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: Some(256.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: taps.to_vec(),
    };
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(3)).unwrap();
    (config, weights)
}

/// Files of both parts of a generator: synthesis, mapping.
fn generator_files() -> (Vec<Graph>, Vec<Graph>) {
    let (mut synthesis, mut mapping) = (Vec::new(), Vec::new());
    for architecture in [Architecture::Skip, Architecture::Resnet, Architecture::Orig] {
        for (c_dim, taps) in [(0, &[1.0, 3.0, 3.0, 1.0][..]), (4, &[1.0, 1.0])] {
            let (config, weights) = generator(architecture, c_dim, taps);
            for storage in [Storage::Single, Storage::Half] {
                let truncation = Truncation { psi: 0.7, cutoff: Some(3) };
                synthesis.push(onnx::synthesis(&config, &weights, storage).unwrap());
                mapping.push(onnx::mapping(&config, &weights, &truncation, storage).unwrap());
            }
        }
    }
    (synthesis, mapping)
}

/// The operators of the files, each of which must have a mark in `column` of the table and in those of all `programs`.
fn check_operators(files: Vec<Graph>, column: usize, programs: &[usize]) -> BTreeSet<String> {
    let table = documented();
    let mut used = BTreeSet::new();
    for graph in files {
        let file = File::read(&graph.into_bytes());
        assert_eq!(file.opsets, [(String::new(), onnx::OPSET)], "only the standard's own operators");
        assert!(file.nodes.iter().all(|node| node.domain.is_empty()));
        used.extend(file.nodes.into_iter().map(|node| node.operator));
    }
    for operator in &used {
        let row = table.get(operator).unwrap_or_else(|| panic!("`{operator}` is not in docs/export.md"));
        assert!(!row[column].is_empty(), "docs/export.md does not say that `{operator}` is used here");
        for &program in programs {
            let runs = !row[program].is_empty() && !row[program].starts_with("no");
            assert!(runs, "`{operator}`: column {program} says `{}`", row[program]);
        }
    }
    used
}

#[test]
fn only_documented_operators_are_used_and_all_that_are_documented() {
    let (synthesis, mapping) = generator_files();
    let mut used = check_operators(student_files(), STUDENT, &PROGRAMS);
    // WebGL, the last, lacks some that a generator needs; the document says so.
    used.extend(check_operators(synthesis, SYNTHESIS, &PROGRAMS[..3]));
    used.extend(check_operators(mapping, MAPPING, &PROGRAMS[..3]));
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(used, documented);
    let known: BTreeSet<String> = onnx::Operator::ALL.iter().map(|operator| operator.name()).collect();
    assert_eq!(known, documented);
}

/// Where a node's weights are among its inputs: those that Unity's engine wants to be constants.
fn weights_of(operator: &str) -> &'static [usize] {
    match operator {
        "Conv" | "ConvTranspose" | "Gemm" => &[1, 2],
        "MatMul" | "Gather" | "Clip" | "Unsqueeze" => &[1],
        "Slice" => &[1, 2, 3],
        "Resize" => &[2],
        _ => &[],
    }
}

/// Whether a value is stored in the file: a constant, or one behind the `Cast` of a weight of 16 bits.
fn is_constant(file: &File, name: &str) -> bool {
    let cast = |node: &Node| {
        let gives = node.operator == "Cast" && node.outputs == [name];
        gives && node.attributes["to"].integer == FLOAT && file.constants.contains_key(&node.inputs[0])
    };
    file.constants.contains_key(name) || file.nodes.iter().any(cast)
}

fn check_form(file: &File) {
    let mut known: BTreeSet<&String> = file.constants.keys().chain(&file.inputs).collect();
    for node in &file.nodes {
        let operator = node.operator.as_str();
        for input in node.inputs.iter().filter(|input| !input.is_empty()) {
            assert!(known.contains(input), "`{input}` is used before it is made");
        }
        for output in &node.outputs {
            assert!(known.insert(output), "`{output}` is made twice");
        }
        for weight in weights_of(operator).iter().filter_map(|&place| node.inputs.get(place)) {
            assert!(is_constant(file, weight), "`{weight}` of `{operator}` is no constant");
        }
        check_settings(node);
    }
    assert!(file.outputs.iter().all(|output| known.contains(output)));
    for (name, constant) in &file.constants {
        let each = match constant.data_type {
            FLOAT => 4,
            INT64 => 8,
            FLOAT16 => 2,
            other => panic!("`{name}` has data type {other}"),
        };
        assert_eq!(constant.bytes as i64, each * constant.shape.iter().product::<i64>(), "`{name}`");
        assert!(constant.shape.len() <= 8, "Unity's engine has at most eight axes");
    }
}

/// What the programs leave out of operators that they have otherwise.
fn check_settings(node: &Node) {
    let has = |name: &str| node.attributes.contains_key(name);
    match node.operator.as_str() {
        "ConvTranspose" => assert!(!has("group") && !has("dilations") && !has("output_shape") && !has("auto_pad")),
        "Conv" => assert!(!has("auto_pad") && node.attributes["kernel_shape"].integers.len() == 2),
        "Resize" => {
            assert_eq!(node.attributes["mode"].text, "nearest");
            assert_eq!(node.attributes["coordinate_transformation_mode"].text, "asymmetric");
            assert!(node.inputs[1].is_empty() && !has("extrapolation_value") && !has("exclude_outside"));
        }
        "DepthToSpace" => {
            assert_eq!((node.attributes["blocksize"].integer, node.attributes["mode"].text.as_str()), (2, "CRD"))
        }
        _ => {}
    }
}

#[test]
fn weights_are_constants_and_operators_keep_to_what_programs_have() {
    let (synthesis, mapping) = generator_files();
    for graph in student_files().into_iter().chain(synthesis).chain(mapping) {
        check_form(&File::read(&graph.into_bytes()));
    }
}

#[test]
fn files_say_how_their_images_are_stored() {
    for graph in student_files().into_iter().chain(generator_files().0) {
        let metadata = File::read(&graph.into_bytes()).metadata;
        let says = |key: &str| metadata.get(key).map_or("", String::as_str);
        assert_eq!((says("layout"), says("channel_order"), says("value_range")), ("NCHW", "RGB", "-1 to 1"));
        assert!(says("colour_space").starts_with("sRGB"));
    }
}

#[test]
fn a_small_student_takes_two_megabytes_in_half_precision() {
    for (preset, block) in [(Preset::Small, BlockKind::Plain), (Preset::Small, BlockKind::Separable)] {
        let config = preset.config(block, 3);
        let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
        let file = onnx::student(&config, &weights, Size::Fixed(256, 256), Storage::Half).unwrap().into_bytes();
        assert!(file.len() <= 2_000_000, "{} bytes", file.len());
    }
}
