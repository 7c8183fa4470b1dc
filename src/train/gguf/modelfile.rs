//! The Modelfile that Ollama makes a model from.

use crate::data::Vocabulary;
use crate::error::{Error, Result};
use crate::files::{self, read_text};
use serde_json::Value;
use std::path::Path;

const GENERATION: &str = "generation_config.json";
const LIMIT: u64 = 1 << 20;
/// Keys of transformers' generation_config.json and Ollama's parameters of the same meaning.
const PARAMETERS: [(&str, &str); 4] =
    [("temperature", "temperature"), ("top_k", "top_k"), ("top_p", "top_p"), ("repetition_penalty", "repeat_penalty")];

/// The Modelfile's text for a model file beside it; what the base model is drawn with is taken over.
///
/// # Errors
/// Where generation_config.json is broken.
pub(super) fn text(folder: &Path, model_file: &str, vocabulary: &Vocabulary) -> Result<String> {
    let mut out = format!("# ollama create NAME -f Modelfile\nFROM ./{model_file}\n");
    if vocabulary.has_template {
        out += "# No TEMPLATE: Ollama takes the chat template from the model's file where it knows it. If answers show that it does not,\n\
                # add one in Ollama's own language.\n";
    } else {
        out += "# The model has no chat template: what is typed goes to it as it is.\nTEMPLATE {{ .Prompt }}\n";
    }
    for stop in vocabulary.stops.iter().filter(|stop| !stop.contains('\n')) {
        out += &if stop.contains('"') { format!("PARAMETER stop \"\"\"{stop}\"\"\"\n") } else { format!("PARAMETER stop \"{stop}\"\n") };
    }
    let path = folder.join(GENERATION);
    if !files::is_file(&path) {
        return Ok(out);
    }
    let fault = |e| Error::input(path.display().to_string(), format!("not JSON: {e}"), "download it again");
    let drawn: Value = serde_json::from_str(&read_text(&path, LIMIT)?).map_err(fault)?;
    // transformers draws nothing unless it is told to, whatever the other keys say.
    if drawn["do_sample"] == true {
        for (key, parameter) in PARAMETERS {
            if let Some(number) = drawn[key].as_f64() {
                out += &format!("PARAMETER {parameter} {number}\n");
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(stops: &[&str], has_template: bool) -> Vocabulary {
        let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
        Vocabulary { metadata: Vec::new(), stops, has_template, strips_behind_special: false }
    }

    #[test]
    fn stops_and_drawing_are_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let plain = text(folder.path(), "m.gguf", &vocabulary(&["</s>"], false)).expect("text");
        assert!(plain.contains("\nFROM ./m.gguf\n") && plain.contains("\nTEMPLATE {{ .Prompt }}\n"), "{plain}");
        assert!(plain.ends_with("PARAMETER stop \"</s>\"\n"), "{plain}");
        let write = |json: &str| std::fs::write(folder.path().join(GENERATION), json).expect("written");
        write(r#"{"temperature": 0.5}"#);
        assert_eq!(text(folder.path(), "m.gguf", &vocabulary(&["</s>"], false)).expect("text"), plain);
        write(r#"{"do_sample": true, "temperature": 0.5, "top_k": 40, "repetition_penalty": 1.1, "eos_token_id": [1]}"#);
        let chat = text(folder.path(), "m.gguf", &vocabulary(&["<|im_end|>", "a\"b"], true)).expect("text");
        assert!(!chat.contains("\nTEMPLATE"), "{chat}");
        let end = "PARAMETER stop \"<|im_end|>\"\nPARAMETER stop \"\"\"a\"b\"\"\"\nPARAMETER temperature 0.5\nPARAMETER top_k 40\n\
                   PARAMETER repeat_penalty 1.1\n";
        assert!(chat.ends_with(end), "{chat}");
        write("{");
        assert!(text(folder.path(), "m.gguf", &vocabulary(&[], true)).expect_err("broken").to_string().contains(GENERATION));
    }
}
