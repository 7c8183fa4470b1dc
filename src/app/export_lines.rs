//! Lines to take elsewhere: how each tool loads what was written.

use super::platform;
use crate::{hub, quoting};
use std::path::Path;

/// A tool, and the lines that load it there.
pub(super) type Lines = (&'static str, String);

/// A place that holds wherever the line is pasted: a path is whole, a hub's name is as it was.
fn place(path: &Path) -> String {
    if hub::Name::of(path).is_some() { path.display().to_string() } else { platform::absolute(path).display().to_string() }
}

fn in_python(path: &Path) -> String {
    quoting::python(&place(path))
}

fn in_shell(path: &Path) -> String {
    quoting::word(&place(path))
}

pub(super) fn transformers(folder: &Path) -> Lines {
    let at = in_python(folder);
    let lines = format!(
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\
         model, tokenizer = AutoModelForCausalLM.from_pretrained({at}), AutoTokenizer.from_pretrained({at})"
    );
    ("transformers", lines)
}

pub(super) fn peft(model: &Path, folder: &Path) -> Lines {
    let lines = format!(
        "from peft import PeftModel; from transformers import AutoModelForCausalLM\n\
         model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({}), {})",
        in_python(Path::new(&hub::repository(model))),
        in_python(folder)
    );
    ("peft", lines)
}

pub(super) fn diablo(model: &Path, folder: &Path) -> Lines {
    let lines = format!("diablo generate --model {} --adapter {} --prompt \"Once upon a time\"", in_shell(model), in_shell(folder));
    ("diablo, on the command line", lines)
}

pub(super) fn llama_cpp(file: &Path) -> Lines {
    ("llama.cpp", format!("llama-cli -m {}", in_shell(file)))
}

/// With a Modelfile in the folder.
#[cfg(any(not(target_arch = "wasm32"), test))]
pub(super) fn ollama(folder: &Path) -> Lines {
    let name = ollama_name(folder);
    ("Ollama", format!("cd {}\nollama create {name} -f Modelfile && ollama run {name}", in_shell(folder)))
}

/// With a Modelfile that is not there yet.
#[cfg(any(target_arch = "wasm32", test))]
pub(super) fn ollama_with(modelfile: &str, file: &Path) -> Lines {
    let name = ollama_name(&file.with_extension(""));
    // The first line says the same as the last one here.
    let own: Vec<&str> = modelfile.lines().filter(|line| !line.starts_with("# ollama create")).collect();
    let lines = format!("cat > Modelfile << 'END'\n{}\nEND\nollama create {name} -f Modelfile && ollama run {name}", own.join("\n"));
    ("Ollama, beside the file", lines)
}

/// A name that Ollama takes: small letters, figures, and some signs between them.
fn ollama_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(allowed).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "mine".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_python() {
        let (_, lines) = transformers(Path::new("/a b/c\"d"));
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(r#"from_pretrained("/a b/c\"d")"#), "{lines}");
        let (_, lines) = peft(Path::new("Qwen/Qwen3-0.6B@c1899de2"), Path::new("/a"));
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(r#"from_pretrained("Qwen/Qwen3-0.6B"), "/a")"#), "{lines}");
    }

    #[test]
    fn lines_are_a_shell_s() {
        let (_, line) = diablo(Path::new("Qwen/Qwen3-0.6B@c1899de2"), Path::new("/runs/$5"));
        assert_eq!(line, "diablo generate --model Qwen/Qwen3-0.6B@c1899de2 --adapter '/runs/$5' --prompt \"Once upon a time\"");
        assert_eq!(llama_cpp(Path::new("/a b/model.gguf")).1, r#"llama-cli -m "/a b/model.gguf""#);
        let (_, lines) = ollama(Path::new("/a b/My Run=1"));
        assert_eq!(lines, "cd \"/a b/My Run=1\"\nollama create my-run-1 -f Modelfile && ollama run my-run-1");
        for (folder, name) in [("/Über", "ber"), ("/猫", "mine"), ("/v1.5_b", "v1.5_b"), ("/.x", "x")] {
            assert_eq!(ollama_name(Path::new(folder)), name);
        }
        let modelfile = "# ollama create NAME -f Modelfile\nFROM ./a.gguf\nPARAMETER stop \"</s>\"\n";
        let (_, lines) = ollama_with(modelfile, Path::new("a.gguf"));
        let want = "cat > Modelfile << 'END'\nFROM ./a.gguf\nPARAMETER stop \"</s>\"\nEND\nollama create a -f Modelfile && ollama run a";
        assert_eq!(lines, want);
    }
}
