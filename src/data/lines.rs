//! Where a text may be cut before it is tokenised.

/// The lines of `text`, each with its line end, so that joining them gives `text` again.
///
/// A line ends where Python's `str.splitlines` ends it: besides `\n`, `\r` and `\r\n` also at vertical tab, form feed, the
/// three file, group and record separators, next line, and the line and paragraph separators. The reference trainers cut
/// their texts so, and the same text must give the same tokens.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut chars) = (0, text.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        let mut end = at + c.len_utf8();
        match c {
            '\r' => {
                if chars.next_if(|(_, next)| *next == '\n').is_some() {
                    end += 1;
                }
            }
            '\n' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {}
            _ => continue,
        }
        out.push(&text[start..end]);
        start = end;
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

/// Cuts a long text into pieces of at least `least` bytes (the last may be shorter), each ending after a `\n`.
///
/// The best place is a single `\n` between two characters that are not white space: there the common pre-tokenizers end a
/// word on both sides, so the pieces give the tokens of the whole. If none comes within another `3 * least` bytes, the next
/// `\n` of any kind is taken. A text without line ends stays whole.
pub(super) fn pieces(text: &str, least: usize) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while rest.len() > 2 * least {
        match cut_place(rest, least) {
            Some(at) => {
                let (piece, tail) = rest.split_at(at);
                out.push(piece);
                rest = tail;
            }
            None => break,
        }
    }
    out.push(rest);
    out
}

/// The end of the first piece: a byte just after a `\n` at or beyond `least`, before the end of the text.
fn cut_place(text: &str, least: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    // Bytes from 0x80 on belong to letters or rare white space; the latter costs one token of difference at most.
    let solid = |at: usize| bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace() && !b.is_ascii_control());
    let mut any = None;
    for at in least.max(1)..bytes.len() - 1 {
        if any.is_some() && at > 4 * least {
            break;
        }
        if bytes[at] == b'\n' {
            if solid(at - 1) && solid(at + 1) {
                return Some(at + 1);
            }
            any = any.or(Some(at + 1));
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(
            lines("a\nb\r\nc\rd\u{b}e\u{c}f\u{1c}g\u{85}h\u{2028}i\u{2029}\n\nj"),
            ["a\n", "b\r\n", "c\r", "d\u{b}", "e\u{c}", "f\u{1c}", "g\u{85}", "h\u{2028}", "i\u{2029}", "\n", "\n", "j"]
        );
        assert!(lines("").is_empty());
        assert_eq!(lines("a\n"), ["a\n"]);
        assert_eq!(lines("\r\r\n"), ["\r", "\r\n"]);
    }

    #[test]
    fn pieces_join_to_the_text_and_prefer_clean_places() {
        for text in
            ["", "abc", "\n\n\n\n\n\n\n\n\n\n\n\n", "aaaa\n\nbbbb\nccccdddd\n", "é\né\né\né\né\né\né", "a line without any end at all"]
        {
            for least in 1..12 {
                let cut = pieces(text, least);
                assert_eq!(cut.concat(), text);
                assert!(cut.iter().rev().skip(1).all(|p| p.len() >= least && p.ends_with('\n')), "{cut:?} {least}");
            }
        }
        assert_eq!(pieces("aaaa\n\nbbbb\nccccdddd\n", 5), ["aaaa\n\nbbbb\n", "ccccdddd\n"]);
    }
}
