//! The format in which a scraper wants the metrics.

use http::HeaderMap;
use http::header::ACCEPT;

/// The format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0, which has exemplars.
    OpenMetrics,
}

/// The weight that a media type has in `Accept`, and how closely it was matched: 3 by its own name, 2 by `type/*`, 1 by
/// `*/*`.
#[derive(Clone, Copy, Default)]
struct AcceptQuality {
    closeness: u8,
    thousandths: u16,
}

impl AcceptQuality {
    /// Takes in one media range. The closest match counts, and of several equally close ones the highest weight.
    fn hear(&mut self, said: Self) {
        if (said.closeness, said.thousandths) > (self.closeness, self.thousandths) {
            *self = said;
        }
    }
}

impl Format {
    /// The format that a request's `Accept` asks for (RFC 9110, section 12.5.1). The text format is chosen if `Accept`
    /// is missing or allows neither, and if both have the same weight, unless OpenMetrics is named.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let (mut text, mut open) = (AcceptQuality::default(), AcceptQuality::default());
        let lines = headers.get_all(ACCEPT).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        for range in lines.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut version, mut thousandths) = (None, 1000);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                if name.eq_ignore_ascii_case("q") {
                    thousandths = quality(value);
                } else if name.eq_ignore_ascii_case("version") {
                    version = Some(value.trim_matches('"'));
                }
            }
            let is_version = |ours| version.is_none_or(|version| version == ours);
            let said = |closeness| AcceptQuality {
                closeness,
                thousandths,
            };
            match media.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" if is_version("1.0.0") => open.hear(said(3)),
                "text/plain" if is_version("0.0.4") => text.hear(said(3)),
                "application/*" => open.hear(said(2)),
                "text/*" => text.hear(said(2)),
                "*/*" => {
                    open.hear(said(1));
                    text.hear(said(1));
                }
                _ => {}
            }
        }
        let is_better = open.thousandths > text.thousandths;
        let is_as_good = open.thousandths == text.thousandths && open.thousandths > 0;
        if is_better || (is_as_good && open.closeness == 3) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The media type of this format.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => prometheus::TEXT_FORMAT,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A weight from 0 to 1, in thousandths. Text that is no number counts as 0.
fn quality(text: &str) -> u16 {
    let value: f32 = text.parse().unwrap_or_default();
    (value.clamp(0.0, 1.0) * 1000.0).round() as u16
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accepted(lines: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_str(line).expect("a value"));
        }
        Format::accepted(&headers)
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for line in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "Application/OpenMetrics-Text;Version=\"1.0.0\"",
            "application/openmetrics-text, text/plain",
            "application/openmetrics-text, */*",
            "application/openmetrics-text;q=0.5, text/plain;q=0.4",
            "application/openmetrics-text;q=0.5, text/plain;q=0, */*",
            "application/*, text/plain;q=0.9",
            // As Prometheus 2.42 and 3 send it.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(accepted(&[line]), Format::OpenMetrics, "{line}");
        }
        let two = ["text/plain;q=0.3", "application/openmetrics-text;q=0.4"];
        assert_eq!(accepted(&two), Format::OpenMetrics);
    }

    #[test]
    fn everybody_else_gets_text() {
        assert_eq!(accepted(&[]), Format::Text);
        for line in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0, */*;q=0.1",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;q=0.4, text/plain;q=0.5",
            "application/openmetrics-text;q=0.4, text/*;q=0.5",
            "application/openmetrics-text; version=0.0.1, text/plain;version=0.0.4;q=0.5",
            "application/json",
        ] {
            assert_eq!(accepted(&[line]), Format::Text, "{line}");
        }
    }
}
