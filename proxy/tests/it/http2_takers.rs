//! HTTP/2 clients that take nothing of their answers, or next to nothing: they hold nothing for ever.

use testbed::http2::{PREFACE, block, frame, kind, request_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};

use crate::support::{NO_EJECTION, PATIENCE, Reply, Rig, Upstream, eventually, shop};

const LIMITS: &str = "[limits]\nsend_timeout = \"500ms\"\nidle_timeout = \"1s\"\n";

/// The settings of a client whose streams have room for nothing (RFC 9113, section 6.5.2).
const NO_ROOM: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// Flags of a head that is whole, and the whole request.
const WHOLE: u8 = 5;

/// A request without a body; other fields may follow the usual ones.
fn request(stream: u32, method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = block(&request_for(method, path, fields));
    frame(kind::HEADERS, WHOLE, stream, &block)
}

/// A proxy before an upstream whose answers are larger than what is read ahead.
async fn rig() -> (Upstream, Rig) {
    let large = "x".repeat(4 * 1024 * 1024);
    let upstream = Upstream::with(move |_| Reply::Answer(200, vec![], large.clone())).await;
    let config = format!("{LIMITS}{}", shop(NO_EJECTION, [&upstream]));
    let rig = Rig::with("", "h2c = true", &config).await;
    (upstream, rig)
}

async fn connect(rig: &Rig, requests: &[Vec<u8>]) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let begin = [PREFACE, &frame(kind::SETTINGS, 0, 0, &NO_ROOM)].concat();
    stream.write_all(&begin).await.unwrap();
    stream.write_all(&requests.concat()).await.unwrap();
    stream
}

/// All that comes until the connection ends.
async fn all(mut stream: impl AsyncReadExt + Unpin) -> Vec<u8> {
    let mut said = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // A reset is an end as well.
    _ = end.expect("the connection ends");
    said
}

async fn nothing_is_held(rig: &Rig) {
    eventually("nothing is held", async || {
        rig.metric("store_proxy_connections", &[]).await == 0.0
            && rig.metric("store_proxy_upstream_in_flight", &[]).await == 0.0
    })
    .await;
}

/// Type, stream and bytes of the payload of each whole frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, usize)> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        found.push((head[3], stream, length));
        bytes = rest.get(length..).unwrap_or_default();
    }
    found
}

/// One answer is the upstream's, the others are the proxy's own. None of these waits in a session, whose deadline would
/// end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_room_for_any_answer_is_cut_off() {
    let (upstream, rig) = rig().await;
    let large = |stream| request(stream, "GET", "/large", &[]);
    let traced = |stream| request(stream, "TRACE", "/", &[]);
    let refused = |stream| request(stream, "GET", "/", &[("host", "other.example")]);
    for requests in [
        vec![large(1)],
        vec![traced(1)],
        vec![refused(1)],
        vec![large(1), traced(3), refused(5), large(7), traced(9)],
    ] {
        let said = all(connect(&rig, &requests).await).await;
        let said = frames(&said);
        let heads = said.iter().filter(|(kind, ..)| *kind == kind::HEADERS);
        assert_eq!(heads.count(), requests.len(), "{said:?}");
        let has_data = said.iter().any(|(kind, ..)| *kind == kind::DATA);
        assert!(!has_data, "{said:?}");
        nothing_is_held(&rig).await;
    }
    assert_eq!(upstream.count(), 3);
}

/// It makes room for a byte again and again. What is written at once has one deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_room_for_a_byte_at_a_time_is_cut_off() {
    let (_upstream, rig) = rig().await;
    let stream = connect(&rig, &[request(1, "GET", "/large", &[])]).await;
    let (reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        let one = frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        while writer.write_all(&one).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let said = frames(&all(reader).await);
    let one_byte = (kind::DATA, 1, 1);
    assert!(said.contains(&one_byte), "it took some: {said:?}");
    let reset = |(kind, stream, _): &(u8, u32, usize)| (*kind, *stream) == (kind::RST_STREAM, 1);
    assert!(said.iter().any(reset), "{said:?}");
    nothing_is_held(&rig).await;
    drip.abort();
}
