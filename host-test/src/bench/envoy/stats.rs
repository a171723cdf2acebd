//! From figures by round to costs and ratios. Pure.
//!
//! 1. A configuration's figure in one process is the 20th percentile of its rounds: neighbours on the
//!    machine only ever add, so the low end is nearest to what a quiet machine would show, and the
//!    lowest is luck.
//! 2. Where a process lays its memory moves a figure by more than many a change does, so a
//!    configuration's figure is the mean over several processes.
//! 3. A cost is the difference to the baseline's figure; a ratio is one cost over another.
//! 4. Their spread is the 5th to the 95th percentile over resampled processes and rounds (bootstrap).
//!    All configurations are resampled by the same ones: what disturbed one disturbed its neighbours too.

/// Where in the sorted rounds the figure is taken.
const FIGURE: f64 = 0.2;
const RESAMPLES: usize = 1000;

/// A figure with the range that it may as well have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What one configuration showed, by process and round.
pub type Rounds = [Vec<f64>];

/// The figure of a configuration, and those of its lowest and its highest process.
pub fn figure(rounds: &Rounds) -> Estimate {
    let figures: Vec<f64> = rounds.iter().map(|rounds| percentile(rounds, FIGURE)).collect();
    Estimate { value: mean(&figures), low: percentile(&figures, 0.0), high: percentile(&figures, 1.0) }
}

/// What a candidate costs above the baseline.
pub fn cost(candidate: &Rounds, baseline: &Rounds) -> Estimate {
    bootstrap([candidate, baseline], |[candidate, baseline]| candidate - baseline)
}

/// How many times the cost of `to` the cost of `of` is.
pub fn ratio(of: &Rounds, to: &Rounds, baseline: &Rounds) -> Estimate {
    bootstrap([of, to, baseline], |[of, to, baseline]| (of - baseline) / (to - baseline))
}

/// A statistic of several configurations' figures, with its spread.
fn bootstrap<const N: usize>(rounds: [&Rounds; N], statistic: impl Fn([f64; N]) -> f64) -> Estimate {
    let value = statistic(rounds.map(|rounds| figure(rounds).value));
    let processes = rounds.iter().map(|rounds| rounds.len()).min().unwrap_or(0);
    let count = rounds.iter().flat_map(|rounds| rounds.iter().map(Vec::len)).min().unwrap_or(0);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let chosen: Vec<(usize, Vec<usize>)> = (0..processes)
                .map(|_| (random.below(processes), (0..count).map(|_| random.below(count)).collect()))
                .collect();
            let resample = |rounds: &Rounds| -> Vec<Vec<f64>> {
                let of = |process: usize, round: usize| rounds.get(process)?.get(round).copied();
                let process = |(process, rounds): &(usize, Vec<usize>)| {
                    rounds.iter().filter_map(|round| of(*process, *round)).collect()
                };
                chosen.iter().map(process).collect()
            };
            statistic(rounds.map(|rounds| figure(&resample(rounds)).value))
        })
        .filter(|value| value.is_finite())
        .collect();
    resampled.sort_by(f64::total_cmp);
    Estimate { value, low: percentile(&resampled, 0.05), high: percentile(&resampled, 0.95) }
}

/// NaN of none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Between the two nearest values, linearly; NaN of none.
fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * sorted.len().saturating_sub(1) as f64;
    let below = place.floor();
    let at = |index: f64| sorted.get(index as usize).copied();
    match (at(below), at(place.ceil())) {
        (Some(lower), Some(upper)) => lower + (upper - lower) * (place - below),
        _ => f64::NAN,
    }
}

/// SplitMix64. The same order and the same resamples in every run: what differs between two runs is
/// what was measured.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() as usize).checked_rem(limit).unwrap_or(0)
    }

    /// Any order is as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds around `level`, some of them disturbed upwards, the same ones for every level.
    fn rounds(level: f64) -> Vec<Vec<f64>> {
        let mut random = Random(7);
        let mut round = |_| level + if random.below(3) == 0 { random.below(20) as f64 } else { 0.0 };
        (0..3).map(|_| (0..60).map(&mut round).collect()).collect()
    }

    #[test]
    fn a_percentile_lies_between_the_two_nearest_values() {
        assert_eq!(percentile(&[5.0, 1.0, 3.0], 0.5), 3.0);
        assert_eq!(percentile(&[0.0, 10.0], 0.2), 2.0);
        assert_eq!(percentile(&[4.0], 0.9), 4.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn disturbed_rounds_dont_move_a_figure() {
        assert_eq!(figure(&rounds(25.0)).value, 25.0);
    }

    #[test]
    fn a_process_that_lies_badly_in_memory_moves_a_figure_by_its_share_and_widens_the_range() {
        let calm = [vec![25.0; 9], vec![25.0; 9], vec![25.0; 9]];
        let one_slow = [vec![25.0; 9], vec![28.0; 9], vec![25.0; 9]];
        assert_eq!(figure(&one_slow), Estimate { value: 26.0, low: 25.0, high: 28.0 });
        let cost = cost(&one_slow, &calm);
        assert!(cost.value == 1.0 && cost.low == 0.0 && cost.high >= 2.0, "{cost:?}");
    }

    #[test]
    fn costs_and_ratios_are_of_the_differences_to_the_baseline() {
        let (baseline, native, ours) = (rounds(25.0), rounds(29.0), rounds(35.0));
        assert_eq!(cost(&ours, &baseline), Estimate { value: 10.0, low: 10.0, high: 10.0 });
        assert_eq!(ratio(&ours, &native, &baseline).value, 2.5);
    }

    #[test]
    fn the_spread_holds_the_value_and_widens_with_noise() {
        let mut random = Random(3);
        let mut noisy = |level: f64, noise: usize| -> Vec<Vec<f64>> {
            vec![(0..60).map(|_| level + random.below(noise) as f64 / 10.0).collect()]
        };
        let (baseline, native) = (noisy(25.0, 5), noisy(29.0, 5));
        let (calm, wild) = (noisy(35.0, 5), noisy(35.0, 100));
        let (calm, wild) = (ratio(&calm, &native, &baseline), ratio(&wild, &native, &baseline));
        assert!(calm.low <= calm.value && calm.value <= calm.high, "{calm:?}");
        assert!(wild.high - wild.low > calm.high - calm.low, "{calm:?} {wild:?}");
    }

    #[test]
    fn a_shuffle_keeps_every_item_once_and_changes_the_order() {
        let (mut items, ordered) = ((0..50).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        Random(1).shuffle(&mut items);
        assert_ne!(items, ordered);
        items.sort_unstable();
        assert_eq!(items, ordered);
    }
}
