//! `sample`: writes the files of `samples/` anew.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use freshet_bench::sample;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    let files = [("shop.log", sample::shop_log()), ("shop.frames", sample::shop_frames()), ("archive.jsonl.gz", sample::archive()?)];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write samples/{name}"))?;
    }
    Ok(())
}
