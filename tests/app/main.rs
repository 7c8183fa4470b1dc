//! The window, as a person uses it.

mod compare;
mod pages;
mod talk;
mod train;
mod views;
