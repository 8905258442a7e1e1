//! Lists of faces as people type them: seeds and files of latents, `0-7,anna/projected_w.npz`.

use std::path::Path;
use std::str::FromStr;

use crate::cli::numbers::NumberList;
use crate::latents::FaceSource;

/// Seeds, ranges of seeds and `.npz` files, joined by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaceList(Vec<FaceSource>);

impl FaceList {
    pub(crate) fn sources(self) -> Vec<FaceSource> {
        self.0
    }
}

impl FromStr for FaceList {
    type Err = String;

    fn from_str(text: &str) -> Result<FaceList, String> {
        let mut sources = Vec::new();
        for part in text.split(',') {
            let path = Path::new(part.trim());
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
                sources.push(FaceSource::File(path.to_owned()));
                continue;
            }
            let seeds: NumberList =
                part.parse().map_err(|error| format!("{error}, and no .npz file of latents either"))?;
            sources.extend(seeds.seeds().into_iter().map(FaceSource::Seed));
        }
        Ok(FaceList(sources))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toonify_networks::latent::Seed;

    #[test]
    fn seeds_and_files_may_be_mixed() {
        let seed = |number| FaceSource::Seed(Seed(number));
        let list: FaceList = "3-4,a b/w.npz,7".parse().expect("a list");
        assert_eq!(list.sources(), [seed(3), seed(4), FaceSource::File("a b/w.npz".into()), seed(7)]);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "a.png", "1,,2", "4-1"] {
            assert!(text.parse::<FaceList>().is_err_and(|error| error.contains(".npz")), "{text}");
        }
    }
}
