//! What the cases of each folder call.

use candle_core::DType;
use serde_json::Value;
use toonify_networks::grad::Dual;
use toonify_networks::ops::upfirdn2d::{downsample2d_with, filter2d_with, upsample2d_with};
use toonify_networks::ops::*;
use toonify_networks::{Error, Result};

use crate::check::{Golden, assert_close};

/// A call of an operator as a function of some inputs.
pub struct Case {
    /// Prefix of its tensors.
    pub id: String,
    /// Suffixes of the tensors that it is differentiated by.
    pub inputs: Vec<&'static str>,
    /// The call.
    pub call: Call,
}

/// A function of the inputs.
pub type Call = Box<dyn Fn(&[Dual]) -> Result<Dual>>;

impl Case {
    fn new(case: &Value, inputs: &[&'static str], call: impl Fn(&[Dual]) -> Result<Dual> + 'static) -> Self {
        Case { id: text(case, "id").into(), inputs: inputs.to_vec(), call: Box::new(call) }
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().expect("a string")
}

fn integer(case: &Value, key: &str, default: usize) -> usize {
    if case[key].is_null() { default } else { case[key].as_u64().expect("a natural number") as usize }
}

fn truth(case: &Value, key: &str, default: bool) -> bool {
    if case[key].is_null() { default } else { case[key].as_bool().expect("a truth value") }
}

fn real(case: &Value, key: &str) -> Option<f64> {
    (!case[key].is_null()).then(|| case[key].as_f64().expect("a number"))
}

/// One number for all, or one for each.
fn spread<const N: usize>(value: &Value, default: isize, widen: fn(&[isize]) -> [isize; N]) -> [isize; N] {
    match value {
        Value::Null => [default; N],
        Value::Array(items) => {
            widen(&items.iter().map(|item| item.as_i64().expect("an integer") as isize).collect::<Vec<_>>())
        }
        one => [one.as_i64().expect("an integer") as isize; N],
    }
}

fn padding(case: &Value) -> [isize; 4] {
    spread(&case["padding"], 0, |given| match *given {
        [x, y] => [x, x, y, y],
        [x0, x1, y0, y1] => [x0, x1, y0, y1],
        _ => panic!("two or four paddings"),
    })
}

fn factors(case: &Value, key: &str) -> (usize, usize) {
    let [x, y] = spread(&case[key], 1, |given| [given[0], given[1]]);
    (x as usize, y as usize)
}

fn orientation(case: &Value, key: &str, default: bool) -> Orientation {
    if truth(case, key, default) { Orientation::Correlation } else { Orientation::Convolution }
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

/// A filter from what was given to `setup_filter`.
fn filter(input: &Value, setup: &FilterSetup) -> Result<Filter> {
    match input {
        Value::Null => Ok(Filter::identity()),
        Value::Array(rows) if rows[0].is_array() => {
            let taps: Vec<f32> = rows.iter().flat_map(numbers).collect();
            Filter::from_2d(&taps, rows[0].as_array().expect("a row").len(), setup)
        }
        Value::Array(_) => Filter::from_1d(&numbers(input), setup),
        one => Filter::from_2d(&[one.as_f64().expect("a number") as f32], 1, setup),
    }
}

/// Filters have no gradients: they are compared here and now, to the last bit but one.
pub fn check_filters(golden: &Golden) -> Result<()> {
    for case in &golden.cases {
        let kwargs = &case["kwargs"];
        let normalization = if truth(kwargs, "normalize", true) { Normalization::UnitSum } else { Normalization::Raw };
        let form = match kwargs["separable"].as_bool() {
            None => FilterForm::ByLength,
            Some(true) => FilterForm::Separable,
            Some(false) => FilterForm::Planar,
        };
        let orientation = orientation(kwargs, "flip_filter", false);
        let setup = FilterSetup { normalization, orientation, gain: real(kwargs, "gain").unwrap_or(1.0), form };
        let found = filter(&case["input"], &setup)?.tensor()?;
        assert_close(text(case, "id"), &found, golden.tensor(text(case, "id"))?, 2e-7)?;
    }
    Ok(())
}

fn resampling_filter(golden: &Golden, case: &Value) -> Result<Filter> {
    let filter = filter(&case["filter_input"], &FilterSetup::default())?;
    if let Some(expected) = golden.find(&format!("{}_f", text(case, "id"))) {
        assert_close(text(case, "id"), &filter.tensor()?, expected, 2e-7)?;
    }
    Ok(filter)
}

/// `upfirdn2d` and its three helpers.
pub fn upfirdn2d(golden: &Golden) -> Result<Vec<Case>> {
    let case = |case: &Value| {
        let filter = resampling_filter(golden, case)?;
        let spec = Resample {
            up: factors(case, "up"),
            down: factors(case, "down"),
            padding: padding(case),
            orientation: orientation(case, "flip_filter", false),
            gain: real(case, "gain").unwrap_or(1.0),
        };
        let double = |factor: (usize, usize), given: &Value| if given.is_null() { (2, 2) } else { factor };
        let (up, down) = (double(spec.up, &case["up"]), double(spec.down, &case["down"]));
        let function = case["fn"].as_str().unwrap_or("upfirdn2d").to_string();
        Ok(Case::new(case, &["x"], move |inputs| match function.as_str() {
            "filter2d" => filter2d_with(&inputs[0], &filter, &spec),
            "upsample2d" => upsample2d_with(&inputs[0], &filter, &Resample { up, ..spec }),
            "downsample2d" => downsample2d_with(&inputs[0], &filter, &Resample { down, ..spec }),
            "upfirdn2d" => toonify_networks::ops::upfirdn2d(&inputs[0], &filter, &spec),
            other => panic!("unknown function {other}"),
        }))
    };
    golden.cases.iter().map(case).collect()
}

fn activation(name: &str) -> Activation {
    serde_json::from_value(name.into()).expect("a known activation")
}

/// All activations, with and without alpha, gain and clamp.
pub fn bias_act(golden: &Golden) -> Result<Vec<Case>> {
    let case = |case: &Value| {
        let spec = BiasAct {
            activation: activation(text(case, "act")),
            alpha: real(case, "alpha"),
            gain: real(case, "gain"),
            clamp: real(case, "clamp"),
        };
        let dim = integer(case, "dim", 1);
        Ok(Case::new(case, &["x", "b"], move |inputs| bias_act_along(&inputs[0], Some(&inputs[1]), dim, &spec)))
    };
    golden.cases.iter().map(case).collect()
}

/// Convolutions with resampling.
pub fn conv2d_resample(golden: &Golden) -> Result<Vec<Case>> {
    let case = |case: &Value| {
        let filter = resampling_filter(golden, case)?;
        let spec = ResampleConv {
            up: integer(case, "up", 1),
            down: integer(case, "down", 1),
            padding: padding(case),
            groups: integer(case, "groups", 1),
            orientation: orientation(case, "flip_weight", true),
            filter_orientation: orientation(case, "flip_filter", false),
            ..Default::default()
        };
        Ok(Case::new(case, &["x", "w"], move |inputs| {
            toonify_networks::ops::conv2d_resample(&inputs[0], &inputs[1], &filter, &spec)
        }))
    };
    golden.cases.iter().map(case).collect()
}

/// Modulated convolutions; the published fused and unfused variants must both agree with ours.
pub fn modulated_conv2d(golden: &Golden) -> Result<Vec<Case>> {
    let case = |case: &Value| {
        let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
        assert_close("filter", &filter.tensor()?, golden.tensor("filter")?, 2e-7)?;
        let noise = golden.find(&format!("{}_noise", text(case, "id"))).map(Dual::from);
        assert_eq!(noise.is_some(), truth(case, "noise", false));
        let (up, down) = (integer(case, "up", 1), integer(case, "down", 1));
        let padding = integer(case, "padding", 0);
        let demodulate = if truth(case, "demodulate", true) { Demodulation::On } else { Demodulation::Off };
        let orientation = orientation(case, "flip_weight", true);
        Ok(Case::new(case, &["x", "w", "s"], move |inputs| {
            let noise = noise.as_ref();
            let spec = ModulatedConv { up, down, padding, demodulate, orientation, filter: &filter, noise };
            toonify_networks::ops::modulated_conv2d(&inputs[0], &inputs[1], &inputs[2], &spec)
        }))
    };
    golden.cases.iter().map(case).collect()
}

/// The layers that the operators make up.
pub fn layers(golden: &Golden) -> Result<Vec<Case>> {
    let known = golden.cases.iter().filter(|case| !text(case, "id").starts_with("wavg"));
    let mut cases = known.map(layer).collect::<Result<Vec<_>>>()?;
    if golden.find("norm_x").is_some() {
        let call = Box::new(|inputs: &[Dual]| normalize_2nd_moment(&inputs[0]));
        cases.push(Case { id: "norm".into(), inputs: vec!["x"], call });
    }
    Ok(cases)
}

fn layer(case: &Value) -> Result<Case> {
    match text(case, "layer") {
        "MinibatchStdLayer" => {
            let group = case["group_size"].as_u64().map(|group| group as usize);
            let channels = integer(case, "num_channels", 1);
            Ok(Case::new(case, &["x"], move |inputs| minibatch_std(&inputs[0], group, channels)))
        }
        "FullyConnectedLayer" => Ok(fully_connected(case)),
        "Conv2dLayer" => convolutional(case),
        other => Err(Error::value("layer", other, "a known layer")),
    }
}

fn weight_and_bias(case: &Value) -> &'static [&'static str] {
    if truth(case, "bias", true) { &["x", "w", "b"] } else { &["x", "w"] }
}

/// Equalised learning rate: the weight is used times lr_multiplier / √inputs, the bias times lr_multiplier.
fn fully_connected(case: &Value) -> Case {
    let spec = BiasAct::new(activation(text(case, "activation")));
    let lr_multiplier = real(case, "lr_multiplier").unwrap_or(1.0);
    Case::new(case, weight_and_bias(case), move |inputs| {
        let (_, width) = inputs[1].dims2()?;
        let weight = inputs[1].scale(lr_multiplier / (width as f64).sqrt())?;
        let bias = inputs.get(2).map(|bias| bias.scale(lr_multiplier)).transpose()?;
        toonify_networks::ops::bias_act(&inputs[0].matmul(&weight.t()?)?, bias.as_ref(), &spec)
    })
}

/// The weight is used times 1 / √(inputs · k²); gain and clamp are those of the activation times the layer's gain.
fn convolutional(case: &Value) -> Result<Case> {
    let activation = case["activation"].as_str().map_or(Activation::Linear, activation);
    let layer_gain = real(case, "gain").unwrap_or(1.0);
    let gain = Some(activation.default_gain() * layer_gain);
    let clamp = real(case, "conv_clamp").map(|clamp| clamp * layer_gain);
    let act = BiasAct { gain, clamp, ..BiasAct::new(activation) };
    let kernel = integer(case, "kernel_size", 1);
    let (up, down) = (integer(case, "up", 1), integer(case, "down", 1));
    let orientation = if up == 1 { Orientation::Correlation } else { Orientation::Convolution };
    let padding = [(kernel / 2) as isize; 4];
    let spec = ResampleConv { up, down, padding, orientation, ..Default::default() };
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    Ok(Case::new(case, weight_and_bias(case), move |inputs| {
        let (_, channels, kh, kw) = inputs[1].dims4()?;
        let weight = inputs[1].scale(1.0 / ((channels * kh * kw) as f64).sqrt())?;
        let y = toonify_networks::ops::conv2d_resample(&inputs[0], &weight, &filter, &spec)?;
        toonify_networks::ops::bias_act(&y, inputs.get(2), &act)
    }))
}

/// The input in half precision, computed in single precision.
pub fn check_half_input(golden: &Golden) -> Result<()> {
    let input = |name: &str| Ok::<_, Error>(Dual::from(golden.tensor(name)?.to_dtype(DType::F32)?));
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    let (demodulate, orientation) = (Demodulation::On, Orientation::Correlation);
    let spec = ModulatedConv { up: 1, down: 1, padding: 1, demodulate, orientation, filter: &filter, noise: None };
    let y = toonify_networks::ops::modulated_conv2d(&input("fp16_x")?, &input("fp16_w")?, &input("fp16_s")?, &spec)?;
    assert_close("fp16_same_in_fp32_y", y.value(), golden.tensor("fp16_same_in_fp32_y")?, 2e-6)
}
