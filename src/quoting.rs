//! Paths and texts inside commands and programs that a person copies.

use std::path::Path;

/// A path as one word of a shell's line: bare where nothing in it means anything to a shell, and else in quotes. Double ones work in
/// every shell that people use; where a shell would read something in them, they are single, as sh has them.
pub fn path(path: &Path) -> String {
    word(&path.display().to_string())
}

/// A text as one word of a shell's line; see [`path`].
pub fn word(text: &str) -> String {
    // Windows's paths have backslashes, which its shells leave alone.
    let harmless = |c: char| c.is_alphanumeric() || "/._-+=:@,".contains(c) || (cfg!(windows) && c == '\\');
    if !text.is_empty() && text.chars().all(harmless) {
        text.to_owned()
    } else if cfg!(windows) || !text.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A text as a string of Python, in lines that the window shows.
#[cfg(any(test, feature = "app"))]
pub fn python(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let texts = [
            "runs/first",
            "",
            "a b",
            "it's",
            "$HOME",
            "`id`",
            "say \"hi\"",
            "a\\b",
            "wow!",
            "$x 'y' \"z\"",
            "é\u{301}",
            "two\nlines",
            "-n",
            "~",
        ];
        for text in texts {
            let ended = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", word(text))]).output().expect("sh");
            assert_eq!(String::from_utf8_lossy(&ended.stdout), text, "{}", word(text));
        }
        assert_eq!(word("runs/first"), "runs/first");
        assert_eq!(word("my run"), "\"my run\"");
        assert_eq!(word("$5 run"), "'$5 run'");
    }

    #[test]
    fn python_reads_back_what_was_meant() {
        // What Python's `repr` and `eval` make of these, read off by hand.
        assert_eq!(python("/a b/c\"d"), r#""/a b/c\"d""#);
        assert_eq!(python("C:\\new"), r#""C:\\new""#);
        assert_eq!(python("e\u{301}\n$x"), "\"e\u{301}\\n$x\"");
    }
}
