//! One file from the web to the disk: with progress, resumed where it was cut off, whole or not there at all.
//!
//! Bytes go to `NAME.part` beside the target. Its `NAME.part.tag` holds the server's name for the version of the file
//! (RFC 9110, section 8.8.3), so that parts of two versions are never joined. When all has come the part takes the
//! target's name, and `NAME.sha256` says what it is, as `sha256sum` writes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::events::{Event, Sink};
use crate::store::{atomic, hash};

/// A file that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its hash, as `sha256sum` prints it.
    pub sha256: String,
}

/// Time for the connection and for the answer to begin; the file itself may take as long as it takes.
const PATIENCE: Duration = Duration::from_secs(30);
const CHUNK_BYTES: usize = 1 << 16;
/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

/// Downloads `url` to `target`, going on where an earlier attempt was cut off.
///
/// # Errors
/// When there is no connection, the server has no such file, or the disk is full; what has come is kept for the next
/// attempt.
pub fn fetch(url: &str, target: &Path, sink: &mut dyn Sink) -> Result<Downloaded> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    sink.event(&Event::Started { what: format!("downloading {url}") });
    let part = Part::new(target);
    let answer = ask(url, &part)?;
    let (file, have, total) = part.open_for(&answer)?;
    let written = copy(answer.into_body(), (file, have, total), sink)?;
    if let Some(total) = total {
        ensure!(written == total, "cut off after {written} of {total} bytes; the next attempt goes on from there");
    }
    let sha256 = hash::sha256_of_file(&part.path)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    atomic::write(beside(target, ".sha256"), format!("{sha256}  {name}\n").as_bytes())?;
    fs::rename(&part.path, target).with_context(|| format!("cannot write `{}`", target.display()))?;
    // A tag without its part means nothing.
    let _ = fs::remove_file(&part.tag);
    Ok(Downloaded { bytes: written, sha256 })
}

/// The file while it comes, and the tag of the version that it is a part of.
struct Part {
    path: PathBuf,
    tag: PathBuf,
}

fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    target.with_file_name(name)
}

impl Part {
    fn new(target: &Path) -> Part {
        Part { path: beside(target, ".part"), tag: beside(target, ".part.tag") }
    }

    /// Bytes that are here and the version that they belong to.
    fn known(&self) -> Option<(u64, String)> {
        let bytes = fs::metadata(&self.path).ok()?.len();
        let tag = fs::read_to_string(&self.tag).ok()?;
        (bytes > 0 && !tag.is_empty()).then_some((bytes, tag))
    }

    /// The file to write to, the bytes that it has, and those that it will have if the server says so.
    fn open_for(&self, answer: &Response<Body>) -> Result<(File, u64, Option<u64>)> {
        let cannot = || format!("cannot write `{}`", self.path.display());
        let coming = answer.body().content_length();
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let have = self.known().map_or(0, |(have, _)| have);
            let range = header(answer, "content-range");
            let begins = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
            ensure!(begins == Some(have), "the server answered with bytes `{range}`, expected those from {have}");
            let file = OpenOptions::new().append(true).open(&self.path).with_context(cannot)?;
            return Ok((file, have, coming.map(|coming| have + coming)));
        }
        // The old part goes before its tag changes, so that the two always belong together.
        let file = File::create(&self.path).with_context(cannot)?;
        let tag = Some(header(answer, "etag")).filter(|tag| !tag.is_empty());
        atomic::write(&self.tag, tag.unwrap_or(header(answer, "last-modified")).as_bytes())?;
        Ok((file, 0, coming))
    }
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Asks for the file, or for what is missing of it if the server still has the same version.
fn ask(url: &str, part: &Part) -> Result<Response<Body>> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(None)
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some((have, tag)) = part.known() {
        request = request.header("range", format!("bytes={have}-")).header("if-range", tag);
    }
    let answer = request.call().context("no connection")?;
    match answer.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
        // The part is as long as the file or longer: it is not of this version after all.
        StatusCode::RANGE_NOT_SATISFIABLE if part.path.exists() => {
            fs::remove_file(&part.path).with_context(|| format!("cannot remove `{}`", part.path.display()))?;
            ask(url, part)
        }
        status => bail!("the server answered `{status}`"),
    }
}

fn copy(body: Body, (mut file, have, total): (File, u64, Option<u64>), sink: &mut dyn Sink) -> Result<u64> {
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let (mut written, mut reported, mut chunk) = (have, 0, vec![0; CHUNK_BYTES]);
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                file.sync_all()?;
                return Err(error).with_context(|| format!("cut off after {written} bytes"));
            }
        };
        file.write_all(&chunk[..count]).context("cannot write what was downloaded")?;
        written += count as u64;
        if written >= reported + REPORT_BYTES {
            reported = written;
            report(written, total, sink);
        }
    }
    file.sync_all().context("cannot write what was downloaded")?;
    report(written, Some(total.unwrap_or(written).max(written)), sink);
    Ok(written)
}

/// Progress in megabytes, rounded up so that a whole file is all of it.
fn report(written: u64, total: Option<u64>, sink: &mut dyn Sink) {
    if let Some(total) = total {
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        sink.event(&Event::Progress { done: megabytes(written), total: megabytes(total), unit: "MB" });
    }
}
