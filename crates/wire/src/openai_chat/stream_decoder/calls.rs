//! Tells the pieces of one choice's tool calls apart: by index, else by id, else by order.
//! Decides when a call is known well enough to be announced: once its name is.

use crate::chat::event::Event;
use crate::chat::{Signature, ToolKind};
use crate::openai_chat::answer::{self, Function, said};

/// The calls of one choice, in the order they began.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Open>);

#[derive(Debug, Default)]
struct Open {
    index: Option<u64>,
    id: String,
    kind: ToolKind,
    signature: Option<Signature>,
    announced: bool,
    /// Arguments that came before the name.
    held: String,
}

/// One piece, whatever spelling it came in.
struct Piece<'t> {
    index: Option<u64>,
    id: &'t str,
    name: &'t str,
    arguments: &'t str,
    kind: ToolKind,
    signature: Option<Signature>,
}

impl Piece<'_> {
    fn says_nothing(&self) -> bool {
        self.id.is_empty() && self.name.is_empty() && self.arguments.is_empty()
    }
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn piece(
        &mut self,
        choice: u32,
        call: &answer::Call<'_>,
        signature: Option<Signature>,
        out: &mut Vec<Event>,
    ) {
        let piece = Piece {
            index: call.index.0,
            id: said(&call.id).unwrap_or_default(),
            name: call.name(),
            arguments: call.arguments(),
            kind: call.kind(),
            signature,
        };
        self.read(choice, piece, out);
    }

    /// A piece of the one call of the old form.
    pub(super) fn function_piece(&mut self, choice: u32, function: &Function<'_>, out: &mut Vec<Event>) {
        let piece = Piece {
            index: None,
            id: "",
            name: said(&function.name).unwrap_or_default(),
            arguments: said(&function.arguments).unwrap_or_default(),
            kind: ToolKind::Function,
            signature: None,
        };
        self.read(choice, piece, out);
    }

    /// The choice is over: a call that never got a name is told without one.
    pub(super) fn finish(&mut self, choice: u32, out: &mut Vec<Event>) {
        for (number, open) in (0..).zip(&mut self.0) {
            if !open.announced {
                open.announce(choice, number, "", out);
            }
        }
    }

    fn read(&mut self, choice: u32, piece: Piece<'_>, out: &mut Vec<Event>) {
        let place = self.place(&piece);
        if place.is_none() && piece.says_nothing() {
            return;
        }
        let at = place.unwrap_or_else(|| {
            self.0.push(Open { index: piece.index, kind: piece.kind, ..Open::default() });
            self.0.len() - 1
        });
        let Some(open) = self.0.get_mut(at) else {
            return;
        };
        let call = u32::try_from(at).unwrap_or(u32::MAX);
        if open.announced {
            if !piece.arguments.is_empty() {
                out.push(Event::ToolArguments { choice, call, text: piece.arguments.to_owned() });
            }
            return;
        }
        if open.id.is_empty() {
            piece.id.clone_into(&mut open.id);
        }
        open.signature = open.signature.take().or(piece.signature);
        open.held.push_str(piece.arguments);
        if !piece.name.is_empty() {
            open.announce(choice, call, piece.name, out);
        }
    }

    /// The call a piece belongs to; `None` if it begins another.
    fn place(&self, piece: &Piece<'_>) -> Option<usize> {
        let at = match piece.index {
            Some(index) => self.0.iter().rposition(|open| open.index == Some(index)),
            None if piece.id.is_empty() => self.0.len().checked_sub(1),
            None => self.0.iter().rposition(|open| open.id == piece.id),
        }?;
        // Some vendors number every call 0, or none; a name with another id, or without any, begins a new one.
        let open = self.0.get(at)?;
        let other = match (piece.index, piece.id) {
            (Some(_), id) => !id.is_empty() && !open.id.is_empty() && id != open.id,
            (None, id) => id.is_empty() && open.announced,
        };
        (!other || piece.name.is_empty()).then_some(at)
    }
}

impl Open {
    fn announce(&mut self, choice: u32, call: u32, name: &str, out: &mut Vec<Event>) {
        self.announced = true;
        out.push(Event::ToolCall {
            choice,
            call,
            id: self.id.clone(),
            name: name.to_owned(),
            kind: self.kind,
            signature: self.signature.take(),
        });
        if !self.held.is_empty() {
            out.push(Event::ToolArguments { choice, call, text: std::mem::take(&mut self.held) });
        }
    }
}
