//! The trace a request is part of, as a caller says it: W3C Trace Context, version 00 and what later versions keep of it.
//! Decides what is a valid `traceparent`; knows no header map and no exporter. Tests are below.

/// A caller's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    /// The caller's span, the parent of ours.
    pub span_id: u64,
    /// The caller records its part.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` if it is not one, in which case the trace begins here.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let version = number(version, 2)?;
        // A later version may add fields; this one has four.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let context = Self {
            trace_id: number(trace, 32)?,
            span_id: u64::try_from(number(span, 16)?).ok()?,
            sampled: number(flags, 2)? & 1 == 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }
}

/// So many lower-case hexadecimal digits, as the standard has it.
fn number(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_parent_is_read_and_anything_else_is_none() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sampled = TraceContext::parse(&format!("00-{trace}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!(sampled.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((sampled.span_id, sampled.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert!(!TraceContext::parse(&format!("00-{trace}-00f067aa0ba902b7-02")).unwrap().sampled);
        assert!(TraceContext::parse(&format!("01-{trace}-00f067aa0ba902b7-01-more")).is_some());
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}0-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-+1"),
            format!("00-{trace}-00f067aa0ba902b7"),
        ] {
            assert_eq!(TraceContext::parse(&wrong), None, "{wrong}");
        }
    }
}
