//! From the crate to web/dist.

use crate::{Folders, compress, hash, policy};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
/// What a visitor downloads before the first step, compressed and without the demo's model.
const MOST_COMPRESSED: usize = 8_000_000;

/// The parts of the page's script, in order, after the bindings.
const SCRIPTS: &[&str] = &["storage.js", "worker.js", "shares.js", "page.js"];
/// The parts of the script of a worker with threads.
const THREADS_SCRIPTS: &[&str] = &["storage.js", "worker.js", "threads.js"];
/// What a program whose memory is shared has to be compiled and linked with.
const THREADS_FLAGS: [&str; 8] = [
    "-Ctarget-feature=+simd128,+atomics,+bulk-memory",
    "-Clink-arg=--shared-memory",
    "-Clink-arg=--max-memory=4294967296",
    "-Clink-arg=--import-memory",
    "-Clink-arg=--export=__wasm_init_tls",
    "-Clink-arg=--export=__tls_size",
    "-Clink-arg=--export=__tls_align",
    "-Clink-arg=--export=__tls_base",
];
/// What other pages import.
const API: &str = "diablo.js";
/// Its parts.
const API_SCRIPTS: &[&str] = &["api.js", "shares.js"];
/// The demo's files, below assets/demo.
const DEMO: [&str; 6] = [
    "model/config.json",
    "model/model.safetensors",
    "model/tokenizer.json",
    "model/tokenizer_config.json",
    "train.jsonl",
    "held-out.jsonl",
];

/// Whom a page is built for.
#[derive(Clone, Copy, PartialEq)]
pub enum Purpose {
    /// Small and fast: minutes of optimising.
    Visitors,
    /// The same page, optimised less.
    Tests,
}

impl Purpose {
    /// The profile, in Cargo.toml.
    fn profile(self) -> &'static str {
        match self {
            Self::Visitors => "wasm-release",
            Self::Tests => "wasm-test",
        }
    }
}

/// Builds the page.
pub fn build(folders: &Folders, purpose: Purpose) -> Result<()> {
    let (bindings, threads) = programs(&folders.root, purpose.profile())?;
    let folder = if purpose == Purpose::Tests { &folders.tests } else { &folders.dist };
    let mut dist = Dist { folder: folder.clone(), files: Vec::new() };

    let mut demo = serde_json::Map::new();
    for name in DEMO {
        let bytes = read(&folders.root.join("assets/demo").join(name))?;
        let file = dist.hashed(&format!("demo-{}", name.replace('/', "-")), bytes);
        demo.insert(name.into(), file.into());
    }
    let demo = serde_json::to_string(&demo)?;
    let script_of = |dist: &mut Dist, name: &str, bindings: Bindings, parts: &[&str]| -> Result<String> {
        let wasm = dist.hashed(&format!("{name}.wasm"), bindings.wasm);
        let script = fill(&bindings.script, BINDINGS_WASM, &format!("./{}", file_name(&wasm)))?;
        let parts = joined(&folders.page, parts)?;
        // In a block of their own, so that their names and the bindings' do not meet.
        fill(&format!("{script}\n{{\n{parts}\n}}\n"), "__DEMO_FILES__", &demo)
    };
    let with_threads = match threads {
        Some(threads) => {
            let script = script_of(&mut dist, "diablo-threads", threads, THREADS_SCRIPTS)?;
            Some(dist.hashed("diablo-threads.js", script.into_bytes()))
        }
        None => None,
    };
    let types = bindings.types.clone();
    let script = script_of(&mut dist, "diablo", bindings, SCRIPTS)?;
    let beside = with_threads.as_deref().map(|name| format!("./{}", file_name(name))).unwrap_or_default();
    let script = fill(&script, "__THREADS_SCRIPT__", &beside)?;
    let script = dist.hashed("diablo.js", script.into_bytes());
    // Under a name that stays: other pages import it.
    let api = fill(&joined(&folders.page, API_SCRIPTS)?, "__SCRIPT__", &format!("./{script}"))?;
    let below = with_threads.as_deref().map(|name| format!("./{name}")).unwrap_or_default();
    let api = fill(&api, "__THREADS_SCRIPT__", &below)?;
    dist.add(API, api.into_bytes());
    let example = fill(&read_text(&folders.page.join("example.js"))?, "__API__", &format!("../{API}"))?;
    let example = dist.hashed("example.js", example.into_bytes());
    let pages = [("index.html", "page.css", "__SCRIPT__", script), ("example.html", "example.css", "__EXAMPLE__", example)];
    for (name, style, mark, script) in pages {
        let style = dist.hashed(style, read(&folders.page.join(style))?);
        let mut page = read_text(&folders.page.join(name))?;
        for (mark, value) in [("__POLICY__", policy::content_security_policy()), ("__STYLE__", style), (mark, script)] {
            page = fill(&page, mark, &value)?;
        }
        refuse_inline(name, &page)?;
        dist.add(name, page.into_bytes());
    }
    let offline = service_worker(&read_text(&folders.page.join("service-worker.js"))?, &dist)?;
    dist.add("service-worker.js", offline.into_bytes());
    dist.add("_headers", policy::headers_file().into_bytes());
    dist.add("diablo.d.ts", read(&folders.page.join("api.d.ts"))?);
    dist.add("bindings.d.ts", types.into_bytes());
    let most = (purpose == Purpose::Visitors).then_some(MOST_COMPRESSED);
    dist.write(most)
}

/// The crate for one thread, and where that can be built for many. Both at once: each ends with one unit of code, on one core.
fn programs(root: &Path, profile: &str) -> Result<(Bindings, Option<Bindings>)> {
    if std::env::var_os("DIABLO_WASM_ARGS").is_none_or(|more| more.is_empty()) {
        add_target(root)?;
    }
    if let Err(why) = std_source(root) {
        println!("the page will compute on one thread of the processor: {why}");
        return Ok((bind(&compile(root, profile, false)?)?, None));
    }
    let (one, many) = std::thread::scope(|scope| {
        let many = scope.spawn(|| compile(root, profile, true));
        (compile(root, profile, false), many.join())
    });
    let many = many.map_err(|_| anyhow!("the build with threads panicked"))?;
    Ok((bind(&one?)?, Some(bind(&many?)?)))
}

/// The crate as WebAssembly, for one thread or for many; the path of the program.
fn compile(root: &Path, profile: &str, threads: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target_folder = {
        let output = Command::new(&cargo).args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root).output()?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        PathBuf::from(metadata["target_directory"].as_str().context("cargo names no target folder")?)
    };
    // Where the target cannot be downloaded, .ci/wasm-std.sh says here how the standard library is built instead.
    let more = std::env::var("DIABLO_WASM_ARGS").unwrap_or_default();
    println!("compiling to WebAssembly{}", if threads { ", with threads" } else { "" });
    let mut command = Command::new(&cargo);
    command.args(["build", "--quiet", "--bin", "diablo", "--target", TARGET, "--profile", profile]);
    let rustc = std::env::var_os("DIABLO_WASM_RUSTC");
    if threads || rustc.is_some() {
        // Building the standard library is for nightly compilers; this lets a stable one.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    if let Some(rustc) = rustc {
        command.env("RUSTC", rustc);
    }
    let mut target_folder = target_folder;
    if threads {
        // The standard library that comes with the target knows no threads.
        target_folder.push("wasm-threads");
        // A worker draws nothing.
        command.args(["--no-default-features", "-Zbuild-std=std,panic_abort", "--target-dir"]).arg(&target_folder);
        command.env("CARGO_ENCODED_RUSTFLAGS", THREADS_FLAGS.join("\x1f"));
    } else {
        command.args(more.split_whitespace());
    }
    let status = command.current_dir(root).status()?;
    ensure!(status.success(), "the crate does not compile to WebAssembly");
    let program = target_folder.join(TARGET).join(profile).join("diablo.wasm");
    optimise(&program)
}

/// Finds the standard library's source, which threads need, or asks rustup for it; otherwise why there is none.
fn std_source(root: &Path) -> Result<()> {
    if std::env::var_os("DIABLO_WASM_RUSTC").is_some() {
        // .ci/wasm-std.sh has installed it.
        return Ok(());
    }
    if std::env::var_os("DIABLO_WASM_THREADS").is_some_and(|set| set == "off") {
        bail!("DIABLO_WASM_THREADS is off");
    }
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir(root).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").is_file() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["component", "add", "rust-src"]).current_dir(root).status();
    ensure!(added.is_ok_and(|status| status.success()), "Rust's own source is not installed: `rustup component add rust-src`");
    Ok(())
}

/// Asks rustup for the target where it is not there.
fn add_target(root: &Path) -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).current_dir(root).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(root).status();
    if added.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!("Rust's {TARGET} target is not installed: `rustup target add {TARGET}`, or on Debian `. .ci/wasm-std.sh` and again")
}

/// Runs wasm-opt where `WASM_OPT` names it. It takes a minute or two for a tenth of the size, of which compression leaves little.
fn optimise(program: &Path) -> Result<PathBuf> {
    let Some(wasm_opt) = std::env::var_os("WASM_OPT").filter(|name| !name.is_empty()) else { return Ok(program.into()) };
    let out = program.with_extension("opt.wasm");
    let status = Command::new(&wasm_opt).args(["-O2", "--all-features"]).arg(program).arg("-o").arg(&out).status();
    let status = status.with_context(|| format!("{} cannot be started", wasm_opt.display()))?;
    ensure!(status.success(), "wasm-opt failed");
    Ok(out)
}

/// How the bindings name the program before it has its hash.
const BINDINGS_WASM: &str = "diablo_bg.wasm";

struct Bindings {
    script: String,
    types: String,
    wasm: Vec<u8>,
}

fn bind(program: &Path) -> Result<Bindings> {
    let mut output = Bindgen::new()
        .input_path(program)
        .out_name("diablo")
        .web(true)?
        .typescript(true)
        .omit_default_module_path(false)
        .remove_producers_section(true)
        .generate_output()
        .context("the bindings: is wasm-bindgen of one version in Cargo.toml and web/xtask/Cargo.toml?")?;
    ensure!(output.snippets().values().all(Vec::is_empty), "a dependency brings scripts of its own; the one script must hold them");
    let (script, types) = (output.js().to_owned(), output.ts().unwrap_or_default().to_owned());
    let wasm = output.wasm_mut().emit_wasm();
    Ok(Bindings { script, types, wasm })
}

/// Replaces a mark that must be there.
fn fill(text: &str, mark: &str, value: &str) -> Result<String> {
    ensure!(text.contains(mark), "{mark} is nowhere in {:?}…", text.chars().take(60).collect::<String>());
    Ok(text.replace(mark, value))
}

/// The policy would stop such a page, but only in front of a visitor.
fn refuse_inline(name: &str, page: &str) -> Result<()> {
    for tag in page.split('<').filter(|tag| tag.starts_with("script") || tag.starts_with("style")) {
        let (attributes, body) = tag.split_once('>').unwrap_or((tag, ""));
        ensure!(attributes.contains("src=") && body.trim().is_empty(), "{name} has something in line: <{attributes}>");
    }
    let handler = page.split(' ').any(|word| word.starts_with("on") && word.contains("=\""));
    ensure!(!handler && !page.contains("style="), "{name} has handlers or styles in line");
    Ok(())
}

/// The service worker with the list of what it keeps.
fn service_worker(text: &str, dist: &Dist) -> Result<String> {
    let names: Vec<&str> = dist.files.iter().map(|(name, _)| name.as_str()).collect();
    let version =
        hash::of(&dist.files.iter().flat_map(|(name, bytes)| [name.as_bytes(), hash::of(bytes).as_bytes()].concat()).collect::<Vec<_>>());
    fill(&fill(text, "__FILES__", &serde_json::to_string(&names)?)?, "__VERSION__", &version)
}

/// What comes out.
struct Dist {
    folder: PathBuf,
    files: Vec<(String, Vec<u8>)>,
}

impl Dist {
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.push((name.to_owned(), bytes));
    }

    /// Adds a file under a name with its hash; that name.
    fn hashed(&mut self, name: &str, bytes: Vec<u8>) -> String {
        let name = format!("assets/{}", hash::name(name, &bytes));
        self.add(&name, bytes);
        name
    }

    /// Writes everything beside the old folder first, so that a build that fails leaves the old page.
    fn write(&self, most_compressed: Option<usize>) -> Result<()> {
        let fresh = self.folder.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        println!("{:>10} {:>10} {:>10}  file", "bytes", "gzip", "brotli");
        let mut total = 0;
        for (name, bytes) in &self.files {
            let path = fresh.join(name);
            fs::create_dir_all(path.parent().context("every file has a folder")?)?;
            fs::write(&path, bytes)?;
            let mut sizes = [bytes.len(); 2];
            if compress::is_worth_it(name) && !name.starts_with('_') {
                let (gzip, brotli) = (compress::gzip(bytes)?, compress::brotli(bytes)?);
                sizes = [gzip.len(), brotli.len()];
                fs::write(fresh.join(format!("{name}.gz")), gzip)?;
                fs::write(fresh.join(format!("{name}.br")), brotli)?;
            }
            println!("{:>10} {:>10} {:>10}  {name}", bytes.len(), sizes[0], sizes[1]);
            if !name.starts_with("assets/demo-model-") {
                // What a plain host sends: most know gzip alone.
                total += sizes[0];
            }
        }
        let of = most_compressed.map(|most| format!(", of {most} at most")).unwrap_or_default();
        println!("{total:>21} bytes by gzip without the demo's model{of}");
        ensure!(most_compressed.is_none_or(|most| total <= most), "the page is too large");
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::rename(&fresh, &self.folder)?;
        println!("{}", self.folder.display());
        Ok(())
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The texts of several files of a folder, one after the other.
fn joined(folder: &Path, names: &[&str]) -> Result<String> {
    let parts = names.iter().map(|name| read_text(&folder.join(name)));
    Ok(parts.collect::<Result<Vec<_>>>()?.join("\n"))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_line_is_refused() {
        refuse_inline("a", "<script type=\"module\" src=\"a.js\"></script><link rel=\"stylesheet\" href=\"a.css\">").expect("is fine");
        for page in ["<script>x</script>", "<script src=\"a\">x</script>", "<style>x</style>", "<p style=\"x\">", "<p onclick=\"x\">"] {
            assert!(refuse_inline("a", page).is_err(), "{page}");
        }
    }

    #[test]
    fn marks_must_be_there() {
        assert_eq!(fill("a __X__ b", "__X__", "y").expect("fills"), "a y b");
        assert!(fill("a", "__X__", "y").is_err());
    }
}
