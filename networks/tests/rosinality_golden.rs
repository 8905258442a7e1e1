//! rosinality's files give that project's latents, images and logits, whichever way they are stored.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they left out")]

mod support;

use support::Golden;
use toonify_networks::grad::Dual;
use toonify_networks::latent::{Truncation, Z};
use toonify_networks::stylegan2::{Discriminator, Generator, Noise};

const TOLERANCE: f64 = 1e-4;

#[test]
fn images_are_those_of_the_project_from_either_container() {
    let Some(folder) = support::beside("ckpt_rosinality") else { return };
    let golden = Golden::load(&folder);
    for file in ["converted.pt", "converted_legacy.pt"] {
        let checkpoint = support::read(&folder.join(file));
        let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema).unwrap();
        golden.expect("latent_avg", generator.w_avg(), 0.0);
        let w = generator.map(&Z::new(golden.get("z"), 64).unwrap(), None).unwrap();
        golden.expect("w_psi1", w.tensor(), TOLERANCE);
        let ws = w.broadcast(generator.config().num_ws()).unwrap();
        golden.expect("img_const_psi1", &generator.render(&ws, &Noise::Const).unwrap(), TOLERANCE);
        golden.expect("img_none_psi1", &generator.render(&ws, &Noise::None).unwrap(), TOLERANCE);
        let truncated = ws.truncate(generator.w_avg(), &Truncation { psi: 0.5, cutoff: None }).unwrap();
        golden.expect("img_const_psi0.5", &generator.render(&truncated, &Noise::Const).unwrap(), TOLERANCE);
        let distinct = golden.ws("w_distinct", &generator);
        golden.expect("img_const_w_distinct", &generator.render(&distinct, &Noise::Const).unwrap(), TOLERANCE);
    }
}

#[test]
fn logits_are_those_of_the_project() {
    let Some(folder) = support::beside("ckpt_rosinality") else { return };
    let golden = Golden::load(&folder);
    let part = support::read(&folder.join("train.pt")).discriminator.unwrap();
    let discriminator = Discriminator::from_weights(&part.config, &part.weights).unwrap();
    for (name, batch) in [("d_logits", 8), ("d_logits_batch4", 4)] {
        let images = Dual::from(golden.get("d_img").narrow(0, 0, batch).unwrap());
        golden.expect(name, discriminator.forward(&images, None).unwrap().value(), TOLERANCE);
    }
}
