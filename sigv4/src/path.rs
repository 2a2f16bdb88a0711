//! The canonical path: dot segments, repeated slashes, and how often it is encoded. Sees nothing but the
//! path.

use crate::Error;
use crate::encode::{Decoded, Encoded};
use crate::inline::Inline;
use crate::settings::{PathNormalisation, Settings, UriEncoding};
use crate::text::{Sink, put_ascii};

/// A path that is empty or absolute.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    below_root: &'a str,
}

impl<'a> Path<'a> {
    pub(crate) fn parse(path: &'a str) -> Result<Self, Error> {
        let path = if path.is_empty() { "/" } else { path };
        path.strip_prefix('/').map(|below_root| Self { below_root }).ok_or(Error::PathNotAbsolute)
    }

    /// Writes the canonical form.
    pub(crate) fn put(self, sink: &mut impl Sink, settings: Settings) {
        let segments = self.below_root.split('/');
        match settings.path {
            PathNormalisation::Off => {
                for segment in segments {
                    put_segment(sink, segment, settings.encoding);
                }
            }
            PathNormalisation::On => put_normalised(sink, segments, settings.encoding),
        }
    }
}

fn put_normalised<'a>(sink: &mut impl Sink, segments: impl Iterator<Item = &'a str>, encoding: UriEncoding) {
    let mut kept = Inline::<&str, 16>::new();
    let mut last = "";
    for segment in segments {
        match segment {
            "" | "." => {}
            ".." => kept.pop(),
            name => kept.push(name),
        }
        last = segment;
    }
    for segment in kept.as_slice() {
        put_segment(sink, segment, encoding);
    }
    // `/a/.` and `/a/..` name directories (RFC 3986, 5.2.4), so the slash stays, as in aws-sigv4 and
    // aws-c-auth. botocore drops it in these two cases; no SDK sends such a path.
    if kept.as_slice().is_empty() || matches!(last, "" | "." | "..") {
        sink.put("/");
    }
}

fn put_segment(sink: &mut impl Sink, segment: &str, encoding: UriEncoding) {
    sink.put("/");
    match encoding {
        UriEncoding::Double => put_ascii(sink, Encoded::new(segment.bytes())),
        // The documented rule encodes each byte of a name once. Decoding first makes `@` and `%40` sign
        // alike, as they name the same. botocore and aws-sigv4 sign the path as it stands: the same text for
        // a path that is strictly encoded, which theirs always are.
        UriEncoding::Single => put_ascii(sink, Encoded::new(Decoded::segment(segment))),
    }
}

#[cfg(test)]
mod tests {
    use super::Path;
    use crate::Error;
    use crate::settings::{PathNormalisation, Settings, UriEncoding};

    fn canonical(path: &str, normalisation: PathNormalisation, encoding: UriEncoding) -> String {
        let mut text = String::new();
        Path::parse(path)
            .unwrap()
            .put(&mut text, Settings { path: normalisation, encoding, ..Settings::default() });
        text
    }

    #[test]
    fn normalises() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../..", "/"),
            ("/./", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/../a", "/a"),
            ("//a//b///", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/b/../../../c", "/c"),
            ("/.a/..b/c./d..", "/.a/..b/c./d.."),
            ("/...", "/..."),
            ("/a/%2E%2E/b", "/a/%252E%252E/b"),
        ] {
            assert_eq!(canonical(path, PathNormalisation::On, UriEncoding::Double), expected, "{path}");
        }
    }

    #[test]
    fn leaves_the_path_alone_when_told_to() {
        for path in ["/", "//", "//example//", "/example1/example2/../..", "/./a/.", "/a/../"] {
            assert_eq!(canonical(path, PathNormalisation::Off, UriEncoding::Double), path);
        }
        assert_eq!(canonical("", PathNormalisation::Off, UriEncoding::Single), "/");
    }

    #[test]
    fn encodes_once_or_twice() {
        let path = "/a b/ü/%3a/x%2Fy/@+";
        assert_eq!(
            canonical(path, PathNormalisation::On, UriEncoding::Double),
            "/a%20b/%C3%BC/%253a/x%252Fy/%40%2B"
        );
        assert_eq!(
            canonical(path, PathNormalisation::On, UriEncoding::Single),
            "/a%20b/%C3%BC/%3A/x%2Fy/%40%2B"
        );
    }

    #[test]
    fn survives_more_segments_than_fit_inline() {
        let deep = "/x".repeat(100);
        assert_eq!(canonical(&deep, PathNormalisation::On, UriEncoding::Double), deep);
        let back = format!("{deep}{}/y", "/..".repeat(99));
        assert_eq!(canonical(&back, PathNormalisation::On, UriEncoding::Double), "/x/y");
    }

    #[test]
    fn refuses_a_relative_path() {
        assert_eq!(Path::parse("a/b").map(|_| ()), Err(Error::PathNotAbsolute));
    }
}
