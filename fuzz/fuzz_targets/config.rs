//! No text makes reading or compiling a config panic; every refusal says what is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_core::config::{Config, Format};
use waypost_core::snapshot::compile;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name.len() % 2 == 0).then(|| format!("value of {name}"));
    for format in [Format::Yaml, Format::Json] {
        let compiled = Config::parse(text, format, "waypost.yaml", &lookup).and_then(|config| compile(&config, &waypost_core::health::States::default()).map(drop));
        if let Err(errors) = compiled {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| !error.to_string().is_empty()));
        }
    }
});
