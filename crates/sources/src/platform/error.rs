//! Why the API did not give what was asked for, by what one can do about it.

use std::fmt;
use std::time::Duration;

use freshet_web::Trouble;

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked for.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// The error's id, such as `unauthorized` or `rate_limit`.
    pub id: String,
    /// What Heroku says about it.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.id, self.message)
    }
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// No JSON, or half of it.
    #[error("it is no JSON")]
    NoJson,
    /// JSON, but no list where one was asked for.
    #[error("a list was expected")]
    NoList,
    /// 206 without `Next-Range`.
    #[error("a part of a list does not say where the next begins")]
    NoNextRange,
    /// A `Next-Range` that was there before.
    #[error("a list comes back to where it was")]
    GoesRound,
    /// More pages than anybody has objects for.
    #[error("a list has no end after {pages_max} pages")]
    Endless {
        /// The pages that were read.
        pages_max: u32,
    },
    /// Tokens were asked for, and there is none in it.
    #[error("it holds no access token")]
    NoToken,
    /// More bytes than fit.
    #[error("it is longer than {} MiB", bytes_max.div_ceil(1 << 20))]
    TooLong {
        /// Bytes that would have been read.
        bytes_max: usize,
    },
    /// 304, although nothing was known before.
    #[error("nothing has changed, it says, but it was not asked that")]
    NothingNew,
    /// A redirect, which is not followed: the token would go there.
    #[error("it is a redirect ({status}), and none is followed")]
    Redirect {
        /// HTTP status.
        status: u16,
    },
}

/// Why the API did not give what was asked for. The token is in none of them, whatever the server says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No header can carry the token.
    #[error("the token holds characters that no token has: give it again, in one line and without blanks")]
    Token,
    /// The token must not be sent there.
    #[error("the address of the API {0}")]
    Address(String),
    /// A question that cannot be put, by a mistake of the caller's.
    #[error("{0:?} cannot be asked for: a path begins with `/`, and path, range and tag are plain text; this is a bug of Freshet")]
    Question(String),
    /// This machine cannot make requests at all.
    #[error("no request can be made: {0}; let this machine have certificates to trust, for example with `apt-get install ca-certificates`")]
    Client(Trouble),
    /// 401: the token is not valid, or not any more.
    #[error("{path} is refused ({0}): make a new token with `heroku authorizations:create`, or authorise the OAuth client again", path = .0.path)]
    Unauthorized(Refusal),
    /// 400, 401 and 403 to an OAuth client: it gets no access token, until a person does something.
    #[error(
        "no access token is given: {path} refuses the OAuth client ({0}); see whether `oauth_client_secret` and `oauth_refresh_token` \
         under [heroku] belong together, and if they do, authorise the client again: docs/platform.md says how", path = .0.path
    )]
    Grant(Refusal),
    /// A new refresh token is nowhere but in memory.
    #[error(
        "the refresh token was changed by the server and cannot be written to {file} ({reason}): let this user write there, \
             before this process ends, or the OAuth client has to be authorised again"
    )]
    NotKept {
        /// The file.
        file: String,
        /// Why it cannot be written.
        reason: String,
    },
    /// 402 and 403 `suspended`: nothing can be asked with this account.
    #[error("{path} is refused ({0}): the account has to be settled with Heroku first", path = .0.path)]
    Suspended(Refusal),
    /// 403 `two_factor`: the token needs a second factor, which a program does not have.
    #[error("{path} is refused ({0}): use a token made by `heroku authorizations:create`, which needs no second factor", path = .0.path)]
    TwoFactor(Refusal),
    /// 403: the token is valid and may not see this; other things it may.
    #[error("{path} is refused ({0}): leave it out, or use a token with a wider scope or of somebody who may see it", path = .0.path)]
    Forbidden(Refusal),
    /// 404 and 410: it does not exist, or not any more. What belongs to it can be skipped.
    #[error("{path} is not there ({0}): it may have been deleted; otherwise see whether the address under [heroku] is right", path = .0.path)]
    NotFound(Refusal),
    /// The rate limit is used up for longer than the caller wants to wait.
    #[error("{path} has waited {} s for the rate limit, would have to wait {} s more and may wait {} s: try again later, \
             find out who else uses this account, or leave less of it to others", waited.as_secs(), needed.as_secs(), patience.as_secs())]
    RateLimited {
        /// What was to be asked for.
        path: String,
        /// How long it has waited.
        waited: Duration,
        /// How much longer it would have to wait, as far as is known.
        needed: Duration,
        /// How long it may wait altogether.
        patience: Duration,
        /// Heroku's words, if it said anything.
        refusal: Option<Box<Refusal>>,
    },
    /// 503: the API is out of service.
    #[error("{path} is not answered ({0}): see status.heroku.com and try again later", path = .0.path)]
    Maintenance(Refusal),
    /// 500, 502, 504: something there is broken.
    #[error("{path} is not answered ({0}): try again later; if it stays, see status.heroku.com", path = .0.path)]
    Unavailable(Refusal),
    /// No answer at all.
    #[error(
        "{path} is not answered: {trouble}; try again later, or see to the network, the variable HTTPS_PROXY and the address under [heroku]"
    )]
    Unreachable {
        /// What was asked for.
        path: String,
        /// Why there is none.
        trouble: Trouble,
    },
    /// An answer that makes no sense.
    #[error(
        "{path}: the answer is not that of Heroku's API: {flaw}; see whether the address under [heroku] is right and whether a proxy answers in its place"
    )]
    Broken {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// Any other refusal: what was asked is not right.
    #[error("{path} is refused ({0}): this version of Freshet does not know why; please report it", path = .0.path)]
    Refused(Refusal),
}

impl ApiError {
    /// The HTTP status of the answer that said no, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// Heroku's own words, where it said no.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Unauthorized(refusal)
            | Self::Grant(refusal)
            | Self::Suspended(refusal)
            | Self::TwoFactor(refusal)
            | Self::Forbidden(refusal)
            | Self::NotFound(refusal)
            | Self::Maintenance(refusal)
            | Self::Unavailable(refusal)
            | Self::Refused(refusal) => Some(refusal),
            Self::RateLimited { refusal, .. } => refusal.as_deref(),
            Self::Token
            | Self::Address(_)
            | Self::Question(_)
            | Self::Client(_)
            | Self::NotKept { .. }
            | Self::Unreachable { .. }
            | Self::Broken { .. } => None,
        }
    }

    /// What happened, without what was asked for and what to do: for whoever says that in words of his own.
    #[must_use]
    pub fn reason(&self) -> String {
        match (self, self.refusal()) {
            (_, Some(refusal)) => refusal.to_string(),
            (Self::Token, _) => "the token holds characters that no token has".to_owned(),
            (Self::Client(trouble) | Self::Unreachable { trouble, .. }, _) => trouble.to_string(),
            (Self::Broken { flaw, .. }, _) => format!("the answer is not that of Heroku's API: {flaw}"),
            (Self::RateLimited { .. }, _) => "the rate limit is used up".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Whether the same question may be answered later, with nothing changed on our side.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Maintenance(_) | Self::Unavailable(_) => true,
            Self::Unreachable { trouble, .. } => !trouble.is_lasting(),
            Self::Broken { flaw, .. } => matches!(flaw, Flaw::NoJson | Flaw::NoList | Flaw::NoNextRange | Flaw::NoToken),
            _ => false,
        }
    }

    /// The error that a status stands for.
    pub(super) fn of(refusal: Refusal) -> Self {
        match (refusal.status, refusal.id.as_str()) {
            (300..=399, _) => Self::Broken { flaw: Flaw::Redirect { status: refusal.status }, path: refusal.path },
            (401, _) => Self::Unauthorized(refusal),
            (402, _) | (403, "suspended") => Self::Suspended(refusal),
            (403, "two_factor") => Self::TwoFactor(refusal),
            (403, _) => Self::Forbidden(refusal),
            (404 | 410, _) => Self::NotFound(refusal),
            (429, _) => Self::RateLimited {
                path: refusal.path.clone(),
                waited: Duration::ZERO,
                needed: Duration::ZERO,
                patience: Duration::ZERO,
                refusal: Some(Box::new(refusal)),
            },
            (503, _) => Self::Maintenance(refusal),
            (500..=599, _) => Self::Unavailable(refusal),
            _ => Self::Refused(refusal),
        }
    }

    /// There was no answer, because of `trouble`.
    pub(super) fn unanswered(path: &str, trouble: Trouble) -> Self {
        let path = path.to_owned();
        match trouble {
            Trouble::TooLong { bytes_max } => Self::Broken { path, flaw: Flaw::TooLong { bytes_max } },
            trouble => Self::Unreachable { path, trouble },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, id: &str) -> ApiError {
        ApiError::of(Refusal { path: "/apps".to_owned(), status, id: id.to_owned(), message: "No.".to_owned() })
    }

    #[test]
    fn each_status_has_its_name_and_says_what_to_do() {
        fn check(status: u16, id: &str, is_temporary: bool, words: &str) {
            let error = refused(status, id);
            assert_eq!(error.is_temporary(), is_temporary, "{status} {id}");
            assert!(error.to_string().contains(words), "{status} {id}: {error}");
            if !(300..=399).contains(&status) {
                assert_eq!((error.status(), error.reason()), (Some(status), format!("{status} {id}: No.")));
            }
        }
        check(302, "error", false, "redirect (302)");
        check(400, "bad_request", false, "/apps is refused (400 bad_request: No.)");
        check(401, "unauthorized", false, "make a new token");
        check(402, "delinquent", false, "settled with Heroku");
        check(403, "suspended", false, "settled with Heroku");
        check(403, "two_factor", false, "second factor");
        check(403, "forbidden", false, "wider scope");
        check(404, "not_found", false, "may have been deleted");
        check(410, "gone", false, "may have been deleted");
        check(416, "requested_range_not_satisfiable", false, "is refused (416");
        check(422, "invalid_params", false, "is refused (422");
        check(429, "rate_limit", true, "try again later");
        check(500, "internal_server_error", true, "try again later");
        check(502, "error", true, "try again later");
        check(503, "maintenance", true, "status.heroku.com");
        check(504, "error", true, "try again later");
    }
}
