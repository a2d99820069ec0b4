//! The pages of a list, one after the other.

use std::collections::HashSet;

use freshet_web::Answer;
use futures::stream::{self, Stream};
use serde_json::Value;

use super::archive::wrapped;
use super::{Api, ApiError, Flaw, Question, Range};

/// A list that is being read. It asks when it is asked, so nothing is held but the page that was given.
///
/// After an error, [`Pages::next`] may be called again: it goes on with the page that failed.
pub struct Pages {
    api: Api,
    path: String,
    next: Next,
    /// The tag by which an earlier answer to the first question is known.
    known: Option<String>,
    page_objects: usize,
    is_range_refused: bool,
    /// Every `Next-Range` that was followed.
    followed: HashSet<String>,
}

/// What is asked next.
enum Next {
    First(Option<String>),
    Later(String),
    End,
}

/// What a list gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Its next page.
    Page(Page),
    /// Nothing has changed since the answer with the tag that was given to [`Pages::unless`]. Nothing follows.
    NotModified,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The objects, as they came.
    pub objects: Vec<Value>,
    /// The answer's tag, to be given to [`Pages::unless`] when the same path and range are asked again. Only a list that is all
    /// on one page, with room left on it, has one: the tag of a first page says nothing of the others.
    pub etag: Option<String>,
    /// Where the next page begins, for [`Range::resumed`]; none on the last page.
    pub next: Option<String>,
    /// What the list can be read by, as it says itself; nothing where it says nothing.
    pub attributes: Vec<String>,
    /// Whether the range was refused (416), so that this is the whole list from its beginning, in the list's own order.
    pub is_range_refused: bool,
}

impl Page {
    /// Whether the list ends with this page.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

impl Pages {
    pub(super) fn new(api: Api, path: &str, range: &Range) -> Self {
        Self {
            api,
            path: path.to_owned(),
            next: Next::First(range.header()),
            known: None,
            page_objects: range.page_objects(),
            is_range_refused: false,
            followed: HashSet::new(),
        }
    }

    /// Asks for the list only unless it is still the one with this tag, see [`Page::etag`].
    #[must_use]
    pub fn unless(mut self, etag: Option<&str>) -> Self {
        self.known = etag.map(str::to_owned);
        self
    }

    /// The next page; `None` after the last. An object that is there from the first page to the last is given exactly once,
    /// when the list is read by a value that does not change.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn next(&mut self) -> Result<Option<Part>, ApiError> {
        loop {
            let (range, known) = match &self.next {
                Next::First(range) => (range.as_deref(), self.known.as_deref()),
                Next::Later(range) => (Some(range.as_str()), None),
                Next::End => return Ok(None),
            };
            let question = Question { path: &self.path, range, known, ..Question::default() };
            let read = self.api.answer(&question, |answer| self.part(&question, answer)).await;
            match read {
                Err(ApiError::Refused(refusal)) if refusal.status == 416 && matches!(self.next, Next::First(Some(_))) => {
                    // Not every list knows every attribute, and the whole list has what the range would have had.
                    tracing::debug!(path = self.path, "range refused");
                    self.next = Next::First(None);
                    self.page_objects = Range::none().page_objects();
                    self.is_range_refused = true;
                }
                Err(error) => return Err(error),
                Ok(part) => {
                    self.next = self.after(&part)?;
                    return Ok(Some(part));
                }
            }
        }
    }

    /// The same as a stream, which ends with the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Part, ApiError>> + Send {
        stream::try_unfold(self, |mut pages| async move { Ok(pages.next().await?.map(|part| (part, pages))) })
    }

    fn part(&self, question: &Question<'_>, answer: &Answer) -> Result<Part, ApiError> {
        if answer.status == 304 && question.known.is_some() {
            return Ok(Part::NotModified);
        }
        let objects = match self.api.read(&self.path, answer)? {
            Value::Array(objects) => objects,
            // As Heroku hands out the audit trail.
            mut root => wrapped(&mut root).ok_or_else(|| self.broken(Flaw::NoList))?,
        };
        // Some answers have the header twice; the first is the one.
        let next = answer.header("next-range").map(str::to_owned);
        if next.is_none() && answer.status == 206 {
            return Err(self.broken(Flaw::NoNextRange));
        }
        let is_all = matches!(self.next, Next::First(_)) && next.is_none() && objects.len() < self.page_objects;
        let attributes = answer.header("accept-ranges").unwrap_or_default().split(',').map(str::trim);
        Ok(Part::Page(Page {
            etag: answer.header("etag").filter(|_| is_all).map(str::to_owned),
            attributes: attributes.filter(|attribute| !attribute.is_empty() && *attribute != "none").map(str::to_owned).collect(),
            is_range_refused: self.is_range_refused,
            objects,
            next,
        }))
    }

    /// What is asked after `part`. A list that goes round, or on for ever, is found out here.
    fn after(&mut self, part: &Part) -> Result<Next, ApiError> {
        let Part::Page(Page { next: Some(next), .. }) = part else { return Ok(Next::End) };
        let pages_max = self.api.limits().pages_max;
        let flaw = if self.followed.contains(next) {
            Flaw::GoesRound
        } else if self.followed.len() + 1 >= pages_max as usize {
            Flaw::Endless { pages_max }
        } else {
            self.followed.insert(next.clone());
            return Ok(Next::Later(next.clone()));
        };
        self.api.counters.failed();
        Err(self.broken(flaw))
    }

    fn broken(&self, flaw: Flaw) -> ApiError {
        ApiError::Broken { path: self.path.clone(), flaw }
    }
}
