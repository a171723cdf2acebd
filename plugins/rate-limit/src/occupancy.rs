//! How full the pool is, as far as a few of its lines tell: gauges for the operator, who sizes it.

use portcullis_kit::{
    host::{GaugeId, StatefulHost},
    store::Found,
};

use crate::{
    line::{Kind, Line},
    pool::{LineName, Partition, Parts, Sizes},
};

/// Lines that are looked at with each tick.
const SAMPLE: usize = 16;

/// One gauge for each kind and part in use: records that are held, in per cent.
#[derive(Debug)]
pub struct Occupancy(Vec<(Kind, Partition, GaugeId)>);

impl Occupancy {
    pub fn define(host: &mut impl StatefulHost, Parts(parts): &Parts) -> Self {
        let mut gauges = Vec::new();
        for (kind, part) in parts {
            let name =
                ["portcullis.store_held_percent.filter.rate_limit.part.", part.word(), ".kind.", kind.word()].concat();
            gauges.push((*kind, *part, host.define_gauge(&name)));
        }
        Self(gauges)
    }

    /// Looks at some lines of each part, chosen by chance.
    pub fn sample(&self, host: &mut impl StatefulHost, sizes: Sizes, secret: u64) {
        for (kind, part, gauge) in &self.0 {
            let mut random = [0; 4 * SAMPLE];
            if host.random(&mut random).is_err() {
                return;
            }
            let now = host.now();
            let lines = sizes.lines(*kind, *part);
            let held = random.chunks_exact(4).filter_map(<[u8]>::first_chunk).map(|random| {
                let number = u32::from_le_bytes(*random).checked_rem(lines).unwrap_or(0);
                match host.get(&LineName { kind: *kind, partition: *part, number }.bytes()) {
                    Found::Value(bytes, _) => Line::read(*kind, bytes, secret).map_or(0, |line| line.held(now)),
                    _ => 0,
                }
            });
            let held: u32 = held.sum();
            let all = SAMPLE * kind.records();
            host.set_gauge(*gauge, u64::from(held) * 100 / all as u64);
        }
    }
}
