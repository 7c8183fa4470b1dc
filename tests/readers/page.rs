//! What reaches a page: the address behind its `#`, and the messages between it and its worker.

use super::told;
use diablo::web::protocol::{Command, Message, options};
use diablo::web::{address, tar};
use std::path::Path;

pub fn read(_: &Path, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(Some((run, view))) = told(address::read(text)) {
        let written = address::write(&run, view.as_deref().unwrap_or("Train"));
        let (again, shown) = address::read(&written).expect("reads what it wrote").expect("says something");
        assert_eq!(address::write(&again, &shown.unwrap_or_default()), written, "{text:?}");
    }
    if let Some(command) = told(Command::from_json(text)) {
        told(command.order());
        let again = Command::from_json(&command.to_json()).expect("reads what it wrote");
        assert_eq!(again.to_json(), command.to_json());
        if let Command::Start { run, resume } = &command {
            told(options(run, *resume));
        }
    }
    if let Some(message) = told(Message::from_json(text)) {
        message.to_json();
        message.news();
    }
    told(tar::pack(&[(text.to_owned(), bytes.to_vec())]));
}
