//! Names that people write, and what a hub answers.

use diablo::data::{Columns, DataFiles};
use diablo::hub::Name;
use std::path::Path;

pub fn read(_: &Path, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let name = Name::parse(first);
    if let Some(name) = &name {
        assert_eq!(name.to_string(), first);
        assert_eq!(Name::parse(&name.to_string()).as_ref(), Some(name));
    }
    #[cfg(feature = "fuzzing")]
    if diablo::hub::is_inside(first) {
        let path = Path::new("/folder").join(first);
        assert!(path.starts_with("/folder") && !path.components().any(|c| c == std::path::Component::ParentDir), "{first:?}");
    }
    let files = DataFiles::from(first);
    let weights: Vec<f64> = files.0.iter().map(|f| f.weight).collect();
    if weights.iter().all(|w| w.is_finite()) {
        assert_eq!(DataFiles::from(files.to_string().as_str()), files, "{first:?}");
    }
    if let Ok(columns) = first.parse::<Columns>() {
        assert_eq!(columns.to_string().parse(), Ok(columns), "{first:?}");
    }
    #[cfg(feature = "fuzzing")]
    if let Some(name) = name {
        super::told(diablo::hub::read_answer(&name, &["train"], rest));
    }
    let _ = rest;
}
