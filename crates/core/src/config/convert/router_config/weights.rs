//! Weights with fractions as whole numbers in the same proportion. Tests are in `convert/tests.rs`.

use super::super::super::node::Node;
use super::super::{NoteKind, Report};

/// How many digits after the point count.
const DIGITS: usize = 2;

/// Makes the weights of all channels whole, if one of them is not.
pub(super) fn make_whole(channels: &mut [Node], report: &mut Report) {
    let fraction = |channel: &Node| {
        let weight = channel.get("weight")?;
        weight.scalar().is_some_and(|text| text.contains('.') && hundredfold(text).is_some()).then_some(weight.mark)
    };
    let Some(mark) = channels.iter().find_map(fraction) else { return };
    report.note(NoteKind::Changed, mark, "channels.weight", "weights are whole: all are taken a hundredfold");
    for channel in channels {
        if let Some((whole, mark)) =
            channel.get("weight").and_then(|weight| Some((hundredfold(weight.scalar()?)?, weight.mark)))
        {
            channel.set(&["weight"], Node::plain(mark, whole));
        } else if channel.get("weight").is_none() {
            let mark = channel.mark;
            channel.set(&["weight"], Node::plain(mark, "100"));
        }
    }
}

/// `0.25` is `25`; `None` of what is no such number.
fn hundredfold(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("00".chars()).take(DIGITS).collect();
    let number: u64 = format!("{whole}{digits}").parse().ok()?;
    Some(number.to_string())
}
