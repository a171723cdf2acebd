//! No message makes the module trap.

use super::{Traffic, fresh, hostile, message::Message, random::Random, yaml};
use crate::{runner::Failure, scenario::Scenario, vm::Session};

/// Messages that are played at most to make the one that is shown smaller.
const ATTEMPTS: u32 = 400;

pub fn violations(scenario: &Scenario, modules: &[Vec<u8>], traffic: Traffic) -> Result<Vec<Failure>, String> {
    let mut random = Random::new(traffic.seed);
    // One filter for all, so that what it keeps over many messages is tried too.
    let mut session = fresh(scenario, modules)?;
    for number in 1..=traffic.plays {
        let step = scenario.steps.get(random.below(scenario.steps.len()));
        let Some(step) = step else { break };
        let message = hostile::message(step, &mut random);
        let Some(trap) = trap(&mut session, &message) else { continue };
        return Ok(vec![violation(scenario, modules, traffic, number, message, trap)]);
    }
    Ok(Vec::new())
}

fn violation(
    scenario: &Scenario,
    modules: &[Vec<u8>],
    traffic: Traffic,
    number: u32,
    message: Message,
    trap: String,
) -> Failure {
    let mut attempts = 0;
    let mut alone = |message: &Message| {
        attempts += 1;
        attempts <= ATTEMPTS
            && fresh(scenario, modules).is_ok_and(|mut session| self::trap(&mut session, message).is_some())
    };
    let (told, message) = if alone(&message) {
        ("this step alone traps, too:", message.smallest(&mut alone))
    } else {
        ("only behind the messages before it; the last one was:", message)
    };
    let place = format!("message {number} of {} (--seed {})", traffic.plays, traffic.seed);
    Failure { place, what: vec![trap, format!("{told}\n{}", yaml::step(&message))], ..Failure::default() }
}

/// Where the filter trapped.
fn trap(session: &mut Session, message: &Message) -> Option<String> {
    session.play(&message.step, message.cut);
    let traps = session.world().borrow_mut().trace.take_traps();
    traps.into_iter().next()
}
