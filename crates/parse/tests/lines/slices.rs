//! Where the slices of a line may lie. The fuzz targets use this file too.

use freshet_parse::Line;

/// Each slice that `line` is made of lies in the text it was read from, or in the line's own buffer.
pub(crate) fn assert_slices(line: &Line<'_>, text: &[u8]) {
    let buffer: &[u8] = if let Line::AppEvent(event) = line { event.buffer } else { b"" };
    for slice in slices(line) {
        assert!(slice.is_empty() || lies_in(slice, text) || lies_in(slice, buffer), "{line:?}");
    }
}

/// All slices that a line is made of.
fn slices<'t>(line: &Line<'t>) -> Vec<&'t [u8]> {
    let pairs = |pairs: &[(&'t [u8], &'t [u8])]| pairs.iter().flat_map(|&(key, value)| [key, value]).collect::<Vec<_>>();
    match line {
        Line::Router(line) => {
            let known = [
                line.at,
                line.code,
                line.desc,
                line.cause,
                line.method,
                line.path,
                line.host,
                line.request_id,
                line.fwd,
                line.dyno,
                line.protocol,
                line.tls_version,
                line.sock,
            ];
            known.into_iter().flatten().chain(pairs(&line.extra)).collect()
        }
        Line::DynoMetrics(line)
        | Line::PostgresMetrics(line)
        | Line::PgbouncerMetrics(line)
        | Line::RedisMetrics(line)
        | Line::MetricSamples(line) => {
            let samples = line.samples.iter().flat_map(|sample| [line.slice(&sample.name), line.slice(&sample.unit)]);
            let tags = line.tags.iter().flat_map(|(key, value)| [line.slice(key), line.slice(value)]);
            samples.chain(tags).chain([line.source, line.addon, line.dyno].into_iter().flatten()).collect()
        }
        Line::PostgresLog(line) => {
            let known = [line.tag, line.sql_error_code, line.level, line.text];
            known.into_iter().flatten().chain(pairs(&line.fields)).collect()
        }
        Line::DynoEvent(line) => [line.from_state, line.to_state].into_iter().flatten().collect(),
        Line::PlatformError(line) => [Some(line.code), line.detail].into_iter().flatten().collect(),
        Line::ApiEvent(line) => {
            let formation = line.formation.iter().flat_map(|&(process, quantity, size)| [process, quantity, size]);
            [line.actor, line.commit].into_iter().flatten().chain(line.names.iter().copied()).chain(formation).collect()
        }
        Line::AppEvent(line) => {
            let fields = line.fields.iter().flat_map(|(key, value)| [&line.buffer[key.clone()], &line.buffer[value.clone()]]);
            fields.chain([line.level, line.text, line.request_id, line.body].into_iter().flatten()).collect()
        }
        Line::App => Vec::new(),
    }
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    whole.as_ptr_range().start <= part.as_ptr() && part.as_ptr_range().end <= whole.as_ptr_range().end
}
