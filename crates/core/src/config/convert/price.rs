//! `cost_per_token: {input, output}` in our words: USD for a million tokens, by moving the point and not by arithmetic.
//! A number whose unit nobody says is no price. Tests are in `tests.rs` beside this.

use super::super::node::{Node, Value};
use super::section::Section;
use super::{NoteKind, Report};

/// Takes what a section says a token costs; `None` if it says nothing that can be understood, which is told.
pub(super) fn take(section: &mut Section, report: &mut Report) -> Option<Node> {
    section.keep(&["pricing", "cost"], "what it is the price of is not said; set `price`", report);
    let whole = section.take(&["cost_per_token"]);
    let (mark, (input, output)) = match whole {
        Some(entry) => (entry.node.mark, both(&entry.node)),
        None => {
            let input = section.take(&["input_cost_per_token"]).map(|entry| entry.node);
            let output = section.take(&["output_cost_per_token"]).map(|entry| entry.node);
            (input.as_ref().or(output.as_ref())?.mark, (input, output))
        }
    };
    let shifted = |node: Option<Node>| node.and_then(|node| Some(Node::plain(node.mark, per_million(node.scalar()?)?)));
    let path = section.path_of("cost_per_token");
    let (is_output_said, Some(input), output) = (output.is_some(), shifted(input), shifted(output)) else {
        report.note(NoteKind::Kept, mark, path, "this is no decimal number of USD for one token; set `price`");
        return None;
    };
    if is_output_said && output.is_none() {
        report.note(NoteKind::Kept, mark, path, "this is no decimal number of USD for one token; set `price`");
        return None;
    }
    report.note(NoteKind::Understood, mark, path, "USD for a token is a millionth of USD for a million tokens");
    let mut price = Node::empty_map(mark);
    price.set(&["input"], input);
    output.into_iter().for_each(|output| price.set(&["output"], output));
    Some(price)
}

/// One number is the price of either direction.
fn both(node: &Node) -> (Option<Node>, Option<Node>) {
    match &node.value {
        Value::Map(_) => {
            let told = |keys: [&str; 2]| keys.iter().find_map(|key| node.get(key)).cloned();
            (told(["input", "prompt"]), told(["output", "completion"]))
        }
        Value::Scalar { .. } | Value::List(_) => (Some(node.clone()), Some(node.clone())),
    }
}

/// `0.0000025` and `2.5e-6` are `2.5`.
fn per_million(text: &str) -> Option<String> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= 12)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 40 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the point.
    let before = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(6)?;
    let padded = format!("{}{all}{}", "0".repeat(usize::try_from(-before).unwrap_or(0)), "0".repeat(32));
    let (whole, fraction) = padded.split_at_checked(usize::try_from(before).unwrap_or(0))?;
    let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
    match fraction.trim_end_matches('0') {
        "" => Some(whole.to_owned()),
        fraction => Some(format!("{whole}.{fraction}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_is_moved_and_nothing_is_rounded() {
        for (token, million) in [
            ("0.000005", Some("5")),
            ("0.0000025", Some("2.5")),
            ("2.5e-6", Some("2.5")),
            ("1E-7", Some("0.1")),
            ("1e-9", Some("0.001")),
            ("0.000000123456", Some("0.123456")),
            ("0", Some("0")),
            ("1", Some("1000000")),
            ("-1", None),
            ("free", None),
            ("1e99", None),
            ("", None),
        ] {
            assert_eq!(per_million(token).as_deref(), million, "{token}");
        }
    }
}
