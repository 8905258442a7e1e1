//! What is written is read back as it was, bit for bit.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod checkpoint_support;

use candle_core::{Device, Tensor};
use checkpoint_support::{TINY, all_bits, tiny};
use toonify_networks::checkpoint::{
    Checkpoint, ExportError, Kind, Parts, Precision, open, write_rosinality, write_safetensors,
};
use toonify_networks::stylegan2::{Layer, Weights};

fn read(bytes: &[u8]) -> Checkpoint {
    open(bytes).unwrap().into_checkpoint(Parts::All, &mut || ()).unwrap().0
}

fn ours(checkpoint: &Checkpoint, precision: Precision) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_safetensors(checkpoint, precision, &mut bytes).unwrap();
    bytes
}

fn assert_same(left: &Checkpoint, right: &Checkpoint) {
    assert_eq!(left.config, right.config);
    let discriminator = |checkpoint: &Checkpoint| checkpoint.discriminator.as_ref().map(|part| part.config.clone());
    assert_eq!(discriminator(left), discriminator(right));
    assert_eq!(left.provenance, right.provenance);
    assert!(all_bits(left) == all_bits(right));
}

#[test]
fn our_files_keep_everything() {
    for file in TINY {
        let checkpoint = read(&tiny(file));
        let bytes = ours(&checkpoint, Precision::Single);
        let again = read(&bytes);
        assert_same(&checkpoint, &again);
        assert_eq!(ours(&again, Precision::Single), bytes, "{file}: writing twice gives the same bytes");
    }
}

#[test]
fn the_numbers_of_our_files_begin_at_a_multiple_of_eight() {
    let bytes = ours(&read(&tiny("rosinality.pt")), Precision::Single);
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0);
    safetensors::SafeTensors::deserialize(&bytes).unwrap();
}

#[test]
fn half_precision_halves_the_size_and_rounds_to_nearest() {
    let checkpoint = read(&tiny("ada_orig_protocol5.pkl"));
    let bytes = ours(&checkpoint, Precision::Half);
    // The numbers of the tiny files fit half precision exactly.
    assert_same(&checkpoint, &read(&bytes));
    let numbers: usize = all_bits(&checkpoint).values().map(|(_, bits)| bits.len()).sum();
    let data = |bytes: &[u8]| bytes.len() - 8 - u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!((data(&bytes), data(&ours(&checkpoint, Precision::Single))), (2 * numbers, 4 * numbers));
}

#[test]
fn a_number_too_large_for_half_precision_is_refused() {
    let mut checkpoint = read(&tiny("rosinality.pt"));
    let large = |layer: Layer, shape: &[usize]| match layer {
        Layer::WAvg => Ok(Tensor::full(1e5f32, shape, &Device::Cpu)?),
        _ => Ok(checkpoint.ema.get(layer).unwrap().clone()),
    };
    checkpoint.ema = Weights::build(&checkpoint.config, large).unwrap();
    let error = write_safetensors(&checkpoint, Precision::Half, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("mapping.w_avg") && error.contains("100000"), "{error}");
    assert!(write_safetensors(&checkpoint, Precision::Single, &mut Vec::new()).is_ok());
}

#[test]
fn rosinality_files_come_back_through_ours() {
    for file in ["rosinality.pt", "rosinality_legacy.pt", "rosinality_training.pt"] {
        let checkpoint = read(&ours(&read(&tiny(file)), Precision::Single));
        let mut bytes = Vec::new();
        let notes = write_rosinality(&checkpoint, &mut bytes).unwrap();
        assert_eq!(notes.len(), 1, "only the tiny widths are worth a note: {notes:?}");
        let archive = open(&bytes).unwrap();
        assert_eq!((archive.kind(), archive.report().missing.len()), (Kind::Rosinality, 0));
        let again = read(&bytes);
        assert_eq!(again.config, checkpoint.config);
        assert!(all_bits(&again) == all_bits(&checkpoint), "{file}");
    }
}

#[test]
fn an_nvidia_checkpoint_goes_to_rosinality_with_a_note_on_its_clamp() {
    let checkpoint = read(&tiny("stylegan3_repository_protocol4.pkl"));
    let mut bytes = Vec::new();
    let notes = write_rosinality(&checkpoint, &mut bytes).unwrap();
    assert!(notes[0].contains("256"), "{notes:?}");
    assert!(all_bits(&read(&bytes)) == all_bits(&checkpoint));
}

#[test]
fn what_rosinality_does_not_have_is_refused_by_name() {
    for (file, expected) in [
        ("ada_labels_protocol3.pkl", "architecture of the generator is resnet, expected skip"),
        ("ada_orig_protocol5.pkl", "architecture of the generator is orig, expected skip"),
        ("tensorflow_labels_protocol4.pkl", "number of label values is 3, expected 0"),
    ] {
        let mut written = Vec::new();
        let error = write_rosinality(&read(&tiny(file)), &mut written).unwrap_err();
        assert!(matches!(error, ExportError::Unwritable { .. }) && error.to_string().contains(expected), "{error}");
        assert!(written.is_empty(), "nothing is written before everything is checked");
    }
}
