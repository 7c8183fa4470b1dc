//! Kills, torn files, replacement and pruning.

use super::*;

fn state(step: u64) -> CheckpointState {
    CheckpointState {
        step,
        position: step * 8,
        tokens: step * 1000,
        fingerprint: "f".into(),
        layout: vec![TensorLayout { name: "a".into(), shape: vec![4, 2, 3] }],
        ..CheckpointState::default()
    }
}

fn best(step: u64, loss: f64) -> CheckpointState {
    CheckpointState { best_eval_loss: Some(loss), best_step: Some(step), ..state(step) }
}

fn save(c: &Checkpoints, state: &CheckpointState) -> PathBuf {
    c.save(state, |dir| std::fs::write(dir.join("arena.bin"), [7; 64]).map_err(Error::io(dir))).expect("saves")
}

fn latest(c: &Checkpoints) -> Option<u64> {
    c.latest(|w| panic!("{w}")).expect("finds").map(|d| d.state.step)
}

fn names(c: &Checkpoints) -> Vec<String> {
    let mut names = c.names().expect("lists");
    names.sort();
    names
}

fn fresh() -> (tempfile::TempDir, Checkpoints) {
    let dir = tempfile::tempdir().expect("a folder");
    let c = Checkpoints::open(&dir.path().join("checkpoints")).expect("opens");
    (dir, c)
}

#[test]
fn what_is_saved_is_found() {
    let (_dir, c) = fresh();
    assert_eq!(latest(&c), None);
    // A number whose last bit the usual JSON reader may lose.
    let loss = f64::from_bits(0x3ff1_9a2b_3c4d_5e6f);
    let path = save(&c, &best(100, loss));
    let found = c.latest(|w| panic!("{w}")).expect("finds").expect("is there");
    assert_eq!((found.path, found.state.best_eval_loss), (path.clone(), Some(loss)));
    assert_eq!((found.state.version, found.state.files["arena.bin"], found.state.layout), (1, 64, state(0).layout));
    assert!(path.ends_with("checkpoints/step-00000100"));
    for odd in [f64::NAN, f64::INFINITY] {
        save(&c, &best(101, odd));
        let back = c.latest(|w| panic!("{w}")).expect("finds").expect("is there").state.best_eval_loss.expect("a number");
        assert_eq!(back.to_bits(), odd.to_bits());
    }
}

#[test]
fn newest_two_and_the_best_stay() {
    let (_dir, c) = fresh();
    save(&c, &best(1, 2.0));
    for step in 2..=4 {
        save(&c, &CheckpointState { best_eval_loss: Some(2.0), best_step: Some(1), ..state(step) });
    }
    assert_eq!(names(&c), ["best.json", "step-00000001", "step-00000003", "step-00000004"]);
    save(&c, &best(5, 1.0));
    assert_eq!(names(&c), ["best.json", "step-00000004", "step-00000005"]);
    assert_eq!(c.best().expect("reads").map(|b| b.state.step), Some(5));
    // Other names are not ours to touch.
    std::fs::create_dir(c.dir.join("step-mine")).expect("makes");
    save(&c, &state(123_456_789));
    assert_eq!(names(&c), ["best.json", "step-00000005", "step-123456789", "step-mine"]);
    assert_eq!(latest(&c), Some(123_456_789));
}

#[test]
fn a_failed_save_leaves_the_earlier_one() {
    let (_dir, c) = fresh();
    save(&c, &state(1));
    let failed = c.save(&state(2), |dir| {
        std::fs::write(dir.join("arena.bin"), [0; 9]).map_err(Error::io(dir))?;
        Err(Error::io(dir)(ErrorKind::StorageFull.into()))
    });
    assert!(failed.expect_err("fails").hint().is_some_and(|h| h.contains("disk is full")));
    assert_eq!((latest(&c), names(&c)), (Some(1), vec!["step-00000001".to_owned()]));
}

#[test]
fn kills_leave_nothing_behind() {
    let (_dir, c) = fresh();
    save(&c, &state(1));
    // Killed while writing.
    std::fs::create_dir(c.dir.join(".new-step-00000002")).expect("makes");
    std::fs::write(c.dir.join(".new-step-00000002/arena.bin"), "torn").expect("writes");
    let c = Checkpoints::open(&c.dir).expect("opens");
    assert_eq!(names(&c), ["step-00000001"]);
    // Killed between the two renames of a replacement: the old one comes back.
    std::fs::rename(c.dir.join("step-00000001"), c.dir.join(".old-step-00000001")).expect("renames");
    let c = Checkpoints::open(&c.dir).expect("opens");
    assert_eq!(latest(&c), Some(1));
    // Killed after them: it goes.
    std::fs::create_dir(c.dir.join(".old-step-00000001")).expect("makes");
    let c = Checkpoints::open(&c.dir).expect("opens");
    assert_eq!(names(&c), ["step-00000001"]);
    // Killed while writing the mark of the best.
    std::fs::write(c.dir.join(".best.json.tmp-1-7"), "{").expect("writes");
    let c = Checkpoints::open(&c.dir).expect("opens");
    assert_eq!(names(&c), ["step-00000001"]);
    // Killed before the mark of the best: it is made good.
    save(&c, &best(3, 1.0));
    std::fs::remove_file(c.dir.join(BEST)).expect("removes");
    assert_eq!(latest(&c), Some(3));
    assert_eq!(c.best().expect("reads").map(|b| b.state.step), Some(3));
}

#[test]
fn the_same_step_may_be_saved_again() {
    let (_dir, c) = fresh();
    save(&c, &state(4));
    save(&c, &best(4, 1.5));
    assert_eq!(c.best().expect("reads").and_then(|b| b.state.best_eval_loss), Some(1.5));
    assert_eq!(names(&c), ["best.json", "step-00000004"]);
}

#[test]
fn a_broken_newest_one_is_passed_over() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 5] = [
        ("state.json: ", |p| std::fs::write(p.join(STATE), "{\"version\": 1, \"st").expect("writes")),
        ("no state.json", |p| std::fs::remove_file(p.join(STATE)).expect("removes")),
        ("arena.bin has 3 bytes instead of 64", |p| std::fs::write(p.join("arena.bin"), "abc").expect("writes")),
        ("arena.bin is missing", |p| std::fs::remove_file(p.join("arena.bin")).expect("removes")),
        ("is of step 1", |p| {
            let _ = std::fs::copy(p.with_file_name("step-00000001").join(STATE), p.join(STATE)).expect("copies");
        }),
    ];
    for (want, spoil) in spoils {
        let (_dir, c) = fresh();
        save(&c, &state(1));
        spoil(&save(&c, &state(2)));
        let mut warnings = Vec::new();
        let found = c.latest(|w| warnings.push(w)).expect("finds").expect("is there");
        assert_eq!(found.state.step, 1);
        assert!(warnings.len() == 1 && warnings[0].contains(want) && warnings[0].contains("step-00000002"), "{want}: {warnings:?}");
        // Going on clears the broken one away, and it never counts as one of the two.
        save(&c, &state(2));
        save(&c, &state(3));
        assert_eq!(names(&c), ["step-00000002", "step-00000003"]);
    }
}

#[test]
fn nothing_whole_is_an_error_and_not_a_new_run() {
    let (_dir, c) = fresh();
    let path = save(&c, &state(1));
    std::fs::write(path.join(STATE), "").expect("writes");
    let e = c.latest(|_| ()).expect_err("refused");
    assert!(e.to_string().contains("step-00000001: broken checkpoint"), "{e}");
    // A newer program's checkpoint is not broken: it is refused, not passed over.
    let (_dir, c) = fresh();
    save(&c, &state(1));
    let path = save(&c, &state(2));
    std::fs::write(path.join(STATE), "{\"version\": 9}").expect("writes");
    assert!(c.latest(|_| ()).expect_err("refused").to_string().contains("newer diablo"));
}
