//! What a request asks for, whichever API it came by: the one thing that chooses the answer.
//! It must not know any API's field names. Tests are those of the APIs.

/// The kind of answer a request is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The status a text asks for by `[fail 503]`.
    Fail(u16),
    /// An error in the middle of the stream, by `[break]`.
    Break,
    /// A stream that ends without its end, by `[cut]`.
    Cut,
    /// One call of `get_weather`.
    Call,
    /// Calls of `get_weather` and `get_time`.
    Calls,
    /// The sentence after the tools have answered.
    ToolAnswer,
    /// The description of an image.
    Image,
    /// A JSON object.
    Json,
    /// A sum, thought about aloud.
    Thinking,
    /// A greeting.
    Plain,
}

/// What an API's reader found in a request.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The texts of the last user turn.
    pub(super) text: String,
    /// The history ends with a tool's result.
    pub(super) tool_result: bool,
    /// The last user turn has an image.
    pub(super) image: bool,
    /// JSON was asked for.
    pub(super) json: bool,
    /// Thoughts were asked for.
    pub(super) thinking: bool,
    /// The names of the tools that may be called.
    pub(super) tools: Vec<String>,
    /// No more than one call is allowed.
    pub(super) single: bool,
}

impl Seen {
    pub(super) fn ask(&self) -> Ask {
        if let Some(status) = self.marked_status() {
            return Ask::Fail(status);
        }
        let offered = |name: &str| self.tools.iter().any(|tool| tool == name);
        match () {
            () if self.text.contains("[break]") => Ask::Break,
            () if self.text.contains("[cut]") => Ask::Cut,
            () if self.tool_result => Ask::ToolAnswer,
            () if offered("get_weather") && offered("get_time") && !self.single => Ask::Calls,
            () if offered("get_weather") => Ask::Call,
            () if self.json => Ask::Json,
            () if self.image => Ask::Image,
            () if self.thinking => Ask::Thinking,
            () => Ask::Plain,
        }
    }

    fn marked_status(&self) -> Option<u16> {
        let (_, rest) = self.text.split_once("[fail ")?;
        rest.split_once(']')?.0.parse().ok()
    }
}
