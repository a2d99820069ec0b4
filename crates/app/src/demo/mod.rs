//! `freshet demo`: a company on a Heroku of this machine, and what it says in a lake.

mod numbers;
mod questions;
mod view;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use freshet_fake_heroku::{FakeHeroku, FakeOptions};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::cli::{DemoArgs, Global};
use crate::config::{Settings, duration};
use crate::daemon::{Pipeline, Stopped};
use crate::exit::{Exit, Failure};
use crate::lake::Address;
use crate::output::Printer;
use crate::signals::Signals;
use numbers::Numbers;
use questions::{ready_queries, watch_lake};
use view::{Key, View, plain, summary};

/// How often the numbers are taken and the keys are read.
const TICK: Duration = Duration::from_millis(50);

/// Ticks between two pictures.
const TICKS_PER_PICTURE: u32 = 5;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How long the drains may take in the end to hand over what they hold.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// How long a demo without an end goes on at its speed; then its story has reached the present, and goes on at ours.
const WITHOUT_END: Duration = Duration::from_secs(30 * 60);

/// The hour of a working day, in UTC, at which the story begins: people are at work and visitors are about.
const STORY_BEGINS_HOUR: i8 = 13;

const BEYOND_CALENDAR: &str = "--for times --speed is more than a calendar holds; choose less";

/// The file that says that a folder is a demo's, and may be emptied for the next one.
const MARKER: &str = "freshet-demo.txt";

/// Runs the verb: no account, no configuration.
///
/// # Errors
/// The folder is somebody else's or cannot be written, or the daemon cannot start.
pub(crate) async fn run(global: &Global, args: &DemoArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(global);
    let ends_after = args.end()?;
    let length = Duration::try_from_secs_f64(ends_after.unwrap_or(WITHOUT_END).as_secs_f64() * args.speed);
    let story_begins = story_begins(length.context(BEYOND_CALENDAR)?)?;
    let place = Place::begin(&args.dir)?;
    let secret = uuid::Uuid::new_v4().simple().to_string();
    let settings = Settings::for_demo(&secret);
    let began = Instant::now();
    let mut signals = Signals::new()?;
    let mut daemon =
        Pipeline::start(&settings, SocketAddr::from(([127, 0, 0, 1], 0)), &Address::folder(place.lake.clone()), &place.data).await?;
    let fake = FakeHeroku::start(fake_options(args, story_begins)).await.context("the fake Heroku cannot start")?;
    for (id, name) in fake.apps() {
        fake.add_drain(&id, &format!("http://freshet:{secret}@{}/drain/{name}", daemon.address()))?;
    }
    let lake_seen = watch_lake(place.lake.clone());
    let mut numbers = Numbers::new(began, ends_after, args.speed, place.lake.clone(), lake_seen);
    let mut screen = Screen::new(global, printer)?;
    let mut ticks = tokio::time::interval(TICK);
    let mut tick = 0_u32;
    let mut failed = None;
    loop {
        tokio::select! {
            ended = daemon.failed() => {
                failed = Some(ended);
                break;
            }
            _ = signals.next() => break,
            _ = ticks.tick() => {}
        }
        tick = tick.wrapping_add(1);
        let frame = numbers.take(&fake, daemon.live());
        if ends_after.is_some_and(|end| frame.elapsed >= end) || screen.show(frame, tick)? {
            break;
        }
    }
    fake.pause();
    let story = fake.story_time().duration_since(story_begins);
    screen.wait_for(&mut signals, fake.settled(SETTLE_WITHIN)).await;
    let elapsed = began.elapsed();
    let live = daemon.live().clone();
    let stopped = screen.wait_for(&mut signals, daemon.stop(&settings)).await;
    screen.wait_for(&mut signals, numbers.look_once_more()).await;
    let frame = numbers.take(&fake, &live).clone();
    drop(screen);
    if let Some(ended) = failed {
        ended.context("the receiver ended without an answer")??;
    }
    if stopped != Some(Stopped::Drained) {
        printer.note("Not everything is in its tables yet: the end came first. The rest is in the spool.");
    }
    let story = Duration::try_from(story).unwrap_or_default();
    summary(&numbers::summary(&frame, elapsed, story, ready_queries(&place.lake)), printer)?;
    Ok(Exit::Ok)
}

impl DemoArgs {
    fn end(&self) -> anyhow::Result<Option<Duration>> {
        if !(self.speed.is_finite() && self.speed >= 1.0 && self.rate.is_finite() && self.rate > 0.0) {
            return Err(Failure::error(Exit::Failed, "--speed must be 1 or more, and --rate more than 0"));
        }
        let read = |text: &String| duration(text).filter(|span| !span.is_zero());
        match &self.ends_after {
            Some(text) => match read(text) {
                Some(span) => Ok(Some(span)),
                None => Err(Failure::error(Exit::Failed, "--for wants a time span such as 60s or 5m")),
            },
            None => Ok(None),
        }
    }
}

/// The latest working day at which a story of this length can begin and be over by now.
fn story_begins(length: Duration) -> anyhow::Result<Timestamp> {
    let latest = Timestamp::now().checked_sub(SignedDuration::try_from(length)?).context(BEYOND_CALENDAR)?;
    let mut day = latest.to_zoned(TimeZone::UTC).date();
    loop {
        let begins = day.at(STORY_BEGINS_HOUR, 0, 0, 0).to_zoned(TimeZone::UTC)?.timestamp();
        if begins <= latest && !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            return Ok(begins);
        }
        day = day.yesterday().context(BEYOND_CALENDAR)?;
    }
}

fn fake_options(args: &DemoArgs, begins_at: Timestamp) -> FakeOptions {
    FakeOptions {
        seed: args.seed,
        speed: args.speed,
        apps: args.apps,
        lines_per_second: args.rate,
        begins_at,
        faults: BTreeMap::new(),
        ..FakeOptions::default()
    }
}

/// Where a demo lies.
struct Place {
    lake: String,
    data: PathBuf,
    /// Held while the demo runs, so that another one does not empty the folder under it.
    _marker: fs::File,
}

impl Place {
    /// Makes the folder, and returns its marker, locked.
    fn make(dir: &Path) -> anyhow::Result<fs::File> {
        let cannot = |doing: &str| format!("the demo's folder {} cannot be {doing}", dir.display());
        let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !dir.join(MARKER).exists() {
            let problem = format!("{} has files that are no demo's; name another folder with --dir", dir.display());
            return Err(Failure::error(Exit::Failed, problem));
        }
        fs::create_dir_all(dir).with_context(|| cannot("made"))?;
        let marker =
            fs::File::options().create(true).truncate(false).write(true).open(dir.join(MARKER)).with_context(|| cannot("written"))?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let problem = format!("a demo is running in {}; end it, or name another folder with --dir", dir.display());
                return Err(Failure::error(Exit::TryAgain, problem));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error).with_context(|| cannot("locked")),
        }
        let text = "What `freshet demo` wrote; the next demo begins by removing it.\n";
        (&marker).write_all(text.as_bytes()).with_context(|| cannot("written"))?;
        Ok(marker)
    }

    /// Makes the folder, or empties it of the last demo: each demo tells a story of its own, and two in one lake would contradict each other.
    fn begin(dir: &Path) -> anyhow::Result<Self> {
        let marker = Self::make(dir)?;
        let place = Self { lake: dir.join("lake").display().to_string(), data: dir.join("data"), _marker: marker };
        for old in [Path::new(&place.lake), &place.data] {
            match fs::remove_dir_all(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("the last demo in {} cannot be removed", dir.display()));
                }
                _ => {}
            }
        }
        Ok(place)
    }
}

/// The picture on a terminal, or a line now and then.
enum Screen {
    Picture(Box<View>),
    Lines { printer: Printer, next: Duration },
}

impl Screen {
    fn new(global: &Global, printer: Printer) -> anyhow::Result<Self> {
        if is_picture(global) {
            return Ok(Self::Picture(Box::new(View::new(!global.is_plain())?)));
        }
        Ok(Self::Lines { printer, next: Duration::ZERO })
    }

    /// Shows the frame if it is time; whether the person has had enough.
    fn show(&mut self, frame: &view::Frame, tick: u32) -> anyhow::Result<bool> {
        match self {
            Self::Picture(view) => {
                let key = view.next_key().context("the terminal is gone")?;
                if key == Some(Key::Redraw) || tick.is_multiple_of(TICKS_PER_PICTURE) {
                    view.draw(frame).context("the terminal is gone")?;
                }
                Ok(key == Some(Key::End))
            }
            Self::Lines { printer, next } => {
                if frame.elapsed >= *next {
                    *next = frame.elapsed + LINE_EVERY;
                    printer.note(&plain(frame));
                }
                Ok(false)
            }
        }
    }

    /// Waits for `work`, or for the person to end that too: then there is no result.
    async fn wait_for<T>(&mut self, signals: &mut Signals, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                _ = signals.next() => return None,
                () = tokio::time::sleep(TICK) => {}
            }
            if let Self::Picture(view) = self
                && matches!(view.next_key(), Ok(Some(Key::End)) | Err(_))
            {
                return None;
            }
        }
    }
}

/// Where the log goes while the picture is on the terminal.
///
/// # Errors
/// The folder is somebody else's, or cannot be written.
pub(crate) fn log_file(args: &DemoArgs) -> anyhow::Result<fs::File> {
    let _marker = Place::make(&args.dir)?;
    let path = args.dir.join("freshet.log");
    fs::File::create(&path).with_context(|| format!("{} cannot be written", path.display()))
}

/// Whether the demo draws a picture: then nothing else may write to the terminal.
#[must_use]
pub(crate) fn is_picture(global: &Global) -> bool {
    io::stderr().is_terminal() && Printer::new(global).is_text() && !global.quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_begins_at_work_and_ends_by_now() {
        for hours in [0, 1, 20, 200, 100_000] {
            let length = Duration::from_secs(hours * 3600);
            let begins = story_begins(length).unwrap().to_zoned(TimeZone::UTC);
            assert!(begins.timestamp() + SignedDuration::try_from(length).unwrap() <= Timestamp::now(), "{hours}");
            assert!((begins.hour() == STORY_BEGINS_HOUR) && begins.weekday().to_monday_zero_offset() < 5, "{begins}");
        }
        assert!(story_begins(Duration::MAX).is_err());
    }
}
