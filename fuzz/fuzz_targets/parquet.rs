#![no_main]
diablo_fuzz::target!("parquet");
