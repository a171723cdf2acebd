//! Now beside kept: what is worse, what is better. Pure.

use super::baseline::{Baseline, Counted};

/// With another compiler, fuel and size may differ by this share before they count as worse.
const OTHER_COMPILER: f64 = 0.05;

/// The differences as text, and whether nothing is worse.
pub(super) fn compare(kept: &Baseline, now: &Baseline) -> (String, bool) {
    let same_compiler = kept.toolchain == now.toolchain;
    let slack = if same_compiler { 0.0 } else { OTHER_COMPILER };
    let mut lines = Vec::new();
    if !same_compiler {
        lines.push(format!(
            "  the baseline was made by {}, this by {}: fuel and size may differ by 5 %",
            kept.toolchain, now.toolchain
        ));
    }
    let mut worse = 0;
    let mut figure = |what: String, kept: u64, now: u64, slack: f64| {
        #[allow(clippy::cast_precision_loss)]
        let is_worse = now as f64 > kept as f64 * (1.0 + slack);
        worse += u32::from(is_worse);
        if is_worse || now != kept && slack == 0.0 {
            let word = if is_worse { "WORSE" } else { "better" };
            lines.push(format!("  {word:6} {what}: {kept} → {now}"));
        }
    };
    figure("module bytes".into(), kept.module_bytes, now.module_bytes, slack);
    for counted in &now.steps {
        let Some(before) = kept.steps.iter().find(|before| before.step == counted.step) else { continue };
        figure(format!("{}: hostcalls", counted.step), before.calls(), counted.calls(), 0.0);
        figure(format!("{}: fuel", counted.step), before.fuel, counted.fuel, slack);
        figure(format!("{}: linear memory", counted.step), before.memory_bytes, counted.memory_bytes, 0.0);
    }
    for (message, missing) in [
        ("is measured but not kept", missing(&now.steps, &kept.steps)),
        ("is kept but no longer measured", missing(&kept.steps, &now.steps)),
    ] {
        for step in missing {
            worse += 1;
            lines.push(format!("  WORSE  {step} {message}"));
        }
    }
    if worse > 0 {
        lines.push(
            "  if this is meant: `cargo portcullis bench wasm --save`, and commit the baseline with the change".into(),
        );
    } else {
        lines.push(format!("  {} steps, none worse than the baseline", now.steps.len()));
    }
    (lines.join("\n"), worse == 0)
}

fn missing<'a>(from: &'a [Counted], other: &'a [Counted]) -> impl Iterator<Item = &'a str> {
    from.iter().map(|counted| counted.step.as_str()).filter(|step| other.iter().all(|counted| counted.step != *step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(toolchain: &str, calls: u64, fuel: u64, size: u64) -> Baseline {
        let step = Counted {
            step: "a page".into(),
            hostcalls: [("proxy_log".to_owned(), calls)].into(),
            fuel,
            memory_bytes: 1 << 20,
        };
        Baseline { toolchain: toolchain.into(), module_bytes: size, steps: vec![step] }
    }

    #[test]
    fn one_more_hostcall_one_more_unit_of_fuel_or_one_more_byte_is_worse() {
        let kept = figures("a", 10, 1000, 5000);
        assert!(compare(&kept, &kept).1);
        assert!(compare(&kept, &figures("a", 9, 999, 4999)).1);
        for worse in [figures("a", 11, 1000, 5000), figures("a", 10, 1001, 5000), figures("a", 10, 1000, 5001)] {
            let (text, well) = compare(&kept, &worse);
            assert!(!well && text.contains("WORSE"), "{text}");
        }
    }

    #[test]
    fn another_compiler_may_differ_a_little_in_fuel_and_size_but_not_in_hostcalls() {
        let kept = figures("a", 10, 1000, 5000);
        assert!(compare(&kept, &figures("b", 10, 1040, 5200)).1);
        assert!(!compare(&kept, &figures("b", 10, 1060, 5000)).1);
        assert!(!compare(&kept, &figures("b", 11, 1000, 5000)).1);
    }

    #[test]
    fn a_step_that_is_new_or_gone_fails_so_that_nothing_passes_by_not_being_measured() {
        let kept = figures("a", 10, 1000, 5000);
        let none = Baseline { steps: vec![], ..kept.clone() };
        assert!(!compare(&kept, &none).1);
        assert!(!compare(&none, &kept).1);
    }
}
