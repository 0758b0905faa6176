//! Where an answer took its facts from, turned into citations. Gemini counts bytes; the neutral model counts characters.

use serde::Deserialize;

use super::piece::Word;
use crate::chat::Citation;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grounding<'a> {
    #[serde(borrow)]
    grounding_chunks: Option<Vec<Chunk<'a>>>,
    grounding_supports: Option<Vec<Support>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    web: Option<Source<'a>>,
    #[serde(borrow)]
    retrieved_context: Option<Source<'a>>,
    #[serde(borrow)]
    maps: Option<Source<'a>>,
}

#[derive(Debug, Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    uri: Option<Word<'a>>,
    #[serde(borrow)]
    title: Option<Word<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Support {
    segment: Option<Segment>,
    grounding_chunk_indices: Option<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment {
    part_index: usize,
    start_index: usize,
    end_index: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CitationMetadata<'a> {
    /// Vertex calls the same list `citations`.
    #[serde(borrow, alias = "citations")]
    citation_sources: Option<Vec<CitationSource<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CitationSource<'a> {
    #[serde(default)]
    start_index: usize,
    #[serde(default)]
    end_index: usize,
    #[serde(borrow)]
    uri: Option<Word<'a>>,
    #[serde(borrow)]
    title: Option<Word<'a>>,
}

/// A citation and the part it belongs to, with offsets still in bytes of that part.
#[derive(Debug)]
pub(super) struct Cited {
    pub(super) part: usize,
    bytes: (usize, usize),
    citation: Citation,
}

impl Cited {
    /// The citation with its offsets in characters of `text`; without offsets if they do not fit it.
    pub(super) fn within(self, text: &str) -> Citation {
        let (from, to) = self.bytes;
        let characters = |bytes| text.get(..bytes).map(|before| before.chars().count() as u64);
        let (start, end) = match (characters(from), characters(to)) {
            (Some(start), Some(end)) if start < end => (Some(start), Some(end)),
            _ => (None, None),
        };
        Citation { start, end, ..self.citation }
    }
}

impl Grounding<'_> {
    /// One citation for each source of each supported passage; sources that support no passage are cited without offsets.
    pub(super) fn cited(self) -> Vec<Cited> {
        let sources: Vec<Citation> = self
            .grounding_chunks
            .unwrap_or_default()
            .into_iter()
            .map(|chunk| source(chunk.web.or(chunk.retrieved_context).or(chunk.maps)))
            .collect();
        let supports = self.grounding_supports.unwrap_or_default();
        if supports.is_empty() {
            let unplaced = |citation| cited(Segment::default(), citation);
            return sources.into_iter().map(unplaced).collect();
        }
        supports
            .into_iter()
            .flat_map(|support| {
                let segment = support.segment.unwrap_or_default();
                let indices = support.grounding_chunk_indices.unwrap_or_default();
                indices.into_iter().map(move |index| (segment, index))
            })
            .filter_map(|(segment, index)| Some(cited(segment, sources.get(index)?.clone())))
            .collect()
    }
}

impl CitationMetadata<'_> {
    pub(super) fn cited(self) -> Vec<Cited> {
        self.citation_sources
            .unwrap_or_default()
            .into_iter()
            .map(|found| Cited {
                part: 0,
                bytes: (found.start_index, found.end_index),
                citation: source(Some(Source { uri: found.uri, title: found.title })),
            })
            .collect()
    }
}

fn cited(segment: Segment, citation: Citation) -> Cited {
    Cited { part: segment.part_index, bytes: (segment.start_index, segment.end_index), citation }
}

fn source(source: Option<Source<'_>>) -> Citation {
    let (url, title) = source.map_or((None, None), |source| (source.uri, source.title));
    Citation { url: url.map(Word::owned), title: title.map(Word::owned), ..Citation::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUNDING: &str = r#"{"webSearchQueries":["q"],
        "groundingChunks":[{"web":{"uri":"https://a.example/","title":"a.example"}},{"web":{"uri":"https://b.example/"}}],
        "groundingSupports":[{"segment":{"startIndex":6,"endIndex":9,"text":"x"},"groundingChunkIndices":[0,1,9]}]}"#;

    #[test]
    fn offsets_are_counted_in_characters() {
        let cited = serde_json::from_str::<Grounding<'_>>(GROUNDING).unwrap().cited();
        let citations: Vec<Citation> = cited.into_iter().map(|one| one.within("Zürich x.")).collect();
        assert_eq!(citations.len(), 2);
        assert_eq!(citations[0].url.as_deref(), Some("https://a.example/"));
        assert_eq!((citations[0].start, citations[0].end), (Some(5), Some(8)));
        assert_eq!(citations[1].title, None);
    }

    #[test]
    fn offsets_that_do_not_fit_the_text_are_left_out() {
        let cited = serde_json::from_str::<Grounding<'_>>(GROUNDING).unwrap().cited();
        let citation = cited.into_iter().next().unwrap().within("short");
        assert_eq!((citation.start, citation.end), (None, None));
    }

    #[test]
    fn sources_without_passages_are_still_cited() {
        let json = r#"{"groundingChunks":[{"web":{"uri":"https://a.example/"}}]}"#;
        let cited = serde_json::from_str::<Grounding<'_>>(json).unwrap().cited();
        assert_eq!(cited.len(), 1);
    }
}
