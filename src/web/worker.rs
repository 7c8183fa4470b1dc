//! The worker's side: takes commands, runs the trainer, says what happens.

use super::picked::Picked;
use super::protocol::{Command, Message, options};
use crate::demo;
use crate::error::{Error, Result};
use crate::files::memory::{self, Change};
use crate::model::Source;
use crate::train::{RunConfig, Trainer};
use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Where the page's script puts the demo's files.
const DEMO_FOLDER: &str = "/demo";
/// What is shorter is copied into memory at once: it is read more than once, and whole.
const COPIED_BYTES: f64 = 4e6;

/// The worker's program. The script around it passes messages on.
#[wasm_bindgen(js_name = DiabloWorker)]
pub struct Worker {
    say: Rc<Say>,
    stop: Rc<Cell<bool>>,
}

/// Sends messages to the page.
struct Say {
    post: Function,
}

impl Say {
    fn message(&self, message: &Message) {
        self.with_bytes(message, &JsValue::UNDEFINED);
    }

    fn with_bytes(&self, message: &Message, bytes: &JsValue) {
        // A page that is gone hears nothing, and there is nobody to tell.
        let _ = self.post.call2(&JsValue::NULL, &message.to_json().into(), bytes);
    }
}

#[wasm_bindgen(js_class = DiabloWorker)]
impl Worker {
    /// Begins. `post` gets each message as JSON and, for a file, its bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(post: Function) -> Self {
        let say = Rc::new(Say { post: post.clone() });
        std::panic::set_hook(Box::new(move |panic| {
            let what = format!("the program broke down: {panic}");
            let hint = Some("please report it; what was saved is whole".to_owned());
            Say { post: post.clone() }.message(&Message::Failed { what, hint, fatal: true });
        }));
        say.message(&Message::Ready { version: env!("CARGO_PKG_VERSION") });
        Self { say, stop: Rc::default() }
    }

    /// Puts a file into the worker's tree: a `Blob` (or `File`), an `ArrayBuffer` or a `Uint8Array`.
    ///
    /// # Errors
    /// Where the value is none of these, or the path is taken by a folder.
    pub fn put(&self, path: &str, file: &JsValue) -> std::result::Result<(), JsValue> {
        put(Path::new(path), file).map_err(|e| js_sys::Error::new(&e.to_string()).into())
    }

    /// Does what a command asks for; every answer is a message.
    pub async fn handle(&self, command: String) {
        let done = match Command::from_json(&command) {
            Ok(command) => self.run(command).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            self.say.message(&error.into());
        }
    }

    /// What the browser's storage has to be told since the last call, in order: objects with `kind` (`written`, `appended`,
    /// `removed`), `path`, and for the first two `bytes` and `from`, where they begin in the file.
    #[wasm_bindgen(js_name = takeChanges)]
    pub fn take_changes(&self) -> Array {
        memory::take_changes().iter().filter_map(change_object).collect()
    }

    async fn run(&self, command: Command) -> Result<()> {
        match command {
            Command::Demo { method } => {
                let files = demo::Files { folder: DEMO_FOLDER.into() };
                let rank = demo::equal_rank(&Source::open(&files.model())?)?;
                self.say.message(&Message::Options { run: Box::new(files.config(method, rank, "cpu").resolved()) });
                Ok(())
            }
            Command::Start { run, resume } => self.train(options(&run, resume)?).await,
            Command::Stop => {
                self.stop.set(true);
                Ok(())
            }
            Command::Read { path } => {
                let bytes = memory::read(&path).map_err(Error::io(&path))?;
                self.say.with_bytes(&Message::File { path }, &Uint8Array::from(&bytes[..]));
                Ok(())
            }
            Command::List { folder } => {
                let paths = memory::files_below(&folder);
                self.say.message(&Message::Files { folder, paths });
                Ok(())
            }
            Command::Remove { path } => crate::files::remove(&path),
        }
    }

    async fn train(&self, run: RunConfig) -> Result<()> {
        self.stop.set(false);
        let mut events = |event| self.say.message(&Message::Event(event));
        let mut trainer = Trainer::prepare(run, &mut events)?;
        let outcome = trainer.run(&mut events, &|| self.stop.get())?;
        self.say.message(&Message::Ended(outcome));
        Ok(())
    }
}

fn put(path: &Path, file: &JsValue) -> std::io::Result<()> {
    if let Some(blob) = file.dyn_ref::<web_sys::Blob>() {
        let small = blob.size() <= COPIED_BYTES;
        let picked = Picked::new(blob.clone()).ok_or_else(|| std::io::Error::other("only a worker can read files"))?;
        if !small {
            return memory::put_outside(path, Rc::new(picked));
        }
        let mut bytes = vec![0; blob.size() as usize];
        memory::Outside::read_at(&picked, 0, &mut bytes)?;
        return memory::put(path, bytes);
    }
    let bytes = if let Some(array) = file.dyn_ref::<Uint8Array>() {
        array.to_vec()
    } else if let Some(buffer) = file.dyn_ref::<js_sys::ArrayBuffer>() {
        Uint8Array::new(buffer).to_vec()
    } else {
        return Err(std::io::Error::other(format!("{}: neither a Blob nor bytes", path.display())));
    };
    memory::put(path, bytes)
}

/// A change for the script; none where its bytes can no longer be read.
fn change_object(change: &Change) -> Option<Object> {
    let object = Object::new();
    let set = |key: &str, value: JsValue| Reflect::set(&object, &key.into(), &value);
    let (kind, path) = match change {
        Change::Written { path, .. } => ("written", path),
        Change::Appended { path, .. } => ("appended", path),
        Change::Removed { path } => ("removed", path),
    };
    set("kind", kind.into()).ok()?;
    set("path", path.display().to_string().into()).ok()?;
    if let Change::Written { content, .. } | Change::Appended { content, .. } = change {
        let from = if let Change::Appended { from, .. } = change { *from } else { 0 };
        let bytes = content.part(from as usize..content.len() as usize).ok()?;
        set("from", (from as f64).into()).ok()?;
        set("bytes", Uint8Array::from(&*bytes).into()).ok()?;
    }
    Some(object)
}
