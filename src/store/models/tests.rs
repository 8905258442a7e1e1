//! Files are found where they lie, and downloaded from a server on this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use std::path::Path;

use super::*;
use crate::events::{Recording, Silent};

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Sends what is asked for.
    Honest,
    /// Announces all and hangs up after so many bytes.
    CutOff(usize),
    /// Ignores ranges.
    Whole,
    /// Knows no such file.
    Missing,
    /// Sends a range that begins elsewhere.
    OtherRange,
}

/// Serves `file` under `tag`, one connection for each behaviour; tells the headers of each request.
fn serve(file: &'static [u8], tag: &'static str, behaviours: &'static [Behaviour]) -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/models/net.pkl", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    thread::spawn(move || {
        for behaviour in behaviours {
            let (stream, _) = listener.accept().unwrap();
            let headers = request(&stream);
            // The test may be over already.
            let _ = sender.send(headers.clone());
            let _ = answer(stream, (file, tag), *behaviour, &headers);
        }
    });
    (url, requests)
}

fn request(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream).lines().map(|line| line.unwrap().to_lowercase());
    lines.take_while(|line| !line.is_empty()).collect()
}

fn answer(
    mut stream: TcpStream,
    (file, tag): (&[u8], &str),
    behaviour: Behaviour,
    headers: &[String],
) -> std::io::Result<()> {
    let value = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let asked = value("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let same = value("if-range") == Some(&tag.to_lowercase());
    let from = asked.filter(|_| same && !matches!(behaviour, Behaviour::Whole)).unwrap_or(0);
    let length = file.len() - from;
    let head = match behaviour {
        Behaviour::Missing => return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        Behaviour::OtherRange => "206 Partial Content\r\ncontent-range: bytes 1-2/3".to_owned(),
        _ if from > 0 => {
            format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{}", file.len() - 1, file.len())
        }
        _ => "200 OK".to_owned(),
    };
    write!(stream, "HTTP/1.1 {head}\r\netag: {tag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
    let sent = match behaviour {
        Behaviour::CutOff(count) => &file[from..][..count],
        _ => &file[from..],
    };
    stream.write_all(sent)
}

const FILE: &[u8] = &[7; 300_000];
/// `sha256sum` of 300000 bytes of value 7.
const SHA256: &str = "08f166476de183f7a1b2874d544d37912aaf8d19b92013e1aafe233ba231024a";

#[test]
fn a_file_comes_whole_with_its_hash_and_progress() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("cache/net.pkl");
    let (url, _requests) = serve(FILE, "\"v1\"", &[Behaviour::Honest]);
    let mut events = Recording::default();
    let downloaded = fetch(&url, &target, &mut events).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), FILE);
    assert_eq!((downloaded.bytes, downloaded.sha256.as_str()), (300_000, SHA256));
    let note = std::fs::read_to_string(folder.path().join("cache/net.pkl.sha256")).unwrap();
    assert_eq!(note, format!("{SHA256}  net.pkl\n"));
    assert!(events.events.contains(&Event::Progress { done: 1, total: 1, unit: "MB" }));
    let names: Vec<_> = std::fs::read_dir(target.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_was_cut_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net.pkl");
    let (url, requests) =
        serve(FILE, "\"v1\"", &[Behaviour::CutOff(100_000), Behaviour::CutOff(50_000), Behaviour::Honest]);
    for _ in 0..2 {
        assert!(fetch(&url, &target, &mut Silent).is_err());
        assert!(!target.exists());
    }
    assert_eq!(fetch(&url, &target, &mut Silent).unwrap().sha256, SHA256);
    assert_eq!(std::fs::read(&target).unwrap(), FILE);
    let ranges: Vec<Option<String>> =
        requests.iter().map(|headers| headers.into_iter().find(|line| line.starts_with("range"))).collect();
    let range = |from: u64| Some(format!("range: bytes={from}-"));
    assert_eq!(ranges, [None, range(100_000), range(150_000)]);
}

#[test]
fn parts_of_two_versions_are_never_joined() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net.pkl");
    let (old, _requests) = serve(FILE, "\"v1\"", &[Behaviour::CutOff(100_000)]);
    assert!(fetch(&old, &target, &mut Silent).is_err());
    let (new, _requests) = serve(b"another net", "\"v2\"", &[Behaviour::Honest]);
    assert_eq!(fetch(&new, &target, &mut Silent).unwrap().bytes, 11);
    assert_eq!(std::fs::read(&target).unwrap(), b"another net");
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net.pkl");
    let (url, _requests) = serve(FILE, "\"v1\"", &[Behaviour::CutOff(100_000), Behaviour::Whole]);
    assert!(fetch(&url, &target, &mut Silent).is_err());
    assert_eq!(fetch(&url, &target, &mut Silent).unwrap().sha256, SHA256);
}

#[test]
fn what_the_server_does_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("net.pkl");
    let check = |behaviours: &'static [Behaviour], words: &str| {
        let (url, _requests) = serve(FILE, "\"v1\"", behaviours);
        let error = format!("{:#}", fetch(&url, &target, &mut Silent).unwrap_err());
        assert!(error.contains(words), "{error}");
        assert!(!target.exists());
    };
    check(&[Behaviour::Missing], "404");
    check(&[Behaviour::CutOff(10)], "cut off after 10");
    check(&[Behaviour::OtherRange], "expected those from 10");
}

fn folders(root: &Path) -> ModelFolders {
    ModelFolders {
        own: vec![root.join("models")],
        cache: root.join("cache"),
        foreign_cache: Some(root.join("downloads")),
    }
}

#[test]
fn without_a_connection_the_error_says_where_to_put_the_file() {
    let root = tempfile::tempdir().unwrap();
    // Nobody listens on a port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let origin = origin(&format!("http://127.0.0.1:{port}/a/net.pkl?download=1"));
    for place in ["cache/net.pkl", "models/net.pkl"] {
        let error = format!("{:#}", locate(&origin, &folders(root.path()), &mut Silent).unwrap_err());
        for words in [place, "no connection", "cannot download"] {
            assert!(error.contains(words), "{error}");
        }
        // A folder of the user's that is there is the better place.
        std::fs::create_dir_all(root.path().join("models")).unwrap();
    }
}

#[test]
fn a_named_model_is_found_in_every_place() {
    let root = tempfile::tempdir().unwrap();
    let Origin::Published(model) = origin("celebahq256") else { panic!("a published model") };
    assert!(model.url().ends_with("/celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl"));
    let hash = "0123456789abcdef0123456789abcdef";
    for place in [
        format!("downloads/{hash}_{}", model.file_name),
        format!("cache/{}", model.file_name),
        format!("models/{}", model.file_name),
    ] {
        let path = root.path().join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(locate(&origin("celebahq256"), &folders(root.path()), &mut Silent).unwrap(), path);
    }
}

#[test]
fn names_addresses_and_paths_are_told_apart() {
    assert_eq!(origin("https://x/y.pkl"), Origin::Url("https://x/y.pkl".into()));
    assert_eq!(origin("ffhq255"), Origin::File("ffhq255".into()));
    assert_eq!(origin("file://x"), Origin::File("file://x".into()));
    let error = locate(&origin("ffhq255"), &folders(Path::new("none")), &mut Silent).unwrap_err().to_string();
    assert!(error.contains("no such file: `ffhq255`") && error.contains("ffhq256"), "{error}");
    for url in ["http://x/", "http://x/a/..", "http://x/a/?b=c.pkl"] {
        assert!(locate(&origin(url), &folders(Path::new("none")), &mut Silent).is_err(), "{url}");
    }
}
