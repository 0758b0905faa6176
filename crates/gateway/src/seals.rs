//! Remembers the sealed reasoning that came before a tool call, so that a caller whose dialect cannot carry seals can
//! still continue a tool loop with the provider that made them.
//!
//! Kept per channel, because seals are valid in one account; bounded, oldest out first; lost on restart, where the
//! encoders' fallbacks take over. Only translated requests with tools ever look here. Tests are below.

pub mod witness;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use waypost_core::ids::ChannelId;
use waypost_wire::chat::{Content, Part, Request, Role, Signature};

/// How many tool calls are remembered.
const CAPACITY: usize = 16_384;

/// What was sealed with one tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sealed {
    /// The reasoning parts right before the call, in order.
    pub reasoning: Vec<Part>,
    /// The seal on the call itself.
    pub call: Option<Signature>,
}

type CallKey = (ChannelId, String);

/// The bounded memory.
#[derive(Default)]
pub struct Seals(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    by_call: HashMap<CallKey, Sealed>,
    order: VecDeque<CallKey>,
}

impl Seals {
    /// Remembers what came sealed with a call.
    pub fn remember(&self, channel: ChannelId, call_id: &str, sealed: Sealed) {
        let key = (channel, call_id.to_owned());
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.by_call.insert(key.clone(), sealed).is_none() {
            memory.order.push_back(key);
        }
        if memory.order.len() > CAPACITY
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.by_call.remove(&oldest);
        }
    }

    /// Puts remembered seals back where the caller's history lost them. What the caller sent itself wins. A request
    /// without tool calls is not touched, and not copied.
    pub fn restore(&self, channel: ChannelId, request: &mut Arc<Request>) {
        let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
        if !request.messages.iter().any(|message| message.parts.iter().any(is_call)) {
            return;
        }
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.by_call.is_empty() {
            return;
        }
        let request = Arc::make_mut(request);
        for message in request.messages.iter_mut().filter(|message| message.role == Role::Assistant) {
            let mut reasoning = Vec::new();
            let sealed_already = message.parts.iter().any(is_sealed_reasoning);
            for part in &mut message.parts {
                let Content::ToolCall(call) = &part.content else { continue };
                let Some(sealed) = memory.by_call.get(&(channel, call.id.clone())) else { continue };
                if part.signature.is_none() {
                    part.signature.clone_from(&sealed.call);
                }
                if !sealed_already && reasoning.is_empty() {
                    reasoning.clone_from(&sealed.reasoning);
                }
            }
            if !reasoning.is_empty() {
                message.parts.retain(|part| !matches!(part.content, Content::Reasoning(_)));
                message.parts.splice(0..0, reasoning);
            }
        }
    }
}

fn is_sealed_reasoning(part: &Part) -> bool {
    part.signature.is_some() && matches!(part.content, Content::Reasoning(_))
}

#[cfg(test)]
mod tests {
    use waypost_wire::Dialect;
    use waypost_wire::chat::{Message, Reasoning, ToolCall, ToolKind};

    use super::*;

    fn call(id: &str) -> Part {
        let (id, name, arguments) = (id.to_owned(), "f".to_owned(), "{}".to_owned());
        Content::ToolCall(ToolCall { id, name, arguments, kind: ToolKind::Function }).into()
    }

    fn thought(text: &str, seal: Option<&str>) -> Part {
        let content = Content::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() });
        let signature = seal.map(|seal| Signature { dialect: Dialect::Anthropic, seal: seal.to_owned() });
        Part { signature, ..content.into() }
    }

    fn history(parts: Vec<Part>) -> Arc<Request> {
        let messages = vec![Message { role: Role::Assistant, parts, name: None }];
        Arc::new(Request { messages, ..Request::default() })
    }

    #[test]
    fn a_lost_seal_comes_back_before_its_call_and_only_in_its_channel() {
        let (mine, other) = (ChannelId::of("mine"), ChannelId::of("other"));
        let seals = Seals::default();
        let sealed = Sealed { reasoning: vec![thought("why", Some("s"))], call: None };
        seals.remember(mine, "call_1", sealed.clone());

        let mut request = history(vec![thought("why", None), call("call_1"), call("call_2")]);
        seals.restore(mine, &mut request);
        assert_eq!(request.messages[0].parts, [thought("why", Some("s")), call("call_1"), call("call_2")]);

        let mut foreign = history(vec![call("call_1")]);
        seals.restore(other, &mut foreign);
        assert_eq!(foreign.messages[0].parts, [call("call_1")]);
    }

    #[test]
    fn a_seal_the_caller_sent_is_left_alone() {
        let channel = ChannelId::of("mine");
        let seals = Seals::default();
        seals.remember(channel, "call_1", Sealed { reasoning: vec![thought("old", Some("old"))], call: None });
        let sent = history(vec![thought("new", Some("new")), call("call_1")]);
        let mut request = sent.clone();
        seals.restore(channel, &mut request);
        assert_eq!(request, sent);
    }

    #[test]
    fn the_oldest_calls_are_forgotten_first() {
        let channel = ChannelId::of("mine");
        let seals = Seals::default();
        for n in 0..=CAPACITY {
            let sealed = Sealed { reasoning: vec![thought("t", Some("s"))], call: None };
            seals.remember(channel, &format!("call_{n}"), sealed);
        }
        let mut first = history(vec![call("call_0")]);
        seals.restore(channel, &mut first);
        assert_eq!(first.messages[0].parts.len(), 1);
        let mut second = history(vec![call("call_1")]);
        seals.restore(channel, &mut second);
        assert_eq!(second.messages[0].parts.len(), 2);
    }
}
