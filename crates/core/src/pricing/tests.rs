use std::sync::Arc;

use proptest::prelude::*;
use waypost_wire::chat::{Served, Usage};

use super::*;
use crate::money::{NanoUsd, PicoUsd};

fn rate(text: &str) -> PicoUsd {
    PicoUsd::per_million(text).unwrap()
}

fn rates(input: &str, output: &str) -> Rates {
    Rates::new(rate(input), rate(output))
}

fn version(price: Price) -> Version {
    Version::new(Origin::File, "m", 0, price)
}

fn used(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

#[test]
fn a_thousand_tokens_in_and_five_hundred_out_cost_the_exact_decimal_001_23() {
    let cost = version(Price::of(rates("2.5", "10"))).cost(&used(1000, 500), Terms::default()).unwrap();
    assert_eq!(cost.total.to_string(), "0.0075");
    assert_eq!(cost.to_string(), "1000 input at 2.5 + 500 output at 10 USD/1M = 0.0075 USD");
    let cost = version(Price::of(rates("0.15", "0.6"))).cost(&used(1000, 500), Terms::default()).unwrap();
    assert_eq!(cost.total.to_string(), "0.00045");
    // Rounded up, once: a token at 0.000001 USD/1M is a thousandth of the smallest amount.
    let cost = version(Price::of(rates("0.000001", "0.000001"))).cost(&used(1000, 501), Terms::default()).unwrap();
    assert_eq!(cost.total, NanoUsd(2));
}

#[test]
fn every_token_is_in_one_class() {
    let mut rates = rates("3", "15");
    (rates.cache_read, rates.cache_write, rates.cache_write_1h) = (rate("0.3"), rate("3.75"), rate("6"));
    let usage = Usage {
        cache_read: Some(200),
        cache_write: Some(300),
        cache_write_1h: Some(100),
        reasoning: Some(40),
        ..used(1000, 50)
    };
    let cost = version(Price::of(rates)).cost(&usage, Terms::default()).unwrap();
    let units: Vec<_> = cost.parts.iter().map(|part| (part.class.name(), part.units)).collect();
    assert_eq!(
        units,
        [
            ("input", 500),
            ("cache_read", 200),
            ("cache_write", 200),
            ("cache_write_1h", 100),
            ("output", 10),
            ("reasoning", 40)
        ]
    );
    // 500 x 3 + 200 x 0.3 + 200 x 3.75 + 100 x 6 + 50 x 15, in millionths.
    assert_eq!(cost.total.to_string(), "0.00366");
}

#[test]
fn tokens_that_were_counted_twice_are_paid_once_at_the_dearer_price() {
    let mut rates = rates("2", "8");
    (rates.cache_read, rates.audio_input) = (rate("1"), rate("40"));
    let usage = Usage { cache_read: Some(80), audio_input: Some(50), ..used(100, 0) };
    let cost = version(Price::of(rates)).cost(&usage, Terms::default()).unwrap();
    assert_eq!(cost.to_string(), "50 cache_read at 1 + 50 audio_input at 40 USD/1M = 0.00205 USD");
    // More of a part than of the whole is no more than the whole.
    let usage = Usage { cache_read: Some(u64::MAX), ..used(100, 0) };
    assert_eq!(version(Price::of(rates)).cost(&usage, Terms::default()).unwrap().total.to_string(), "0.0001");
}

#[test]
fn a_class_without_a_price_costs_what_it_is_a_part_of() {
    let usage = Usage {
        cache_read: Some(10),
        cache_write: Some(10),
        cache_write_1h: Some(5),
        audio_input: Some(10),
        reasoning: Some(10),
        audio_output: Some(10),
        ..used(100, 100)
    };
    let plain = version(Price::of(rates("1", "2")));
    assert_eq!(
        plain.cost(&usage, Terms::default()).unwrap().total,
        plain.cost(&used(100, 100), Terms::default()).unwrap().total
    );
}

#[test]
fn long_prompts_are_at_their_tier_as_a_whole() {
    let long = Tier { above: 200_000, rates: rates("6", "22.5") };
    let price = Price { tiers: Box::from([long]), ..Price::of(rates("3", "15")) };
    let total = |input| version(price.clone()).cost(&used(input, 1000), Terms::default()).unwrap().total.to_string();
    assert_eq!((total(200_000).as_str(), total(200_001).as_str()), ("0.615", "1.222506"));
}

#[test]
fn the_tier_that_the_answer_names_is_paid_and_the_dearest_it_can_name_is_held() {
    let half_and_double = ServiceFactors { flex: Factor::permille(500), batch: None, priority: Factor::permille(2000) };
    let plain = version(Price { service: half_and_double, ..Price::of(rates("1", "2")) });
    let cost = |asked: Option<&str>, served: Option<Served>| {
        let terms = Terms { service: ServiceTier::of(asked).unless_said(), ..Terms::default() };
        plain.cost(&Usage { served, ..used(1000, 100) }, terms).unwrap().total
    };
    let held = |asked: Option<&str>| {
        let ask = Ask { input: 1000, output_cap: 100, service: ServiceTier::of(asked), ..Ask::default() };
        plain.price.bound(&ask).unwrap()
    };
    let served = [Served::Standard, Served::Flex, Served::Priority];
    let paid = |asked| served.map(|served| cost(asked, Some(served)));
    for asked in [None, Some("auto"), Some("flex"), Some("priority"), Some("default")] {
        assert_eq!(paid(asked), [NanoUsd(1_200_000), NanoUsd(600_000), NanoUsd(2_400_000)], "{asked:?}");
    }
    // Where the answer says nothing, a surcharge that was asked for and no discount: asking is free, and whoever does not name a
    // discount may not have granted it.
    assert_eq!((cost(Some("flex"), None), cost(Some("batch"), None)), (NanoUsd(1_200_000), NanoUsd(1_200_000)));
    assert_eq!(cost(Some("priority"), None), NanoUsd(2_400_000));
    assert_eq!((cost(None, None), cost(Some("auto"), None)), (NanoUsd(1_200_000), NanoUsd(1_200_000)));
    for (asked, most) in [(None, 2), (Some("auto"), 2), (Some("priority"), 2), (Some("flex"), 1), (Some("default"), 1)]
    {
        assert_eq!(held(asked), NanoUsd(1_200_000 * most), "{asked:?}");
    }
}

#[test]
fn service_tier_and_caller_s_factor_come_before_the_rounding() {
    let service = ServiceFactors { flex: Factor::permille(500), ..ServiceFactors::default() };
    let version = version(Price { service, ..Price::of(rates("0.001", "0.001")) });
    let cost = |service, permille| {
        let terms = Terms { service, factor: Factor::permille(permille).unwrap(), ..Terms::default() };
        version.cost(&used(1001, 0), terms).unwrap()
    };
    assert_eq!(cost(ServiceTier::Standard, 1000).total, NanoUsd(1001));
    assert_eq!(cost(ServiceTier::Flex, 1000).total, NanoUsd(501));
    // 1001 x 0.5 x 1.5 is 750.75: rounded at each step it would be 752.
    let flex = cost(ServiceTier::Flex, 1500);
    assert_eq!(flex.total, NanoUsd(751));
    assert_eq!(flex.to_string(), "1001 input at 0.001 USD/1M x 0.5 (flex) x 1.5 = 0.000000751 USD");
    assert_eq!(cost(ServiceTier::Batch, 0).total, NanoUsd::ZERO);
}

#[test]
fn calls_and_pictures_have_prices_of_their_own() {
    let price = Price {
        call: PicoUsd::per_unit("0.03").unwrap(),
        image: PicoUsd::per_unit("0.04").unwrap(),
        ..Price::of(rates("1", "2"))
    };
    let version = version(price);
    let cost = version.cost(&used(10, 0), Terms { images: 2, ..Terms::default() }).unwrap();
    assert_eq!(cost.to_string(), "10 input at 1 USD/1M + 1 call at 0.03 USD + 2 image at 0.04 USD = 0.11001 USD");
    let nothing = version.cost(&Usage::default(), Terms { calls: 0, ..Terms::default() }).unwrap();
    assert_eq!((nothing.total, nothing.to_string().as_str()), (NanoUsd::ZERO, "nothing used = 0 USD"));
}

#[test]
fn what_does_not_fit_is_none_and_never_a_wrong_amount() {
    let dear = Price::of(Rates::new(PicoUsd::MOST, PicoUsd::MOST));
    assert_eq!(version(dear.clone()).cost(&used(u64::MAX, 1), Terms::default()), None);
    assert_eq!(dear.bound(&Ask { output_cap: u64::MAX, n: 2, ..Ask::default() }), None);
}

#[test]
fn a_prompt_is_at_most_its_bytes_and_what_the_model_reads() {
    use waypost_wire::dialect::Face;
    let bound = |face: Face, body: &str, context| {
        input_bound(&face.codec.peek(body.as_bytes()).unwrap(), body.len() as u64, context)
    };
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    assert_eq!(bound(Face::OPENAI_CHAT, chat, None), chat.len() as u64);
    // Nobody knows for sure that a model reads no more than it is said to.
    assert_eq!(bound(Face::OPENAI_CHAT, chat, Some(8)), chat.len() as u64);
    let picture =
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#;
    let part = r#"{"type":"image_url","image_url":{"url":"u"}}"#.len() as u64;
    assert_eq!(bound(Face::OPENAI_CHAT, picture, None), picture.len() as u64 - part + 16_384);
    let stored = r#"{"model":"m","input":"x","previous_response_id":"r"}"#;
    assert_eq!(bound(Face::OPENAI_RESPONSES, stored, Some(400_000)), stored.len() as u64 + 400_000);
    assert!(bound(Face::OPENAI_RESPONSES, stored, None) > 1_000_000);
}

#[test]
fn a_prompt_that_the_provider_adds_to_is_at_most_what_the_model_reads_and_no_less() {
    use waypost_wire::dialect::Face;
    let chat = |field: &str| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"a"}}{field}}}"#);
        let peek = Face::OPENAI_CHAT.codec.peek(body.as_bytes()).unwrap();
        input_bound(&peek, body.len() as u64, Some(200_000))
    };
    assert!(chat("]}]") < 1_000);
    // A PDF of ten thousand empty pages is as small as one of a single page.
    assert!(chat(r#",{"type":"file","file":{"file_data":"data:application/pdf;base64,QQ=="}}]}]"#) >= 200_000);
    assert!(chat(r#"]}],"web_search_options":{}"#) >= 200_000);
    assert!(chat(r#"]}],"tools":[{"type":"function","function":{"name":"f"}}]"#) < 5_000);
}

#[test]
fn an_ask_is_read_off_a_request() {
    use waypost_wire::dialect::Face;
    let body = r#"{"model":"m","n":3,"service_tier":"priority","messages":[{"role":"user","content":"1h"}]}"#;
    let peek = Face::OPENAI_CHAT.codec.peek(body.as_bytes()).unwrap();
    let ask = Ask::of(&peek, body.as_bytes(), None, 100);
    assert_eq!((ask.n, ask.output_cap, ask.service), (3, 100, ServiceTier::Priority));
    assert_eq!((ask.input, ask.audio, ask.long_cache), (body.len() as u64, false, true));
    let caps = [0, 5, 16].map(|cap| Ask::of(&peek, body.as_bytes(), None, cap).output_cap);
    assert_eq!(caps, [0, 16, 16]);
}

// === properties ===

fn any_rate() -> impl Strategy<Value = PicoUsd> {
    prop_oneof![Just(0), 0..1000_u64, 0..200_000_000_u64].prop_map(PicoUsd)
}

/// Rates that are at least `floor`, class by class.
fn any_rates(floor: Rates) -> impl Strategy<Value = Rates> {
    proptest::array::uniform8(any_rate()).prop_map(move |[a, b, c, d, e, f, g, h]| Rates {
        input: a.max(floor.input),
        output: b.max(floor.output),
        cache_read: c.max(floor.cache_read),
        cache_write: d.max(floor.cache_write),
        cache_write_1h: e.max(floor.cache_write_1h),
        reasoning: f.max(floor.reasoning),
        audio_input: g.max(floor.audio_input),
        audio_output: h.max(floor.audio_output),
    })
}

fn any_factor() -> impl Strategy<Value = Factor> {
    (0..3000_u32).prop_map(|permille| Factor::permille(permille).unwrap())
}

fn any_price() -> impl Strategy<Value = Price> {
    let zero = Rates::new(PicoUsd::ZERO, PicoUsd::ZERO);
    let tiers =
        any_rates(zero).prop_flat_map(|base| (Just(base), proptest::option::of((1..5000_u64, any_rates(base)))));
    let service = (proptest::option::of(any_factor()), proptest::option::of(any_factor()));
    (tiers, 0..1_000_000_u64, 0..1_000_000_u64, service).prop_map(|((rates, tier), call, image, (flex, priority))| {
        let tiers = tier.map(|(above, rates)| Tier { above, rates }).into_iter().collect();
        let service = ServiceFactors { flex, batch: None, priority };
        Price { rates, tiers, call: PicoUsd(call), image: PicoUsd(image), service }
    })
}

fn any_count() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(0..12_000_u64)
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let parts = (any_count(), any_count(), any_count(), any_count(), any_count(), any_count());
    (0..10_000_u64, 0..10_000_u64, parts).prop_map(|(input, output, parts)| {
        let (cache_read, cache_write, cache_write_1h, reasoning, audio_input, audio_output) = parts;
        Usage {
            input: Some(input),
            output: Some(output),
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning,
            audio_input,
            audio_output,
            served: None,
        }
    })
}

fn any_tier() -> impl Strategy<Value = ServiceTier> {
    prop_oneof![
        Just(ServiceTier::Standard),
        Just(ServiceTier::Flex),
        Just(ServiceTier::Batch),
        Just(ServiceTier::Priority),
        Just(ServiceTier::Other)
    ]
}

/// What is asked for, and what an answer to that may say.
fn any_service() -> impl Strategy<Value = (ServiceTier, Option<Served>)> {
    let any = proptest::sample::select(vec![
        (None, None),
        (None, Some(Served::Standard)),
        (None, Some(Served::Flex)),
        (None, Some(Served::Batch)),
        (None, Some(Served::Priority)),
        (None, Some(Served::Other)),
        (Some("default"), None),
        (Some("default"), Some(Served::Standard)),
        (Some("flex"), None),
        (Some("flex"), Some(Served::Flex)),
        (Some("flex"), Some(Served::Standard)),
        (Some("batch"), None),
        (Some("batch"), Some(Served::Batch)),
        (Some("fast"), None),
        (Some("fast"), Some(Served::Priority)),
        (Some("fast"), Some(Served::Standard)),
        (Some("warp"), None),
        (Some("warp"), Some(Served::Other)),
        (Some("warp"), Some(Served::Priority)),
    ]);
    any.prop_map(|(word, served)| (ServiceTier::of(word), served))
}

fn any_terms() -> impl Strategy<Value = Terms> {
    (any_tier(), any_factor(), 0..3_u32, 0..3_u32).prop_map(|(service, factor, calls, images)| Terms {
        service,
        factor,
        calls,
        images,
    })
}

/// A fraction of whole numbers without bounds that matter here, worked out the slow way.
#[derive(Clone, Copy)]
struct Rational {
    over: u128,
    under: u128,
}

impl Rational {
    fn times(self, over: u64, under: u64) -> Self {
        Self { over: self.over * u128::from(over), under: self.under * u128::from(under) }
    }

    fn plus(self, other: Self) -> Self {
        // All of them have the same denominator.
        assert_eq!(self.under, other.under);
        Self { over: self.over + other.over, under: self.under }
    }

    fn ceiling(self) -> u128 {
        self.over / self.under + u128::from(!self.over.is_multiple_of(self.under))
    }
}

/// Pico-USD of so many tokens, one after the other: each is at the price of the dearest class that still has one, and at the
/// price of the rest when no class has.
fn token_by_token(whole: Option<u64>, rest: PicoUsd, classes: &[(Option<u64>, PicoUsd)]) -> u128 {
    let mut tokens: Vec<u64> = Vec::new();
    for (count, price) in classes {
        tokens.extend((0..count.unwrap_or(0)).map(|_| price.get()));
    }
    tokens.sort_unstable();
    (0..whole.unwrap_or(0)).map(|_| u128::from(tokens.pop().unwrap_or(rest.get()))).sum()
}

proptest! {
    // Each case goes through tens of thousands of tokens.
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn a_cost_is_that_of_each_token_looked_up_alone(price in any_price(), usage in any_usage(), terms in any_terms()) {
        let tier = price.tiers.iter().filter(|tier| usage.input > Some(tier.above)).max_by_key(|tier| tier.above);
        let rates = tier.map_or(price.rates, |tier| tier.rates);
        let long = usage.cache_write_1h.min(usage.cache_write).unwrap_or(0);
        let input = token_by_token(usage.input, rates.input, &[
            (usage.cache_read, rates.cache_read),
            (usage.cache_write.map(|write| write - long), rates.cache_write),
            (Some(long), rates.cache_write_1h),
            (usage.audio_input, rates.audio_input),
        ]);
        let output = token_by_token(usage.output, rates.output, &[
            (usage.reasoning, rates.reasoning),
            (usage.audio_output, rates.audio_output),
        ]);
        let calls = u128::from(terms.calls) * u128::from(price.call.get());
        let images = u128::from(terms.images) * u128::from(price.image.get());
        let exact = Rational { over: input + output + calls + images, under: 1000 }
            .times(u64::from(price.service.of(terms.service).millionths()), 1_000_000)
            .times(u64::from(terms.factor.millionths()), 1_000_000);
        let cost = version(price).cost(&usage, terms).unwrap();
        prop_assert_eq!(cost.total.get() as u128, exact.ceiling());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn usage_times_price_is_exact_and_rounded_up_once(price in any_price(), usage in any_usage(), terms in any_terms()) {
        let cost = version(price.clone()).cost(&usage, terms).unwrap();
        let factor = |units: u64, pico: PicoUsd| {
            let sum = Rational { over: u128::from(units), under: 1 };
            let sum = sum.times(pico.get(), 1000).times(u64::from(price.service.of(terms.service).millionths()), 1_000_000);
            sum.times(u64::from(terms.factor.millionths()), 1_000_000)
        };
        let zero = factor(0, PicoUsd::ZERO);
        let exact = cost.parts.iter().map(|part| factor(part.units, part.price)).fold(zero, Rational::plus);
        prop_assert_eq!(cost.total.get() as u128, exact.ceiling());
    }

    #[test]
    fn the_parts_are_the_whole(price in any_price(), usage in any_usage(), terms in any_terms()) {
        let cost = version(price).cost(&usage, terms).unwrap();
        prop_assert_eq!(NanoUsd::checked_sum(cost.parts.iter().map(|part| part.amount)), Some(cost.total));
        prop_assert!(cost.parts.iter().all(|part| part.amount >= NanoUsd::ZERO && part.units > 0));
        let units = |classes: &[Class]| -> u64 {
            cost.parts.iter().filter(|part| classes.contains(&part.class)).map(|part| part.units).sum()
        };
        use Class::{AudioInput, AudioOutput, CacheRead, CacheWrite, CacheWrite1h, Input, Output, Reasoning};
        prop_assert_eq!(Some(units(&[Input, CacheRead, CacheWrite, CacheWrite1h, AudioInput])), usage.input);
        prop_assert_eq!(Some(units(&[Output, Reasoning, AudioOutput])), usage.output);
    }

    #[test]
    fn a_hold_is_never_less_than_any_cost_within_it(
        price in any_price(),
        usage in any_usage(),
        terms in any_terms(),
        slack in (0..100_u64, 1..4_u64),
        service in any_service(),
        audio in any::<bool>(),
        long_cache in any::<bool>(),
    ) {
        let (spare, n) = slack;
        let (asked, served) = service;
        let terms = Terms { service: asked.unless_said(), ..terms };
        let output_cap = usage.output.unwrap_or(0).div_ceil(n) + spare;
        let ask = Ask {
            input: usage.input.unwrap_or(0) + spare,
            output_cap,
            n,
            calls: terms.calls,
            images: terms.images,
            service: asked,
            factor: terms.factor,
            audio,
            long_cache,
        };
        let mut usage = Usage { served, ..usage };
        if !audio {
            (usage.audio_input, usage.audio_output) = (None, None);
        }
        if !long_cache {
            usage.cache_write_1h = None;
        }
        let cost = version(price.clone()).cost(&usage, terms).unwrap();
        prop_assert!(price.bound(&ask).unwrap() >= cost.total);
    }

    #[test]
    fn more_tokens_never_cost_less(
        price in any_price(),
        usage in any_usage(),
        terms in any_terms(),
        more in (0..100_u64, 0..100_u64),
    ) {
        let version = version(price);
        let longer = Usage {
            input: usage.input.map(|input| input + more.0),
            output: usage.output.map(|output| output + more.1),
            ..usage
        };
        let (before, after) = (version.cost(&usage, terms).unwrap(), version.cost(&longer, terms).unwrap());
        prop_assert!(after.total >= before.total, "{} then {}", before, after);
    }

    #[test]
    fn cut_anywhere_a_stream_costs_no_more_than_its_whole(price in any_price(), usage in any_usage(), cut in 0..10_000_u64) {
        let version = version(price);
        let part = Usage { output: usage.output.map(|output| output.min(cut)), ..usage };
        let (part, whole) = (version.cost(&part, Terms::default()), version.cost(&usage, Terms::default()));
        prop_assert!(part.unwrap().total <= whole.unwrap().total);
    }
}

#[test]
fn the_version_a_cost_was_made_at_is_in_it() {
    let version = version(Price::of(rates("1", "2")));
    let cost = version.cost(&used(1, 1), Terms::default()).unwrap();
    assert!(Arc::ptr_eq(&cost.version, &version.id));
}
