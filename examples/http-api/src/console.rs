//! The console: a page for operators that calls this API from the browser. The files of `console/` are part of the
//! program.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::routing::get;

/// Allows the page its own files and calls of this service, and nothing else. So a value of the database that became
/// HTML, against the rules of `console/elements.js`, could still neither run nor send anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES: [(&str, &str); 9] = [
    ("index.html", include_str!("../console/index.html")),
    ("console.css", include_str!("../console/console.css")),
    ("console.js", include_str!("../console/console.js")),
    ("api.js", include_str!("../console/api.js")),
    ("elements.js", include_str!("../console/elements.js")),
    ("executions.js", include_str!("../console/executions.js")),
    ("jobs.js", include_str!("../console/jobs.js")),
    ("parts.js", include_str!("../console/parts.js")),
    ("views.js", include_str!("../console/views.js")),
];

/// The routes of the files; the page itself is at `/`. They need no token, because the files have no data.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for (name, content) in FILES {
        let (path, content_type) = match name.rsplit_once('.') {
            Some((_, "js")) => (format!("/{name}"), "text/javascript; charset=utf-8"),
            Some((_, "css")) => (format!("/{name}"), "text/css; charset=utf-8"),
            _ => ("/".to_owned(), "text/html; charset=utf-8"),
        };
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            // After an upgrade of the service, no browser may combine old files with new ones.
            (CACHE_CONTROL, "no-store"),
        ];
        router = router.route(&path, get(move || async move { (headers, content) }));
    }
    router
}
