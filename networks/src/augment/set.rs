//! Which transformations there are, how likely and how strong each is, and the sets that have a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One kind of change, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transformation {
    /// Mirrored from left to right.
    Xflip,
    /// Turned by a multiple of 90°.
    Rotate90,
    /// Moved by whole pixels.
    Xint,
    /// Enlarged or made smaller.
    Scale,
    /// Turned by any angle.
    Rotate,
    /// Stretched along one axis and compressed along the other.
    Aniso,
    /// Moved by fractions of pixels.
    Xfrac,
    /// Lighter or darker.
    Brightness,
    /// More or less contrast.
    Contrast,
    /// Light and dark exchanged, colours kept.
    Lumaflip,
    /// Colours turned about the grey axis.
    Hue,
    /// More or less colourful.
    Saturation,
    /// Frequency bands made stronger or weaker.
    Imgfilter,
    /// Gaussian noise added to the pixels.
    Noise,
    /// A square set to zero.
    Cutout,
}

impl Transformation {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Transformation; 15] = {
        use Transformation::*;
        [
            Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac, Brightness, Contrast, Lumaflip, Hue, Saturation,
            Imgfilter, Noise, Cutout,
        ]
    };

    /// The published name.
    pub fn name(self) -> &'static str {
        use Transformation::*;
        match self {
            Xflip => "xflip",
            Rotate90 => "rotate90",
            Xint => "xint",
            Scale => "scale",
            Rotate => "rotate",
            Aniso => "aniso",
            Xfrac => "xfrac",
            Brightness => "brightness",
            Contrast => "contrast",
            Lumaflip => "lumaflip",
            Hue => "hue",
            Saturation => "saturation",
            Imgfilter => "imgfilter",
            Noise => "noise",
            Cutout => "cutout",
        }
    }
}

/// A number that says how far a transformation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Largest move by whole pixels, as a share of the image.
    XintMax,
    /// Standard deviation of the scale's binary logarithm.
    ScaleStd,
    /// Largest angle, as a share of a half turn.
    RotateMax,
    /// Standard deviation of the aspect's binary logarithm.
    AnisoStd,
    /// Standard deviation of the move by fractions of pixels, as a share of the image.
    XfracStd,
    /// Standard deviation of the brightness.
    BrightnessStd,
    /// Standard deviation of the contrast's binary logarithm.
    ContrastStd,
    /// Largest turn of the hue, as a share of a half turn.
    HueMax,
    /// Standard deviation of the saturation's binary logarithm.
    SaturationStd,
    /// Probability multiplier of the lowest of the four frequency bands.
    ImgfilterBand0,
    /// Probability multiplier of the second frequency band.
    ImgfilterBand1,
    /// Probability multiplier of the third frequency band.
    ImgfilterBand2,
    /// Probability multiplier of the highest frequency band.
    ImgfilterBand3,
    /// Standard deviation of a band gain's binary logarithm.
    ImgfilterStd,
    /// Standard deviation of the noise's standard deviation.
    NoiseStd,
    /// Side of the square, as a share of the image.
    CutoutSize,
}

impl Range {
    /// Names and published values (Karras et al. 2020, appendix B), in the order of the enum.
    const TABLE: [(Range, &'static str, f64); 16] = [
        (Range::XintMax, "xint_max", 0.125),
        (Range::ScaleStd, "scale_std", 0.2),
        (Range::RotateMax, "rotate_max", 1.0),
        (Range::AnisoStd, "aniso_std", 0.2),
        (Range::XfracStd, "xfrac_std", 0.125),
        (Range::BrightnessStd, "brightness_std", 0.2),
        (Range::ContrastStd, "contrast_std", 0.5),
        (Range::HueMax, "hue_max", 1.0),
        (Range::SaturationStd, "saturation_std", 1.0),
        (Range::ImgfilterBand0, "imgfilter_band0", 1.0),
        (Range::ImgfilterBand1, "imgfilter_band1", 1.0),
        (Range::ImgfilterBand2, "imgfilter_band2", 1.0),
        (Range::ImgfilterBand3, "imgfilter_band3", 1.0),
        (Range::ImgfilterStd, "imgfilter_std", 1.0),
        (Range::NoiseStd, "noise_std", 0.1),
        (Range::CutoutSize, "cutout_size", 0.5),
    ];
}

/// How likely each transformation is, as a multiple of p, and how far it goes.
///
/// As text it is the name of a set (`bgc`) or a list (`scale=1,xflip=1,noise=0.5`); `Display` and `FromStr` are inverse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AugmentSet {
    multipliers: [f64; Transformation::ALL.len()],
    ranges: [f64; Range::TABLE.len()],
}

/// The sets with a name, and what is in them; all multipliers are 1. `custom` is the recipe for game characters.
pub const PUBLISHED_SETS: [(&str, &[Transformation]); 12] = {
    use Transformation::*;
    [
        ("blit", &[Xflip, Rotate90, Xint]),
        ("geom", &[Scale, Rotate, Aniso, Xfrac]),
        ("color", &[Brightness, Contrast, Lumaflip, Hue, Saturation]),
        ("filter", &[Imgfilter]),
        ("noise", &[Noise]),
        ("cutout", &[Cutout]),
        ("bg", &[Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac]),
        ("bgc", &[Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac, Brightness, Contrast, Lumaflip, Hue, Saturation]),
        (
            "bgcf",
            &[
                Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac, Brightness, Contrast, Lumaflip, Hue, Saturation,
                Imgfilter,
            ],
        ),
        (
            "bgcfn",
            &[
                Xflip, Rotate90, Xint, Scale, Rotate, Aniso, Xfrac, Brightness, Contrast, Lumaflip, Hue, Saturation,
                Imgfilter, Noise,
            ],
        ),
        ("bgcfnc", &Transformation::ALL),
        ("custom", &[Scale, Xflip, Noise]),
    ]
};

impl AugmentSet {
    /// Transforms nothing.
    pub const NONE: AugmentSet = {
        let mut ranges = [0.0; Range::TABLE.len()];
        let mut i = 0;
        while i < ranges.len() {
            ranges[i] = Range::TABLE[i].2;
            i += 1;
        }
        AugmentSet { multipliers: [0.0; Transformation::ALL.len()], ranges }
    };

    /// The probability of a transformation as a multiple of p.
    pub fn multiplier(&self, transformation: Transformation) -> f64 {
        self.multipliers[transformation as usize]
    }

    /// How far a transformation goes.
    pub fn range(&self, range: Range) -> f64 {
        self.ranges[range as usize]
    }

    /// The same with another multiplier.
    ///
    /// # Errors
    /// [`Error::Value`] for a negative or infinite one.
    pub fn with(mut self, transformation: Transformation, multiplier: f64) -> Result<Self> {
        self.multipliers[transformation as usize] = checked(transformation.name(), multiplier)?;
        Ok(self)
    }

    /// The same with another range.
    ///
    /// # Errors
    /// [`Error::Value`] for a negative or infinite one.
    pub fn with_range(mut self, range: Range, value: f64) -> Result<Self> {
        self.ranges[range as usize] = checked(Range::TABLE[range as usize].1, value)?;
        Ok(self)
    }

    /// Transformations that can happen, with their multipliers.
    pub fn parts(&self) -> impl Iterator<Item = (Transformation, f64)> {
        Transformation::ALL.into_iter().zip(self.multipliers).filter(|&(_, multiplier)| multiplier > 0.0)
    }

    /// What differs from [`AugmentSet::NONE`]: transformations, then ranges, by their names in text.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let ranges = Range::TABLE.iter().map(|row| (row, self.range(row.0))).filter(|(row, value)| row.2 != *value);
        self.parts()
            .map(|(part, multiplier)| (part.name(), multiplier))
            .chain(ranges.map(|(row, value)| (row.1, value)))
    }

    /// The set with this name.
    fn named(name: &str) -> Option<AugmentSet> {
        let (_, parts) = PUBLISHED_SETS.iter().find(|(known, _)| *known == name)?;
        let mut set = AugmentSet::NONE;
        parts.iter().for_each(|&part| set.multipliers[part as usize] = 1.0);
        Some(set)
    }
}

fn checked(name: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(Error::value(name, value, "a number of at least 0"))
}

impl TryFrom<String> for AugmentSet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AugmentSet> for String {
    fn from(set: AugmentSet) -> String {
        set.to_string()
    }
}

impl FromStr for AugmentSet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(AugmentSet::NONE);
        }
        if let Some(set) = AugmentSet::named(text) {
            return Ok(set);
        }
        text.split(',').try_fold(AugmentSet::NONE, |set, setting| {
            let (name, number) = setting.split_once('=').ok_or_else(|| unknown(setting))?;
            let value = || number.trim().parse().map_err(|_| Error::value("augmentation", setting, "NAME=NUMBER"));
            if let Some(part) = Transformation::ALL.into_iter().find(|part| part.name() == name.trim()) {
                return set.with(part, value()?);
            }
            match Range::TABLE.iter().find(|row| row.1 == name.trim()) {
                Some(row) => set.with_range(row.0, value()?),
                None => Err(unknown(setting)),
            }
        })
    }
}

fn unknown(text: &str) -> Error {
    let sets = PUBLISHED_SETS.map(|(name, _)| name).join(", ");
    let parts = Transformation::ALL.map(Transformation::name).join(", ");
    let ranges = Range::TABLE.map(|row| row.1).join(", ");
    let expected = format!("a set ({sets}), none, or a list NAME=NUMBER,… of {parts} and, for how far, {ranges}");
    Error::value("augmentation", text, expected)
}

impl fmt::Display for AugmentSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &&(&str, _)| AugmentSet::named(name.0).as_ref() == Some(self);
        if let Some((name, _)) = PUBLISHED_SETS.iter().find(named) {
            return f.write_str(name);
        }
        let settings = self.settings().map(|(name, value)| format!("{name}={value}"));
        let text = settings.collect::<Vec<_>>().join(",");
        f.write_str(if text.is_empty() { "none" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_enums() {
        assert!(Transformation::ALL.iter().enumerate().all(|(i, &part)| part as usize == i));
        assert!(Range::TABLE.iter().enumerate().all(|(i, row)| row.0 as usize == i));
    }

    #[test]
    fn names_of_sets_come_back_from_their_text() -> Result<()> {
        for (name, parts) in PUBLISHED_SETS {
            let set: AugmentSet = name.parse()?;
            assert_eq!(set.to_string(), name);
            assert_eq!(set.parts().count(), parts.len());
        }
        Ok(())
    }

    #[test]
    fn the_game_character_recipe_may_be_spelt_out() -> Result<()> {
        assert_eq!("scale=1,xflip=1,noise=1".parse::<AugmentSet>()?.to_string(), "custom");
        assert_eq!("noise=0.5, xflip=1".parse::<AugmentSet>()?.to_string(), "xflip=1,noise=0.5");
        assert_eq!("xflip=0".parse::<AugmentSet>()?.to_string(), "none");
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_list() {
        for text in ["bgx", "", "scale", "scael=1", "bgc,noise=1"] {
            let error = text.parse::<AugmentSet>().expect_err(text).to_string();
            assert!(error.contains("bgcfnc") && error.contains("lumaflip"), "{error}");
        }
        for text in ["scale=much", "scale=-1", "scale=inf", "noise=NaN", "scale_std="] {
            assert!(text.parse::<AugmentSet>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_set_are_inverse(
            multipliers in proptest::array::uniform15(prop_oneof![Just(0.0), Just(1.0), 0.0f64..4.0]),
            ranges in proptest::array::uniform16(prop_oneof![Just(None), (0.0f64..2.0).prop_map(Some)]),
        ) {
            let mut set = AugmentSet { multipliers, ..AugmentSet::NONE };
            ranges.iter().enumerate().filter_map(|(i, range)| Some((i, (*range)?))).for_each(|(i, range)| set.ranges[i] = range);
            prop_assert_eq!(set.to_string().parse::<AugmentSet>()?, set);
        }
    }
}
