//! Run folders: what goes into them, what a kill leaves of them, what is made of several.

#[path = "../common/mod.rs"]
mod common;

mod comparing;
mod demo;
mod demo_place;
mod kill;
mod logs;
mod merging;
mod paper;
mod recipe;
