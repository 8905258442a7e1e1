//! Lists of numbers as people type them: `0-7,12`.

use std::ops::RangeInclusive;
use std::str::FromStr;

use toonify_networks::latent::Seed;

/// Numbers and inclusive ranges, joined by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberList(Vec<u32>);

/// More than anyone renders in one go; keeps a slip of the finger from filling the memory.
const MOST: u64 = 1_000_000;

impl NumberList {
    pub(crate) fn seeds(&self) -> Vec<Seed> {
        self.0.iter().copied().map(Seed).collect()
    }

    pub(crate) fn indices(&self) -> Vec<usize> {
        self.0.iter().map(|&number| number as usize).collect()
    }
}

impl FromStr for NumberList {
    type Err = String;

    fn from_str(text: &str) -> Result<NumberList, String> {
        let ranges = text.split(',').map(parse_range).collect::<Result<Vec<_>, _>>()?;
        let count: u64 = ranges.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum();
        if count > MOST {
            return Err(format!("{count} numbers, expected at most {MOST}"));
        }
        Ok(NumberList(ranges.into_iter().flatten().collect()))
    }
}

fn parse_range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| {
        text.trim().parse::<u32>().map_err(|_| format!("`{text}` is not a number from 0 to {}, as in 0-7,12", u32::MAX))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("`{text}` runs backwards, write {last}-{first}"));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[u32]) {
        assert_eq!(text.parse::<NumberList>().map(|list| list.0).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn numbers_and_ranges_may_be_mixed() {
        check("3", &[3]);
        check("0-2", &[0, 1, 2]);
        check("0-1,12, 5", &[0, 1, 12, 5]);
        check("4294967295", &[u32::MAX]);
    }

    #[test]
    fn what_is_no_list_of_numbers_is_refused() {
        for text in ["", "a", "1-", "-1", "3-1", "1,,2", "4294967296", "0-4294967295", "1.5"] {
            assert!(text.parse::<NumberList>().is_err(), "{text:?}");
        }
    }
}
