//! The app's own lines: plain, JSON, logfmt, Rails, l2met, stack traces, and the ones that are no text at all.

use crate::lines::words::{PRODUCTS, Page, WEB, WORKERS, address};
use crate::random::Random;
use crate::text::Text;
use crate::writer::{Form, Process, Writer};

/// Writes a line for people.
pub fn plain(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let shape = random.below(8);
    let process = Process::app(if shape < 3 { random.pick(&WORKERS) } else { random.pick(&WEB) });
    writer.message(time_us, process, |text| {
        match shape {
            0 => {
                text.str("[Worker(host:").uuid(random).str(" pid:1)] Order#send_receipt completed after 0.").padded(random.below(10_000), 4)
            }
            1 => text.str("[Worker(host:").uuid(random).str(" pid:1)] ").number(random.below(20)).str(" jobs processed, 0 failed ..."),
            2 => text.str("stock of ").str(random.pick(&PRODUCTS)).str(" is now ").number(random.below(400)),
            3 => {
                text.str("INFO:     ");
                address(text, random);
                text.str(":0 - \"GET /products/").number(random.below(5_000)).str(" HTTP/1.1\" 200 OK")
            }
            4 => text.str("Read fragment views/products/").number(random.below(5_000)).str(" (").hundredths(random.below(900)).str("ms)"),
            5 => text.str("order ").number(random.between(100_000, 999_999)).str(" paid: ").hundredths(random.below(90_000)).str(" EUR"),
            6 => text.str("cache miss for product:").number(random.below(5_000)).str(", asking the database: naïve lookup ✓"),
            _ => {
                text.str("[3] - Worker ").number(random.below(4)).str(" (PID: ").number(random.below(99)).str(") booted in 1.42s, phase: 0")
            }
        };
        text.key(" ");
    });
}

/// Writes a JSON object.
pub fn json(writer: &mut Writer, time_us: i64, random: &mut Random) {
    const LEVELS: [&str; 6] = ["info", "info", "info", "debug", "warn", "error"];
    writer.message(time_us, Process::app(random.pick(&WEB)), |text| {
        text.str("{\"level\":\"").str(random.pick(&LEVELS)).str("\",\"msg\":\"order placed").key(" ").str("\",\"request_id\":\"");
        text.uuid(random).str("\",\"order\":{\"id\":").number(random.between(100_000, 999_999)).str(",\"product\":\"");
        text.str(random.pick(&PRODUCTS)).str("\",\"amount\":").hundredths(random.below(90_000));
        text.str(",\"gift\":false,\"coupon\":null},\"duration_ms\":").hundredths(random.long_tailed(4_000)).str("}");
    });
}

/// Writes a lograge line: Rails' request log as one line of logfmt.
pub fn lograge(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let page = Page::any(random);
    writer.message(time_us, Process::app(random.pick(&WEB)), |text| {
        text.str("method=").str(page.method()).str(" path=");
        page.write(text);
        text.str(" format=html controller=ShopController action=show status=200 duration=").hundredths(random.long_tailed(6_000));
        text.str(" view=").hundredths(random.below(3_000)).str(" db=").hundredths(random.below(3_000)).str(" request_id=").uuid(random);
    });
}

/// Writes a line of logfmt with quoted values.
pub fn logfmt(writer: &mut Writer, time_us: i64, random: &mut Random) {
    writer.message(time_us, Process::app(random.pick(&WORKERS)), |text| {
        text.str("level=info msg=\"receipt sent").key(" ").str("\" order=").number(random.between(100_000, 999_999));
        text.str(" product=").str(random.pick(&PRODUCTS)).str(" took=").number(random.long_tailed(80)).str("ms retry=false note=\"\"");
    });
}

/// Writes the lines that Rails writes about one request.
pub fn rails(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let process = Process::app(random.pick(&WEB));
    let page = Page::any(random);
    let mut id = Text::default();
    id.uuid(random);
    let tag = |text: &mut Text| {
        text.str("[").raw(id.bytes()).str("] ");
    };
    writer.message(time_us, process, |text| {
        tag(text);
        text.str("Started ").str(page.method()).str(" \"");
        page.write(text);
        text.str("\" for ");
        address(text, random);
        text.str(" at ").moment(time_us, " ").str(" +0000");
    });
    writer.message(time_us + 900, process, |text| {
        tag(text);
        text.str("Processing by ShopController#show as HTML").key(" ");
    });
    writer.message(time_us + 60_000, process, |text| {
        let view = random.below(5_000);
        let records = random.below(3_000);
        tag(text);
        text.str("Completed 200 OK in ").number((view + records) / 100 + 3).str("ms (Views: ").hundredths(view);
        text.str("ms | ActiveRecord: ").hundredths(records).str("ms)").key(" ");
    });
}

/// Writes measurements of the app's own, as l2met reads them.
pub fn l2met(writer: &mut Writer, time_us: i64, random: &mut Random) {
    writer.message(time_us, Process::app(random.pick(&WORKERS)), |text| {
        text.str("source=worker measure#receipts.time=").hundredths(random.long_tailed(2_000)).str("ms count#receipts.sent=");
        text.number(random.below(9)).str(" sample#queue.depth=").number(random.below(300)).str(" unique#customer=");
        text.number(random.below(9_999)).key(" ");
    });
}

/// Writes a stack trace: as many messages as it has frames, all of one time.
pub fn stack_trace(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let process = Process::app(random.pick(&WEB));
    writer.message(time_us, process, |text| {
        text.str("ActiveRecord::LockWaitTimeout (canceling statement due to lock timeout):").key(" ");
    });
    writer.message(time_us, process, |_| {});
    for frame in 0..random.between(5, 15) {
        writer.message(time_us, process, |text| {
            text.str("app/models/cart.rb:")
                .number(17 + frame * 3)
                .str(":in `block in reserve_")
                .str(random.pick(&PRODUCTS))
                .str("'")
                .key(" # ");
        });
    }
}

/// Writes a line with colour codes.
pub fn coloured(writer: &mut Writer, time_us: i64, random: &mut Random) {
    writer.message(time_us, Process::app(random.pick(&WEB)), |text| {
        text.str("\u{1b}[1m\u{1b}[36mOrder Load (")
            .hundredths(random.below(500))
            .str("ms)\u{1b}[0m  \u{1b}[32mSELECT \"orders\".* FROM \"orders\"\u{1b}[0m");
        text.key(" ");
    });
}

/// Writes a message that is hard on whoever expects neat text; bytes that are no UTF-8 and newlines only in frames.
pub fn awkward(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let frames = writer.form() == Form::Frames;
    let shape = random.below(6);
    writer.message(time_us, Process::app(random.pick(&WEB)), |text| {
        match shape {
            0 if frames => text.raw(b"upload \xff\xfe is no text\xc3"),
            1 if frames => text.str("two\nlines in one message"),
            2 if frames => text.str("a NUL \0 in the middle"),
            3 => text.str("{\"level\":\"info\",\"msg\":\"cut in the mid"),
            4 => text.str("{not json} at=info but=\"unclosed"),
            _ => return,
        };
        text.key(" ");
    });
}

/// Writes a line that Logplex cuts into chunks.
pub fn long(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let bytes = random.between(10_001, 24_000) as usize;
    writer.message(time_us, Process::app(random.pick(&WEB)), |text| {
        while text.bytes().len() < bytes {
            text.str("{\"product\":\"").str(random.pick(&PRODUCTS)).str("\",\"crème\":").number(random.below(99)).str("},");
        }
    });
}
