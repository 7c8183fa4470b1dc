//! What menus and shortcuts do: one table, so that the keys beside an entry are those that work.

use super::platform::IS_PAGE;
use super::shared::{Command, RunState, Shared, View};
use eframe::egui::gui_zoom::kb_shortcuts as zoom;
use eframe::egui::{self, Key, KeyboardShortcut, Modifiers};

const DIGITS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// Something that a menu entry or its shortcut does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask for a model's folder.
    OpenModel,
    /// Ask for a file of rows.
    OpenData,
    /// Open the bundled model and rows.
    OpenDemo,
    /// Back to the options' defaults.
    NewRun,
    /// Close the window.
    Quit,
    /// An order to the run.
    Run(Command),
    /// Another page.
    Go(View),
    /// The other theme.
    SwitchTheme,
    /// The system's theme.
    FollowSystem,
    /// In, out, or back.
    Zoom(i8),
    /// What this program is.
    About,
}

impl Action {
    /// The keys that do it.
    pub fn keys(self) -> Option<KeyboardShortcut> {
        let with = |modifiers: Modifiers, key: Key| Some(KeyboardShortcut::new(modifiers, key));
        let (command, shift) = (Modifiers::COMMAND, Modifiers::COMMAND.plus(Modifiers::SHIFT));
        match self {
            // A browser has its own use for these, and keeps some to itself.
            Self::Quit | Self::Run(Command::Start) | Self::SwitchTheme if IS_PAGE => None,
            Self::Go(view) if IS_PAGE && view != View::Learn => None,
            Self::OpenModel => with(command, Key::O),
            Self::OpenData => with(shift, Key::O),
            Self::Quit => with(command, Key::Q),
            Self::Run(Command::Start) => with(command, Key::R),
            Self::Run(Command::Pause | Command::Continue) => with(command, Key::P),
            Self::Run(Command::Step) => with(shift, Key::P),
            Self::Run(Command::Stop) => with(command, Key::Period),
            // Beside its number: every program has this one for help.
            Self::Go(View::Learn) => with(Modifiers::NONE, Key::F1),
            Self::Go(view) => go_keys(view),
            Self::SwitchTheme => with(shift, Key::T),
            Self::Zoom(1) => Some(zoom::ZOOM_IN),
            Self::Zoom(0) => Some(zoom::ZOOM_RESET),
            Self::Zoom(_) => Some(zoom::ZOOM_OUT),
            Self::OpenDemo | Self::NewRun | Self::FollowSystem | Self::About | Self::Run(Command::Resume) => None,
        }
    }

    /// Whether it makes sense just now; menus show the others grey.
    pub fn is_possible(self, shared: &Shared) -> bool {
        let state = shared.status.state;
        match self {
            Self::Run(Command::Start) => !state.is_active() && shared.missing().is_none(),
            Self::Run(Command::Pause) => state == RunState::Running,
            Self::Run(Command::Continue) => state == RunState::Paused,
            Self::Run(Command::Step) => matches!(state, RunState::Running | RunState::Paused),
            Self::Run(Command::Stop) => state.is_active() && state != RunState::Stopping,
            // A page is closed by its browser.
            Self::Quit => !IS_PAGE,
            Self::NewRun | Self::OpenDemo => !state.is_active(),
            _ => true,
        }
    }
}

/// The keys that lead to a page: its place in the navigation.
fn go_keys(view: View) -> Option<KeyboardShortcut> {
    let place = View::ALL.iter().position(|v| *v == view)?;
    DIGITS.get(place).map(|key| KeyboardShortcut::new(Modifiers::COMMAND, *key))
}

/// What was asked for by keys in this frame, and is possible.
pub fn pressed(ctx: &egui::Context, shared: &Shared) -> Vec<Action> {
    let pause = if shared.status.state == RunState::Paused { Command::Continue } else { Command::Pause };
    // Those with more keys first: a shortcut also answers where others are pressed beside it. Zooming is egui's own.
    let actions = [
        Action::OpenData,
        Action::OpenModel,
        Action::Quit,
        Action::Run(Command::Start),
        Action::Run(Command::Step),
        Action::Run(pause),
        Action::Run(Command::Stop),
        Action::SwitchTheme,
        Action::Go(View::Learn),
    ];
    let known = actions.into_iter().filter_map(|action| Some((action.keys()?, action)));
    let pages = View::ALL.into_iter().filter(|_| !IS_PAGE).filter_map(|view| Some((go_keys(view)?, Action::Go(view))));
    ctx.input_mut(|input| known.chain(pages).filter(|(keys, _)| input.consume_shortcut(keys)).map(|(_, action)| action).collect::<Vec<_>>())
        .into_iter()
        .filter(|action| action.is_possible(shared))
        .collect()
}
