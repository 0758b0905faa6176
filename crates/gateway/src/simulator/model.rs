//! What a model's name asks of the simulator. Knows no request and no dialect. Tests are below.

use std::time::Duration;

/// The time between two pieces of a stream, unless the name says otherwise.
const PACE: Duration = Duration::from_millis(20);
/// A stream may be told to be slow, but not to outlast every deadline.
const SLOWEST_PACE: Duration = Duration::from_secs(60);

/// A model of the simulator's, for `/v1/models` and the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: &'static str,
    pub description: &'static str,
}

/// Every model worth showing. Names outside the list answer as `sim/chat`.
pub(crate) const LISTING: &[Listed] = &[
    listed("sim/chat", "Answers in prose that refers to the prompt; calls tools when the prompt names what they do"),
    listed("sim/echo", "Says the last user message again, word for word"),
    listed("sim/fast", "As sim/chat, but streams without pauses"),
    listed("sim/think", "As sim/chat, but thinks first unless thinking is switched off"),
    listed("sim/tools", "As sim/chat, but always calls a tool if there is one and no result yet"),
    listed("sim/embed", "Embeddings: unit vectors, closer to each other the more words the texts share"),
    listed("sim/no-usage", "As sim/chat, but does not say how many tokens it took"),
    listed("sim/slow", "As sim/chat, but its first byte comes after 5 seconds"),
    listed("sim/hang", "Never answers"),
    listed("sim/stall", "Falls silent in the middle of its answer"),
    listed("sim/cut", "Breaks the connection in the middle of its answer"),
    listed("sim/garbled", "Sends broken JSON in the middle of its answer"),
    listed("sim/flaky-30", "Fails with 503 in 30 of 100 calls, evenly spread; any number from 0 to 100 will do"),
    listed("sim/fail-400", "Fails with 400, invalid request"),
    listed("sim/fail-401", "Fails with 401, invalid key"),
    listed("sim/fail-402", "Fails with 402, out of credit"),
    listed("sim/fail-403", "Fails with 403, not permitted"),
    listed("sim/fail-404", "Fails with 404, no such model"),
    listed("sim/fail-408", "Fails with 408, request timeout"),
    listed("sim/fail-429", "Fails with 429, rate limited, and names a time to wait"),
    listed("sim/fail-500", "Fails with 500, internal error"),
    listed("sim/fail-502", "Fails with 502, bad gateway"),
    listed("sim/fail-503", "Fails with 503, unavailable"),
    listed("sim/fail-529", "Fails with 529, overloaded"),
];

const fn listed(name: &'static str, description: &'static str) -> Listed {
    Listed { name, description }
}

/// How a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    pub(crate) persona: Persona,
    pub(crate) fault: Option<Fault>,
    pub(crate) pace: Duration,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persona {
    Chat,
    Echo,
    Think,
    Tools,
}

/// What goes wrong, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Fail(u16),
    /// Fails so many calls of a hundred.
    Flaky(u8),
    Slow,
    Hang,
    Stall,
    Cut,
    Garbled,
    NoUsage,
}

impl Behaviour {
    /// Reads a name: `sim/<what>`, with `@<n>ms` after it for another pace (`sim/echo@50ms`, `sim/cut@0ms`).
    pub(crate) fn of(name: &str) -> Self {
        let (name, said) = match name.rsplit_once('@') {
            Some((before, suffix)) => match pace(suffix) {
                Some(pace) => (before, Some(pace)),
                None => (name, None),
            },
            None => (name, None),
        };
        let what = name.strip_prefix("sim/").unwrap_or_default();
        let persona = match what {
            "echo" => Persona::Echo,
            "think" => Persona::Think,
            "tools" => Persona::Tools,
            _ => Persona::Chat,
        };
        let usual = if what == "fast" { Duration::ZERO } else { PACE };
        Self { persona, fault: fault(what), pace: said.unwrap_or(usual) }
    }
}

fn pace(suffix: &str) -> Option<Duration> {
    let millis: u64 = suffix.strip_suffix("ms")?.parse().ok()?;
    Some(Duration::from_millis(millis).min(SLOWEST_PACE))
}

fn fault(what: &str) -> Option<Fault> {
    if let Some(percent) = what.strip_prefix("flaky-") {
        let percent = percent.parse().ok().filter(|percent| *percent <= 100);
        return percent.map(Fault::Flaky);
    }
    if let Some(status) = what.strip_prefix("fail-") {
        let known = LISTING.iter().any(|listed| listed.name.ends_with(what));
        return status.parse().ok().filter(|_| known).map(Fault::Fail);
    }
    match what {
        "slow" => Some(Fault::Slow),
        "hang" => Some(Fault::Hang),
        "stall" => Some(Fault::Stall),
        "cut" => Some(Fault::Cut),
        "garbled" => Some(Fault::Garbled),
        "no-usage" => Some(Fault::NoUsage),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_answer_as_chat() {
        for name in ["gpt-4o", "sim/nothing", "sim/fail-418", "sim/fail-", "sim/flaky-101", "echo", "a@b", ""] {
            assert_eq!(Behaviour::of(name), Behaviour::of("sim/chat"), "{name}");
        }
    }

    #[test]
    fn a_suffix_sets_the_pace_of_any_model() {
        assert_eq!(Behaviour::of("sim/chat").pace, PACE);
        assert_eq!(Behaviour::of("sim/fast").pace, Duration::ZERO);
        let slow_echo = Behaviour::of("sim/echo@50ms");
        assert_eq!((slow_echo.persona, slow_echo.pace), (Persona::Echo, Duration::from_millis(50)));
        let cut = Behaviour::of("sim/cut@0ms");
        assert_eq!((cut.fault, cut.pace), (Some(Fault::Cut), Duration::ZERO));
        assert_eq!(Behaviour::of("gpt-4o@18446744073709551615ms").pace, SLOWEST_PACE);
    }

    #[test]
    fn faults_are_read_from_the_name() {
        assert_eq!(Behaviour::of("sim/fail-529").fault, Some(Fault::Fail(529)));
        assert_eq!(Behaviour::of("sim/flaky-5").fault, Some(Fault::Flaky(5)));
        assert_eq!(Behaviour::of("sim/hang").fault, Some(Fault::Hang));
    }

    #[test]
    fn every_listed_model_does_something_of_its_own() {
        let plain = ["sim/chat", "sim/embed"];
        for listed in LISTING.iter().filter(|listed| !plain.contains(&listed.name)) {
            assert_ne!(Behaviour::of(listed.name), Behaviour::of("sim/chat"), "{}", listed.name);
        }
    }
}
