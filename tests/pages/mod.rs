//! The documents as data: fenced blocks, commands, links, names in code.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The repository.
pub const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A document.
pub struct Page {
    /// Its path in the repository: `docs/data.md`.
    pub name: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    /// What stands behind the fence.
    pub language: String,
    pub text: String,
    /// The text line before it.
    pub before: String,
}

/// One command of a block: words, and a text that is piped into it.
#[derive(Debug, Clone)]
pub struct Command {
    pub line: String,
    pub words: Vec<String>,
    pub input: Option<String>,
}

/// Every document that tells a person what to type.
pub fn pages() -> Vec<Page> {
    let mut names: Vec<String> = ["README.md", "ARCHITECTURE.md", "assets/README.md", "web/README.md"].map(String::from).to_vec();
    let mut docs: Vec<String> = std::fs::read_dir(Path::new(HERE).join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    docs.sort();
    names.extend(docs);
    let text = |name: &String| std::fs::read_to_string(Path::new(HERE).join(name)).unwrap();
    names.iter().map(|name| Page { name: name.clone(), text: text(name) }).collect()
}

impl Page {
    pub fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open, mut before): (Vec<Block>, Option<Block>, String) = (Vec::new(), None, String::new());
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => open = Some(Block { language: language.into(), text: String::new(), before: before.clone() }),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) if !line.trim().is_empty() => before = line.into(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", self.name);
        blocks
    }

    /// The text without its fenced blocks.
    pub fn prose(&self) -> String {
        let mut inside = false;
        let outside = self.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        outside.map(|line| format!("{line}\n")).collect()
    }

    /// What stands between backquotes in the prose.
    pub fn code(&self) -> Vec<String> {
        self.prose().lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(String::from).collect::<Vec<_>>()).collect()
    }

    /// The targets of its links.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }

    /// A path that is written relative to the page.
    pub fn beside(&self, path: &str) -> PathBuf {
        Path::new(HERE).join(&self.name).parent().unwrap().join(path)
    }

    /// What its headings are called in links.
    pub fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim().to_lowercase());
        let plain = |c: char| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || "-_".contains(c)).then_some(c) };
        headings.map(|heading| heading.chars().filter_map(plain).collect()).collect()
    }
}

impl Block {
    /// Its commands, comments left out, lines that end in a backslash joined. None where it shows something else.
    pub fn commands(&self) -> Option<Vec<Command>> {
        const PROGRAMS: [&str; 11] =
            ["diablo", "make", "cargo", "cd", "cp", "echo", "tensorboard", "apt-get", "mpirun", "for", "target/debug/config"];
        let joined = self.text.replace("\\\n", " ");
        let lines: Vec<Command> = joined.lines().map(Command::read).filter(|c| !c.words.is_empty()).collect();
        let known = |c: &Command| PROGRAMS.contains(&c.words[0].as_str());
        lines.first().is_some_and(known).then_some(lines)
    }
}

impl Command {
    /// Reads a line as a shell would, as far as documents need it: words, quotes, a comment, `echo TEXT |`.
    pub fn read(line: &str) -> Self {
        let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
        for c in line.chars() {
            match (quote, c) {
                (Some(q), _) if c == q => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, '#') if word.is_none() => break,
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        let mut input = None;
        if words.first().is_some_and(|w| w == "echo")
            && let Some(pipe) = words.iter().position(|w| w == "|")
        {
            input = Some(words[1..pipe].join(" ") + "\n");
            words.drain(..=pipe);
        }
        Self { line: line.split_whitespace().collect::<Vec<_>>().join(" "), words, input }
    }

    /// The value of an option.
    pub fn value(&self, option: &str) -> Option<&str> {
        let at = self.words.iter().position(|w| w == option)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// Takes an option and its value out.
    pub fn without(mut self, option: &str) -> Self {
        if let Some(at) = self.words.iter().position(|w| w == option) {
            self.words.drain(at..(at + 2).min(self.words.len()));
        }
        self
    }

    /// Adds an option with its value unless it is there.
    pub fn with(mut self, option: &str, value: &str) -> Self {
        if self.value(option).is_none() {
            self.words.extend([option.to_owned(), value.to_owned()]);
        }
        self
    }
}
