//! One run by several ranks: as threads of this process, and by MPI where the program is built with it (`make mpi-test`).
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ended, adapter, demo, end, losses, text};
use diablo::ranks::{Here, Ranks};
use diablo::train::blocks::Blocks;
use diablo::train::config::Method;
use diablo::train::{Event, RunConfig, Trainer};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What ranks that are threads lay down for each other.
#[derive(Default)]
struct Table {
    round: Mutex<Round>,
    full: Condvar,
}

#[derive(Default)]
struct Round {
    number: u64,
    /// By rank, as far as they have come.
    laid: Vec<Option<Vec<u8>>>,
    /// What was laid in the round before.
    taken: Vec<Vec<u8>>,
}

struct Thread {
    /// Whether this one's sums come out wrong.
    faulty: bool,
    rank: usize,
    count: usize,
    table: Arc<Table>,
}

impl Thread {
    /// Everybody's bytes, by rank.
    fn exchange(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut round = self.table.round.lock().unwrap();
        let number = round.number;
        round.laid.resize(self.count, None);
        round.laid[self.rank] = Some(bytes);
        if round.laid.iter().all(Option::is_some) {
            round.taken = std::mem::take(&mut round.laid).into_iter().flatten().collect();
            round.number += 1;
            self.table.full.notify_all();
        }
        let waits = |round: &mut Round| round.number == number;
        let (round, late) = self.table.full.wait_timeout_while(round, Duration::from_secs(120), waits).unwrap();
        assert!(!late.timed_out(), "rank {} waits for one that is gone", self.rank);
        round.taken.clone()
    }
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn here(&self) -> Here {
        Here { place: self.rank, count: self.count }
    }

    fn add(&mut self, numbers: &mut [f32]) {
        let all = self.exchange(bytemuck::cast_slice(numbers).to_vec());
        let mut all = all.iter().map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(bytes));
        numbers.copy_from_slice(&all.next().unwrap());
        for other in all {
            numbers.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
        }
        if self.faulty && numbers.len() > 1000 {
            numbers[700] += 1e-3;
        }
    }

    fn send(&mut self, bytes: &mut Vec<u8>) {
        *bytes = self.exchange(bytes.clone()).swap_remove(0);
    }

    fn gather(&mut self, word: u64) -> Vec<u64> {
        self.exchange(word.to_le_bytes().to_vec()).iter().map(|b| u64::from_le_bytes(b[..8].try_into().unwrap())).collect()
    }

    fn wait_here(&mut self) {
        self.exchange(Vec::new());
    }
}

fn base(out: &Path) -> RunConfig {
    RunConfig {
        model: demo("model"),
        data: demo("train.jsonl").into(),
        out: out.to_path_buf(),
        blocks: Some(Blocks::One(8)),
        steps: Some(8),
        batch_size: 2,
        accumulate: 4,
        seq_len: 48,
        lr: Some(1e-3),
        adapter_dropout: 0.1,
        eval_data: Some(demo("held-out.jsonl")),
        eval_every: Some(4),
        save_every: Some(3),
        device: "cpu".into(),
        ..RunConfig::default()
    }
}

/// A run with this text to continue has a second rank whose sums come out wrong.
const FAULTY: &str = "the second rank adds wrongly";

/// A run by so many ranks; each may change its own options. What each of them ended with.
fn by(count: usize, run: &RunConfig, own: &(dyn Fn(usize, &mut RunConfig) + Sync), stop_at: Option<u64>) -> Vec<Result<u64, String>> {
    let table = Arc::new(Table::default());
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..count)
            .map(|rank| {
                let faulty = run.sample_prompt.as_deref() == Some(FAULTY) && rank == 1;
                let ranks = Box::new(Thread { faulty, rank, count, table: table.clone() });
                let mut run = run.clone();
                own(rank, &mut run);
                scope.spawn(move || {
                    let mut steps = 0;
                    let mut trainer = Trainer::prepare_among(run, ranks, &mut |_| ()).map_err(|e| e.to_string())?;
                    let seen = std::cell::Cell::new(0);
                    let mut hear = |event: Event| {
                        if let Event::Step(m) = event {
                            seen.set(m.step);
                        }
                    };
                    // The last rank alone is asked to stop.
                    let stop = || rank + 1 == count && stop_at.is_some_and(|at| seen.get() >= at);
                    trainer.run(&mut hear, &stop).map(|outcome| steps += outcome.steps).map_err(|e| e.to_string())?;
                    Ok(steps)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// The largest relative difference of losses and held-out losses.
fn losses_apart(a: &Path, b: &Path) -> f64 {
    let of = |out: &Path| -> Vec<f64> {
        let numbers = losses(out).into_iter().flat_map(|l| l.split(' ').map(str::to_owned).collect::<Vec<_>>());
        numbers.map(|n| n.parse().unwrap_or(0.0)).collect()
    };
    let (a, b) = (of(a), of(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs() / b.abs().max(1e-9)).fold(0.0, f64::max)
}

#[test]
fn any_number_of_ranks_has_the_losses_of_one() {
    let folder = tempfile::tempdir().unwrap();
    for method in [Method::Diablo, Method::Lora] {
        let one = folder.path().join(format!("{method}-1"));
        Trainer::prepare(RunConfig { method, ..base(&one) }, &mut |_| ()).unwrap().run(&mut |_| (), &|| false).unwrap();
        for count in [2, 3, 4] {
            let out = folder.path().join(format!("{method}-{count}"));
            let ended = by(count, &RunConfig { method, ..base(&out) }, &|_, _| (), None);
            assert!(ended.iter().all(|e| e == &Ok(8)), "{ended:?}");
            let apart = losses_apart(&out, &one);
            println!("{method}, {count} ranks: losses and norms within {apart:.1e} of one rank's");
            assert!(apart <= 1e-5, "{method}, {count} ranks: {apart}");
        }
    }
}

#[test]
fn ranks_stop_together_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    by(2, &base(&whole), &|_, _| (), None);
    let ended = by(4, &base(&parts), &|_, _| (), Some(3));
    assert!(ended.iter().all(|e| e == &ended[0]) && ended[0].as_ref().is_ok_and(|steps| (4..8).contains(steps)), "{ended:?}");
    // The others need no checkpoint of their own, and no folder.
    let own = |rank: usize, run: &mut RunConfig| {
        if rank > 0 {
            run.out = folder.path().join("nowhere");
        }
    };
    assert_eq!(by(2, &RunConfig { resume: true, ..base(&parts) }, &own, None), [Ok(8), Ok(8)]);
    assert!(!folder.path().join("nowhere").exists());
    assert!(losses_apart(&parts, &whole) <= 1e-5);
}

#[test]
fn as_many_ranks_end_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    by(3, &base(&out("a")), &|_, _| (), None);
    by(3, &base(&out("b")), &|_, _| (), None);
    assert!(adapter(&out("a")) == adapter(&out("b")));
}

#[test]
fn ranks_that_cannot_train_together_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let refused = |run: &RunConfig, own: &(dyn Fn(usize, &mut RunConfig) + Sync), part: &str| {
        for ended in by(2, run, own, None) {
            assert!(ended.as_ref().is_err_and(|e| e.contains(part)), "no {part:?} in {ended:?}");
        }
    };
    refused(&RunConfig { sample_prompt: Some(FAULTY.into()), ..base(&out) }, &|_, _| (), "rank 1 has trained other numbers than rank 0");
    assert!(!out.join("checkpoints").exists(), "what they do not agree on was saved");
    refused(&RunConfig { accumulate: 1, ..base(&out) }, &|_, _| (), "2 ranks share the 1 micro-batch of a step (--accumulate 1)");
}

#[test]
#[cfg(not(feature = "mpi"))]
fn without_mpi_nothing_runs_several_times() {
    let folder = tempfile::tempdir().unwrap();
    let (paths, out) = (paths(), folder.path().join("run"));
    let mut command = common::command(&arguments(&paths, &out, ""));
    command.env("OMPI_COMM_WORLD_SIZE", "2");
    end(command).bad(2, &["mpirun started 2 processes, and this diablo was built without MPI", "--features mpi"]);
    assert!(!out.exists());
}

// By MPI.

/// The program, if it was built with MPI, and the machine for this test alone: several jobs of four ranks would starve each other.
fn mpi() -> Option<(String, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());

    if !cfg!(feature = "mpi") {
        println!("skipped: built without MPI; make mpi-test has it");
        return None;
    }
    assert!(Command::new("mpirun").arg("--version").output().is_ok_and(|o| o.status.success()), "no mpirun");
    Some((env!("CARGO_BIN_EXE_diablo").into(), ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn mpirun(count: usize, options: &[&str], program: &str, args: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &count.to_string()]).args(options).arg(program).args(args);
    // Containers run as root, and see each other's memory only where the system lets them.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none").env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.env_remove("DIABLO_DEVICE").stdin(Stdio::null());
    command
}

const OPTIONS: &str = "--blocks 8 --steps 8 --batch-size 2 --accumulate 4 --seq-len 48 --lr 1e-3 --adapter-dropout 0.1 --eval-every 4 \
                       --save-every 3 --threads 1";

/// The run's options; `more` wins over them.
fn arguments<'a>(paths: &'a [PathBuf; 3], out: &'a Path, more: &'a str) -> Vec<&'a str> {
    let [model, rows, held_out] = paths;
    let mut args = vec!["train", "--model", text(model), "--data", text(rows), "--eval-data", text(held_out), "--out", text(out)];
    let usual: Vec<&str> = OPTIONS.split_whitespace().collect();
    args.extend(usual.chunks(2).filter(|pair| !more.split_whitespace().any(|m| m == pair[0])).flatten());
    args.extend(more.split_whitespace());
    args
}

fn paths() -> [PathBuf; 3] {
    [demo("model"), demo("train.jsonl"), demo("held-out.jsonl")]
}

#[test]
fn mpi_ranks_have_the_losses_of_one() {
    let Some((program, _alone)) = mpi() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let paths = paths();
    for method in ["diablo", "lora"] {
        let more = format!("--device cpu --method {method}");
        let one = out(&format!("{method}-1"));
        let mut alone = Command::new(&program);
        alone.args(arguments(&paths, &one, &more));
        end(alone).good();
        for count in [2, 4] {
            let several = out(&format!("{method}-{count}"));
            let ended = end(mpirun(count, &[], &program, &arguments(&paths, &several, &more)));
            assert_eq!(ended.code, Some(0), "{}", ended.said());
            let said = ended.err.lines().filter(|l| l.contains("ranks")).collect::<Vec<_>>().join("\n");
            let apart = losses_apart(&several, &one);
            println!("{said}\n{method}, {count} ranks: within {apart:.1e} of one rank's");
            assert!(said.contains(&format!("ranks   {count} | ")) && said.contains("each sent"), "{}", ended.said());
            assert!(apart <= 1e-5, "{method}, {count} ranks: {apart}");
        }
    }
}

#[test]
fn mpi_ranks_share_the_software_driver() {
    let (Some((program, _alone)), Some(gpu)) = (mpi(), common::gpu()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let paths = paths();
    let name = gpu.split_whitespace().next().unwrap();
    let more = format!("--device {name} --steps 4 --eval-every 8");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut alone = Command::new(&program);
    alone.args(arguments(&paths, &one, &more));
    end(alone).good();
    end(mpirun(2, &[], &program, &arguments(&paths, &two, &more))).good();
    let apart = losses_apart(&two, &one);
    println!("{gpu}, 2 ranks: within {apart:.1e} of one rank's");
    assert!(apart <= 1e-5, "{apart}");
}

/// Starts two ranks, and does something to a rank's process once the third step has been reported. What is left of them has `grace`
/// seconds to end.
fn disturbed(program: &str, out: &Path, more: &str, grace: &str, what: &dyn Fn(u32)) -> Ended {
    let paths = paths();
    let mut command = mpirun(2, &[], program, &arguments(&paths, out, &format!("--device cpu --steps 100000 --json {more}")));
    command.env("OMPI_MCA_odls_base_sigkill_timeout", grace);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let third = |line: &String| {
        serde_json::from_str::<Value>(line).is_ok_and(|e| e["event"] == "step" && e["step"].as_u64().is_some_and(|s| s >= 7))
    };
    assert!(lines.any(|line| third(&line)), "it ended early");
    what(child.id());
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    Ended { code: output.status.code(), out: rest.join("\n"), err: String::from_utf8_lossy(&output.stderr).into_owned() }
}

fn signal(name: &str, id: u32) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// The processes that `mpirun` started, in the order of ranks.
fn children(of: u32) -> Vec<u32> {
    let all = Command::new("pgrep").args(["-P", &of.to_string()]).output().unwrap();
    String::from_utf8_lossy(&all.stdout).lines().filter_map(|l| l.parse().ok()).collect()
}

#[test]
fn mpi_a_killed_rank_ends_all_and_the_last_checkpoint_goes_on() {
    let Some((program, _alone)) = mpi() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let ended = disturbed(&program, &out, "", "1", &|id| signal("-KILL", *children(id).last().unwrap()));
    assert!(ended.code.is_some_and(|c| c != 0), "{}", ended.said());
    let checkpoints: Vec<_> = std::fs::read_dir(out.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(checkpoints.iter().any(|n| n.to_string_lossy().starts_with("step-")), "{checkpoints:?}");
    // Alone, and then as four.
    let go_on = |steps: &'static str| {
        ["train", "--resume", "--out", text(&out), "--steps", steps, "--device", "cpu", "--threads", "1"].map(str::to_owned)
    };
    let done = losses(&out).len();
    let (first, then) = (done + 4, done + 8);
    let mut alone = Command::new(&program);
    alone.args(go_on("X").map(|a| if a == "X" { first.to_string() } else { a }));
    end(alone).good();
    let args = go_on("X").map(|a| if a == "X" { then.to_string() } else { a });
    end(mpirun(4, &[], &program, &args.each_ref().map(String::as_str))).good();
    assert_eq!(losses(&out).len(), then);
}

#[test]
fn mpi_an_interrupt_saves_on_all_ranks() {
    let Some((program, _alone)) = mpi() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // mpirun asks its ranks to end only after the time that it gives them, and reads nothing meanwhile: steps of milliseconds fill
    // the first rank's output long before. What it says last may never be read.
    let ended = disturbed(&program, &out, "--save-every 100000", "5", &|id| signal("-INT", id));
    let checkpoints: Vec<_> = std::fs::read_dir(out.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let newest = checkpoints.iter().filter_map(|n| n.to_str()?.strip_prefix("step-")?.parse::<usize>().ok()).max().unwrap();
    assert_eq!(losses(&out).len(), newest, "the last step was not saved: {}", ended.said());
}

#[test]
fn mpi_what_one_rank_lacks_ends_all_with_its_name() {
    let Some((program, _alone)) = mpi() else { return };
    let folder = tempfile::tempdir().unwrap();
    let paths = paths();
    let out = folder.path().join("run");
    let few = end(mpirun(2, &[], &program, &arguments(&paths, &out, "--device cpu --accumulate 1")));
    few.bad(2, &["rank 0: error: 2 ranks share the 1 micro-batch", "--accumulate 2"]);
    // Another file of rows for the second rank alone.
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let rows = std::fs::read_to_string(&paths[1]).unwrap();
    for (place, rows) in [(&here, rows.clone()), (&there, rows.lines().skip(1).map(|l| format!("{l}\n")).collect())] {
        std::fs::create_dir(place).unwrap();
        std::fs::write(place.join("rows.jsonl"), rows).unwrap();
    }
    let paths = [paths[0].clone(), "rows.jsonl".into(), paths[2].clone()];
    let args = arguments(&paths, &out, "--device cpu");
    let mut command = Command::new("mpirun");
    let plain = mpirun(1, &[], &program, &args);
    plain.get_envs().for_each(|(k, v)| {
        v.map(|v| command.env(k, v));
    });
    command.args(["--oversubscribe", "--bind-to", "none", "-n", "1", "--wdir", text(&here), &program]).args(&args);
    command.args([":", "-n", "1", "--wdir", text(&there), &program]).args(&args);
    end(command).bad(1, &["rank 0: error: rank 1 has other rows than rank 0", "the same files"]);
}

#[test]
fn mpi_two_machines_have_the_losses_of_one() {
    let Some((program, _alone)) = mpi() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (one, three) = (folder.path().join("one"), folder.path().join("three"));
    let paths = paths();
    let args = arguments(&paths, &one, "--device cpu");
    let mut alone = Command::new(&program);
    alone.args(&args);
    end(alone).good();
    let args = arguments(&paths, &three, "--device cpu");
    let mut machines = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mpi/machines.sh"));
    machines.args(["1", "2", &program]).args(&args);
    let ended = end(machines);
    if ended.code == Some(77) {
        return println!("{}", ended.out.trim());
    }
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let apart = losses_apart(&three, &one);
    println!("1 rank on one machine and 2 on another: within {apart:.1e} of one rank's");
    assert!(apart <= 1e-5, "{apart}");
}
