//! No text makes reading, explaining or compiling a config panic; every refusal says what is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_core::config::{Config, Format, difference, explain};
use waypost_core::health::States;
use waypost_core::snapshot::compile;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name.len() % 2 == 0).then(|| format!("value of {name}"));
    for format in [Format::Yaml, Format::Json] {
        let parsed = Config::parse(text, format, "waypost.yaml", &lookup);
        let compiled = parsed.and_then(|config| {
            compile(&config, &States::default())?;
            Ok(config)
        });
        if let Ok(config) = &compiled {
            // Whatever is in force can be told, and is no other than itself.
            assert!(!explain(config, "").is_empty());
            assert!(difference(config, config).is_empty());
        }
        if let Err(errors) = compiled {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| !error.to_string().is_empty()));
        }
    }
});
