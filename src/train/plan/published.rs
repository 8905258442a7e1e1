//! A plan in the published words: `training_options.json`, and what is printed before training.

use std::path::Path;

use serde_json::{Map, Value, json};
use toonify_networks::augment::{AugmentSet, Probability};

use crate::store::models::Origin;
use crate::train::plan::Resolved;
use crate::train::plan::options::Config;

/// What the published trainer measures unless it is told otherwise, which is not what we measure then: see
/// docs/decisions/0013-metrics-while-training.md.
const DEFAULT_METRICS: [&str; 1] = ["fid50k_full"];

impl Resolved {
    /// The plan as the published trainer writes it to `training_options.json`; what only ours knows is left out.
    pub fn published_options(&self) -> Value {
        let metrics = match &self.options.metrics {
            Some(_) => json!(self.settings.metrics),
            None => json!(DEFAULT_METRICS),
        };
        let mut options = json!({
            "num_gpus": self.asked.gpus,
            "image_snapshot_ticks": self.settings.snapshot_ticks,
            "network_snapshot_ticks": self.settings.snapshot_ticks,
            "metrics": metrics,
            "random_seed": self.options.seed,
            "training_set_kwargs": self.training_set(),
            "data_loader_kwargs": {"pin_memory": true, "num_workers": self.workers, "prefetch_factor": 2},
            "G_kwargs": self.generator_kwargs(),
            "D_kwargs": self.discriminator_kwargs(),
            "G_opt_kwargs": optimiser(self.settings.loss.learning_rate),
            "D_opt_kwargs": optimiser(self.settings.loss.learning_rate),
            "loss_kwargs": self.loss_kwargs(),
            "total_kimg": self.settings.total_kimg,
            "batch_size": self.settings.batch_size,
            "batch_gpu": self.settings.batch_gpu,
            "ema_kimg": self.settings.loss.ema.half_life_kimg,
            "ema_rampup": self.settings.loss.ema.rampup,
        });
        let map = options.as_object_mut().expect("it was made as an object");
        self.add_what_was_chosen(map);
        options
    }

    /// What is left out where it has its default.
    fn add_what_was_chosen(&self, map: &mut Map<String, Value>) {
        let mut add = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        let augment = &self.settings.augment;
        match augment.probability {
            Probability::None => {}
            Probability::Fixed(p) => add("augment_p", json!(p)),
            Probability::Adaptive(adaptive) => add("ada_target", json!(adaptive.target)),
        }
        if augment.probability != Probability::None {
            add("augment_kwargs", augmentation(&augment.set));
        }
        if let Some(origin) = &self.origin {
            add("resume_pkl", json!(address(origin)));
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
            "channel_base": self.asked.channel_base,
            "channel_max": self.asked.channel_max,
            "num_fp16_res": self.settings.generator.num_fp16_res,
            "conv_clamp": self.settings.generator.conv_clamp,
        });
        if self.options.machine.nhwc.is_on() {
            synthesis["fp16_channels_last"] = json!(true);
        }
        json!({
            "class_name": "training.networks.Generator",
            "z_dim": self.settings.generator.z_dim,
            "w_dim": self.settings.generator.w_dim,
            "mapping_kwargs": {"num_layers": self.settings.generator.mapping.num_layers},
            "synthesis_kwargs": synthesis,
        })
    }

    fn discriminator_kwargs(&self) -> Value {
        let mut block = Map::new();
        if self.options.freezed.is_some() {
            block.insert("freeze_layers".to_owned(), json!(self.settings.discriminator.freeze_layers));
        }
        if self.options.machine.nhwc.is_on() {
            block.insert("fp16_channels_last".to_owned(), json!(true));
        }
        let mut kwargs = json!({
            "class_name": "training.networks.Discriminator",
            "block_kwargs": block,
            "mapping_kwargs": {},
            "epilogue_kwargs": {"mbstd_group_size": self.settings.discriminator.mbstd_group_size},
            "channel_base": self.asked.channel_base,
            "channel_max": self.asked.channel_max,
            "num_fp16_res": self.settings.discriminator.num_fp16_res,
            "conv_clamp": self.settings.discriminator.conv_clamp,
        });
        if self.options.config == Config::Cifar {
            kwargs["architecture"] = json!("orig");
        }
        kwargs
    }
}

impl Resolved {
    fn training_set(&self) -> Value {
        let data = &self.settings.data;
        let mut kwargs = json!({
            "class_name": "training.dataset.ImageFolderDataset",
            "path": data.path,
            "use_labels": data.labels,
            "max_size": self.images,
            "xflip": data.mirror,
            "resolution": self.settings.generator.resolution.px(),
        });
        if data.subset.is_some() {
            kwargs["random_seed"] = json!(self.settings.seed);
        }
        kwargs
    }

    fn loss_kwargs(&self) -> Value {
        let mut kwargs = json!({"class_name": "training.loss.StyleGAN2Loss", "r1_gamma": self.settings.loss.gamma});
        if self.options.config == Config::Cifar {
            kwargs["pl_weight"] = json!(self.settings.loss.path_length_weight);
            kwargs["style_mixing_prob"] = json!(self.settings.loss.style_mixing);
        }
        kwargs
    }

    /// What the published trainer prints before it begins.
    pub fn announcement(&self, run_folder: &Path) -> String {
        let data = &self.settings.data;
        let yes_or_no = |yes: bool| if yes { "True" } else { "False" };
        let rows = [
            ("Output directory", run_folder.display().to_string()),
            ("Training data", data.path.display().to_string()),
            ("Training duration", format!("{} kimg", self.settings.total_kimg)),
            ("Number of GPUs", self.asked.gpus.to_string()),
            ("Number of images", self.images.to_string()),
            ("Image resolution", self.settings.generator.resolution.to_string()),
            ("Conditional model", yes_or_no(data.labels).to_owned()),
            ("Dataset x-flips", yes_or_no(data.mirror).to_owned()),
        ];
        rows.map(|(name, value)| format!("{:<20}{value}\n", format!("{name}:"))).concat()
    }
}

fn optimiser(rate: f64) -> Value {
    json!({"class_name": "torch.optim.Adam", "lr": rate, "betas": [0, 0.99], "eps": 1e-8})
}

fn augmentation(set: &AugmentSet) -> Value {
    let mut kwargs = Map::from_iter([("class_name".to_owned(), json!("training.augment.AugmentPipe"))]);
    kwargs.extend(set.settings().map(|(name, value)| (name.to_owned(), json!(value))));
    Value::Object(kwargs)
}

fn address(origin: &Origin) -> String {
    match origin {
        Origin::Published(model) => model.url(),
        Origin::Url(url) => url.clone(),
        Origin::File(path) => path.display().to_string(),
    }
}
