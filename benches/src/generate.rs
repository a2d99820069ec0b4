//! A seeded stream of log lines in the mix of a busy web app.

use crate::lines::router::{FAILURES, ODD_SHAPES, Request};
use crate::lines::words::WEB;
use crate::lines::{addons, app, platform, router};
use crate::random::Random;
use crate::writer::{Form, Writer};

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// How the messages are written.
    pub form: Form,
    /// The time of the first message, in microseconds since 1970.
    pub from_us: i64,
    /// Microseconds from each event to the next, on average.
    pub step_us: u64,
    /// With a first key, each message of the app and each router line carries `seq=` and a key of its own.
    pub first_key: Option<u64>,
}

/// Writes log lines until asked to stop.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    writer: Writer,
    time_us: i64,
    step_us: u64,
}

impl Generator {
    /// A generator at the beginning of its stream.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            random: Random::new(options.seed),
            writer: Writer::new(options.form, options.first_key),
            time_us: options.from_us,
            step_us: options.step_us,
        }
    }

    /// What was written; empty it with [`Writer::clear`] when it is long enough.
    pub const fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Writes the messages of one event: one line mostly, several for a stack trace or a metrics pair.
    pub fn event(&mut self) {
        self.time_us += self.random.below(2 * self.step_us + 1).cast_signed();
        let (writer, random) = (&mut self.writer, &mut self.random);
        // Neighbours are a little out of order, as Logplex delivers them.
        let time_us = self.time_us - random.below(self.step_us / 2 + 1).cast_signed();
        match random.below(1_000) {
            0..600 => router_line(writer, time_us, random),
            600..766 => app::plain(writer, time_us, random),
            766..831 => app::json(writer, time_us, random),
            831..866 => app::lograge(writer, time_us, random),
            866..884 => app::logfmt(writer, time_us, random),
            884..890 => app::rails(writer, time_us, random),
            890..945 => metrics(writer, time_us, random),
            945..963 => platform::any_dyno(writer, time_us, random),
            963..966 => platform::any_api(writer, time_us, random),
            966..978 => addons::any_server_line(writer, time_us, random),
            978..988 => app::l2met(writer, time_us, random),
            988..990 => app::stack_trace(writer, time_us, random),
            990..996 => app::coloured(writer, time_us, random),
            996..999 => app::awkward(writer, time_us, random),
            _ if random.chance(50) => app::long(writer, time_us, random),
            _ => platform::any_loss(writer, time_us, random),
        }
    }
}

fn router_line(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let request = Request::any(random);
    match random.below(1_000) {
        0..5 => {
            let shape = random.below(ODD_SHAPES);
            router::odd(writer, time_us, random, shape, &request);
        }
        5..12 => {
            let failure = random.pick(&FAILURES);
            router::failed(writer, time_us, random, &failure, &request);
        }
        _ => router::request(writer, time_us, random, &request),
    }
}

fn metrics(writer: &mut Writer, time_us: i64, random: &mut Random) {
    match random.below(12) {
        0 => addons::postgres(writer, time_us, random, true),
        1 => addons::postgres(writer, time_us, random, false),
        2 => addons::pgbouncer(writer, time_us, random),
        3 => addons::redis(writer, time_us, random),
        _ => {
            let memory_mb = random.between(120, 500);
            platform::dyno_metrics(writer, time_us, random, WEB[(memory_mb % 4) as usize], memory_mb, 512);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Generator, Options};

    fn generate(form: Form, seed: u64, first_key: Option<u64>, events: usize) -> Vec<u8> {
        let options = Options { seed, form, from_us: 1_795_132_800_000_000, step_us: 1_000, first_key };
        let mut generator = Generator::new(&options);
        for _ in 0..events {
            generator.event();
        }
        generator.writer().bytes().to_vec()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(generate(Form::Cli, 9, None, 5_000), generate(Form::Cli, 9, None, 5_000));
        assert_ne!(generate(Form::Cli, 9, None, 5_000), generate(Form::Cli, 10, None, 5_000));
    }

    #[test]
    fn frames_are_octet_counted_to_the_last_byte() {
        let bytes = generate(Form::Frames, 3, None, 20_000);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
            assert!(rest[space + 1..].starts_with(b"<"), "a message begins with its priority");
            rest = &rest[space + 1 + length..];
        }
    }

    #[test]
    fn the_mix_is_that_of_a_web_app() {
        let text = String::from_utf8(generate(Form::Cli, 1, None, 100_000)).unwrap();
        let lines = text.lines().count();
        let share = |mark: &str| text.lines().filter(|line| line.contains(mark)).count() * 100 / lines;
        assert!((52..=58).contains(&share(" heroku[router]: ")), "{}", share(" heroku[router]: "));
        assert!((6..=10).contains(&share(" sample#")), "{}", share(" sample#"));
        let mean = text.len() / lines;
        assert!((180..=240).contains(&mean), "{mean} bytes a line");
    }

    #[test]
    fn keys_are_consecutive_and_none_is_missing() {
        let text = String::from_utf8_lossy(&generate(Form::Frames, 5, Some(100), 10_000)).into_owned();
        let keys: Vec<u64> = text.match_indices("seq=").map(|(at, _)| text[at + 4..at + 16].parse().unwrap()).collect();
        assert!(keys.len() > 8_000, "{}", keys.len());
        assert!(keys.iter().enumerate().all(|(index, key)| *key == 100 + index as u64));
    }
}
