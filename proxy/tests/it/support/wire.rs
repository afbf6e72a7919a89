//! HTTP/1.1 read as strictly as RFC 9112 is written: what passes here has one meaning for everybody.

/// One message, request or response.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The first line, in its three parts.
    pub(crate) start: [String; 3],
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the bytes at hand begin with.
#[derive(Debug)]
pub(crate) enum ReadResult {
    /// A whole message, and how many bytes it took.
    Message(Message, usize),
    /// The beginning of one.
    Partial,
    /// Something else, and why.
    Wrong(String),
}

/// How long the body of a response is can depend on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    /// To HEAD: no body, whatever the headers say.
    HeadResponse,
}

impl Message {
    pub(crate) fn method(&self) -> &str {
        &self.start[0]
    }

    pub(crate) fn target(&self) -> &str {
        &self.start[1]
    }

    /// Of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start[1].parse().unwrap()
    }

    /// The only header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "several {name}: {self:?}");
        values.first().copied()
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter();
        named
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether its sender says that the connection ends with it.
    pub(crate) fn closes(&self) -> bool {
        let values = self.all("connection");
        values.iter().any(|value| {
            let mut options = value.split(',');
            options.any(|option| option.trim().eq_ignore_ascii_case("close"))
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// Reads one message. `ended`: no more bytes will come.
pub(crate) fn read(bytes: &[u8], kind: Kind, ended: bool) -> ReadResult {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return match bytes.iter().position(|b| *b == 0) {
            Some(_) => ReadResult::Wrong("a NUL in the head".into()),
            None => ReadResult::Partial,
        };
    };
    match head(&bytes[..end], kind) {
        Ok(message) => body(message, bytes, end + 4, kind, ended),
        Err(wrong) => ReadResult::Wrong(wrong),
    }
}

fn head(bytes: &[u8], kind: Kind) -> Result<Message, String> {
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = match kind {
        Kind::Request => first.split(' ').collect(),
        // A reason may hold spaces.
        Kind::Response | Kind::HeadResponse => first.splitn(3, ' ').collect(),
    };
    let [a, b, c] = parts.as_slice() else {
        return Err(format!("the line {first:?}"));
    };
    let version = if kind == Kind::Request { c } else { a };
    if !matches!(*version, "HTTP/1.1" | "HTTP/1.0") || first.contains(char::is_control) {
        return Err(format!("the line {first:?}"));
    }
    let mut message = Message {
        start: [*a, *b, *c].map(str::to_owned),
        headers: Vec::new(),
        body: Vec::new(),
    };
    for line in lines {
        message.headers.push(header(line)?);
    }
    Ok(message)
}

fn header(line: &str) -> Result<(String, String), String> {
    let wrong = || format!("the header {line:?}");
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let bad_value = value.chars().any(|c| c.is_ascii_control() && c != '\t');
    if name.is_empty() || !name.chars().all(token) || bad_value {
        return Err(wrong());
    }
    let trimmed = value.trim_matches([' ', '\t']);
    Ok((name.to_owned(), trimmed.to_owned()))
}

fn body(mut message: Message, bytes: &[u8], at: usize, kind: Kind, ended: bool) -> ReadResult {
    let lengths = message.all("content-length");
    let codings = message.all("transfer-encoding");
    let bodyless = kind == Kind::HeadResponse
        || (kind == Kind::Response && matches!(message.status(), 100..=199 | 204 | 304));
    if bodyless {
        return ReadResult::Message(message, at);
    }
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) if kind == Kind::Request => ReadResult::Message(message, at),
        ([], []) if ended => {
            message.body = bytes[at..].to_vec();
            ReadResult::Message(message, bytes.len())
        }
        ([], []) => ReadResult::Partial,
        ([length], []) => {
            let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            let Some(length) = length.parse::<usize>().ok().filter(|_| digits) else {
                return ReadResult::Wrong(format!("Content-Length: {length:?}"));
            };
            if bytes.len() < at + length {
                return ReadResult::Partial;
            }
            message.body = bytes[at..at + length].to_vec();
            ReadResult::Message(message, at + length)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => chunked(message, bytes, at),
        (lengths, codings) => ReadResult::Wrong(format!("framed by {lengths:?} and {codings:?}")),
    }
}

fn chunked(mut message: Message, bytes: &[u8], mut at: usize) -> ReadResult {
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return ReadResult::Partial;
        };
        let size = &bytes[at..at + line];
        let digits = size.iter().all(u8::is_ascii_hexdigit) && (1..=15).contains(&size.len());
        let text = String::from_utf8_lossy(size);
        let Some(size) = usize::from_str_radix(&text, 16).ok().filter(|_| digits) else {
            return ReadResult::Wrong(format!("the chunk size {text:?}"));
        };
        at += line + 2;
        if bytes.len() < at + size + 2 {
            return ReadResult::Partial;
        }
        if &bytes[at + size..at + size + 2] != b"\r\n" {
            // A last chunk may have trailers, which a proxy has no reason to send us.
            return ReadResult::Wrong(format!("no line end after a chunk of {size}"));
        }
        message.body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
        if size == 0 {
            return ReadResult::Message(message, at);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn the_judge_of_the_corpus_is_strict() {
    let good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET";
    let ReadResult::Message(message, 49) = read(good, Kind::Request, false) else {
        panic!("{:?}", read(good, Kind::Request, false));
    };
    assert_eq!((message.method(), message.text().as_str()), ("POST", "hi"));
    let wrong: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: +2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\n\r\n",
    ];
    for bytes in wrong {
        let read = read(bytes, Kind::Request, false);
        assert!(
            matches!(read, ReadResult::Wrong(_)),
            "{read:?} of {}",
            bytes.escape_ascii()
        );
    }
}
