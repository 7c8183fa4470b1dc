//! The worker's side: takes commands, runs the trainer, says what happens.

use super::line::Line;
use super::parcel::{self, Packed};
use super::picked::Picked;
use super::proof;
use super::protocol::{Command, Message, options};
use super::talk::{Ask, Said, Speaker};
use crate::demo;
use crate::device::gpu::adapters;
use crate::error::{Error, Result};
use crate::files::memory::{self, Change};
use crate::model::Source;
use crate::train::driver::{News, Order, Orders, State, drive};
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_time::{Duration, Instant};

/// Where the page's script puts the demo's files.
const DEMO_FOLDER: &str = "/demo";
/// What is shorter is copied into memory at once: it is read more than once, and whole.
const COPIED_BYTES: f64 = 256e3;
/// A run lets the browser bring messages at least this often.
const TURN: Duration = Duration::from_millis(10);

/// The worker's program. The script around it passes messages on.
#[wasm_bindgen(js_name = DiabloWorker)]
pub struct Worker {
    outside: Rc<Outside>,
    /// The run that goes on, or the last one, which can still be looked at.
    run: RefCell<Option<Rc<Inbox>>>,
    /// A run that still holds its memory.
    held: Cell<bool>,
    /// The one who answers questions.
    speaker: RefCell<Option<Rc<Speaker>>>,
}

thread_local! {
    /// Hears of a fault of the program itself on this thread.
    static VOICE: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has faults on this thread told through `post`.
pub(super) fn speak_through(post: Function) {
    VOICE.set(Some(post));
}

fn say(post: &Function, message: &Message, bytes: &JsValue) {
    // A page that is gone hears nothing, and there is nobody to tell.
    let _ = post.call2(&JsValue::NULL, &message.to_json().into(), bytes);
}

/// What the script around the program does for it.
struct Outside {
    post: Function,
    turn: Function,
}

impl Outside {
    fn say(&self, message: &Message) {
        self.say_with(message, &JsValue::UNDEFINED);
    }

    fn say_with(&self, message: &Message, bytes: &JsValue) {
        say(&self.post, message, bytes);
    }

    /// Lets the browser do what waits: messages, answers of the device.
    async fn turn(&self) {
        if let Ok(promise) = self.turn.call0(&JsValue::NULL) {
            let _ = JsFuture::from(Promise::resolve(&promise)).await;
        }
    }
}

/// Orders on their way to a run.
struct Inbox {
    outside: Rc<Outside>,
    orders: Line<Order>,
    state: Cell<State>,
    turned: Cell<Instant>,
}

impl Inbox {
    fn new(outside: Rc<Outside>) -> Rc<Self> {
        Rc::new(Self { outside, orders: Line::default(), state: Cell::new(State::Preparing), turned: Cell::new(Instant::now()) })
    }
}

impl Orders for Rc<Inbox> {
    async fn next(&mut self, wait: bool) -> Option<Order> {
        if wait {
            return self.orders.wait().await;
        }
        if self.turned.get().elapsed() >= TURN {
            self.outside.turn().await;
            self.turned.set(Instant::now());
        }
        self.orders.take()
    }
}

#[wasm_bindgen(js_class = DiabloWorker)]
impl Worker {
    /// Begins. `post` gets each message as JSON and, for a file, its bytes; `turn` gives a promise that is kept once the messages
    /// that wait were brought.
    #[wasm_bindgen(constructor)]
    pub fn new(post: Function, turn: Function) -> Self {
        speak_through(post.clone());
        std::panic::set_hook(Box::new(|panic| {
            let what = format!("the program broke down: {panic}");
            let hint = "please report it; what was saved is whole".to_owned();
            VOICE.with_borrow(|voice| {
                if let Some(post) = voice {
                    say(post, &Message::Failed { what, hint, fatal: true }, &JsValue::UNDEFINED);
                }
            });
        }));
        let outside = Rc::new(Outside { post, turn });
        outside.say(&Message::Ready { version: env!("CARGO_PKG_VERSION").to_owned() });
        Self { outside, run: RefCell::default(), held: Cell::default(), speaker: RefCell::default() }
    }

    /// Puts a file into the worker's tree: a `Blob` (or `File`), an `ArrayBuffer` or a `Uint8Array`.
    ///
    /// # Errors
    /// Where the value is none of these, or the path is taken by a folder.
    pub fn put(&self, path: &str, file: &JsValue) -> std::result::Result<(), JsValue> {
        put(Path::new(path), file).map_err(|e| js_sys::Error::new(&e.to_string()).into())
    }

    /// Does what a command asks for; every answer is a message. For a run that is started, the promise is kept when the run is
    /// forgotten.
    pub async fn handle(&self, command: String) {
        let done = match Command::from_json(&command) {
            Ok(command) => self.obey(command).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            self.outside.say(&error.into());
        }
    }

    /// What the browser's storage has to be told since the last call, in order: objects with `kind` (`written`, `appended`,
    /// `removed`), `path`, and for the first two `bytes` and `from`, where they begin in the file.
    #[wasm_bindgen(js_name = takeChanges)]
    pub fn take_changes(&self) -> Array {
        memory::take_changes().iter().filter_map(change_object).collect()
    }

    async fn obey(&self, command: Command) -> Result<()> {
        if let Some(order) = command.order()? {
            let run = self.run.borrow().clone();
            let run = run.ok_or_else(|| Error::usage("there is no run", "start one first"))?;
            run.orders.put(order);
            return Ok(());
        }
        match command {
            Command::Demo { method } => {
                let files = demo::Files { folder: DEMO_FOLDER.into() };
                let rank = demo::equal_rank(&Source::open(&files.model())?)?;
                self.outside.say(&Message::Options { run: Box::new(files.config(method, rank, "auto").resolved()) });
            }
            Command::Devices => {
                let reports = adapters::find_all().await;
                let (chosen, why) = adapters::choose(&reports);
                self.outside.say(&Message::devices(&reports, chosen, why));
            }
            Command::Start { run, resume } => {
                let run = options(&run, resume)?;
                let inbox = self.begin().await?;
                let news = |news: News| {
                    if let News::State(state) = news {
                        inbox.state.set(state);
                    }
                    self.outside.say(&news.into());
                };
                news(News::State(State::Preparing));
                match proof::open(&run.device, &mut |event| news(News::Event(event))).await {
                    Ok(device) => drive(run, Some(device), &mut inbox.clone(), &mut { news }).await,
                    Err(error) => {
                        news(News::Failed(error));
                        news(News::State(State::Ended));
                    }
                }
                self.held.set(false);
                // Where it could not begin there is nothing to look at.
                self.run.borrow_mut().take_if(|run| Rc::ptr_eq(run, &inbox));
            }
            Command::Talk { turn, model, device, question } => {
                let ask = Ask { turn, question };
                let speaker = self.speaker.borrow().clone().filter(|s| s.model == model && s.device == device);
                if let Some(speaker) = speaker {
                    speaker.ask(ask);
                    return Ok(());
                }
                let speaker = Rc::new(Speaker::new(model, device));
                speaker.ask(ask);
                if let Some(earlier) = self.speaker.replace(Some(speaker.clone())) {
                    earlier.close();
                }
                let say = |turn: u64, said: Said| self.outside.say(&Message::Said { turn, said });
                speaker.answer(say, async || self.outside.turn().await).await;
            }
            Command::Export { run, parcel, dtype } => match parcel::pack(&run, parcel, dtype) {
                Ok(Packed { name, bytes, notes, modelfile }) => {
                    let message = Message::Exported { name, bytes: bytes.len() as u64, notes, modelfile };
                    self.outside.say_with(&message, &Uint8Array::from(&bytes[..]));
                }
                Err(e) => self.outside.say(&Message::NotExported { what: e.to_string(), hint: e.hint().unwrap_or_default().into() }),
            },
            Command::Hush => {
                if let Some(speaker) = &*self.speaker.borrow() {
                    speaker.hush();
                }
            }
            Command::Read { path } => {
                let bytes = memory::read(&path).map_err(Error::io(&path))?;
                self.outside.say_with(&Message::File { path }, &Uint8Array::from(&bytes[..]));
            }
            Command::List { folder } => {
                let paths = memory::files_below(&folder);
                self.outside.say(&Message::Files { folder, paths });
            }
            Command::Remove { path } => crate::files::remove(&path)?,
            _ => {}
        }
        Ok(())
    }

    /// Makes place for a run: an earlier one that ended gives its memory back.
    async fn begin(&self) -> Result<Rc<Inbox>> {
        let earlier = self.run.borrow().clone();
        if let Some(earlier) = earlier {
            if earlier.state.get() != State::Ended {
                return Err(Error::usage("a run goes on already", "stop it first"));
            }
            earlier.orders.close();
        }
        let inbox = Inbox::new(self.outside.clone());
        self.run.replace(Some(inbox.clone()));
        while self.held.get() {
            self.outside.turn().await;
        }
        self.held.set(true);
        Ok(inbox)
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
