//! Whatever a service answers: it is read, and blames only limits that were asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rate_limit::service::{Judgement, judge};

fuzz_target!(|input: &[u8]| {
    let Some((asked, answer)) = input.split_first() else { return };
    let asked = usize::from(*asked % 5);
    if let Judgement::Refuses(refused) = judge(Some(answer), asked) {
        assert!(refused.asked.is_none_or(|place| place < asked));
        assert!(refused.spent.iter().all(|(place, _)| *place < asked));
    }
});
