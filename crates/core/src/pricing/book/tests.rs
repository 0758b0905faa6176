use std::collections::HashSet;

use super::*;
use crate::config::{Format, PerMillion, SetPrice};
use crate::health::States;
use crate::money::PicoUsd;
use crate::pricing::{Priced, Terms};
use crate::provider;
use crate::snapshot::{Snapshot, compile};

fn compiled(text: &str) -> Result<Snapshot, Vec<String>> {
    let shown = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).map_err(shown)?;
    compile(&config, &States::default()).map_err(shown)
}

const NOW: i64 = 1_795_564_800_000;

/// `origin input` of what the first deployment of a model costs at a time.
fn price_at(snapshot: &Snapshot, model: &str, now_ms: i64) -> String {
    let route = snapshot.route(model).expect(model);
    let prices = &route.tiers[0].deployments[0].prices;
    in_force(prices, now_ms).map_or_else(
        || "unknown".to_owned(),
        |version| format!("{} {}", version.origin.name(), version.price.rates.input.as_per_million()),
    )
}

#[test]
fn every_line_of_the_built_in_book_is_read_and_makes_sense() {
    let lines = include_str!("embedded.txt").lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let rules = embedded::rules();
    assert_eq!(rules.len(), lines.count());
    let mut ids = HashSet::new();
    for rule in &rules {
        let (version, kind) = (&rule.version, rule.provider.unwrap());
        assert!(ids.insert(Arc::clone(&version.id)), "{} stands there twice", version.id);
        assert!(version.source.is_some(), "{}", version.id);
        assert!(provider::by_kind(kind).is_some());
        let price = &version.price;
        assert!(price.rates.input > PicoUsd::ZERO && price.rates.output >= price.rates.input, "{}", version.id);
        assert!(price.rates.cache_read <= price.rates.input, "{}", version.id);
        for tier in &price.tiers {
            assert!(tier.rates.input > price.rates.input && tier.rates.output > price.rates.output, "{}", version.id);
        }
    }
}

#[test]
fn models_are_told_with_their_snapshots_and_never_by_a_likeness() {
    let openai = "channels: [{name: o, provider: openai, api_key: k}]";
    let snapshot = compiled(openai).unwrap();
    let input = |model: &str| price_at(&snapshot, model, NOW);
    assert_eq!(input("gpt-4o"), "embedded 2.5");
    assert_eq!(input("gpt-4o-2024-11-20"), "embedded 2.5");
    assert_eq!(input("gpt-4o-2024-05-13"), "embedded 5");
    assert_eq!(input("gpt-4o-mini-2024-07-18"), "embedded 0.15");
    assert_eq!(input("gpt-4-0613"), "embedded 30");
    assert_eq!(input("gpt-5-chat-latest"), "embedded 1.25");
    for unknown in ["gpt-4o-realtime-preview", "gpt-9", "gpt-4o-", "gpt-4-32k", "gpt-5.9"] {
        assert_eq!(input(unknown), "unknown", "{unknown}");
    }
    let claude = compiled("channels: [{name: a, provider: anthropic, api_key: k}]").unwrap();
    assert_eq!(price_at(&claude, "claude-opus-4-20250514", NOW), "embedded 15");
    assert_eq!(price_at(&claude, "claude-opus-4-9", NOW), "unknown");
    let elsewhere = compiled("channels: [{name: r, base_url: 'https://r.example/v1', models: [gpt-4o]}]").unwrap();
    assert_eq!(price_at(&elsewhere, "gpt-4o", NOW), "unknown");
}

#[test]
fn prices_of_several_dates_hold_from_their_day_on() {
    let day = |text: &str| crate::config::Day::parse(text).unwrap().unix_ms();
    let snapshot = compiled("channels: [{name: o, provider: openai, api_key: k}]").unwrap();
    let luna = |at: i64| price_at(&snapshot, "gpt-5.6-luna", at);
    assert_eq!(luna(day("2026-07-30") - 1), "embedded 1");
    assert_eq!(luna(day("2026-07-30")), "embedded 0.2");
    assert_eq!(luna(day("2026-07-09") - 1), "unknown");
}

#[test]
fn the_nearer_price_comes_first_and_later_ones_wait_for_their_day() {
    let text = "
channels:
  - name: a
    provider: openai
    api_key: k
    models: [{name: gpt-4o, price: {input: 1, output: 2}}, gpt-4o-mini, gpt-5, {name: mine, upstream: gpt-4.1}]
  - {name: b, provider: openai, api_key: k, models: [other, gpt-5-mini]}
prices:
  - {model: gpt-4o, input: 9}
  - {model: 'gpt-*', input: 0.5, output: 1}
  - {model: gpt-5, input: 3, provider: openai}
  - {model: gpt-5, input: 4, channel: a}
  - {model: gpt-5, input: 5, channel: a, effective_from: 2027-01-01}
  - {model: mine, input: 7}
";
    let snapshot = compiled(text).unwrap();
    let input = |model: &str, at: i64| price_at(&snapshot, model, at);
    assert_eq!(input("gpt-4o", NOW), "channel 1");
    assert_eq!(input("gpt-4o-mini", NOW), "file 0.5");
    assert_eq!(input("gpt-5", NOW), "file 4");
    assert_eq!(input("gpt-5", NOW + 40 * 86_400_000), "file 5");
    assert_eq!(input("mine", NOW), "file 7");
    assert_eq!(input("gpt-5-mini", NOW), "file 0.5");
    assert_eq!(input("other", NOW), "unknown");
}

#[test]
fn prices_set_while_running_come_after_the_file_and_before_the_book() {
    let text = "
channels: [{name: o, provider: openai, api_key: k}]
prices: [{model: gpt-4o, input: 9}]
";
    let mut config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).unwrap();
    let set = |model: &str, input: &str, effective_at| SetPrice {
        entry: PriceEntry {
            model: Some(model.to_owned()),
            input: Some(PerMillion(PicoUsd::per_million(input).unwrap())),
            ..PriceEntry::default()
        },
        effective_at,
    };
    config.api_prices = vec![set("gpt-4o", "8", 0), set("gpt-5", "8", 0), set("gpt-5", "7", NOW + 1)];
    let snapshot = compile(&config, &States::default()).unwrap();
    assert_eq!(price_at(&snapshot, "gpt-4o", NOW), "file 9");
    assert_eq!(price_at(&snapshot, "gpt-5", NOW), "api 8");
    assert_eq!(price_at(&snapshot, "gpt-5", NOW + 1), "api 7");
    assert_eq!(price_at(&snapshot, "gpt-4o-mini", NOW), "embedded 0.15");
}

#[test]
fn a_price_set_while_running_is_read_and_checked_as_one_in_a_file() {
    let checked = |json: &str| match PriceEntry::parse(json) {
        Ok(entry) => Book::check(&SetPrice { entry, effective_at: 5000 }, "price").map_err(|error| error.to_string()),
        Err(errors) => Err(errors[0].to_string()),
    };
    let version = checked(r#"{"model": "gpt-*", "channel": "later", "input": 0.1, "output": "0.30"}"#).unwrap();
    assert_eq!((version.origin, version.price.rates.output), (Origin::Api, PicoUsd(300_000)));
    assert!(version.id.starts_with("api:later/gpt-*@5#"));
    let told = |json: &str| checked(json).unwrap_err();
    assert_eq!(told(r#"{"input": 1}"#), "price: it does not say which model it is for; set `model`, if only to \"*\"");
    assert_eq!(told(r#"{"model": "m", "inptu": 1}"#), "1:25: inptu: there is no such key; did you mean `input`?");
    assert!(
        told(r#"{"model": "m", "input": 1, "provider": "nobody"}"#).starts_with("price.provider: there is no such")
    );
}

#[test]
fn the_simulator_has_a_price_so_that_money_can_be_seen_without_a_key() {
    let snapshot = compiled("channels: [{name: s, provider: simulator}]").unwrap();
    let route = snapshot.route("sim/chat").unwrap();
    let prices = &route.tiers[0].deployments[0].prices;
    let Priced::At(version) = snapshot.pricing.decide(prices, NOW, true).unwrap() else { panic!("it is known") };
    let usage = Usage { input: Some(1000), output: Some(500), ..Usage::default() };
    assert_eq!(version.cost(&usage, Terms::default()).unwrap().total.to_string(), "0.002");
}

#[test]
fn mistakes_in_prices_name_the_field_and_the_fix() {
    for (text, expected) in [
        (
            "prices: [{input: 1}]",
            "w.yaml:1:10: prices[0]: it does not say which model it is for; set `model`, if only to \"*\"",
        ),
        ("prices: [{model: a}]", "w.yaml:1:10: prices[0]: `input` is missing; set it, to 0 if it is free"),
        (
            "prices: [{model: a, call: 0.1, output: 1}]",
            "w.yaml:1:10: prices[0]: `input` is missing; set it, to 0 if it is free",
        ),
        (
            "prices: [{model: a, input: 1, chanel: x}]",
            "w.yaml:1:31: prices[0].chanel: there is no such key; did you mean `channel`?",
        ),
        (
            "channels: [{name: main, provider: simulator}]\nprices: [{model: a, input: 1, channel: mian}]",
            "w.yaml:2:31: prices[0].channel: there is no such channel; did you mean `main`?",
        ),
        (
            "prices: [{model: a, input: 0.0000001}]",
            "w.yaml:1:28: prices[0].input: expected USD for a million tokens such as 2.5, up to 1000000, with at most six digits after the point, found text",
        ),
        (
            "prices: [{model: a, input: 1, tiers: [{above: 9, input: 2, output: 2}, {above: 9, input: 2, output: 2}]}]",
            "w.yaml:1:73: prices[0].tiers[1].above: it is not above the tier before; list the tiers from short to long prompts",
        ),
        (
            "prices: [{model: a, input: 1, effective_from: 2026-02-30}]",
            "w.yaml:1:47: prices[0].effective_from: expected a day such as 2026-01-31, found text",
        ),
        ("prices: [{model: a, input: 1, currency: eur}]", "w.yaml:1:41: prices[0].currency: expected one of USD, usd"),
        (
            "channels: [{name: c, provider: simulator, models: [{name: m, price: {model: m, input: 1}}]}]",
            "w.yaml:1:70: channels[0].models[0].price.model: the price of a channel's model is for that model only; remove it, or write the price in `prices`",
        ),
        (
            "pricing: {unknown: ceiling}",
            "w.yaml:1:1: pricing.ceiling: `unknown: ceiling` needs to know how high it is; set `input` and `output`, in USD for a million tokens",
        ),
    ] {
        assert_eq!(compiled(text).unwrap_err(), [expected], "{text}");
    }
}

#[test]
fn the_policy_for_unknown_prices_is_read() {
    let pricing = compiled("pricing: {unknown: ceiling, ceiling: {input: 10, output: 30}, output_cap: 4096}").unwrap();
    let Priced::At(ceiling) = pricing.pricing.decide(&[], NOW, true).unwrap() else { panic!("there is a ceiling") };
    assert_eq!((ceiling.origin, ceiling.price.rates.output), (Origin::Ceiling, PicoUsd::per_million("30").unwrap()));
    assert_eq!(pricing.pricing.output_cap, Some(4096));
    assert!(compiled("pricing: {unknown: refuse}").unwrap().pricing.decide(&[], NOW, false).is_err());
    let idle = compiled("pricing: {ceiling: {input: 10, output: 30}}").unwrap();
    assert_eq!(idle.warnings.len(), 1);
}

#[test]
fn an_id_tells_every_price_from_every_other() {
    let price = |input| Price::of(Rates::new(PicoUsd(input), PicoUsd(2)));
    let id = |from, input| Version::new(Origin::File, "o/m", from, price(input)).id;
    assert_eq!(id(1000, 1), id(1000, 1));
    assert!(id(1000, 1).starts_with("file:o/m@1#"));
    assert_ne!(id(1000, 1), id(1000, 3));
    assert_ne!(id(1000, 1), id(2000, 1));
}
