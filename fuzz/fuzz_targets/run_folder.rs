#![no_main]
diablo_fuzz::target!("run_folder");
