//! Trial.
use freshet_proof::Report;
fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(0);
    let to: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(from + 1);
    let started = std::time::Instant::now();
    let mut summary = freshet_proof::Summary::default();
    for seed in from..to {
        let report = freshet_proof::run(&freshet_proof::Plan::of(seed), to == from + 1);
        summary.add(&report);
        for line in &report.story { println!("{line}"); }
        if to == from + 1 || !report.problems.is_empty() {
            println!("seed {seed}: {:?} {:?}", report.problems.iter().take(3).collect::<Vec<_>>(), Report { story: vec![], problems: vec![], ..report.clone() });
        }
    }
    println!("{}", summary.text(started.elapsed()));
}
