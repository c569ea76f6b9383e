//! How a request fails: as a problem document (RFC 9457) with a stable code.

use std::time::Duration;

use axum::Json;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use inkwire_core::{Error, NameError};
use inkwire_protocol::{Code, Problem, Refused};

use super::plainly::Explicable;
use crate::limits::TooMany;
use crate::peers::signalling::Refusal;

/// When to come back to a broker that cannot be reached.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(1);

/// Why a request was not served.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    detail: String,
    reasons: Vec<String>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), reasons: Vec::new(), retry_after: None, allow: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::Invalid, detail)
    }

    /// Not now; worth trying again after `wait`.
    pub(crate) fn unavailable(detail: impl Into<String>, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::new(Code::Unavailable, detail) }
    }

    /// The path takes another method.
    pub(crate) fn method(allow: &'static str) -> Self {
        let mut failure = Self::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        failure.allow = Some(allow);
        failure
    }

    pub(crate) fn with_reasons(mut self, reasons: Vec<String>) -> Self {
        self.reasons = reasons;
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // Reasons are for operators, who want them as they are.
        let explicable = self.reasons.is_empty().then_some(Explicable(self.code));
        let problem = Problem { reasons: self.reasons, ..Problem::new(self.code, self.detail) };
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(problem)).into_response();
        if let Some(explicable) = explicable {
            response.extensions_mut().insert(explicable);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: coming back too early would be refused again.
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        response
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::invalid(error.0)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let wait = refused.retry_after_ms.map(Duration::from_millis);
        let retry_after = wait.or((refused.code == Code::Unavailable).then_some(UNAVAILABLE_RETRY));
        Self { retry_after, ..Self::new(refused.code, refused.message) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Refused::from(error).into()
    }
}

impl From<TooMany> for Failure {
    fn from(too_many: TooMany) -> Self {
        Refused::from(too_many).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Refused::from(refusal).into()
    }
}
