//! What the script around the page does for the app, and the worker's messages on their way to the app.

use super::protocol::{Command, Message};
use eframe::egui;
use js_sys::{Promise, Uint8Array};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What the script around the app does for it. */
export interface DiabloOutside {
  /** Brings a command to the worker, as JSON. */
  post(text: string): void;
  /** Lets the visitor pick a folder or a file, puts it into the page's tree and the worker's, and gives its path. */
  pick(folder: boolean): Promise<string | undefined>;
  /** Hands the visitor a file. */
  save(name: string, bytes: Uint8Array): void;
  /** Is kept after the next picture was drawn. */
  turn(): Promise<void>;
  /** Fetches the demo's files into the page's tree. */
  demo(): Promise<void>;
  /** What stands behind the # of the page's address. */
  address(): string;
  setAddress(text: string): void;
  /** A short text that outlives the page. */
  recall(key: string): string | undefined;
  remember(key: string, text?: string): void;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// The script's side.
    #[wasm_bindgen(typescript_type = "DiabloOutside")]
    pub type Outside;
    #[wasm_bindgen(method)]
    fn post(this: &Outside, text: &str);
    #[wasm_bindgen(method)]
    fn pick(this: &Outside, folder: bool) -> Promise;
    #[wasm_bindgen(method)]
    fn save(this: &Outside, name: &str, bytes: &Uint8Array);
    #[wasm_bindgen(method)]
    fn turn(this: &Outside) -> Promise;
    #[wasm_bindgen(method)]
    fn demo(this: &Outside) -> Promise;
    #[wasm_bindgen(method)]
    fn address(this: &Outside) -> String;
    #[wasm_bindgen(method, js_name = setAddress)]
    fn set_address(this: &Outside, text: &str);
    #[wasm_bindgen(method)]
    fn recall(this: &Outside, key: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    fn remember(this: &Outside, key: &str, text: Option<&str>);
}

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The run.
    Run,
    /// The questions of Talk.
    Talk,
    /// What can compute here.
    Machine,
    /// What is taken away.
    Export,
    /// The files that are kept.
    Storage,
}

impl Topic {
    fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Event(_)
            | Message::State { .. }
            | Message::Changes { .. }
            | Message::Cell(_)
            | Message::Ended(_)
            | Message::Failed { .. } => Some(Self::Run),
            Message::Said { .. } => Some(Self::Talk),
            Message::Devices { .. } => Some(Self::Machine),
            Message::Exported { .. } | Message::NotExported { .. } => Some(Self::Export),
            Message::Storage { .. } => Some(Self::Storage),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Page {
    outside: RefCell<Option<Outside>>,
    ctx: RefCell<Option<egui::Context>>,
    heard: RefCell<Vec<(Topic, Message)>>,
    /// Whether the page's tree holds what was kept from earlier visits.
    filled: Cell<bool>,
    dropped: RefCell<Vec<PathBuf>>,
    /// Whether the demo's files have come; nothing while they are fetched.
    demo: Cell<Option<bool>>,
}

thread_local! {
    static PAGE: Page = Page::default();
}

fn outside<R: Default>(f: impl FnOnce(&Outside) -> R) -> R {
    PAGE.with(|page| page.outside.borrow().as_ref().map(f).unwrap_or_default())
}

async fn kept(promise: impl FnOnce(&Outside) -> Promise) -> Option<JsValue> {
    let promise = outside(|outside| Some(promise(outside)))?;
    JsFuture::from(promise).await.ok()
}

/// Takes the script's side; there is one for the whole life of a page.
pub(super) fn install(outside: Outside) {
    PAGE.with(|page| page.outside.replace(Some(outside)));
}

/// Takes the window that is drawn again when something is heard.
pub(super) fn draw_in(ctx: egui::Context) {
    PAGE.with(|page| page.ctx.replace(Some(ctx)));
}

/// Has the window drawn again.
pub(super) fn draw() {
    PAGE.with(|page| page.ctx.borrow().as_ref().map(egui::Context::request_repaint));
}

/// Takes a message of the worker.
pub(super) fn hear(message: Message) {
    if let Some(topic) = Topic::of(&message) {
        PAGE.with(|page| page.heard.borrow_mut().push((topic, message)));
        draw();
    }
}

/// The page's tree holds now what was kept from earlier visits.
pub(super) fn set_filled() {
    PAGE.with(|page| page.filled.set(true));
    draw();
}

/// The visitor dropped this onto the page.
pub(super) fn drop_here(path: PathBuf) {
    PAGE.with(|page| page.dropped.borrow_mut().push(path));
    draw();
}

/// What the visitor dropped onto the page since the last call.
pub fn dropped() -> Vec<PathBuf> {
    PAGE.with(|page| page.dropped.take())
}

/// Whether the page's tree holds what was kept from earlier visits.
pub fn is_filled() -> bool {
    PAGE.with(|page| page.filled.get())
}

/// What was heard of something since the last call.
pub fn take(topic: Topic) -> Vec<Message> {
    PAGE.with(|page| page.heard.borrow_mut().extract_if(.., |(of, _)| *of == topic).map(|(_, message)| message).collect())
}

/// Brings a command to the worker.
pub fn send(command: &Command) {
    outside(|outside| outside.post(&command.to_json()));
}

/// Waits until the next picture was drawn.
pub async fn turn() {
    kept(Outside::turn).await;
}

/// Fetches the demo's files.
pub fn fetch_demo() {
    wasm_bindgen_futures::spawn_local(async {
        let came = kept(Outside::demo).await.is_some();
        PAGE.with(|page| page.demo.set(Some(came)));
        draw();
    });
}

/// Whether the demo's files have come; nothing while they are fetched.
pub fn demo_came() -> Option<bool> {
    PAGE.with(|page| page.demo.get())
}

/// Lets the visitor pick.
pub async fn pick(folder: bool) -> Option<PathBuf> {
    kept(|outside| outside.pick(folder)).await?.as_string().map(PathBuf::from)
}

/// Hands the visitor a file.
pub fn save(path: &Path, bytes: &[u8]) {
    let name = path.file_name().map_or_else(|| "diablo".into(), |name| name.to_string_lossy());
    outside(|outside| outside.save(&name, &Uint8Array::from(bytes)));
}

/// What stands behind the # of the page's address.
pub fn address() -> String {
    outside(Outside::address)
}

/// Puts something behind the # of the page's address.
pub fn set_address(text: &str) {
    outside(|outside| outside.set_address(text));
}

/// A short text from an earlier visit.
pub fn recall(key: &str) -> Option<String> {
    outside(|outside| outside.recall(key))
}

/// Keeps a short text for later visits, or forgets it.
pub fn remember(key: &str, text: Option<&str>) {
    outside(|outside| outside.remember(key, text));
}
