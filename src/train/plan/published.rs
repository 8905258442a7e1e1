//! A plan in the published words: `training_options.json`, and what is printed before training.

use std::path::Path;

use serde_json::{Map, Value, json};
use toonify_networks::augment::{AugmentSet, Probability};

use crate::store::models::Source;
use crate::train::plan::options::Config;
use crate::train::plan::{DataPlan, Learning, Metric, Resolved, Start};

/// What the published trainer measures unless it is told otherwise.
const DEFAULT_METRICS: [&str; 1] = ["fid50k_full"];

impl Resolved {
    /// The plan as the published trainer writes it to `training_options.json`; what only ours knows is left out.
    pub fn published_options(&self) -> Value {
        let metrics = match &self.metrics {
            Some(metrics) => metrics.iter().copied().map(Metric::name).collect(),
            None => DEFAULT_METRICS.to_vec(),
        };
        let mut options = json!({
            "num_gpus": self.gpus,
            "image_snapshot_ticks": self.snapshot_ticks,
            "network_snapshot_ticks": self.snapshot_ticks,
            "metrics": metrics,
            "random_seed": self.options.seed,
            "training_set_kwargs": training_set(&self.data),
            "data_loader_kwargs": {"pin_memory": true, "num_workers": self.workers, "prefetch_factor": 2},
            "G_kwargs": self.generator_kwargs(),
            "D_kwargs": self.discriminator_kwargs(),
            "G_opt_kwargs": optimiser(&self.learning),
            "D_opt_kwargs": optimiser(&self.learning),
            "loss_kwargs": self.loss_kwargs(),
            "total_kimg": self.total_kimg,
            "batch_size": self.batch_size,
            "batch_gpu": self.batch_gpu,
            "ema_kimg": self.learning.ema_kimg,
            "ema_rampup": self.learning.ema_rampup,
        });
        let map = options.as_object_mut().expect("it was made as an object");
        self.add_what_was_chosen(map);
        options
    }

    /// What is left out where it has its default.
    fn add_what_was_chosen(&self, map: &mut Map<String, Value>) {
        let mut add = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        match self.probability {
            Probability::None => {}
            Probability::Fixed(p) => add("augment_p", json!(p)),
            Probability::Adaptive(adaptive) => add("ada_target", json!(adaptive.target)),
        }
        if let Some(set) = &self.augment {
            add("augment_kwargs", augmentation(set));
        }
        if let Start::From(source) = &self.start {
            add("resume_pkl", json!(address(source)));
            add("ada_kimg", json!(100));
        }
        if self.options.machine.nobench.is_on() {
            add("cudnn_benchmark", json!(false));
        }
        if self.options.machine.allow_tf32.is_on() {
            add("allow_tf32", json!(true));
        }
    }

    fn generator_kwargs(&self) -> Value {
        let mut synthesis = json!({
            "channel_base": self.channels.0,
            "channel_max": self.channels.1,
            "num_fp16_res": self.generator.num_fp16_res,
            "conv_clamp": self.generator.conv_clamp,
        });
        if self.options.machine.nhwc.is_on() {
            synthesis["fp16_channels_last"] = json!(true);
        }
        json!({
            "class_name": "training.networks.Generator",
            "z_dim": self.generator.z_dim,
            "w_dim": self.generator.w_dim,
            "mapping_kwargs": {"num_layers": self.generator.mapping.num_layers},
            "synthesis_kwargs": synthesis,
        })
    }

    fn discriminator_kwargs(&self) -> Value {
        let mut block = Map::new();
        if self.options.freezed.is_some() {
            block.insert("freeze_layers".to_owned(), json!(self.discriminator.freeze_layers));
        }
        if self.options.machine.nhwc.is_on() {
            block.insert("fp16_channels_last".to_owned(), json!(true));
        }
        let mut kwargs = json!({
            "class_name": "training.networks.Discriminator",
            "block_kwargs": block,
            "mapping_kwargs": {},
            "epilogue_kwargs": {"mbstd_group_size": self.discriminator.mbstd_group_size},
            "channel_base": self.channels.0,
            "channel_max": self.channels.1,
            "num_fp16_res": self.discriminator.num_fp16_res,
            "conv_clamp": self.discriminator.conv_clamp,
        });
        if self.options.config == Config::Cifar {
            kwargs["architecture"] = json!("orig");
        }
        kwargs
    }
}

impl Resolved {
    fn loss_kwargs(&self) -> Value {
        let mut kwargs = json!({"class_name": "training.loss.StyleGAN2Loss", "r1_gamma": self.learning.gamma});
        if self.options.config == Config::Cifar {
            kwargs["pl_weight"] = json!(self.learning.path_length_weight);
            kwargs["style_mixing_prob"] = json!(self.learning.style_mixing);
        }
        kwargs
    }

    /// What the published trainer prints before it begins.
    pub fn announcement(&self, run_folder: &Path) -> String {
        let yes_or_no = |yes: bool| if yes { "True" } else { "False" };
        let rows = [
            ("Output directory", run_folder.display().to_string()),
            ("Training data", self.data.path.display().to_string()),
            ("Training duration", format!("{} kimg", self.total_kimg)),
            ("Number of GPUs", self.gpus.to_string()),
            ("Number of images", self.data.max_size.to_string()),
            ("Image resolution", self.data.resolution.to_string()),
            ("Conditional model", yes_or_no(self.data.labels.is_on()).to_owned()),
            ("Dataset x-flips", yes_or_no(self.data.mirror.is_on()).to_owned()),
        ];
        rows.map(|(name, value)| format!("{:<20}{value}\n", format!("{name}:"))).concat()
    }
}

fn training_set(data: &DataPlan) -> Value {
    let mut kwargs = json!({
        "class_name": "training.dataset.ImageFolderDataset",
        "path": data.path,
        "use_labels": data.labels.is_on(),
        "max_size": data.max_size,
        "xflip": data.mirror.is_on(),
        "resolution": data.resolution,
    });
    if let Some(seed) = data.subset_seed {
        kwargs["random_seed"] = json!(seed);
    }
    kwargs
}

fn optimiser(learning: &Learning) -> Value {
    json!({"class_name": "torch.optim.Adam", "lr": learning.rate, "betas": [0, 0.99], "eps": 1e-8})
}

fn augmentation(set: &AugmentSet) -> Value {
    let mut kwargs = Map::from_iter([("class_name".to_owned(), json!("training.augment.AugmentPipe"))]);
    kwargs.extend(set.settings().map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(kwargs)
}

fn address(source: &Source) -> String {
    match source {
        Source::Published(model) => model.url(),
        Source::Url(url) => url.clone(),
        Source::File(path) => path.display().to_string(),
    }
}
