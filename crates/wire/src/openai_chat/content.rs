//! Bytes of pictures and documents as chat writes them: `data:` URLs, bare base64, names that tell a type.
//! Decides spelling only. Tests are below.

use crate::chat::Media;

/// Reads a URL that may be a `data:` URL; `None` if it is one that is not base64.
pub(super) fn media(url: &str) -> Option<Media> {
    if !is_data_url(url) {
        return Some(Media::Url(url.to_owned()));
    }
    let (head, data) = url.get(5..)?.split_once(',')?;
    let (media_type, encoding) = head.rsplit_once(';')?;
    let is_base64 = encoding.trim().eq_ignore_ascii_case("base64");
    is_base64.then(|| Media::Base64 { media_type: media_type.trim().to_owned(), data: data.to_owned() })
}

/// Reads `file_data`: a `data:` URL, or bare base64 whose type only the file's name tells.
pub(super) fn document(data: &str, filename: Option<&str>) -> Option<Media> {
    if is_data_url(data) {
        return media(data);
    }
    Some(Media::Base64 { media_type: media_type(filename).to_owned(), data: data.to_owned() })
}

/// A `data:` URL of base64 text.
pub(super) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

fn is_data_url(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn media_type(filename: Option<&str>) -> &'static str {
    match filename.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension) {
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("html") => "text/html",
        _ => "application/pdf",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(media_type: &str, data: &str) -> Option<Media> {
        Some(Media::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
    }

    #[test]
    fn data_urls_are_taken_apart_and_addresses_are_kept() {
        assert_eq!(media("data:image/png;base64,iVBO"), base64("image/png", "iVBO"));
        assert_eq!(media("DATA:image/png;charset=x;BASE64,iVBO"), base64("image/png;charset=x", "iVBO"));
        assert_eq!(media("https://a/b,c"), Some(Media::Url("https://a/b,c".to_owned())));
        assert_eq!(media("data:text/plain,hello"), None);
        assert_eq!(media(&data_url("image/gif", "R0lG")), base64("image/gif", "R0lG"));
    }

    #[test]
    fn bare_data_takes_its_type_from_the_name() {
        assert_eq!(document("JVBE", None), base64("application/pdf", "JVBE"));
        assert_eq!(document("aGk=", Some("notes.md")), base64("text/markdown", "aGk="));
        assert_eq!(document("data:text/csv;base64,YQ==", Some("a.pdf")), base64("text/csv", "YQ=="));
    }
}
