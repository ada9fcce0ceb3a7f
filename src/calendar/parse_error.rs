//! Why a cron expression is refused.

use std::fmt;

/// Why an expression was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError {
    pub kind: ParseErrorKind,
    /// The field at fault (`minute`, `day of month`), or `expression`.
    pub field: &'static str,
    /// The text at fault.
    pub text: String,
    /// What is allowed there.
    pub allowed: String,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum ParseErrorKind {
    /// The text is not a cron expression.
    Malformed,
    /// pg_cron accepts the expression, but Kronos does not.
    NotSupported,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ParseErrorKind::Malformed => write!(f, "invalid {}: {:?}", self.field, self.text),
            ParseErrorKind::NotSupported => write!(f, "not supported: {:?}", self.text),
        }
    }
}
