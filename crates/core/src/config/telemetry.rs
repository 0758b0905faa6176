//! Where traces go, and how log lines look. What the environment says outweighs the file: those who run collectors set it for
//! every program alike. Knows names of variables, reads none itself. Tests are below.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::error::ConfigError;
use super::expand::Lookup;
use super::values::{Span, bounded};
use crate::secret::Secret;

/// What the gateway tells of its requests, beside metrics and log. Read at the start; changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The name under which traces are found. `OTEL_SERVICE_NAME` outweighs it.
    pub service_name: String,
    pub otlp: Otlp,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { service_name: "waypost".to_owned(), otlp: Otlp::default() }
    }
}

/// Where traces go, by OTLP over HTTP. Nowhere unless there is an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// The address of the collector, such as `http://127.0.0.1:4318`; `/v1/traces` is added.
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` outweighs it, and `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, which is taken as it is.
    pub endpoint: Option<String>,
    /// Sent with every export, such as the collector's login. `OTEL_EXPORTER_OTLP_HEADERS` adds to them.
    pub headers: BTreeMap<String, Secret>,
    /// The share of requests that are traced where the caller does not say, from 0 to 1. `OTEL_TRACES_SAMPLER_ARG`
    /// outweighs it. A caller's `traceparent` decides for its own requests.
    pub sample: Share,
    /// How long spans are gathered before they are sent.
    pub every: Span,
    /// `endpoint` came from a variable that names the whole address.
    #[serde(skip)]
    #[schemars(skip)]
    pub exact: bool,
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), sample: Share(10_000), every: Span::seconds(5), exact: false }
    }
}

impl Otlp {
    /// The whole address traces are sent to; `None` if there is no collector.
    pub fn address(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim();
        if self.exact {
            Some(endpoint.to_owned())
        } else {
            Some(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        }
    }
}

impl Telemetry {
    /// Lets the usual variables have the last word. Says what is wrong with them.
    pub fn obey_environment(&mut self, lookup: Lookup<'_>) -> Result<(), ConfigError> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            self.otlp.endpoint = None;
            return Ok(());
        }
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            self.service_name = name;
        }
        if let Some(endpoint) = set("OTEL_EXPORTER_OTLP_ENDPOINT") {
            (self.otlp.endpoint, self.otlp.exact) = (Some(endpoint), false);
        }
        if let Some(endpoint) = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            (self.otlp.endpoint, self.otlp.exact) = (Some(endpoint), true);
        }
        if let Some(share) = set("OTEL_TRACES_SAMPLER_ARG") {
            self.otlp.sample = Share::parse(&share).ok_or_else(|| {
                ConfigError::at("OTEL_TRACES_SAMPLER_ARG", "this is no share of requests")
                    .fix("set a number from 0 to 1, such as 0.01")
            })?;
        }
        for pair in set("OTEL_EXPORTER_OTLP_HEADERS").iter().flat_map(|pairs| pairs.split(',')) {
            if let Some((name, value)) = pair.split_once('=') {
                self.otlp.headers.insert(name.trim().to_ascii_lowercase(), Secret::new(value.trim()));
            }
        }
        Ok(())
    }
}

/// A share of requests, in millionths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Share(pub u32);

/// As files write it.
impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millionths) = (self.0 / Self::WHOLE.0, self.0 % Self::WHOLE.0);
        let digits = format!("{millionths:06}");
        match digits.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            digits => write!(f, "{whole}.{digits}"),
        }
    }
}

impl Share {
    /// Everything.
    pub const WHOLE: Self = Self(1_000_000);

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        let millionths: String = fraction.chars().chain("000000".chars()).take(6).collect();
        let share = whole.parse::<u32>().ok()?.checked_mul(1_000_000)?.checked_add(millionths.parse().ok()?)?;
        (share <= Self::WHOLE.0).then_some(Self(share))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Share, E> {
                Share::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// How log lines look and what the access log says. Read at the start; changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// `false`: no access log.
    pub enabled: bool,
    /// How lines look; pretty at a terminal, JSON otherwise, unless set. `--log-format` and `LOG_FORMAT` outweigh it.
    pub format: Option<LogFormat>,
    /// What the gateway says of itself: `error`, `warn`, `info`, `debug`, `trace`, or a filter by module.
    /// `--log-level` and `LOG_LEVEL` outweigh it.
    pub level: Option<String>,
    /// The access log says what was asked: key, operation, model.
    pub log_request: bool,
    /// The access log says how it was answered: deployment, attempts, usage.
    pub log_response: bool,
    /// Bodies are never logged, so this can only be `false`.
    #[serde(deserialize_with = "never")]
    #[schemars(extend("const" = false))]
    pub log_body: bool,
    /// The log of calls in the database.
    pub database: CallLog,
}

/// The log of calls in the database: one row each. Sums by day are kept for good, whatever this says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallLog {
    /// `false`: neither rows nor sums are written, so that there are no reports on usage.
    pub enabled: bool,
    /// How many days rows are kept.
    #[serde(deserialize_with = "bounded::<_, _, 1, 3660>")]
    #[schemars(range(min = 1, max = 3660))]
    pub days: u32,
}

impl Default for CallLog {
    fn default() -> Self {
        Self { enabled: true, days: 30 }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            enabled: true,
            format: None,
            level: None,
            log_request: true,
            log_response: true,
            log_body: false,
            database: CallLog::default(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Pretty,
}

fn never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match bool::deserialize(deserializer)? {
        false => Ok(false),
        true => Err(D::Error::custom("prompts and answers are never written to the log; leave `log_body` out")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Format};
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let parsed = Config::parse(text, Format::Yaml, "w.yaml", &|_| None);
        parsed.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_share_is_read_to_the_millionth() {
        for (text, share) in [
            ("1", Some(1_000_000)),
            ("1.0", Some(1_000_000)),
            ("0", Some(0)),
            ("0.01", Some(10_000)),
            ("0.0000019", Some(1)),
            ("1.000001", None),
            ("2", None),
            ("-1", None),
            (".5", None),
            ("1e-2", None),
            ("", None),
        ] {
            assert_eq!(Share::parse(text).map(|share| share.0), share, "{text}");
        }
        for (share, shown) in [(1_000_000, "1"), (0, "0"), (10_000, "0.01"), (1, "0.000001"), (500_000, "0.5")] {
            assert_eq!(format!("{:?}", Share(share)), shown);
        }
    }

    #[test]
    fn the_environment_outweighs_the_file() {
        let mut telemetry = read("telemetry: {otlp: {endpoint: 'http://a:1/', sample: 0.5}}").unwrap().telemetry;
        assert_eq!(telemetry.otlp.address().as_deref(), Some("http://a:1/v1/traces"));
        assert_eq!(telemetry.otlp.sample, Share(500_000));
        let lookup = |name: &str| {
            let value = match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://b:2",
                "OTEL_SERVICE_NAME" => "edge",
                "OTEL_TRACES_SAMPLER_ARG" => "1",
                "OTEL_EXPORTER_OTLP_HEADERS" => "X-Login=a=b,other=1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        telemetry.obey_environment(&lookup).unwrap();
        assert_eq!(telemetry.otlp.address().as_deref(), Some("http://b:2/v1/traces"));
        assert_eq!((telemetry.service_name.as_str(), telemetry.otlp.sample), ("edge", Share::WHOLE));
        assert_eq!(telemetry.otlp.headers["x-login"].expose(), "a=b");
        let exact = |name: &str| (name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").then(|| "http://c/traces".to_owned());
        telemetry.obey_environment(&exact).unwrap();
        assert_eq!(telemetry.otlp.address().as_deref(), Some("http://c/traces"));
        let wrong = |name: &str| (name == "OTEL_TRACES_SAMPLER_ARG").then(|| "1%".to_owned());
        assert!(telemetry.obey_environment(&wrong).unwrap_err().to_string().contains("from 0 to 1"));
        let disabled = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
        telemetry.obey_environment(&disabled).unwrap();
        assert_eq!(telemetry.otlp.address(), None);
    }

    #[test]
    fn the_logging_section_is_read_and_bodies_are_refused_002_31_002_32() {
        let logging = read("logging: {enabled: true, log_request: false, log_response: true, log_body: false}");
        let logging = logging.unwrap().logging;
        assert_eq!((logging.enabled, logging.log_request, logging.log_response), (true, false, true));
        let errors = read("logging:\n  log_body: true\n").unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("w.yaml:2:") && errors[0].contains("never written to the log"), "{errors:?}");
        assert!(read("telemetry: {otlp: {sample: 2}}").unwrap_err()[0].contains("a number from 0 to 1"));
    }
}
