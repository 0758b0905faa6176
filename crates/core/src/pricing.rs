//! What usage costs: prices by class of token, versions of them in force at a time, the amount to hold before a request is
//! sent and the exact amount afterwards. Knows no account, no budget and no clock. Tests are beside the parts.
//!
//! A request is priced in three steps:
//!
//! ```
//! use waypost_core::money::{NanoUsd, PicoUsd};
//! use waypost_core::pricing::{Ask, Origin, Price, Priced, Pricing, Rates, Terms, Version};
//! use waypost_wire::chat::Usage;
//!
//! // A deployment has its versions from the compiled configuration (`deployment.prices`).
//! let price = Price::of(Rates::new(PicoUsd::per_million("1").unwrap(), PicoUsd::per_million("2").unwrap()));
//! let prices = [std::sync::Arc::new(Version::new(Origin::File, "sim/chat", 0, price))];
//!
//! // 1. Which price holds now, and may the caller be served without one? (It has a budget: it may not.)
//! let now_ms = 1_790_000_000_000;
//! let Priced::At(version) = Pricing::default().decide(&prices, now_ms, true).unwrap() else { unreachable!() };
//!
//! // 2. Hold the most the request can cost: 1000 tokens in, one answer of at most 500.
//! let hold = version.price.bound(&Ask { input: 1000, output_cap: 500, ..Ask::default() }).unwrap();
//!
//! // 3. Charge what was used.
//! let usage = Usage { input: Some(1000), output: Some(400), ..Usage::default() };
//! let cost = version.cost(&usage, Terms::default()).unwrap();
//! assert_eq!(cost.total.to_string(), "0.0018");
//! assert_eq!(cost.to_string(), "1000 input at 1 + 400 output at 2 USD/1M = 0.0018 USD");
//! assert!(hold >= cost.total);
//! ```

mod ask;
pub mod book;
mod cost;
mod factor;
mod policy;
mod price;
pub mod recorded;
pub mod rerate;
mod service;

pub use ask::{Ask, input_bound};
pub use book::{Book, ChannelPrices, Origin, Prices, Version};
pub use cost::{Class, Cost, Part, Terms};
pub use factor::Factor;
pub use policy::{Priced, Pricing, Unknown};
pub use price::{Price, Rates, Tier};
pub use service::{ServiceFactors, ServiceTier};

#[cfg(test)]
mod tests;
