//! The page's side: the app in a canvas, and a tree of files like the worker's.

use super::outside::{self, Outside};
use super::protocol::Message;
use crate::app::DiabloApp;
use crate::files::memory;
use js_sys::{Function, Uint8Array};
use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use web_sys::HtmlCanvasElement;

/// The app in a page. The script around it brings messages and files.
#[wasm_bindgen(js_name = DiabloPage)]
pub struct Page {
    runner: eframe::WebRunner,
}

/// A file whose beginning alone is in the page: enough to know what a model is. The worker has the rest.
struct Beginning {
    bytes: Vec<u8>,
    size: u64,
}

impl memory::Outside for Beginning {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let start = usize::try_from(start).map_err(|_| Error::from(ErrorKind::UnexpectedEof))?;
        let part = self.bytes.get(start..start.saturating_add(buffer.len()));
        let part = part.ok_or_else(|| Error::other("the page keeps only the beginning of so large a file"))?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

thread_local! {
    /// Hears of a fault of the program itself.
    static BROKE: RefCell<Option<Function>> = const { RefCell::new(None) };
}

#[wasm_bindgen(js_class = DiabloPage)]
impl Page {
    /// Begins. `broke` hears of a fault of the program itself, after which the page draws nothing more.
    #[wasm_bindgen(constructor)]
    pub fn new(script: Outside, broke: Function) -> Self {
        outside::install(script);
        let runner = eframe::WebRunner::new();
        let earlier = std::panic::take_hook();
        BROKE.set(Some(broke));
        std::panic::set_hook(Box::new(move |panic| {
            BROKE.with_borrow(|broke| {
                // Where the script cannot hear it, the console still does.
                let _ = broke.as_ref().map(|broke| broke.call1(&JsValue::NULL, &panic.to_string().into()));
            });
            earlier(panic);
        }));
        Self { runner }
    }

    /// Draws the app into a canvas.
    ///
    /// # Errors
    /// Where the browser has no WebGL.
    pub async fn start(&self, canvas: HtmlCanvasElement) -> Result<(), JsValue> {
        let open = |cc: &eframe::CreationContext<'_>| {
            outside::draw_in(cc.egui_ctx.clone());
            Ok(Box::new(DiabloApp::new(cc)) as Box<dyn eframe::App>)
        };
        self.runner.start(canvas, eframe::WebOptions::default(), Box::new(open)).await
    }

    /// Brings a message of the worker.
    pub fn hear(&self, text: &str) {
        // What the script and the worker say to each other is no message to the app.
        if let Ok(message) = Message::from_json(text) {
            outside::hear(message);
        }
    }

    /// Puts a file into the page's tree. Where `size` is more than there are bytes, these are its beginning.
    ///
    /// # Errors
    /// Where the path is taken by a folder.
    pub fn put(&self, path: &str, bytes: Vec<u8>, size: f64) -> Result<(), JsValue> {
        let path = Path::new(path);
        let put = if size > bytes.len() as f64 {
            memory::put_outside(path, Rc::new(Beginning { bytes, size: size as u64 }))
        } else {
            memory::put(path, bytes)
        };
        put.map_err(|e| js_sys::Error::new(&format!("{}: {e}", path.display())).into())
    }

    /// Follows a change of the worker's tree, as its `takeChanges` tells it.
    pub fn follow(&self, kind: &str, path: &str, from: f64, bytes: Option<Uint8Array>) {
        let path = Path::new(path);
        let bytes = bytes.map(|bytes| bytes.to_vec()).unwrap_or_default();
        // The page's copy is there to be looked at. Where it cannot be made, a view says that the file is missing.
        let _ = match kind {
            "removed" => crate::files::remove(path).map_err(Error::other),
            "appended" => memory::put_behind(path, from as usize, &bytes),
            _ => memory::put(path, bytes),
        };
    }

    /// The page's tree holds now what earlier visits left.
    pub fn filled(&self) {
        outside::set_filled();
    }

    /// Opens what the visitor dropped onto the page.
    pub fn dropped(&self, path: &str) {
        outside::drop_here(path.into());
    }

    /// The app's fault that ended it, if there was one.
    #[wasm_bindgen(js_name = brokeDown)]
    pub fn broke_down(&self) -> bool {
        self.runner.has_panicked()
    }
}
