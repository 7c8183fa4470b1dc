//! run.toml: what is read, written and read again, is the same; and what a window tells about such a run.

use super::{tiny, told};
use diablo::device::Limits;
use diablo::model::Source;
use diablo::train::RunConfig;
use diablo::train::compare::sibling;
use diablo::train::estimate::Estimate;
use std::path::Path;

pub fn read(_: &Path, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(run) = told(RunConfig::from_toml(text, "run.toml")) else { return };
    let resolved = run.resolved();
    run.warnings(Some(10));
    run.differences(&RunConfig::default());
    let valid = told(run.validate_options()).is_some();
    if let Some(written) = told(run.to_toml_string()) {
        let again = RunConfig::from_toml(&written, "again").expect("reads what it wrote");
        assert_eq!(again.to_toml_string().expect("writes again"), written);
        assert_eq!(again.fingerprint(), run.fingerprint());
        if valid {
            assert_eq!(again, run);
        }
    }
    if !valid {
        return;
    }
    for rows in [1, 1000, u64::MAX] {
        let total = resolved.total_steps(rows);
        let _ = (resolved.eval_interval(total), resolved.save_interval(total), resolved.sample_interval(total));
    }
    // A path of the hub's is asked for nowhere here.
    let run = RunConfig { init_adapter: None, ..run };
    told(sibling::trainable(&run, tiny()));
    sibling::sizes_around(&run, Some(tiny()));
    sibling::rates_around(run.resolved_lr());
    told(Estimate::new(&run, &Source::drawn(tiny().clone()), &[3, 5], 0, Limits::NONE, Some(1 << 30)));
}
