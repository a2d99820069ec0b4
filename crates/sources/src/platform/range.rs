//! What part of a list is asked for, and in which order.

/// Objects on a page at most; Heroku gives no more.
pub const PAGE_OBJECTS_MAX: u16 = 1_000;

/// Objects on a page when nobody says how many.
const PAGE_OBJECTS_DEFAULT: u16 = 200;

/// The header `Range` of a list, such as `version ]41..; max=1000,order=desc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range(Asked);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Parts(Parts),
    Given(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    attribute: String,
    from: String,
    to: String,
    is_descending: bool,
    objects_max: u16,
}

impl Range {
    /// The whole list, by `attribute` upwards, in pages of [`PAGE_OBJECTS_MAX`]. Nearly every list can be read by `id`; by what
    /// else, it says in [`Page::attributes`](super::Page::attributes).
    #[must_use]
    pub fn by(attribute: &str) -> Self {
        let attribute = attribute.to_owned();
        Self(Asked::Parts(Parts { attribute, from: String::new(), to: String::new(), is_descending: false, objects_max: PAGE_OBJECTS_MAX }))
    }

    /// The whole list, without a word about ranges.
    #[must_use]
    pub fn none() -> Self {
        Self(Asked::Nothing)
    }

    /// The rest of a list, from what a page gave as [`Page::next`](super::Page::next).
    #[must_use]
    pub fn resumed(next: &str) -> Self {
        Self(Asked::Given(next.to_owned()))
    }

    /// Only what comes after `value` in the order of reading. This and what follows changes nothing of a range without an
    /// attribute.
    #[must_use]
    pub fn after(self, value: &str) -> Self {
        self.with(|parts| parts.from = format!("]{value}"))
    }

    /// Only `value` and what comes after it in the order of reading.
    #[must_use]
    pub fn from(self, value: &str) -> Self {
        self.with(|parts| parts.from = value.to_owned())
    }

    /// Only `value` and what comes before it in the order of reading.
    #[must_use]
    pub fn until(self, value: &str) -> Self {
        self.with(|parts| parts.to = value.to_owned())
    }

    /// From the highest value down.
    #[must_use]
    pub fn descending(self) -> Self {
        self.with(|parts| parts.is_descending = true)
    }

    /// Pages of `objects`, from 1 to [`PAGE_OBJECTS_MAX`].
    #[must_use]
    pub fn max(self, objects: u16) -> Self {
        self.with(|parts| parts.objects_max = objects.clamp(1, PAGE_OBJECTS_MAX))
    }

    /// The header's text, or that there is to be none.
    pub(super) fn header(&self) -> Option<String> {
        match &self.0 {
            Asked::Nothing => None,
            Asked::Given(text) => Some(text.clone()),
            Asked::Parts(Parts { attribute, from, to, is_descending, objects_max }) => {
                let order = if *is_descending { ",order=desc" } else { "" };
                Some(format!("{attribute} {from}..{to}; max={objects_max}{order}"))
            }
        }
    }

    /// How many objects make a page full, as far as we know.
    pub(super) fn page_objects(&self) -> usize {
        usize::from(match &self.0 {
            Asked::Parts(parts) => parts.objects_max,
            Asked::Nothing | Asked::Given(_) => PAGE_OBJECTS_DEFAULT,
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        if let Asked::Parts(parts) = &mut self.0 {
            change(parts);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_heroku_reads_them() {
        fn check(range: &Range, header: Option<&str>) {
            assert_eq!(range.header().as_deref(), header);
        }
        check(&Range::by("id"), Some("id ..; max=1000"));
        check(&Range::by("version").after("41"), Some("version ]41..; max=1000"));
        check(&Range::by("version").max(1).descending(), Some("version ..; max=1,order=desc"));
        check(&Range::by("started_at").from("2026-11-01T00:00:00Z").max(0), Some("started_at 2026-11-01T00:00:00Z..; max=1"));
        check(&Range::by("name").after("a").until("b").max(5_000), Some("name ]a..b; max=1000"));
        check(&Range::none().after("x").descending(), None);
        check(&Range::resumed("id ]x..; max=200").max(7), Some("id ]x..; max=200"));
    }
}
